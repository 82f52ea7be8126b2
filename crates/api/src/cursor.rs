//! The place in the stream of events. Pure.
//!
//! Facts are written behind, so that a number may be given twice when the orchestrator was killed
//! between: a cursor therefore names the reign it belongs to, and what it is in another the machine knows.

use std::fmt;
use std::str::FromStr;

use holm_model::id::Epoch;

/// The number of a change, and in which reign it was given. Text: `3-0123456789ab.17`, or only `17`
/// from somebody who has not kept the reign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) reign: Option<Epoch>,
    pub(crate) change: u64,
}

/// The text is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a place among events is the `id` or the `cursor` of one, as in `17`")]
pub(crate) struct ParseCursorError;

impl Cursor {
    pub(crate) const fn new(reign: Epoch, change: u64) -> Self {
        Self { reign: Some(reign), change }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reign {
            Some(reign) => write!(f, "{reign}.{}", self.change),
            None => self.change.fmt(f),
        }
    }
}

impl FromStr for Cursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, ParseCursorError> {
        let (reign, change) = match text.rsplit_once('.') {
            Some((reign, change)) => (Some(reign.parse().map_err(|_| ParseCursorError)?), change),
            None => (None, text),
        };
        Ok(Self { reign, change: change.parse().map_err(|_| ParseCursorError)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_names_its_reign() {
        let mine = Epoch::new(3, 7);
        let cursor: Cursor = Cursor::new(mine, 17).to_string().parse().unwrap();
        assert_eq!(cursor, Cursor::new(mine, 17));
        assert_eq!("17".parse(), Ok(Cursor { reign: None, change: 17 }));
        for bad in ["", ".", "x", "3.17", "-1", "3-0123456789ab."] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
