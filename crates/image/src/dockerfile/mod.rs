//! Dockerfiles: what they stand on, on which line a step is, and those that are written for trees that have none. Pure.

mod standing;
mod write;

use std::collections::BTreeSet;

pub use write::{GenerateError, Tree, generate, of_assembly, of_run};

/// A Dockerfile, as far as whoever has it built must understand it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    instructions: Vec<Instruction>,
    images: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Instruction {
    /// From 1.
    line: usize,
    /// In capitals.
    word: String,
    rest: String,
}

/// Why a text is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DockerfileError {
    /// Nothing is in it.
    #[error("the Dockerfile has no instruction; it begins with `FROM IMAGE`")]
    Empty,
    /// An instruction that there is not.
    #[error("Dockerfile:{line}: there is no instruction `{word}`")]
    Unknown {
        /// From 1.
        line: usize,
        /// As it is written.
        word: String,
    },
    /// It does not begin as one.
    #[error("Dockerfile:{line}: before the first `FROM IMAGE` only `ARG` may stand, not `{word}`")]
    First {
        /// From 1.
        line: usize,
        /// What stands there.
        word: String,
    },
    /// An instruction without what it is about.
    #[error("Dockerfile:{line}: `{word}` needs something behind it")]
    Bare {
        /// From 1.
        line: usize,
        /// Which.
        word: String,
    },
    /// Builders would not all read the same in it, or none of them here can do it.
    #[error("Dockerfile:{line}: {why}")]
    Odd {
        /// From 1.
        line: usize,
        /// And what to write.
        why: String,
    },
}

const WORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

// === impl Dockerfile ===

impl Dockerfile {
    /// Reads it: lines that end with `\` go on, comments are none.
    ///
    /// # Errors
    /// When a builder could not but refuse it, or might read something else in it; the line is named.
    pub fn parse(text: &str) -> Result<Self, DockerfileError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut instructions: Vec<Instruction> = Vec::new();
        let mut open = Open::default();
        for (number, line) in (1..).zip(text.lines()) {
            plain(number, line)?;
            let trimmed = line.trim();
            if open.text.is_empty() {
                directive(number, trimmed, instructions.is_empty())?;
            }
            // Comments may stand inside an instruction, too; an empty line ends none.
            if trimmed.starts_with('#') {
                // To builders of before, one that is indented is a part of the instruction, and ends it.
                open.may_have_ended |= !open.text.is_empty() && !line.starts_with('#');
                continue;
            }
            if trimmed.is_empty() && !open.text.is_empty() {
                continue;
            }
            if open.text.is_empty() {
                open.begun = number;
            } else if open.may_have_ended && is_word(trimmed) {
                let why = "builders of before take this for an instruction of its own; move the comment above it to the left";
                return Err(DockerfileError::Odd { line: number, why: why.to_owned() });
            }
            match trimmed.strip_suffix('\\') {
                Some(part) => open.text.push_str(&format!("{} ", part.trim_end())),
                None => {
                    open.text.push_str(trimmed);
                    instructions.extend(std::mem::take(&mut open).end()?);
                }
            }
        }
        instructions.extend(open.end()?);
        match instructions.iter().find(|one| one.word != "ARG") {
            Some(first) if first.word == "FROM" => {}
            Some(first) => {
                return Err(DockerfileError::First { line: first.line, word: first.word.clone() });
            }
            None => return Err(DockerfileError::Empty),
        }
        let images = standing::images(&instructions)?;
        Ok(Self { instructions, images })
    }

    /// Images that it stands on or copies from, each once, with the values of variables; stages of its own and `scratch` are none.
    #[must_use]
    pub const fn images(&self) -> &BTreeSet<String> {
        &self.images
    }

    /// The line of an instruction that a builder says, as in `RUN make`.
    #[must_use]
    pub fn line_of(&self, said: &str) -> Option<usize> {
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = plain(said);
        let is_it =
            |one: &&Instruction| plain(&format!("{} {}", one.word, one.rest)).eq_ignore_ascii_case(&said);
        self.instructions.iter().find(is_it).map(|one| one.line)
    }
}

/// Lines of an instruction that goes on.
#[derive(Default)]
struct Open {
    /// From 1.
    begun: usize,
    text: String,
    may_have_ended: bool,
}

