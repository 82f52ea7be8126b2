//! Where the named volumes of a slot are while nothing fills it: it waits for its place there, over restarts, rather than
//! beginning elsewhere with empty ones.

use std::fmt;
use std::str::FromStr;

use holm_model::id::MemberId;
use holm_model::record::Table;
use holm_model::slot::{ServiceKey, SlotIndex};

use super::Orchestrator;
use super::carrying::is_named;
use super::demand::{Origin, SlotId};
use super::rows::Placement;
use crate::table::{LoadError, Rows, Snapshot};

/// A numbered slot, as the key of a row in [`Table::Meta`]: `home/own/WISH/SERVICE/0` or `home/share/ID/0`. Slots of nodes
/// have no other place anyway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HomeKey {
    origin: Origin,
    number: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("it is no `home/own/WISH/SERVICE/NUMBER` nor `home/share/ID/NUMBER`")]
pub(super) struct NoHomeKey;

const PREFIX: &str = "home/";

/// Whether a row of [`Table::Meta`] is one of these.
pub(super) fn is_home(key: &str) -> bool {
    key.starts_with(PREFIX)
}

/// Takes these rows, and only those, out of `snapshot`.
pub(super) fn load(snapshot: &mut Snapshot) -> Result<Rows<HomeKey, MemberId>, LoadError> {
    let mut homes = Rows::new(Table::Meta);
    if let Some(meta) = snapshot.get_mut(&Table::Meta) {
        for (key, value) in meta.extract_if(.., |(key, _)| is_home(key)) {
            homes.restore(&key, Some(&value))?;
        }
    }
    Ok(homes)
}

// === impl HomeKey ===

impl HomeKey {
    fn of((origin, index): &SlotId) -> Option<Self> {
        match index {
            SlotIndex::Number(number) => Some(Self { origin: origin.clone(), number: *number }),
            SlotIndex::Node(_) => None,
        }
    }
}

impl fmt::Display for HomeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Own(key) => write!(f, "{PREFIX}own/{}/{}/{}", key.wish, key.service, self.number),
            Origin::Share(id) => write!(f, "{PREFIX}share/{id}/{}", self.number),
        }
    }
}

impl FromStr for HomeKey {
    type Err = NoHomeKey;

    fn from_str(text: &str) -> Result<Self, NoHomeKey> {
        let (rest, number) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('/')).ok_or(NoHomeKey)?;
        let number = number.parse().map_err(|_| NoHomeKey)?;
        let parts: Vec<&str> = rest.split('/').collect();
        let origin = match parts[..] {
            ["own", wish, service] => {
                let (wish, service) = (wish.parse().ok(), service.parse().ok());
                let key = wish.zip(service).map(|(wish, service)| ServiceKey { wish, service });
                Origin::Own(key.ok_or(NoHomeKey)?)
            }
            ["share", id] => Origin::Share(id.parse().map_err(|_| NoHomeKey)?),
            _ => return Err(NoHomeKey),
        };
        Ok(Self { origin, number })
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    pub(super) fn home(&self, slot_id: &SlotId) -> Option<MemberId> {
        self.homes.get(&HomeKey::of(slot_id)?).copied()
    }

    /// The last copy is gone; what it kept is still there.
    pub(super) fn note_home(&mut self, slot_id: &SlotId, old: &Placement) {
        let keeps = old.has_data()
            && self.specs.decode(&old.part.spec).is_some_and(|spec| spec.volumes.iter().any(is_named));
        if let Some(key) = HomeKey::of(slot_id).filter(|_| keeps) {
            self.homes.put(&mut self.journal, key, old.member);
        }
    }

    /// Something is there with its own data, or nobody wants the slot any more.
    pub(super) fn forget_home(&mut self, slot_id: &SlotId) {
        if let Some(key) = HomeKey::of(slot_id) {
            self.homes.remove(&mut self.journal, &key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for text in ["home/own/1-d258b71e21fb-4/store/12", "home/share/2-d258b71e21fb-9/0"] {
            assert_eq!(text.parse::<HomeKey>().unwrap().to_string(), text);
            assert!(is_home(text));
        }
        for text in [
            "home/own/1-d258b71e21fb-4/12",
            "home/share/x/0",
            "home/share/2-d258b71e21fb-9/x",
            "obeyed",
            "home/",
        ] {
            assert!(text.parse::<HomeKey>().is_err(), "{text}");
        }
    }
}
