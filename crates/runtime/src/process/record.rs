//! One record of a log file: `<milliseconds since 1970> <o|e|n> <text>\n`.

use holm_model::time::Time;
use holm_model::tunnel::{LogLine, LogStream};

/// A longer line is cut into several records.
pub(crate) const MOST_TEXT: usize = 16 * 1024;

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    begun: Vec<u8>,
}

/// Appends the record of `text`, which must hold no newline, to `out`.
pub(crate) fn encode(out: &mut Vec<u8>, at: Time, stream: LogStream, text: &[u8]) {
    out.extend_from_slice(at.0.to_string().as_bytes());
    out.extend_from_slice(match stream {
        LogStream::Stdout => b" o ",
        LogStream::Stderr => b" e ",
        LogStream::Node => b" n ",
    });
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// The record in `line` (without its newline); `None` when it is torn.
pub(crate) fn decode(line: &[u8]) -> Option<LogLine> {
    let mut parts = line.splitn(3, |b| *b == b' ');
    let at = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let stream = match parts.next()? {
        b"o" => LogStream::Stdout,
        b"e" => LogStream::Stderr,
        b"n" => LogStream::Node,
        _ => return None,
    };
    Some(LogLine { at: Time(at), stream, text: parts.next()?.to_vec() })
}

// === impl Lines ===

impl Lines {
    /// Calls `line` with each line that `bytes` completes.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = MOST_TEXT - self.begun.len();
            let window = &bytes[..bytes.len().min(room)];
            let (text, rest, whole) = match window.iter().position(|b| *b == b'\n') {
                Some(end) => (&bytes[..end], &bytes[end + 1..], true),
                None => (window, &bytes[window.len()..], window.len() == room),
            };
            bytes = rest;
            if !whole {
                self.begun.extend_from_slice(text);
            } else if self.begun.is_empty() {
                line(text);
            } else {
                self.begun.extend_from_slice(text);
                line(&std::mem::take(&mut self.begun));
            }
        }
    }

    /// Calls `line` with what was begun and never ended.
    pub(crate) fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.begun.is_empty() {
            line(&std::mem::take(&mut self.begun));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece, |l| seen.push(l.to_vec()));
        }
        lines.finish(|l| seen.push(l.to_vec()));
        seen
    }

    #[test]
    fn lines_are_whole_whatever_the_reads_were() {
        assert_eq!(cut(&[b"one\ntw", b"o\n\nthr", b"ee"]), [&b"one"[..], b"two", b"", b"three"]);
    }

    #[test]
    fn a_line_without_end_needs_bounded_memory() {
        let endless = vec![b'x'; MOST_TEXT * 2 + 5];
        let sizes: Vec<_> = cut(&[&endless]).iter().map(Vec::len).collect();
        assert_eq!(sizes, [MOST_TEXT, MOST_TEXT, 5]);
    }

    #[test]
    fn records_keep_any_bytes() {
        let mut out = Vec::new();
        encode(&mut out, Time(17), LogStream::Stderr, b"a \xff b");
        let line = decode(out.strip_suffix(b"\n").unwrap()).unwrap();
        assert_eq!((line.at, line.stream, &line.text[..]), (Time(17), LogStream::Stderr, &b"a \xff b"[..]));
    }

    #[test]
    fn torn_records_are_passed_over() {
        for torn in [&b""[..], b"12", b"12 o", b"x o text", b"12 ? text"] {
            assert!(decode(torn).is_none());
        }
    }
}
