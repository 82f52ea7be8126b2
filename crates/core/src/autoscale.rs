//! How many replicas a load asks for: from what instances tell and the time, nothing else.
//!
//! The formula is that of Kubernetes' horizontal autoscaler, `desired = ⌈current × load ÷ target⌉` outside a tolerance of
//! a tenth. More are made at once, fewer only when nothing within the window asked for more. Whoever tells nothing
//! changes nothing: where some are silent, they count as idle when more are asked for and as busy when fewer are.

use std::collections::VecDeque;
use std::time::Duration;

use holm_model::scale::Scale;

/// What is remembered of one service.
#[derive(Clone, Debug)]
pub struct Autoscaler {
    /// When so many were asked for, falling: what is followed by more, or as many, says nothing any more.
    asked: VecDeque<(Duration, u32)>,
    changed: Option<Duration>,
}

/// The number is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    pub to: u32,
    /// Mean of those that told something, in thousandths of the target; `None`: the bounds alone ask for it.
    pub load: Option<u64>,
}

/// The load that is aimed at.
const TARGET: u64 = 1000;
/// So near to it, nothing is changed.
const TOLERANCE: u64 = 100;
/// At most doubled at once; up to so many always.
const LEAP: u32 = 4;

// === impl Autoscaler ===

impl Autoscaler {
    /// What was before is not known: for a whole window, it counts as if `current` had been asked for now.
    #[must_use]
    pub fn new(now: Duration, current: u32) -> Self {
        Self { asked: VecDeque::from([(now, current)]), changed: None }
    }

    /// `loads`: of each of the `current` replicas, in thousandths of its target, and nothing of those that do not run or
    /// do not tell. `now` in boot time, never less than before.
    ///
    /// `Some`: the number has to be changed, and counts as changed from now on.
    pub fn look(
        &mut self,
        now: Duration,
        scale: &Scale,
        current: u32,
        loads: impl IntoIterator<Item = u64>,
    ) -> Option<Advice> {
        let (sum, known) = loads.into_iter().fold((0u64, 0u64), |(sum, known), load| {
            // More says nothing more, and sums of it stay small.
            (sum + load.min(1000 * TARGET), known + 1)
        });
        let load = sum.checked_div(known);
        let desired = load.map_or(current, |load| desired(current, load, sum, known));
        let desired = scale.within(desired.min((2 * current.min(u32::MAX / 2)).max(LEAP)));
        self.ask(now, scale.stabilization, desired);
        let most = self.asked.front().map_or(desired, |(_, most)| *most);
        let bounded = scale.within(current);
        let to = if desired > current { desired } else { most.min(bounded).max(desired) };
        if to == current {
            return None;
        }
        let cools = self.changed.is_some_and(|changed| now.saturating_sub(changed) < scale.cooldown);
        if cools && bounded == current {
            return None;
        }
        self.changed = Some(now);
        Some(Advice { to, load: load.filter(|_| bounded == current) })
    }

    fn ask(&mut self, now: Duration, window: Duration, desired: u32) {
        while self.asked.back().is_some_and(|(_, before)| *before <= desired) {
            self.asked.pop_back();
        }
        self.asked.push_back((now, desired));
        while self.asked.front().is_some_and(|(at, _)| now.saturating_sub(*at) > window) {
            self.asked.pop_front();
        }
    }
}

/// `sum` of the `known` loads, whose mean is `load`.
fn desired(current: u32, load: u64, sum: u64, known: u64) -> u32 {
    let silent = u64::from(current).saturating_sub(known);
    // Those that are silent speak against any change.
    let sum = if load < TARGET { sum + silent * TARGET } else { sum };
    let mean = sum / (known + silent);
    let changes = mean.abs_diff(TARGET) > TOLERANCE && (mean < TARGET) == (load < TARGET);
    let wanted = u32::try_from(sum.div_ceil(TARGET)).unwrap_or(u32::MAX);
    if changes { wanted } else { current }
}

#[cfg(test)]
#[path = "autoscale_tests.rs"]
mod tests;
