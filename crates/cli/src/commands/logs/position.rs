//! How far a log was read, so that it can be read on where the connection broke. Pure.

use holm_model::time::Time;
use holm_model::view::LogView;
use holm_model::view::query::LogQuery;

/// A place in a log, by time: logs have no line numbers, and lines are in the order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Time of the last line that was seen, and how many lines of exactly this time were.
    last: Option<(Time, u64)>,
    /// Lines of the last time that come again.
    again: u64,
    /// What was seen, as long as all of it is of one time: of that time `tail` may have left out what came before.
    edge: Vec<String>,
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

    /// Asks for all lines of the last time, where it is not known how many were left out before those that were seen;
    /// [`Self::settle`] takes their texts.
    pub(super) fn unsettled(&self, first: &LogQuery) -> Option<LogQuery> {
        let unsettled = first.tail.is_some() && !self.edge.is_empty();
        unsettled.then(|| LogQuery { follow: false, ..self.query(first) })
    }

    /// `there`: all lines of the last time. Whatever follows those that were seen is new; of equal lines, the last were.
    pub(super) fn settle(&mut self, there: &[String]) {
        let edge = std::mem::take(&mut self.edge);
        if edge.is_empty() {
            return;
        }
        let begin = there.windows(edge.len()).rposition(|lines| lines == edge);
        let seen = begin.map_or(there.len(), |begin| begin + edge.len());
        if let Some((_, count)) = &mut self.last {
            *count = u64::try_from(seen).unwrap_or(u64::MAX);
        }
    }

    /// Moves on to a line; false when it was seen before the connection broke.
    pub(super) fn pass(&mut self, line: &LogView) -> bool {
        match &mut self.last {
            Some((last, _)) if *last == line.at && self.again > 0 => {
                self.again -= 1;
                return false;
            }
            Some((last, count)) if *last == line.at => {
                *count += 1;
                if !self.edge.is_empty() {
                    self.edge.push(line.text.clone());
                }
            }
            last => {
                let first = last.is_none();
                *last = Some((line.at, 1));
                self.again = 0;
                self.edge = if first { vec![line.text.clone()] } else { Vec::new() };
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::tunnel::LogStream;

    type Line = (i64, &'static str);

    fn view((at, text): &Line) -> LogView {
        LogView { at: Time(*at), stream: LogStream::Stdout, text: (*text).to_owned() }
    }

    /// What a node answers whose log is this.
    fn answer(log: &[Line], query: &LogQuery) -> Vec<LogView> {
        let wanted: Vec<_> =
            log.iter().map(view).filter(|line| query.since.is_none_or(|since| line.at >= since)).collect();
        let surplus =
            query.tail.map_or(0, |tail| wanted.len().saturating_sub(usize::try_from(tail).unwrap()));
        wanted[surplus..].to_vec()
    }

    /// Reads so many lines of a log over a connection of its own.
    fn read(position: &mut Position, first: &LogQuery, log: &[Line], length: usize) -> Vec<LogView> {
        if let Some(query) = position.unsettled(first) {
            let there = answer(log, &query).into_iter().filter(|line| Some(line.at) == query.since);
            position.settle(&there.map(|line| line.text).collect::<Vec<_>>());
        }
        let query = position.query(first);
        position.resume();
        answer(log, &query).into_iter().take(length).filter(|line| position.pass(line)).collect()
    }

    const LOG: [Line; 8] = [(1, "a"), (1, "b"), (1, "c"), (2, "d"), (3, "e"), (3, "f"), (3, "g"), (4, "h")];

    #[test]
    fn no_line_is_lost_or_doubled_wherever_the_connection_breaks() {
        for tail in [None, Some(1), Some(2), Some(3), Some(4), Some(6), Some(9)] {
            let first = LogQuery { tail, ..LogQuery::default() };
            for (first_break, second) in (0..9).flat_map(|first| (0..9).map(move |second| (first, second))) {
                let (mut position, mut shown) = (Position::default(), Vec::new());
                for length in [first_break, second, usize::MAX] {
                    shown.extend(read(&mut position, &first, &LOG, length));
                }
                let wanted = answer(&LOG, &first);
                assert_eq!(shown, wanted, "tail {tail:?}, broken after {first_break}, then {second}");
            }
        }
    }

    #[test]
    fn what_was_cut_off_at_the_beginning_does_not_come_when_it_is_read_on() {
        let first = LogQuery { tail: Some(1), follow: true, ..LogQuery::default() };
        let mut position = Position::default();
        assert_eq!(read(&mut position, &first, &LOG[..3], 9), [view(&LOG[2])]);
        let mut said = LOG[..3].to_vec();
        // Still in the same moment, after the first answer.
        said.extend([(1, "new"), (1, "newer")]);
        assert_eq!(read(&mut position, &first, &said, 9), [view(&(1, "new")), view(&(1, "newer"))]);
        said.push((2, "d"));
        assert_eq!(read(&mut position, &first, &said, 9), [view(&(2, "d"))]);
        assert_eq!(position.unsettled(&first), None, "asked once");
    }

    #[test]
    fn the_first_query_is_the_readers_own() {
        let grep = Some("error".to_owned());
        let first = LogQuery { tail: Some(3), grep: grep.clone(), follow: true, ..LogQuery::default() };
        let mut position = Position::default();
        assert_eq!(position.query(&first), first);
        assert_eq!(position.unsettled(&first), None);
        position.pass(&view(&(7, "an error")));
        let on = LogQuery { since: Some(Time(7)), grep, follow: true, ..LogQuery::default() };
        assert_eq!(position.query(&first), on);
        assert_eq!(position.unsettled(&first), Some(LogQuery { follow: false, ..on }));
        let whole = LogQuery { tail: None, ..first };
        assert_eq!(position.unsettled(&whole), None, "nothing was left out");
    }
}
