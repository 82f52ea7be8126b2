//! Dockerfiles: what they stand on, on which line a step is, and those that are written for trees that have none. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::plan::{Assembly, Content, DIR, Run};
use crate::recognize::Source;

/// A Dockerfile, as far as whoever has it built must understand it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    instructions: Vec<Instruction>,
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
}

/// Why no Dockerfile can be written for a tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// Nobody knows what to start.
    #[error(
        "it is {0}, and nothing in it says what is started: name it with `entrypoint`, or add a Dockerfile"
    )]
    Start(String),
    /// Instructions need something to run in.
    #[error("say with `base` in which image `{0}` is to run")]
    Base(String),
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
    /// When a builder could not but refuse it; the line is named.
    pub fn parse(text: &str) -> Result<Self, DockerfileError> {
        let mut instructions: Vec<Instruction> = Vec::new();
        let (mut open, mut begun) = (String::new(), 0);
        for (index, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            // Comments may stand inside an instruction, too; an empty line ends none.
            if trimmed.starts_with('#') || (trimmed.is_empty() && !open.is_empty()) {
                continue;
            }
            if open.is_empty() {
                begun = index + 1;
            }
            match trimmed.strip_suffix('\\') {
                Some(part) => open.push_str(&format!("{} ", part.trim_end())),
                None => {
                    open.push_str(trimmed);
                    instructions.extend(instruction(begun, &std::mem::take(&mut open))?);
                }
            }
        }
        instructions.extend(instruction(begun, &open)?);
        match instructions.iter().find(|one| one.word != "ARG") {
            Some(first) if first.word == "FROM" => Ok(Self { instructions }),
            Some(first) => Err(DockerfileError::First { line: first.line, word: first.word.clone() }),
            None => Err(DockerfileError::Empty),
        }
    }

    /// Images that it stands on or copies from, each once; stages of its own and `scratch` are none.
    #[must_use]
    pub fn images(&self) -> BTreeSet<&str> {
        let (mut images, mut stages) = (BTreeSet::new(), BTreeSet::new());
        for one in &self.instructions {
            let words: Vec<&str> = one.rest.split_whitespace().collect();
            let image = match one.word.as_str() {
                "FROM" => words.iter().find(|word| !word.starts_with("--")).copied(),
                "COPY" => words.iter().find_map(|word| word.strip_prefix("--from=")),
                _ => None,
            };
            let is_stage = |image: &&str| {
                stages.contains(&image.to_ascii_lowercase())
                    || image.bytes().all(|byte| byte.is_ascii_digit())
            };
            images.extend(image.filter(|image| *image != "scratch" && !is_stage(image)));
            if let ("FROM", [.., as_, stage]) = (one.word.as_str(), words.as_slice())
                && as_.eq_ignore_ascii_case("as")
            {
                stages.insert(stage.to_ascii_lowercase());
            }
        }
        images
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

fn instruction(line: usize, text: &str) -> Result<Option<Instruction>, DockerfileError> {
    let Some(first) = text.split_whitespace().next() else { return Ok(None) };
    let rest = text.trim_start().strip_prefix(first).unwrap_or_default().trim().to_owned();
    let word = first.to_ascii_uppercase();
    if !WORDS.contains(&word.as_str()) {
        return Err(DockerfileError::Unknown { line, word: first.chars().take(40).collect() });
    }
    if rest.is_empty() {
        return Err(DockerfileError::Bare { line, word });
    }
    Ok(Some(Instruction { line, word, rest }))
}

/// What a Dockerfile is written from.
#[derive(Clone, Debug)]
pub struct Tree<'a> {
    /// `None`: instructions alone say how it is built.
    pub kind: Option<Source>,
    /// What lies at its top.
    pub names: &'a BTreeSet<String>,
    /// What the image is called.
    pub name: &'a str,
    /// An image to build and run in; without one, what is usual for its kind, in a public registry.
    pub base: Option<&'a str>,
    /// A command that builds it; without one, what is usual for its kind.
    pub build: Option<&'a str>,
    /// Whether people say what is started.
    pub has_start: bool,
}

