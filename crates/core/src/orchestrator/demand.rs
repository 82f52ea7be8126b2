//! What an orchestrator must keep true: services of its own wishes, and shares of its parent's.

use std::collections::BTreeSet;
use std::sync::Arc;

use holm_model::id::AssignmentId;
use holm_model::item::{Part, Reserve, Share, ShareSlots};
use holm_model::service::{Replicas, ServiceSpec};
use holm_model::slot::{ServiceKey, SlotIndex};
use holm_model::state::RunState;
use holm_model::update::{Canary, Update};
use holm_model::wish::{Wish, Work};

use super::specs::Specs;

/// Where a demand comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Origin {
    Own(ServiceKey),
    Share(AssignmentId),
}

/// One slot of a demand.
pub(super) type SlotId = (Origin, SlotIndex);

/// Slots of one service that are wanted here.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    pub(super) part: Part,
    /// `None`: the bytes cannot be read by this version; nothing new is placed.
    pub(super) spec: Option<Arc<ServiceSpec>>,
    pub(super) slots: Wanted,
    /// Slots that have completed and are not filled again.
    pub(super) done: BTreeSet<u32>,
    /// As `done`: they have failed, and are not tried again.
    pub(super) failed: BTreeSet<u32>,
    pub(super) failures: u32,
    /// All slots may have the specification: there is no canary to wait for.
    pub(super) promoted: bool,
    /// Nothing new is placed: restored and unconfirmed, or held by the parent.
    pub(super) quiet: bool,
    /// Room is kept for it, and nothing starts.
    pub(super) reserve: Option<Reserve>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Slots 0 to n.
    First(u32),
    /// Just this one.
    One(u32),
    PerNode,
}

// === impl Demand ===

impl Demand {
    /// The demands of a wish that is not deleted.
    pub(super) fn of_wish(wish: &Wish, specs: &mut Specs) -> impl Iterator<Item = (Origin, Self)> {
        wish.services.iter().map(|(name, service)| {
            let key = ServiceKey { wish: wish.id, service: name.clone() };
            let part = Part {
                app: wish.key.clone(),
                wish: wish.id,
                version: wish.version,
                service: name.clone(),
                generation: service.generation,
                spec: service.spec.clone(),
                replicas: service.replicas,
                run: service.run,
                restarts: service.restarts,
                run_of: service.run_of.as_ref().map(|run| run.service.clone()),
            };
            let spec = specs.decode(&part.spec);
            let slots = match service.replicas {
                // Its runs have slots, each run its own.
                _ if spec.as_ref().is_some_and(|spec| spec.kind.cron().is_some()) => Wanted::First(0),
                Replicas::Number(number) => Wanted::First(number),
                Replicas::PerNode => Wanted::PerNode,
            };
            let promoted = service.promoted >= service.generation;
            let Work { done, failed, .. } = service.work.clone();
            let quiet = wish.unconfirmed;
            let (failures, reserve) = (0, None);
            (Origin::Own(key), Self { part, spec, slots, done, failed, failures, promoted, quiet, reserve })
        })
    }

    #[must_use]
    pub(super) fn of_share(share: &Share, specs: &mut Specs) -> Self {
        let slots = match share.slots {
            ShareSlots::Number(number) => Wanted::One(number),
            ShareSlots::PerNode => Wanted::PerNode,
        };
        Self {
            spec: specs.decode(&share.part.spec),
            part: Part { spec: specs.shared(&share.part.spec), ..share.part.clone() },
            slots,
            done: BTreeSet::new(),
            failed: BTreeSet::new(),
            failures: share.failures,
            // Of one slot: its owner waits for the canary.
            promoted: true,
            quiet: share.held,
            reserve: share.reserve,
        }
    }

    /// How its instances are replaced; the usual way when this version cannot read the specification.
    pub(super) fn update(&self) -> &Update {
        const USUAL: &Update = &Update::USUAL;
        self.spec.as_ref().map_or(USUAL, |spec| &spec.update)
    }

    /// The canary that others wait for, and how many slots it has: those of the lowest numbers.
    pub(super) fn canary(&self) -> Option<(Canary, u32)> {
        let Wanted::First(replicas) = self.slots else { return None };
        let canary = self.update().canary().filter(|_| !self.promoted)?;
        Some((canary, canary.size.of(replicas)))
    }

    /// The slot has completed, and nobody has what ran any more.
    pub(super) fn is_done(&self, index: &SlotIndex) -> bool {
        matches!(index, SlotIndex::Number(number) if self.done.contains(number))
    }

    /// The slot has failed for good, and nobody has what ran any more.
    pub(super) fn has_failed(&self, index: &SlotIndex) -> bool {
        matches!(index, SlotIndex::Number(number) if self.failed.contains(number))
    }

    /// Nothing is expected to run.
    #[must_use]
    pub(super) fn rests(&self) -> bool {
        self.part.run == RunState::Stop
    }
}
