//! A range of users that is nobody else's on a machine.

use std::fmt;
use std::fs;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::RunError;

/// Numbers of users, and of groups as well. Text: `2010000000-2010065535`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserRange {
    first: u32,
    last: u32,
}

/// The text is no [`UserRange`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no range of users: write `FIRST-LAST`, above {LOWEST} and up to {HIGHEST}, as in `{example}`",
    example = UserRange::default()
)]
pub struct UserRangeError(String);

/// Those below are people, services and `nobody`.
const LOWEST: u32 = 65_535;
/// Some programs take what is beyond for a negative number.
const HIGHEST: u32 = 0x7fff_ffff;

/// What gives numbers away: users, groups, and the ranges of their containers.
const SINGLE: [&str; 2] = ["/etc/passwd", "/etc/group"];
const RANGES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

// === impl UserRange ===

/// Outside what people, systemd, containers (`/etc/subuid`) and directories (SSSD) use by themselves.
impl Default for UserRange {
    fn default() -> Self {
        Self { first: 2_010_000_000, last: 2_010_065_535 }
    }
}

impl UserRange {
    pub(super) const fn first(&self) -> u32 {
        self.first
    }

    #[must_use]
    pub const fn contains(&self, user: u32) -> bool {
        self.first <= user && user <= self.last
    }

    /// One that is not `taken`; where the search begins is decided by `word`.
    pub(super) fn choose(&self, word: u32, taken: impl Fn(u32) -> bool) -> Option<u32> {
        let number = self.last - self.first + 1;
        let begin = word % number;
        (0..number).map(|step| self.first + (begin + step) % number).find(|user| !taken(*user))
    }

    const fn overlaps(&self, first: u64, last: u64) -> bool {
        first <= self.last as u64 && self.first as u64 <= last
    }
}

impl FromStr for UserRange {
    type Err = UserRangeError;

    fn from_str(text: &str) -> Result<Self, UserRangeError> {
        let range = || {
            let (first, last) = text.split_once('-')?;
            let digits = |number: &str| number.bytes().all(|b| b.is_ascii_digit());
            let range = Self { first: first.parse().ok()?, last: last.parse().ok()? };
            let good = digits(first) && digits(last) && range.first <= range.last;
            (good && range.first > LOWEST && range.last <= HIGHEST).then_some(range)
        };
        range().ok_or_else(|| UserRangeError(text.chars().take(40).collect()))
    }
}

impl TryFrom<String> for UserRange {
    type Error = UserRangeError;

    fn try_from(text: String) -> Result<Self, UserRangeError> {
        text.parse()
    }
}

impl From<UserRange> for String {
    fn from(range: UserRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for UserRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// # Errors
/// When somebody else has numbers of the range, or the agent cannot become them.
pub(super) fn usable(range: UserRange) -> Result<(), RunError> {
    let refuse = |reason: String| Err(RunError::UserRange { range: range.to_string(), reason });
    if !mapped(&range) {
        return refuse(
            "the agent runs in a user namespace that does not have them; choose a range of /proc/self/uid_map"
                .to_owned(),
        );
    }
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let look = |paths: [&'static str; 2], whose: fn(UserRange, &str) -> Option<&str>| {
        paths.into_iter().find_map(|path| Some((path, whose(range, &text(path))?.to_owned())))
    };
    match look(SINGLE, single).or_else(|| look(RANGES, ranges)) {
        Some((path, who)) => refuse(format!("{path} gives some of them to `{who}`; choose others")),
        None => Ok(()),
    }
}

/// Whom `passwd` or `group` gives a number of the range.
fn single(range: UserRange, text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        range.contains(fields.nth(1)?.parse().ok()?).then_some(name)
    })
}

/// Whom `subuid` or `subgid` gives numbers of the range.
fn ranges(range: UserRange, text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, first, number) = (fields.next()?, fields.next()?, fields.next()?);
        let (first, number): (u64, u64) = (first.trim().parse().ok()?, number.trim().parse().ok()?);
        let last = first.saturating_add(number.checked_sub(1)?);
        range.overlaps(first, last).then_some(name)
    })
}

/// Whether the agent's user namespace has all of them.
pub(super) fn mapped(range: &UserRange) -> bool {
    ["/proc/self/uid_map", "/proc/self/gid_map"].iter().all(|path| {
        // A kernel without namespaces has all.
        fs::read_to_string(path).map_or(true, |map| covered(*range, &map))
    })
}

fn covered(range: UserRange, map: &str) -> bool {
    map.lines().any(|line| {
        let mut fields = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(number))) = (fields.next(), fields.next(), fields.next())
        else {
            return false;
        };
        first <= u64::from(range.first) && u64::from(range.last) < first.saturating_add(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> UserRange {
        text.parse().unwrap()
    }

    #[test]
    fn texts() {
        assert_eq!(range("200000-265535").to_string(), "200000-265535");
        for wrong in [
            "",
            "5",
            "200000",
            "0-70000",
            "1000-2000",
            "300000-200000",
            "+200000-300000",
            "200000-4294967295",
        ] {
            let error = wrong.parse::<UserRange>().unwrap_err().to_string();
            assert!(error.contains("FIRST-LAST"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_search_begins_anywhere_and_misses_none() {
        let three = range("200000-200002");
        assert_eq!(three.choose(7, |_| false), Some(200_001));
        assert_eq!(three.choose(u32::MAX, |user| user != 200_002), Some(200_002));
        assert_eq!(three.choose(1, |_| true), None);
    }

    #[test]
    fn numbers_of_others_are_seen() {
        let passwd = "root:x:0:0::/:/bin/sh\nalice:x:200500:200500::/home/alice:/bin/sh\nbroken\n";
        assert_eq!(single(range("200000-265535"), passwd), Some("alice"));
        assert_eq!(single(range("200501-265535"), passwd), None);
        let subuid = "alice:100000:65536\nbob:165536:65536\n";
        assert_eq!(ranges(range("200000-265535"), subuid), Some("bob"));
        assert_eq!(ranges(range("231071-231071"), subuid), Some("bob"));
        assert_eq!(ranges(range("231072-265535"), subuid), None);
    }

    #[test]
    fn a_namespace_has_all_of_a_range_or_not_all() {
        let (all, some) = ("         0          0 4294967295\n", "0 1000 1\n1 100000 65536\n");
        assert!(covered(UserRange::default(), all) && !covered(UserRange::default(), some));
        assert!(!covered(range("65536-65537"), some), "the last is outside");
    }
}