/// Writes the Dockerfile of a tree that has none.
///
/// # Errors
/// When nothing says how it is built or started.
pub fn generate(tree: &Tree<'_>) -> Result<String, GenerateError> {
    let has = |name: &str| tree.names.contains(name);
    if let (Some(build), None) = (tree.build, tree.base) {
        return Err(GenerateError::Base(build.to_owned()));
    }
    let one_stage = |base: &str, build: &str, start: &str| {
        let build = tree.build.unwrap_or(build);
        let start = if tree.has_start { String::new() } else { start.to_owned() };
        let base = tree.base.unwrap_or(base);
        format!("FROM {base}\nWORKDIR {DIR}\nCOPY . .\nRUN {build}\n{start}")
    };
    let compiled = |from: &str, build: &str, onto: &str, start: &str| match tree.base {
        Some(_) => one_stage(from, build, start),
        None => format!(
            "FROM {from} AS build\nWORKDIR {DIR}\nCOPY . .\nRUN {build}\nFROM {onto}\nWORKDIR {DIR}\nCOPY --from=build {DIR}/program \
             {DIR}/program\n{}",
            if tree.has_start { "" } else { start }
        ),
    };
    let program = format!("ENTRYPOINT [\"{DIR}/program\"]\n");
    let no_start = |kind: &dyn std::fmt::Display| {
        let known = tree.has_start || tree.kind.is_some_and(|kind| kind == Source::Dockerfile);
        if known { Ok(()) } else { Err(GenerateError::Start(kind.to_string())) }
    };
    Ok(match tree.kind {
        Some(Source::Node) => {
            let install =
                if has("package-lock.json") { "npm ci --omit=dev" } else { "npm install --omit=dev" };
            one_stage("node:lts-slim", install, "CMD [\"npm\", \"start\"]\n")
        }
        Some(kind @ Source::Python) => {
            let install = match has("requirements.txt") {
                true => "pip install --no-cache-dir -r requirements.txt",
                false => "pip install --no-cache-dir .",
            };
            let start = ["main.py", "app.py", "__main__.py"].into_iter().find(|file| has(file));
            if start.is_none() {
                no_start(&kind)?;
            }
            let start = start.map(|file| format!("CMD [\"python3\", \"{file}\"]\n")).unwrap_or_default();
            one_stage("python:3-slim", install, &start)
        }
        Some(Source::Rust) => {
            let build =
                "cargo install --path . --root /built && mv \"$(ls -d /built/bin/* | head -n 1)\" program";
            compiled("rust:1-slim", build, "debian:stable-slim", &program)
        }
        Some(Source::Go) => compiled("golang:1", "CGO_ENABLED=0 go build -o program .", "scratch", &program),
        Some(Source::Java) => {
            let (from, build) = match has("pom.xml") {
                true => ("maven:3-eclipse-temurin-21", "mvn -q package && mv target/*.jar program"),
                false => ("gradle:jdk21", "gradle -q build && mv build/libs/*.jar program"),
            };
            let start = format!("ENTRYPOINT [\"java\", \"-jar\", \"{DIR}/program\"]\n");
            compiled(from, build, "eclipse-temurin:21-jre", &start)
        }
        Some(Source::Dockerfile) | None => {
            no_start(&"files with a command that builds them")?;
            one_stage("scratch", "true", "")
        }
    })
}

/// The same image as an assembly makes, in the words of a Dockerfile: for people, who may go on from there.
#[must_use]
pub fn of_assembly(assembly: &Assembly, base: Option<&str>, file: &str) -> String {
    let mut text = format!("FROM {}\n", base.unwrap_or("scratch"));
    let _ = match &assembly.content {
        Content::File { path, mode } => writeln!(text, "COPY --chmod={mode:o} {file} {path}"),
        Content::Archive(_) => writeln!(text, "ADD {file} {DIR}/"),
    };
    text + &of_run(&assembly.run)
}

