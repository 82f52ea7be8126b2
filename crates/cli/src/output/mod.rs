//! What people and programs read. The agent alone has plain text and JSON.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`table`] | how tables look |
//! | [`rows`], [`exposures`] | which columns things have |
//! | [`notes`] | what waits for people to decide, and what the words for it mean |
//! | [`rights`] | roles and rights in words |
//! | [`spark`] | how something went, as a line of blocks |
//! | [`time`] | ages and the reader's zone |
//! | [`difference`] | two texts line by line |
//! | [`live`] | a view that is drawn again and again |

#[cfg(feature = "full")]
pub(crate) mod difference;
#[cfg(feature = "full")]
mod exposures;
#[cfg(feature = "full")]
pub(crate) mod live;
#[cfg(feature = "full")]
pub(crate) mod notes;
#[cfg(feature = "full")]
pub(crate) mod rights;
#[cfg(feature = "full")]
pub(crate) mod rows;
#[cfg(all(test, feature = "full"))]
pub(crate) mod samples;
#[cfg(feature = "full")]
pub(crate) mod services;
#[cfg(feature = "full")]
pub(crate) mod spark;
#[cfg(feature = "full")]
pub(crate) mod table;
pub(crate) mod time;

#[cfg(feature = "full")]
use std::collections::BTreeMap;
#[cfg(feature = "full")]
use std::io::IsTerminal as _;
use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::failure::Failure;
#[cfg(feature = "full")]
use crate::logging::ink;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    #[cfg(feature = "full")]
    Wide,
    Json,
    #[cfg(feature = "full")]
    Yaml,
}

/// `-o`, for every command that answers something.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Output {
    #[cfg_attr(feature = "full", doc = "How to print; `wide` is a table with more columns")]
    #[cfg_attr(not(feature = "full"), doc = "How to print")]
    #[arg(short = 'o', long = "output", value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: Format,
}

// === impl Output ===

impl Output {
    /// Prints `value` as it is for programs, or else what `people` makes of it.
    pub(crate) fn print<T: Serialize>(
        self,
        value: &T,
        people: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => say(&people()),
            Format::Json => say(&json(value, serde_json::to_string_pretty)?),
            #[cfg(feature = "full")]
            Format::Wide => say(&people()),
            #[cfg(feature = "full")]
            Format::Yaml => {
                say(&serde_saphyr::to_string(value).map_err(|e| Failure::from_error("a bug: no YAML", &e))?)
            }
        }
    }
}

#[cfg(feature = "full")]
impl Output {
    pub(crate) const fn is_wide(self) -> bool {
        matches!(self.format, Format::Wide)
    }

    /// Prints what was done, and to what: `{"deleted": "shop"}` for programs.
    pub(crate) fn print_done(
        self,
        done: &str,
        to: &str,
        people: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        self.print(&BTreeMap::from([(done, to)]), people)
    }

    /// As [`Self::print`], for one of many values that come one after the other.
    pub(crate) fn print_one<T: Serialize>(
        self,
        value: &T,
        people: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => say(&json(value, serde_json::to_string)?),
            Format::Yaml => say("---").and_then(|()| self.print(value, people)),
            Format::Table | Format::Wide => say(&people()),
        }
    }
}

fn json<T>(value: &T, with: fn(&T) -> serde_json::Result<String>) -> Result<String, Failure> {
    with(value).map_err(|e| Failure::from_error("a bug: no JSON", &e))
}

/// Prints `text` and a newline, if it does not end in one; nothing when it is empty.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    let end = if text.ends_with('\n') { "" } else { "\n" };
    say_bytes(format!("{text}{end}").as_bytes())
}

pub(crate) fn say_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::nobody_reads(),
        _ => Failure::from_error("cannot write the output", &error),
    })
}

/// Whether to use colours on standard output.
#[cfg(feature = "full")]
pub(crate) fn stdout_ink() -> bool {
    ink(io::stdout().is_terminal())
}

/// Text of somebody else: without what could steer a terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(all(test, feature = "full"))]
mod tests {
    use super::*;

    #[test]
    fn no_text_steers_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\tc"), "a\u{fffd}[2Jb\tc");
    }

    #[test]
    fn what_is_no_terminal_gets_no_colours() {
        assert!(!ink(false));
    }
}
