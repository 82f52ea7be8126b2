//! A disk that fills up: first images that nothing uses go, then new work is refused.
//!
//! ```text
//!           little free: clean                      almost nothing free: refuse new work
//!  Roomy ──────────────────────► Tight ──────────────────────────────────────► Full
//!    ▲ ◄── a quarter more than the limit ──┘ ◄── a quarter more than the limit ──┘
//! ```

use std::time::Duration;

use holm_model::record::Change;
use holm_model::resources::Memory;
use holm_model::time::Now;

use super::event::NodeEffect;
use super::machine::NodeMachine;

/// A file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub total: u64,
    pub free: u64,
}

/// How full the disk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    #[default]
    Roomy,
    /// Whatever nothing uses goes.
    Tight,
    /// And nothing new comes.
    Full,
}

/// What the node knows of its disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Pressure {
    pub(super) level: Level,
    /// When it became full, in words; empty when it is not. Not told anew with each byte.
    pub(super) reason: String,
    /// Boot time of the last cleaning.
    cleaned: Option<Duration>,
}

/// What a look at the disk leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) clean: bool,
    /// The level before, if it is another one now.
    pub(super) before: Option<Level>,
}

/// Less than this part of the disk is free, in percent, and less than so many bytes: a large disk is not full with
/// five percent of it.
const TIGHT: (u64, u64) = (15, 10 << 30);
const FULL: (u64, u64) = (5, 2 << 30);
/// What goes may be in use now, and not later.
const CLEAN_AGAIN: Duration = Duration::from_secs(10 * 60);

// === impl Pressure ===

impl Pressure {
    pub(super) fn look(&mut self, space: Space, now: Duration) -> Outcome {
        let level = next(self.level, space);
        let before = std::mem::replace(&mut self.level, level);
        let changed = before != level;
        if changed {
            self.reason = if level == Level::Full { words(space) } else { String::new() };
        }
        let rested = self.cleaned.is_none_or(|at| now.saturating_sub(at) >= CLEAN_AGAIN);
        let clean = level > Level::Roomy && (level > before || rested);
        if clean {
            self.cleaned = Some(now);
        }
        Outcome { clean, before: changed.then_some(before) }
    }
}

/// A level is left a quarter above the limit by which it was entered.
fn next(level: Level, space: Space) -> Level {
    let below = |limit: u64| space.free < limit;
    let kept = |limit: u64| space.free < limit.saturating_add(limit / 4);
    let (tight, full) = (limit(TIGHT, space), limit(FULL, space));
    // What cannot be measured is not full.
    if space.total == 0 {
        Level::Roomy
    } else if below(full) || level == Level::Full && kept(full) {
        Level::Full
    } else if below(tight) || level >= Level::Tight && kept(tight) {
        Level::Tight
    } else {
        Level::Roomy
    }
}

/// Bytes.
fn limit((percent, most): (u64, u64), space: Space) -> u64 {
    (space.total / 100).saturating_mul(percent).min(most)
}

fn words(Space { total, free }: Space) -> String {
    format!("its disk is nearly full: {} of {} free", Memory(free), Memory(total))
}

impl Level {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Roomy => "disk roomy",
            Self::Tight => "disk tight",
            Self::Full => "disk nearly full",
        }
    }
}

impl NodeMachine {
    pub(super) fn disk_space(&mut self, space: Space, now: Now) {
        let Outcome { clean, before } = self.pressure.look(space, now.boot);
        if let Some(before) = before {
            let reason = words(space);
            self.note_disk((before.word(), self.pressure.level.word()), &reason, now);
            self.report_node();
        }
        if clean {
            self.effects.push(NodeEffect::Clean);
        }
    }

    /// Nothing that was not in use: nothing to say.
    pub(super) fn cleaned(&mut self, images: &[String], now: Now) {
        if !images.is_empty() {
            let reason = format!("removed images that nothing uses: {}", images.join(", "));
            self.note_disk(("", "disk cleaned"), &reason, now);
        }
    }

    fn note_disk(&mut self, (from, to): (&str, &str), reason: &str, now: Now) {
        self.journal.change(Change {
            at: now.wall,
            kind: "node".to_owned(),
            subject: self.config.name.to_string(),
            application: String::new(),
            slot: String::new(),
            from: from.to_owned(),
            to: to.to_owned(),
            cause: "node".to_owned(),
            reason: reason.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn space(total: u64, free: u64) -> Space {
        Space { total, free }
    }

    #[test]
    fn small_disks_count_percents_and_large_ones_bytes() {
        assert_eq!(next(Level::Roomy, space(100 << 20, 16 << 20)), Level::Roomy);
        assert_eq!(next(Level::Roomy, space(100 << 20, 14 << 20)), Level::Tight);
        assert_eq!(next(Level::Roomy, space(100 << 20, 4 << 20)), Level::Full);
        assert_eq!(next(Level::Roomy, space(4000 * GIB, 11 * GIB)), Level::Roomy);
        assert_eq!(next(Level::Roomy, space(4000 * GIB, 3 * GIB)), Level::Tight);
        assert_eq!(next(Level::Roomy, space(4000 * GIB, GIB)), Level::Full);
        assert_eq!(next(Level::Full, space(0, 0)), Level::Roomy, "it cannot be measured");
    }

    #[test]
    fn a_level_is_left_well_above_where_it_was_entered() {
        let of = |free: u64| space(100 << 20, free << 20);
        assert_eq!(next(Level::Full, of(6)), Level::Full, "not at once");
        assert_eq!(next(Level::Full, of(7)), Level::Tight);
        assert_eq!(next(Level::Tight, of(18)), Level::Tight);
        assert_eq!(next(Level::Tight, of(19)), Level::Roomy);
    }

    #[test]
    fn it_cleans_when_it_gets_worse_and_from_time_to_time() {
        let (mut pressure, of) = (Pressure::default(), |free: u64| space(100 << 20, free << 20));
        let at = Duration::from_secs;
        assert_eq!(pressure.look(of(50), at(0)), Outcome::default());
        let tight = Outcome { clean: true, before: Some(Level::Roomy) };
        assert_eq!(pressure.look(of(10), at(1)), tight);
        assert_eq!(pressure.look(of(9), at(2)), Outcome::default());
        let full = Outcome { clean: true, before: Some(Level::Tight) };
        assert_eq!(pressure.look(of(4), at(3)), full);
        assert_eq!(pressure.reason, "its disk is nearly full: 4Mi of 100Mi free");
        assert_eq!(pressure.look(of(3), at(4)), Outcome::default());
        assert_eq!(pressure.reason, "its disk is nearly full: 4Mi of 100Mi free", "not told anew");
        assert!(pressure.look(of(3), at(700)).clean);
        let better = Outcome { clean: false, before: Some(Level::Full) };
        assert_eq!(pressure.look(of(10), at(701)), better);
        assert_eq!(pressure.reason, "");
    }
}
