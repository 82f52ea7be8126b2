//! An assignment as the list has it, decoded as far as this version can.

use holm_model::id::{AssignmentId, WishId};
use holm_model::item::{Assignment, Carry, Item, ItemKey, PackedItem, Part};
use holm_model::name::Name;
use holm_model::service::{OnChange, ServiceSpec};
use holm_model::slot::SlotIndex;
use holm_model::state::RunState;
use holm_model::wish::AppKey;
use serde::{Deserialize, Serialize};

/// What an instance is an instance of; enough to report it when its item is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub app: AppKey,
    pub wish: WishId,
    pub service: Name,
    pub slot: SlotIndex,
}

/// An assignment of the list.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// `None`: not even this can be read.
    pub(super) identity: Option<Identity>,
    pub(super) generation: u64,
    pub(super) run: RunState,
    /// How often people asked for a restart.
    pub(super) restarts: u64,
    pub(super) held: bool,
    pub(super) carry: Option<Carry>,
    /// What to launch, or why this version cannot tell.
    pub(super) order: Result<Order, String>,
}

#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) part: Part,
    pub(super) spec: ServiceSpec,
}

/// The parts of an item that every version can be expected to read.
#[derive(Deserialize)]
struct Sketch {
    #[serde(rename = "Assignment")]
    assignment: SketchAssignment,
}

#[derive(Deserialize)]
struct SketchAssignment {
    id: AssignmentId,
    part: SketchPart,
    slot: SlotIndex,
    #[serde(default)]
    held: bool,
}

#[derive(Deserialize)]
struct SketchPart {
    app: AppKey,
    wish: WishId,
    service: Name,
    generation: u64,
}

// === impl Wanted ===

impl Wanted {
    /// The assignment in `item`; `None` when its key names something else.
    pub(super) fn of(item: &PackedItem) -> Option<(AssignmentId, Self)> {
        let ItemKey::Assignment(id) = item.key else { return None };
        let wanted = match item.unpack() {
            Ok(Item::Assignment(assignment)) => Self::readable(assignment),
            Ok(_) => return None,
            Err(error) => Self::unreadable(id, item, format!("this version cannot read its {error}")),
        };
        Some((id, wanted))
    }

    fn readable(assignment: Assignment) -> Self {
        let Assignment { part, slot, held, carry, .. } = assignment;
        let identity =
            Identity { app: part.app.clone(), wish: part.wish, service: part.service.clone(), slot };
        let (generation, run, restarts) = (part.generation, part.run, part.restarts);
        let order = match part.spec.decode() {
            Ok(spec) => Ok(Order { part, spec }),
            Err(error) => Err(error.to_string()),
        };
        Self { identity: Some(identity), generation, run, restarts, held, carry, order }
    }

    fn unreadable(id: AssignmentId, item: &PackedItem, reason: String) -> Self {
        let sketch = ciborium::from_reader::<Sketch, _>(&item.body[..]).ok().map(|s| s.assignment);
        let sketch = sketch.filter(|assignment| assignment.id == id);
        let held = sketch.as_ref().is_some_and(|assignment| assignment.held);
        let generation = sketch.as_ref().map_or(0, |assignment| assignment.part.generation);
        let identity = sketch.map(|SketchAssignment { part, slot, .. }| Identity {
            app: part.app,
            wish: part.wish,
            service: part.service,
            slot,
        });
        let order = Err(reason);
        Self { identity, generation, run: RunState::Unknown, restarts: 0, held, carry: None, order }
    }

    /// It is left as it is: whoever is held is not started again, unless it is to be reached until its replacement is.
    pub(super) fn rests(&self) -> bool {
        self.held && !self.order.as_ref().is_ok_and(|order| order.spec.may_overlap())
    }

    pub(super) fn on_change(&self) -> Option<OnChange> {
        self.order.as_ref().ok().map(|order| order.spec.on_change)
    }

    pub(super) fn runtime(&self) -> Option<&Name> {
        self.order.as_ref().ok().map(|order| &order.spec.runtime)
    }
}
