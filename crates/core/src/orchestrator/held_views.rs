//! What a frozen member holds, and what deciding about it would lead to: for people, before they decide.

use std::collections::BTreeMap;

use holm_model::id::MemberId;
use holm_model::item::{ItemKey, PackedItem, Part};
use holm_model::view::held::{Fate, HeldItem, HeldView};

use super::Orchestrator;
use super::instance_views::natural;
use super::lists::List;
use super::members::{part_of, slot_of};

/// An item as both sides have it; one of them at least does.
#[derive(Debug, Default)]
struct Sides<'a> {
    held: Option<&'a PackedItem>,
    listed: Option<&'a PackedItem>,
}

// === impl Orchestrator ===

impl Orchestrator {
    /// `None`: there is no such member.
    #[must_use]
    pub fn held_by(&self, id: MemberId) -> Option<HeldView> {
        let (member, live) = (self.members.get(&id)?, self.live.get(&id)?);
        let frozen = live.frozen || member.unconfirmed;
        let mut sides: BTreeMap<&ItemKey, Sides<'_>> = BTreeMap::new();
        let listed = || self.lists.get(&id).into_iter().flat_map(List::items);
        for packed in listed() {
            sides.entry(&packed.key).or_default().listed = Some(packed);
        }
        // One that is not frozen holds its list.
        for packed in live.holding.items.iter().chain(listed().filter(|_| !live.frozen)) {
            sides.entry(&packed.key).or_default().held = Some(packed);
        }
        let mut items: Vec<_> = sides.into_values().filter_map(|sides| self.held_item(id, &sides)).collect();
        items.sort_by_cached_key(|item| {
            (item.project.clone(), item.application.clone(), natural(&item.slot), item.id.clone())
        });
        Some(HeldView {
            id: id.to_string(),
            name: member.name.to_string(),
            role: member.role,
            frozen,
            complete: !live.frozen || live.holding.complete,
            items,
        })
    }

    /// `None`: it is of a kind that starts and stops nothing, or cannot be read.
    fn held_item(&self, member: MemberId, sides: &Sides<'_>) -> Option<HeldItem> {
        let packed = sides.held.or(sides.listed)?;
        let (item, ItemKey::Assignment(id) | ItemKey::Share(id)) = (packed.unpack().ok()?, &packed.key)
        else {
            return None;
        };
        let part = part_of(&item)?.clone();
        let slot = slot_of(item).map_or_else(|| self.share_index(member), |slot| slot.index);
        let (adopt, discard) = self.fates(&part, sides);
        Some(HeldItem {
            id: id.to_string(),
            project: part.app.project.to_string(),
            application: part.app.application.to_string(),
            service: part.service.to_string(),
            slot: format!("{}/{slot}", part.service),
            generation: sides.held.and_then(generation),
            known: sides.listed.and_then(generation),
            adopt,
            discard,
        })
    }

    /// Of an adoption, and of a discard.
    fn fates(&self, part: &Part, sides: &Sides<'_>) -> (Fate, Fate) {
        let (Some(held), listed) = (sides.held, sides.listed) else { return (Fate::Forget, Fate::Start) };
        let same = listed.is_some_and(|listed| listed.hash() == held.hash());
        let adopt = match self.takes_back(part) {
            false => Fate::End,
            true if same => Fate::Keep,
            true => Fate::Learn,
        };
        let discard = match listed {
            None => Fate::End,
            Some(_) if same => Fate::Keep,
            Some(_) => Fate::Change,
        };
        (adopt, discard)
    }
}

fn generation(packed: &PackedItem) -> Option<u64> {
    part_of(&packed.unpack().ok()?).map(|part| part.generation)
}