impl Open {
    fn end(self) -> Result<Option<Instruction>, DockerfileError> {
        let line = self.begun;
        let Some(first) = self.text.split_whitespace().next() else { return Ok(None) };
        let rest = self.text.trim_start().strip_prefix(first).unwrap_or_default().trim().to_owned();
        let word = first.to_ascii_uppercase();
        if !is_word(&word) {
            return Err(DockerfileError::Unknown { line, word: first.chars().take(40).collect() });
        }
        if rest.is_empty() {
            return Err(DockerfileError::Bare { line, word });
        }
        heredoc(line, &word, &rest)?;
        Ok(Some(Instruction { line, word, rest }))
    }
}

/// Some builders take what follows for text, some for instructions.
fn heredoc(line: usize, word: &str, rest: &str) -> Result<(), DockerfileError> {
    let opens = |word: &&str| {
        let rest = word.trim_start_matches(|letter: char| letter.is_ascii_digit()).strip_prefix("<<");
        rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('<'))
    };
    match rest.split_whitespace().find(opens) {
        Some(found) if ["RUN", "COPY", "ADD"].contains(&word) => {
            let found: String = found.chars().take(40).collect();
            let why = format!(
                "builders here do not take heredocs (`{found}`); add a file and run it, or join lines with `\\`"
            );
            Err(DockerfileError::Odd { line, why })
        }
        _ => Ok(()),
    }
}

/// Whether it begins as an instruction does.
fn is_word(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(first))
}

/// Builders differ in what a blank is, and in what two backslashes at the end are.
fn plain(number: usize, line: &str) -> Result<(), DockerfileError> {
    let odd = |why: &str| Err(DockerfileError::Odd { line: number, why: why.to_owned() });
    let is_odd =
        |letter: &char| *letter != ' ' && *letter != '\t' && (letter.is_whitespace() || letter.is_control());
    if let Some(letter) = line.chars().find(is_odd) {
        return odd(&format!("there is a {} in it; blanks are spaces and tabs", letter.escape_unicode()));
    }
    match line.trim_end().ends_with("\\\\") {
        true => odd("it ends with two backslashes; one lets the instruction go on in the next line"),
        false => Ok(()),
    }
}

/// Comments before the first instruction can say what lines end with.
fn directive(line: usize, comment: &str, is_top: bool) -> Result<(), DockerfileError> {
    let said = comment.strip_prefix('#').and_then(|said| said.split_once('='));
    match said {
        Some((name, value))
            if is_top && name.trim().eq_ignore_ascii_case("escape") && value.trim() != "\\" =>
        {
            let why = "builders here know only `\\` as what lets an instruction go on in the next line";
            Err(DockerfileError::Odd { line, why: why.to_owned() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_by_its_words() {
        let text = "# syntax\nFROM m\r\nRUN a && \\\n# why\n\n  b\nCOPY x  /y\nRUN c \\\n  # why\n  && d";
        let read = Dockerfile::parse(text).unwrap();
        assert_eq!(read.line_of("RUN a && b"), Some(3));
        assert_eq!(read.line_of("COPY x   /y"), Some(7));
        assert_eq!(read.line_of("RUN c && d"), Some(8));
        assert_eq!(read.line_of("RUN c"), None);
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        let said = |text: &str| Dockerfile::parse(text).unwrap_err().to_string();
        assert!(said("FROM m\n\nRUM x\n").contains("Dockerfile:3: there is no instruction `RUM`"));
        assert!(said("FROM m\nRUN\n").contains("Dockerfile:2"));
        assert!(said("RUN x\nFROM m\n").contains("Dockerfile:1"));
        assert!(said("# nothing\n").contains("no instruction"));
    }

    #[test]
    fn lines_that_builders_might_join_in_two_ways_are_refused() {
        for (line, text) in [
            (1, "# escape=`\nFROM m\n"),
            (2, "FROM m\nRUN b \\\\\nFROM n\n"),
            (2, "FROM m\nRUN b \\\u{a0}\nFROM n\n"),
            (2, "FROM m\nRUN b \u{b}\n"),
            (2, "FROM m\nRUN b \rFROM n\n"),
            (4, "FROM m\nRUN b \\\n  # c\nFROM n\n"),
            (6, "FROM m\nRUN b \\\n  # c\n# d\n\ncopy --from=e / /\n"),
        ] {
            match Dockerfile::parse(text) {
                Err(DockerfileError::Odd { line: said, .. }) => assert_eq!(said, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(Dockerfile::parse("\u{feff}# escape=\\\nFROM m\nRUN b \\  \n# c\nfrom n\n").is_ok());
    }
}
