//! A telegram's lines: `obis(value*unit)`, several values in brackets, a line that goes on with brackets only.

use std::collections::BTreeSet;

use crate::decimal::Decimal;
use crate::telegram::{Entry, Telegram};

#[derive(Debug)]
pub(super) struct Lines<'a> {
    identification: &'a str,
    /// Identifiers with the insides of their brackets.
    data: Vec<(&'a str, Vec<&'a str>)>,
}

impl<'a> Lines<'a> {
    /// All from `/` to before `!`; `None` if one line is not of the grammar.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut lines = text.strip_prefix('/')?.split(['\r', '\n']).filter(|line| !line.is_empty());
        let identification = lines.next()?;
        let maker = identification.get(..3)?;
        if !maker.bytes().all(|byte| byte.is_ascii_alphabetic()) || identification.contains(['(', ')']) {
            return None;
        }
        let mut data = Vec::new();
        for (number, line) in lines.enumerate() {
            let line = if number == 0 { line.strip_prefix('\u{2}').unwrap_or(line) } else { line };
            let (name, brackets) = line.split_at(line.find('(')?);
            let brackets = insides(brackets)?;
            if !(is_obis(name) || name.is_empty() && !data.is_empty()) {
                return None;
            }
            // A line without a name goes on with the one before: its numbers have their unit elsewhere.
            if !name.is_empty() {
                data.push((name, brackets));
            }
        }
        (!data.is_empty()).then_some(Self { identification, data })
    }

    pub(super) fn says_twice(&self) -> bool {
        let mut names = BTreeSet::new();
        self.data.iter().any(|(name, _)| !names.insert(name))
    }

    fn first(&self, name: &str) -> Option<&'a str> {
        let (_, values) = self.data.iter().find(|(said, _)| *said == name)?;
        values.first().copied().map(str::trim).filter(|value| !value.is_empty())
    }
}

/// `1-0:1.8.0*255`, or less of it: `1.8.0`, `32.7`, `C.1.0`, `F.F`.
fn is_obis(name: &str) -> bool {
    let number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let letters =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (medium, rest) = name.split_once(':').unwrap_or(("0-0", name));
    let (group, last) = rest.split_once(['*', '&']).unwrap_or((rest, "0"));
    medium.split_once('-').is_some_and(|(one, other)| number(one) && number(other))
        && (2..=3).contains(&group.split('.').count())
        && group.split('.').all(letters)
        && number(last)
}

/// `(a)(b)` → `a`, `b`.
fn insides(brackets: &str) -> Option<Vec<&str>> {
    let inner = brackets.strip_prefix('(')?.strip_suffix(')')?;
    let insides: Vec<_> = inner.split(")(").collect();
    insides.iter().all(|inside| !inside.contains(['(', ')', '\u{2}'])).then_some(insides)
}

impl From<Lines<'_>> for Telegram {
    /// Numbers are what has a unit: without one, text does not say whether digits count or name.
    fn from(lines: Lines<'_>) -> Self {
        let number =
            ["0-0:96.1.1", "0-0:96.1.0", "1-0:0.0.0*255", "0-0:96.1.255*255", "C.1.0", "0.0.0", "0.0"];
        let meter = number.iter().find_map(|name| lines.first(name)).unwrap_or(lines.identification);
        let mut entries = Vec::new();
        for (name, values) in &lines.data {
            for (value, unit) in values.iter().filter_map(|value| value.split_once('*')) {
                let unit_like =
                    !unit.is_empty() && unit.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'%');
                if let Some(value) = Decimal::parse(value.trim_start()).filter(|_| unit_like) {
                    let unit = Some(unit.to_owned());
                    entries.push(Entry { obis: (*name).to_owned(), value, unit, value_corrected: None });
                }
            }
        }
        Self {
            meter: Some(meter.to_owned()),
            meter_time: lines.first("0-0:1.0.0").map(str::to_owned),
            entries,
        }
    }
}
