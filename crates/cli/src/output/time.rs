//! Ages, and times in the reader's zone.

use holm_model::time::Time;
#[cfg(feature = "full")]
use jiff::{Timestamp, tz::TimeZone};

/// The time of this machine.
#[cfg(feature = "full")]
#[allow(clippy::disallowed_methods, reason = "a command for people has a clock")]
pub(crate) fn now() -> Time {
    Time(Timestamp::now().as_millisecond())
}

/// How long ago, with one or two units: `7s`, `3m12s`, `5h`, `12d`.
pub(crate) fn age(at: Time, now: Time) -> String {
    let seconds = now.since(at).as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        600..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long until then, rounded up to a unit that people think in: `45s`, `1h`, `30d`; `expired` when it
/// is over. What was just made for an hour is shown as an hour.
pub(crate) fn left(until: Time, now: Time) -> String {
    let seconds = until.since(now).as_millis().div_ceil(1000);
    let up = |unit: u128| seconds.div_ceil(unit);
    match seconds {
        0 => "expired".to_owned(),
        1..120 => format!("{seconds}s"),
        _ if up(60) < 60 => format!("{}m", up(60)),
        _ if up(60) < 120 && up(60) != 60 => format!("1h{}m", up(60) - 60),
        _ if up(3600) <= 48 => format!("{}h", up(3600)),
        _ => format!("{}d", up(86_400)),
    }
}

/// `2026-11-22 14:03:07` in the reader's zone.
#[cfg(feature = "full")]
pub(crate) fn local(at: Time) -> String {
    Timestamp::from_millisecond(at.0).map_or_else(
        |_| at.to_string(),
        |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let shown = |seconds: i64| age(Time(0), Time(seconds * 1000));
        assert_eq!(shown(0), "0s");
        assert_eq!(shown(119), "119s");
        assert_eq!(shown(192), "3m12s");
        assert_eq!(shown(3_599), "59m");
        assert_eq!(shown(86_400), "24h");
        assert_eq!(shown(86_400 * 12), "12d");
        assert_eq!(age(Time(5_000), Time(0)), "0s", "a clock that differs gives no negative age");
    }

    #[test]
    fn what_is_left_is_rounded_up() {
        // A token for so long, asked for a moment after it was made.
        let left = |seconds: i64| left(Time(seconds * 1000), Time(20));
        assert_eq!(left(0), "expired");
        assert_eq!(left(60), "60s");
        assert_eq!(left(600), "10m");
        assert_eq!(left(3_600), "1h");
        assert_eq!(left(5_400), "1h30m");
        assert_eq!(left(7_200), "2h");
        assert_eq!(left(86_400), "24h");
        assert_eq!(left(30 * 86_400), "30d");
    }
}
