//! A disk that fills up: first images that nothing uses go, then new work is refused.
//!
//! ```text
//!           little free: clean                      almost nothing free: refuse new work
//!  Roomy ──────────────────────► Tight ──────────────────────────────────────► Full
//!                                                       for a while: some of what runs here may leave ◄──┘
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
    /// Boot time since when it is.
    since: Option<Duration>,
    /// It has been for longer than it is borne.
    pub(super) stays: bool,
    /// Boot time of the last cleaning.
    cleaned: Option<Duration>,
}

/// What a look at the disk leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) clean: bool,
    /// The level before, if it is another one now.
    pub(super) before: Option<Level>,
    /// Whether it stays full has changed.
    pub(super) stays: bool,
}

/// Less than this is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Of the disk.
    pub percent: u64,
    /// Bytes at most: a large disk is not full with five percent of it.
    pub most: u64,
}

/// When something is done about a disk that fills up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskLimits {
    pub tight: Limit,
    pub full: Limit,
    /// How long it is full before something that runs here may leave.
    pub patience: Duration,
}

/// What goes may be in use now, and not later.
const CLEAN_AGAIN: Duration = Duration::from_secs(10 * 60);

// === impl Pressure ===

impl Pressure {
    pub(super) fn look(&mut self, space: Space, limits: &DiskLimits, now: Duration) -> Outcome {
        let level = next(self.level, space, limits);
        let before = std::mem::replace(&mut self.level, level);
        let changed = before != level;
        if changed {
            self.reason = if level == Level::Full { words(space) } else { String::new() };
        }
        self.since = (level == Level::Full).then(|| self.since.unwrap_or(now));
        let stays = self.since.is_some_and(|since| now.saturating_sub(since) >= limits.patience);
        let stays_changed = std::mem::replace(&mut self.stays, stays) != stays;
        let rested = self.cleaned.is_none_or(|at| now.saturating_sub(at) >= CLEAN_AGAIN);
        let clean = level > Level::Roomy && (level > before || rested);
        if clean {
            self.cleaned = Some(now);
        }
        Outcome { clean, before: changed.then_some(before), stays: stays_changed }
    }
}

/// A level is left a quarter above the limit by which it was entered.
fn next(level: Level, space: Space, limits: &DiskLimits) -> Level {
    let below = |limit: u64| space.free < limit;
    let kept = |limit: u64| space.free < limit.saturating_add(limit / 4);
    let (tight, full) = (limit(limits.tight, space), limit(limits.full, space));
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
fn limit(Limit { percent, most }: Limit, space: Space) -> u64 {
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

// === impl DiskLimits ===

impl Default for DiskLimits {
    fn default() -> Self {
        Self {
            tight: Limit { percent: 15, most: 10 << 30 },
            full: Limit { percent: 5, most: 2 << 30 },
            patience: Duration::from_secs(120),
        }
    }
}

impl NodeMachine {
    pub(super) fn disk_space(&mut self, space: Space, now: Now) {
        let Outcome { clean, before, stays } = self.pressure.look(space, &self.config.disk, now.boot);
        if let Some(before) = before {
            let reason = words(space);
            self.note_disk((before.word(), self.pressure.level.word()), &reason, now);
        }
        if before.is_some() || stays {
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

    fn after(level: Level, space: Space) -> Level {
        next(level, space, &DiskLimits::default())
    }

    fn space(total: u64, free: u64) -> Space {
        Space { total, free }
    }

    #[test]
    fn small_disks_count_percents_and_large_ones_bytes() {
        assert_eq!(after(Level::Roomy, space(100 << 20, 16 << 20)), Level::Roomy);
        assert_eq!(after(Level::Roomy, space(100 << 20, 14 << 20)), Level::Tight);
        assert_eq!(after(Level::Roomy, space(100 << 20, 4 << 20)), Level::Full);
        assert_eq!(after(Level::Roomy, space(4000 * GIB, 11 * GIB)), Level::Roomy);
        assert_eq!(after(Level::Roomy, space(4000 * GIB, 3 * GIB)), Level::Tight);
        assert_eq!(after(Level::Roomy, space(4000 * GIB, GIB)), Level::Full);
        assert_eq!(after(Level::Full, space(0, 0)), Level::Roomy, "it cannot be measured");
    }

    #[test]
    fn a_level_is_left_well_above_where_it_was_entered() {
        let of = |free: u64| space(100 << 20, free << 20);
        assert_eq!(after(Level::Full, of(6)), Level::Full, "not at once");
        assert_eq!(after(Level::Full, of(7)), Level::Tight);
        assert_eq!(after(Level::Tight, of(18)), Level::Tight);
        assert_eq!(after(Level::Tight, of(19)), Level::Roomy);
    }

    #[test]
    fn it_cleans_when_it_gets_worse_and_from_time_to_time() {
        let (mut pressure, of) = (Pressure::default(), |free: u64| space(100 << 20, free << 20));
        let at = Duration::from_secs;
        assert_eq!(pressure.look(of(50), &DiskLimits::default(), at(0)), Outcome::default());
        let tight = Outcome { clean: true, before: Some(Level::Roomy), stays: false };
        assert_eq!(pressure.look(of(10), &DiskLimits::default(), at(1)), tight);
        assert_eq!(pressure.look(of(9), &DiskLimits::default(), at(2)), Outcome::default());
        let full = Outcome { clean: true, before: Some(Level::Tight), stays: false };
        assert_eq!(pressure.look(of(4), &DiskLimits::default(), at(3)), full);
        assert_eq!(pressure.reason, "its disk is nearly full: 4Mi of 100Mi free");
        assert_eq!(pressure.look(of(3), &DiskLimits::default(), at(4)), Outcome::default());
        assert_eq!(pressure.reason, "its disk is nearly full: 4Mi of 100Mi free", "not told anew");
        assert!(!pressure.stays);
        let told = pressure.look(of(3), &DiskLimits::default(), at(123));
        assert!(told.stays && pressure.stays, "two minutes are enough");
        assert!(pressure.look(of(3), &DiskLimits::default(), at(700)).clean);
        let better = Outcome { clean: false, before: Some(Level::Full), stays: true };
        assert_eq!(pressure.look(of(10), &DiskLimits::default(), at(701)), better);
        assert_eq!(pressure.reason, "");
    }
}
