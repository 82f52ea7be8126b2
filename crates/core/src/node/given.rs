//! Secrets and files of the list, and what of them an instance is given.

use std::collections::BTreeMap;

use holm_model::content::{Content, ContentKey};
use holm_model::id::{AssignmentId, Uid};
use holm_model::item::{Item, ItemKey};
use holm_model::service::OnChange;

use super::decide::Move;
use super::event::{Data, Launch, NodeEffect};
use super::machine::NodeMachine;
use super::record::InstanceRecord;
use super::wanted::Wanted;

/// Which setting of each secret and file an instance was, or is to be, given.
pub(super) type Stamps = Vec<(ContentKey, Uid)>;

/// What the list has for an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) stamps: Stamps,
    /// Named, and not in the list (yet).
    pub(super) missing: Vec<ContentKey>,
}

// === impl Given ===

impl Given {
    /// Something was set anew since the instance was given it.
    fn differs(&self, record: &InstanceRecord) -> bool {
        self.stamps.iter().any(|stamp| !record.given.contains(stamp))
    }

    /// It has to begin anew: with what was set since, it may do better, too.
    pub(super) fn outdates(&self, wanted: &Wanted, record: &InstanceRecord) -> bool {
        wanted.on_change() == Some(OnChange::Restart) && self.differs(record)
    }

    /// What is to be done about one that runs and goes on.
    pub(super) fn refresh(&self, wanted: &Wanted, record: &InstanceRecord) -> Option<Move> {
        let tells = matches!(wanted.on_change(), Some(OnChange::Signal(_) | OnChange::Nothing));
        (tells && self.differs(record)).then_some(Move::Refresh)
    }

    /// Why it cannot be launched.
    pub(super) fn lacking(&self) -> Option<String> {
        let names: Vec<String> =
            self.missing.iter().map(|key| format!("{} `{}`", key.kind.word(), key.name)).collect();
        (!names.is_empty())
            .then(|| format!("waits for the {}, which this node was not sent yet", names.join(", ")))
    }
}

// === impl NodeMachine ===

impl NodeMachine {
    /// The stamps of the list, by key: decoded once, since every look at an instance asks for some.
    pub(super) fn derive_stamps(&mut self) {
        let stamps = self.held.items().filter_map(|packed| match (&packed.key, packed.unpack()) {
            (ItemKey::Content(key), Ok(Item::Content(content))) => Some((key.clone(), content.stamp)),
            _ => None,
        });
        self.stamps = stamps.collect();
    }

    /// A secret or file came, changed or went: those that are given it are looked at.
    pub(super) fn content_changed(&mut self, key: &ContentKey) {
        match self.content(key) {
            Some(content) => drop(self.stamps.insert(key.clone(), content.stamp)),
            None => drop(self.stamps.remove(key)),
        }
        let needs = |wanted: &Wanted| {
            let order = wanted.order.as_ref().ok();
            order.is_some_and(|order| order.spec.needs(&order.part.app.project).any(|needed| needed == *key))
        };
        self.touched.extend(self.wanted.iter().filter(|(_, wanted)| needs(wanted)).map(|(id, _)| *id));
    }

    pub(super) fn given(&self, id: AssignmentId) -> Given {
        let order = self.wanted.get(&id).and_then(|wanted| wanted.order.as_ref().ok());
        let Some(order) = order else { return Given::default() };
        let project = &order.part.app.project;
        let stamp = |key: ContentKey| self.stamps.get(&key).map(|stamp| (key, *stamp));
        Given {
            stamps: order.spec.given(project).filter_map(stamp).collect(),
            missing: order.spec.needs(project).filter(|key| !self.stamps.contains_key(key)).collect(),
        }
    }

    /// The bytes for a launch.
    pub(super) fn contents(&self, id: AssignmentId) -> BTreeMap<ContentKey, Content> {
        let order = self.wanted.get(&id).and_then(|wanted| wanted.order.as_ref().ok());
        let needs = order.into_iter().flat_map(|order| order.spec.needs(&order.part.app.project));
        needs.filter_map(|key| Some((key.clone(), self.content(&key)?))).collect()
    }

    fn content(&self, key: &ContentKey) -> Option<Content> {
        match self.held.get(&ItemKey::Content(key.clone()))?.unpack() {
            Ok(Item::Content(content)) => Some(content),
            _ => None,
        }
    }

    /// What runs is given what was set since. Noted first: one that fails is asked for again.
    pub(super) fn refresh(&mut self, id: AssignmentId) {
        let given = self.given(id).stamps;
        let order = self.wanted.get(&id).and_then(|wanted| wanted.order.as_ref().ok());
        let Some(order) = order.cloned() else { return };
        self.records.change(&mut self.journal, &id, |record| record.given = given);
        let Some(record) = self.records.get(&id) else { return };
        let (slot, ports) = (record.identity.slot.clone(), record.ports.clone());
        let incarnation = self.lives.get(&id).map_or(record.incarnation, |life| life.incarnation);
        let (part, spec, contents) = (order.part, order.spec, self.contents(id));
        self.effects.push(NodeEffect::Refresh(Box::new(Launch {
            id,
            incarnation,
            part,
            slot,
            spec,
            ports,
            contents,
            lease: None,
            data: Data::Here,
        })));
    }
}
