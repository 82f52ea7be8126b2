//! Server-sent events, from bytes. Pure.

use std::mem;

/// Bytes of a line at most: events of ours are far smaller, so more is a broken server.
const MAX_LINE: usize = 1 << 20;

/// One event; comments (keep-alives) and empty ones are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) data: String,
}

/// Takes bytes as they come and gives events as they are complete.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    event: Event,
}

/// A line does not end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a line of more than {MAX_LINE} bytes")]
pub(crate) struct TooLong;

impl Parser {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        let mut pieces = bytes.split(|b| *b == b'\n');
        // `split` gives at least one piece: the end of the line that has begun.
        self.line.extend_from_slice(pieces.next().unwrap_or_default());
        for piece in pieces {
            let line = mem::replace(&mut self.line, piece.to_vec());
            events.extend(self.line_ends(line));
        }
        if self.line.len() > MAX_LINE { Err(TooLong) } else { Ok(events) }
    }

    fn line_ends(&mut self, mut line: Vec<u8>) -> Option<Event> {
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.is_empty() {
            let event = mem::take(&mut self.event);
            return (event != Event::default()).then_some(event);
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut self.event.id),
            "event" => value.clone_into(&mut self.event.kind),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: &[u8] = b": hello\n\nid: 3\nevent: change\ndata: {\"a\":\r\ndata: 1}\n\ndata:x\n\nid: 9";

    #[test]
    fn events_come_whole_however_the_bytes_are_cut() {
        let whole = Parser::default().push(WIRE).unwrap();
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[0].data, "{\"a\":\n1}");
        assert_eq!(whole[1].data, "x");
        for cut in 0..WIRE.len() {
            let mut parser = Parser::default();
            let mut events = parser.push(&WIRE[..cut]).unwrap();
            events.extend(parser.push(&WIRE[cut..]).unwrap());
            assert_eq!(events, whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_that_never_ends_is_refused() {
        assert_eq!(Parser::default().push(&vec![b'x'; MAX_LINE + 1]), Err(TooLong));
    }
}