/// How an image is run, in the words of a Dockerfile.
#[must_use]
pub fn of_run(run: &Run) -> String {
    let words = |words: &[String]| {
        let quoted: Vec<String> = words.iter().map(|word| serde_json::json!(word).to_string()).collect();
        format!("[{}]", quoted.join(", "))
    };
    let mut text = String::new();
    for (key, value) in &run.env {
        text += &format!("ENV {key}={}\n", serde_json::json!(value));
    }
    for port in &run.ports {
        text += &format!("EXPOSE {port}/tcp\n");
    }
    for (word, value) in [("WORKDIR", &run.workdir), ("USER", &run.user)] {
        text += &value.as_ref().map(|value| format!("{word} {value}\n")).unwrap_or_default();
    }
    for (word, value) in [("ENTRYPOINT", &run.entrypoint), ("CMD", &run.command)] {
        if !value.is_empty() {
            text += &format!("{word} {}\n", words(value));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_those_of_others_and_not_its_own_stages() {
        let text = "# syntax\nARG V=1\nFROM --platform=linux/amd64 rust:1 AS Build\nRUN a && \\\n  # why\n\n  b\nFROM scratch\n\
                    COPY --from=build /x /x\nCOPY --from=0 /y /y\nCOPY --from=registry.holm/red/tools:1 /z /z\n";
        let read = Dockerfile::parse(text).unwrap();
        assert_eq!(read.images().into_iter().collect::<Vec<_>>(), ["registry.holm/red/tools:1", "rust:1"]);
        assert_eq!(read.line_of("RUN a && b"), Some(4));
        assert_eq!(read.line_of("COPY --from=0   /y /y"), Some(10));
        assert_eq!(read.line_of("RUN c"), None);
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        let said = |text: &str| Dockerfile::parse(text).unwrap_err().to_string();
        assert!(said("FROM a\n\nRUM x\n").contains("Dockerfile:3: there is no instruction `RUM`"));
        assert!(said("FROM a\nRUN\n").contains("Dockerfile:2"));
        assert!(said("RUN x\nFROM a\n").contains("Dockerfile:1"));
        assert!(said("# nothing\n").contains("no instruction"));
    }

    fn tree<'a>(kind: Source, names: &'a BTreeSet<String>) -> Tree<'a> {
        Tree { kind: Some(kind), names, name: "app", base: None, build: None, has_start: false }
    }

    #[test]
    fn each_kind_of_tree_gets_a_dockerfile_that_is_one() {
        let names =
            BTreeSet::from(["main.py".to_owned(), "requirements.txt".to_owned(), "pom.xml".to_owned()]);
        for kind in [Source::Node, Source::Python, Source::Rust, Source::Go, Source::Java] {
            let text = generate(&tree(kind, &names)).unwrap();
            assert!(!Dockerfile::parse(&text).unwrap().images().is_empty(), "{text}");
            assert!(text.contains("ENTRYPOINT") || text.contains("CMD"), "{text}");
            let own = Tree { base: Some("registry.holm/red/base:1"), ..tree(kind, &names) };
            let text = generate(&own).unwrap();
            let read = Dockerfile::parse(&text).unwrap();
            assert_eq!(read.images().into_iter().collect::<Vec<_>>(), ["registry.holm/red/base:1"], "{text}");
        }
    }

    #[test]
    fn instructions_need_an_image_and_something_that_is_started() {
        let none = BTreeSet::new();
        let made = Tree { kind: None, build: Some("make"), ..tree(Source::Go, &none) };
        assert!(matches!(generate(&made), Err(GenerateError::Base(_))));
        let on = Tree { base: Some("gcc"), ..made };
        assert!(matches!(generate(&on), Err(GenerateError::Start(_))));
        let text = generate(&Tree { has_start: true, ..on }).unwrap();
        assert_eq!(text, "FROM gcc\nWORKDIR /app\nCOPY . .\nRUN make\n");
        assert!(generate(&tree(Source::Python, &none)).unwrap_err().to_string().contains("entrypoint"));
    }

    #[test]
    fn what_is_assembled_can_be_said_as_a_dockerfile() {
        let run = Run {
            entrypoint: vec!["/app/x".into(), "a b".into()],
            ports: vec![80],
            env: [("A".to_owned(), "b c".to_owned())].into(),
            ..Run::default()
        };
        let content = Content::File { path: "/app/x".into(), mode: 0o755 };
        let text = of_assembly(&Assembly { content, platform: None, run }, None, "x");
        Dockerfile::parse(&text).unwrap();
        assert!(text.contains("COPY --chmod=755 x /app/x\nENV A=\"b c\"\nEXPOSE 80/tcp\n"), "{text}");
        assert!(text.ends_with("ENTRYPOINT [\"/app/x\", \"a b\"]\n"), "{text}");
    }
}
