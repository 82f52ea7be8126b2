//! Ages, and times in the reader's zone.

use holm_model::time::Time;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The time of this machine.
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

/// How long until then, as [`age`]; `expired` when it is over.
pub(crate) fn left(until: Time, now: Time) -> String {
    if until <= now { "expired".to_owned() } else { age(now, until) }
}

/// `2026-11-22 14:03:07` in the reader's zone.
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
        assert_eq!(left(Time(0), Time(1)), "expired");
        assert_eq!(left(Time(61_000), Time(1_000)), "60s");
    }
}
