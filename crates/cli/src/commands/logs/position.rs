//! How far a log was read, so that it can be read on where the connection broke. Pure.

use holm_model::time::Time;
use holm_model::view::query::LogQuery;

/// A place in a log, by time: logs have no line numbers, and lines are in the order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Time of the last line that was seen, and how many lines of exactly this time were.
    last: Option<(Time, u64)>,
    /// Lines of the last time that come again.
    again: u64,
}

// === impl Position ===

impl Position {
    /// What to ask for: `first` as long as nothing was seen, then whatever is not older than the last line.
    pub(super) fn query(&self, first: &LogQuery) -> LogQuery {
        match self.last {
            None => first.clone(),
            Some((at, _)) => LogQuery { tail: None, since: Some(at), ..first.clone() },
        }
    }

    /// Reading begins anew with [`Self::query`].
    pub(super) fn resume(&mut self) {
        self.again = self.last.map_or(0, |(_, count)| count);
    }

    /// Moves on to a line of this time; false when it was seen before the connection broke.
    pub(super) fn pass(&mut self, at: Time) -> bool {
        match &mut self.last {
            Some((last, _)) if *last == at && self.again > 0 => {
                self.again -= 1;
                return false;
            }
            Some((last, count)) if *last == at => *count += 1,
            _ => {
                self.last = Some((at, 1));
                self.again = 0;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown of a log (times of its lines) when each connection breaks after so many lines.
    fn shown(log: &[i64], breaks: &[usize]) -> Vec<i64> {
        let (mut position, mut shown) = (Position::default(), Vec::new());
        for length in breaks.iter().copied().chain([usize::MAX]) {
            let since = position.query(&LogQuery::default()).since;
            position.resume();
            let wanted = log.iter().filter(|at| since.is_none_or(|since| **at >= since.0));
            shown.extend(wanted.take(length).filter(|at| position.pass(Time(**at))));
        }
        shown
    }

    #[test]
    fn no_line_is_lost_or_doubled_wherever_the_connection_breaks() {
        let log = [1, 1, 1, 2, 3, 3, 4];
        for first in 0..8 {
            for second in 0..8 {
                assert_eq!(shown(&log, &[first, second]), log, "broken after {first}, then {second}");
            }
        }
    }

    #[test]
    fn the_first_query_is_the_readers_own() {
        let grep = Some("error".to_owned());
        let first = LogQuery { tail: Some(3), grep: grep.clone(), follow: true, ..LogQuery::default() };
        let mut position = Position::default();
        assert_eq!(position.query(&first), first);
        position.pass(Time(7));
        let on = LogQuery { since: Some(Time(7)), grep, follow: true, ..LogQuery::default() };
        assert_eq!(position.query(&first), on);
    }
}
