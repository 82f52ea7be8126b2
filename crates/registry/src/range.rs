//! Which bytes of a blob a request asks for. Pure.

/// What the header `Range` comes to, for content of a known size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Everything: no header, another unit, or several ranges.
    Whole,
    /// From the first to the last byte, both included.
    Part(u64, u64),
    /// Nothing that is there: 416.
    Outside,
}

// === impl Range ===

impl Range {
    /// Reads `bytes=a-b`, `bytes=a-` or `bytes=-n`.
    #[must_use]
    pub fn read(header: Option<&str>, size: u64) -> Self {
        let Some((from, to)) = header.and_then(one) else { return Self::Whole };
        let last = size.saturating_sub(1);
        let (first, last) = match (number(from), number(to)) {
            (Some(first), Some(to)) => (first, to.min(last)),
            (Some(first), None) if to.is_empty() => (first, last),
            (None, Some(count)) if from.is_empty() && count > 0 => (size.saturating_sub(count), last),
            (None, Some(_)) if from.is_empty() => return Self::Outside,
            _ => return Self::Whole,
        };
        if first < size && first <= last { Self::Part(first, last) } else { Self::Outside }
    }
}

fn one(header: &str) -> Option<(&str, &str)> {
    let ranges = header.trim().strip_prefix("bytes=")?;
    if ranges.contains(',') { None } else { ranges.trim().split_once('-') }
}

/// Digits only: `parse` would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::Range::{self, Outside, Part, Whole};

    #[test]
    fn one_range_of_bytes_is_served_and_what_is_not_there_refused() {
        let read = |header: &str| Range::read(Some(header), 2048);
        assert_eq!(read("bytes=500-1499"), Part(500, 1499));
        assert_eq!(read("bytes=500-"), Part(500, 2047));
        assert_eq!(read("bytes=-500"), Part(1548, 2047));
        assert_eq!(read("bytes=-5000"), Part(0, 2047));
        assert_eq!(read("bytes=2000-5000"), Part(2000, 2047));
        for outside in ["bytes=500-0", "bytes=5000-10000", "bytes=2048-", "bytes=-0"] {
            assert_eq!(read(outside), Outside, "{outside}");
        }
        for whole in
            ["", "bytes", "bytes=-", "bytes=a-b", "bytes=+1-2", "lines=1-2", "bytes=0-1,3-4", "bytes=1-x"]
        {
            assert_eq!(read(whole), Whole, "{whole}");
        }
        assert_eq!(Range::read(None, 2048), Whole);
        assert_eq!((Range::read(Some("bytes=0-"), 0), Range::read(Some("bytes=-1"), 0)), (Outside, Outside));
    }
}
