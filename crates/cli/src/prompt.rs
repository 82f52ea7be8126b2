//! Questions to whoever sits at the terminal; where nobody does, the lines of standard input answer.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use crate::failure::Failure;

/// Bytes of an answer at most.
const MOST: usize = 1024;

/// Whether somebody can be asked.
pub(crate) fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// An answer that may be seen.
pub(crate) fn line(question: &str) -> Result<String, Failure> {
    ask(question)?;
    next_line()?.ok_or_else(cancelled)
}

/// Whether somebody says yes; whatever else they say means no.
pub(crate) fn yes(question: &str) -> Result<bool, Failure> {
    let answer = line(&format!("{question} [yes/no] "))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// An answer that nobody sees: without echo, or the next line of standard input.
pub(crate) fn hidden(question: &str) -> Result<String, Failure> {
    if !is_terminal() {
        return next_line()?.ok_or_else(|| {
            Failure::wrong_use(format!(
                "standard input has no answer to `{}`",
                question.trim().trim_end_matches(':')
            ))
            .hint("type it on a terminal, or give a line for it on standard input, or a file")
        });
    }
    ask(question)?;
    let typed = typed().map_err(|e| Failure::from_error("the terminal cannot be read", &e));
    eprintln!();
    typed?.ok_or_else(cancelled)
}

/// As [`hidden`], twice on a terminal: what nobody sees is easily mistyped.
pub(crate) fn hidden_twice(question: &str) -> Result<String, Failure> {
    let first = hidden(question)?;
    if is_terminal() && hidden("Once more: ")? != first {
        return Err(Failure::new("the two are not the same; nothing was changed"));
    }
    Ok(first)
}

/// Without a prompt where nobody reads it.
fn ask(question: &str) -> Result<(), Failure> {
    if !is_terminal() {
        return Ok(());
    }
    let mut out = io::stderr().lock();
    let asked = out.write_all(question.as_bytes()).and_then(|()| out.flush());
    asked.map_err(|e| Failure::from_error("nobody can be asked", &e))
}

fn cancelled() -> Failure {
    Failure::new("cancelled; nothing was changed")
}

/// The next line of standard input; none at its end.
fn next_line() -> Result<Option<String>, Failure> {
    let mut line = String::new();
    let most = u64::try_from(MOST).unwrap_or(u64::MAX);
    let read = io::stdin().lock().take(most).read_line(&mut line);
    let read = read.map_err(|e| Failure::from_error("standard input cannot be read", &e))?;
    Ok((read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// What is typed up to the end of the line; none when it was given up.
fn typed() -> io::Result<Option<String>> {
    let _quiet = Quiet::enter()?;
    let mut typed = Typed::default();
    for byte in io::stdin().lock().bytes() {
        match typed.key(byte?) {
            Key::More => {}
            Key::End => return Ok(String::from_utf8(typed.0).ok()),
            Key::GivenUp => return Ok(None),
        }
    }
    Ok(None)
}

/// What was typed so far. The terminal edits no line while it shows none, so that this has to.
#[derive(Default)]
struct Typed(Vec<u8>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    More,
    End,
    GivenUp,
}

impl Typed {
    fn key(&mut self, byte: u8) -> Key {
        match byte {
            b'\r' | b'\n' => return Key::End,
            // Ctrl-C; Ctrl-D at the beginning.
            0x03 => return Key::GivenUp,
            0x04 if self.0.is_empty() => return Key::GivenUp,
            0x04 => return Key::End,
            // Backspace takes a character, Ctrl-U the line.
            0x08 | 0x7f => while self.0.pop().is_some_and(|last| last & 0xc0 == 0x80) {},
            0x15 => self.0.clear(),
            _ if self.0.len() < MOST => self.0.push(byte),
            _ => {}
        }
        Key::More
    }
}

/// While it lives, the terminal shows nothing and ends nobody: otherwise it would stay silent for the shell.
struct Quiet(Termios);

impl Quiet {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Drain, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> (Key, String) {
        let mut typed = Typed::default();
        let end = keys.iter().map(|key| typed.key(*key)).find(|key| *key != Key::More);
        (end.unwrap_or(Key::More), String::from_utf8(typed.0).unwrap())
    }

    #[test]
    fn a_hidden_line_can_be_corrected() {
        assert_eq!(typed(b"secret\r"), (Key::End, "secret".into()));
        assert_eq!(typed("ab\u{e4}\u{7f}\u{7f}c\n".as_bytes()), (Key::End, "ac".into()));
        assert_eq!(typed(b"\x7f\x7fwrong\x15right\n"), (Key::End, "right".into()));
        assert_eq!(typed(b"half\x04"), (Key::End, "half".into()));
    }

    #[test]
    fn a_hidden_line_can_be_given_up_and_is_bounded() {
        assert_eq!(typed(b"\x04").0, Key::GivenUp);
        assert_eq!(typed(b"some\x03").0, Key::GivenUp);
        assert_eq!(typed(&[b'x'; 5000]).1.len(), MOST);
    }
}
