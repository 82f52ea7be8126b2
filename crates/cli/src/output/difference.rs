//! Two texts line by line, as `diff -u` shows them. Pure.

/// A line of one of two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

/// Lines around a change that are shown, too.
const CONTEXT: usize = 3;
/// Pairs of lines that are compared at most; of larger differences everything old is gone and everything new is new.
const MOST_PAIRS: usize = 4_000_000;

/// The lines that differ with some around them, marked by `+`, `-` and a blank; empty when nothing differs.
pub(crate) fn unified(old: &str, new: &str, ink: bool) -> String {
    let lines = compare(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
    let changes: Vec<usize> = (0..lines.len()).filter(|at| !matches!(lines[*at], Line::Same(_))).collect();
    let near = |at: usize| {
        let next = changes.partition_point(|change| change + CONTEXT < at);
        changes.get(next).is_some_and(|change| *change <= at + CONTEXT)
    };
    let mut text = String::new();
    let mut left_out = false;
    for (at, line) in lines.iter().enumerate() {
        if !near(at) {
            left_out = true;
            continue;
        }
        if std::mem::take(&mut left_out) {
            text.push_str("  …\n");
        }
        text.push_str(&shown(*line, ink));
    }
    text
}

fn shown(line: Line<'_>, ink: bool) -> String {
    let (sign, text, colour) = match line {
        Line::Same(text) => (' ', text, None),
        Line::Gone(text) => ('-', text, Some(31)),
        Line::New(text) => ('+', text, Some(32)),
    };
    let text = super::clean(text);
    match colour.filter(|_| ink) {
        Some(colour) => format!("\x1b[{colour}m{sign} {text}\x1b[0m\n"),
        None => format!("{sign} {text}\n"),
    }
}

/// What both have at the beginning and at the end needs no table.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let begin = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = old[begin..].iter().rev().zip(new[begin..].iter().rev());
    let end = rest.take_while(|(a, b)| a == b).count();
    let (old_middle, new_middle) = (&old[begin..old.len() - end], &new[begin..new.len() - end]);
    let same = |lines: &[&'a str]| lines.iter().map(|line| Line::Same(line)).collect::<Vec<_>>();
    let mut lines = same(&old[..begin]);
    lines.extend(middle(old_middle, new_middle));
    lines.extend(same(&old[old.len() - end..]));
    lines
}

/// By the longest common subsequence.
fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    if old.len().saturating_mul(new.len()) > MOST_PAIRS {
        let gone = old.iter().map(|line| Line::Gone(line));
        return gone.chain(new.iter().map(|line| Line::New(line))).collect();
    }
    // `longest[i * width + j]`: of what begins at line i of the old and j of the new.
    let width = new.len() + 1;
    let mut longest = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = if old[i] == new[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || (i < old.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1])
        {
            lines.push(Line::Gone(old[i]));
            i += 1;
        } else {
            lines.push(Line::New(new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown_with_some_lines_around_it() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\n";
        let new = "a\nb\nc\nd\ne\nF\ng\nh\ni\n";
        assert_eq!(unified(old, new, false), "  …\n  c\n  d\n  e\n- f\n+ F\n  g\n  h\n+ i\n");
        assert_eq!(unified(old, old, false), "");
        assert_eq!(unified("", "a\n", false), "+ a\n");
        assert_eq!(unified("a\n", "", true), "\x1b[31m- a\x1b[0m\n");
    }

    #[test]
    fn every_difference_leads_from_one_text_to_the_other() {
        let mut seed = 7_u32;
        let mut text = || {
            (0..20)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ["a", "b", "c"][(seed >> 16) as usize % 3]
                })
                .collect::<Vec<_>>()
        };
        for _ in 0..50 {
            let (old, new) = (text(), text());
            let lines = compare(&old, &new);
            let side = |wanted: fn(Line<'_>) -> bool| {
                let kept = lines.iter().filter(|line| wanted(**line));
                kept.map(|line| match line {
                    Line::Same(t) | Line::Gone(t) | Line::New(t) => *t,
                })
                .collect()
            };
            let before: Vec<&str> = side(|line| !matches!(line, Line::New(_)));
            let after: Vec<&str> = side(|line| !matches!(line, Line::Gone(_)));
            assert_eq!((before, after), (old, new));
        }
    }

    #[test]
    fn what_is_too_long_to_compare_is_shown_all_the_same() {
        let long = |word: &str| format!("{word}\n").repeat(3000);
        assert_eq!(unified(&long("a"), &long("b"), false).lines().count(), 6000);
    }
}
