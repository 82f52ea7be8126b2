//! Lines about slots: what is the same of many is told once. Pure.

use crate::output::clean;

/// Names that are told before the rest is only counted.
const NAMED: usize = 3;

/// A line for each different text, in the order in which they come: `web/0, web/1 and 3 more  REQUESTED: no place`.
/// What is told comes from elsewhere, and steers no terminal.
pub(super) fn grouped(said: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (slot, text) in said {
        match groups.iter_mut().find(|(known, _)| *known == text) {
            Some((_, slots)) => slots.push(slot),
            None => groups.push((text, vec![slot])),
        }
    }
    groups.iter().map(|(text, slots)| clean(&format!("{}  {text}", names(slots)))).collect()
}

/// As [`grouped`], indented below a sentence.
pub(super) fn below(said: impl IntoIterator<Item = (String, String)>) -> String {
    grouped(said).iter().map(|line| format!("\n  {line}")).collect()
}

/// `web/0`, `web/0 and web/1`, `web/0, web/1 and 3 more`.
pub(crate) fn names<T: AsRef<str>>(names: &[T]) -> String {
    let shown = |names: &[T]| names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names {
        [] | [_] => shown(names),
        [first @ .., last] if names.len() <= NAMED => format!("{} and {}", shown(first), last.as_ref()),
        _ => format!("{} and {} more", shown(&names[..NAMED - 1]), names.len() - (NAMED - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(slots: &[&str], text: &str) -> Vec<(String, String)> {
        slots.iter().map(|slot| ((*slot).to_owned(), text.to_owned())).collect()
    }

    #[test]
    fn a_reason_that_many_have_is_told_once() {
        let many = said(&["web/0", "web/1", "web/2", "web/3", "web/4"], "REQUESTED: no place");
        assert_eq!(grouped(many), ["web/0, web/1 and 3 more  REQUESTED: no place"]);
        let two = [said(&["web/0"], "a"), said(&["db/0"], "b"), said(&["web/1"], "a")].concat();
        assert_eq!(grouped(two), ["web/0 and web/1  a", "db/0  b"]);
        assert_eq!(grouped(said(&["a", "b", "c"], "x")), ["a, b and c  x"]);
        assert_eq!(below(said(&["a"], "x\u{1b}[2J")), "\n  a  x\u{fffd}[2J");
        assert!(grouped([]).is_empty());
    }
}
