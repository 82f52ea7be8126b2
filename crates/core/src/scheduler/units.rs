//! Countable capabilities: how many units of each a member has free.

use holm_model::capability::Capability;
use holm_model::member::NodeClass;
use holm_model::placement::Placement;
use holm_model::units::Units;

use super::reason::Reason;

/// Units of a node that are placed there.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'a> {
    pub all: &'a Units,
    /// Of those: what the slot has itself.
    pub except: &'a Units,
}

impl Taken<'_> {
    /// Nothing is.
    pub const NONE: Self = Self { all: Units::NONE, except: Units::NONE };

    fn count(&self, capability: &Capability) -> u32 {
        self.all.count(capability).saturating_sub(self.except.count(capability))
    }
}

/// What `has` says of a capability: nobody counts, or the most there can ever be.
pub(super) fn never(place: &Placement, has: impl Fn(&Capability) -> Option<u32>) -> Option<Reason> {
    place.demands().find_map(|(capability, asked, exact)| match has(capability) {
        Some(free) if free < asked => Some(Reason::Units { capability: capability.clone(), free, asked }),
        None if exact => Some(Reason::Uncounted { capability: capability.clone(), asked }),
        Some(_) | None => None,
    })
}

/// Of a node that has `all`, of which some are `taken`.
pub(super) fn lacks(place: &Placement, all: &Units, taken: Taken<'_>) -> Option<Reason> {
    if all.is_empty() {
        return None;
    }
    let free = |capability: &Capability| Some(all.get(capability)?.saturating_sub(taken.count(capability)));
    never(place, free)
}

/// Of a cluster: what all of its classes have free together, and any one node, `taken` being placed there since they
/// were told. A class that does not count a capability has no end of it.
pub(super) fn lacks_in<'a, I: Iterator<Item = &'a NodeClass>>(
    place: &Placement,
    classes: impl Fn() -> I,
    taken: &Units,
) -> Option<Reason> {
    place.demands().find_map(|(capability, asked, _)| {
        let counted: Option<Vec<_>> = classes().map(|class| class.units.get(capability).copied()).collect();
        let counted = counted?;
        let all = counted.iter().fold(0, |sum: u32, units| sum.saturating_add(units.free));
        let largest = counted.iter().map(|units| units.largest).max().unwrap_or_default();
        let free = all.saturating_sub(taken.count(capability)).min(largest);
        (free < asked).then(|| Reason::Units { capability: capability.clone(), free, asked })
    })
}
