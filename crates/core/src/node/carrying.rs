//! Named volumes of what moves: fetched before the first start, removed with a copy that gave them or never served.

use holm_model::id::AssignmentId;
use holm_model::item::Carry;

use super::decide::Doing;
use super::event::{Data, Discard, NodeEffect};
use super::machine::NodeMachine;
use super::record::InstanceRecord;

impl NodeMachine {
    /// Where its volumes come from, should it be launched now.
    pub(super) fn data(&self, id: AssignmentId) -> Data {
        let fetched = self.records.get(&id).is_some_and(|record| record.fetched);
        match self.wanted.get(&id).and_then(|wanted| wanted.carry) {
            Some(Carry::From(from)) => Data::From(from),
            _ if fetched => Data::Fetched,
            _ => Data::Here,
        }
    }

    /// It has not got the word to start.
    pub(super) fn is_coming(&self, id: AssignmentId) -> bool {
        self.wanted.get(&id).is_some_and(|wanted| matches!(wanted.carry, Some(Carry::From(_))))
    }

    /// It has ended for its successor, and does not start again unless that is taken back.
    #[must_use]
    pub fn gives(&self, id: AssignmentId) -> bool {
        let told = self.wanted.get(&id).is_some_and(|wanted| wanted.carry == Some(Carry::Gives));
        let ended = self.lives.get(&id).is_none_or(|life| life.doing == Doing::Idle);
        let rests = self.records.get(&id).is_some_and(|record| !record.state.is_live());
        told && ended && rests && self.ready
    }

    /// Which volumes go with it: noted, since the list may forget it next.
    pub(super) fn note_carried(&mut self, id: AssignmentId) {
        let Some(wanted) = self.wanted.get(&id) else { return };
        let Ok(order) = &wanted.order else { return };
        let volumes: Vec<String> = match wanted.carry {
            Some(Carry::From(_) | Carry::Given) => {
                let named = order.spec.volumes.iter().filter(|volume| !volume.source.starts_with('/'));
                named.map(|volume| volume.source.clone()).collect()
            }
            Some(Carry::Gives) | None => Vec::new(),
        };
        let unused = matches!(wanted.carry, Some(Carry::From(_)));
        if self.records.get(&id).is_some_and(|record| (&record.discards, record.unused) != (&volumes, unused))
        {
            self.records.change(&mut self.journal, &id, |record| {
                (record.discards, record.unused) = (volumes, unused);
            });
        }
    }

    /// Removal together with its volumes; not while another one of the application was ever started here, which may use
    /// them.
    pub(super) fn discard(&self, id: AssignmentId, incarnation: u32) -> Option<NodeEffect> {
        let record = self.records.get(&id).filter(|record| !record.discards.is_empty())?;
        let (wish, volumes, unused) = (record.identity.wish, record.discards.clone(), record.unused);
        let what = Discard { wish, runtime: record.runtime.clone()?, volumes, unused };
        let uses = |other: &InstanceRecord| other.identity.wish == wish && other.incarnation > 0;
        let shared = self.records.iter().any(|(other, record)| *other != id && uses(record));
        (!shared).then_some(NodeEffect::Discard { id, incarnation, what })
    }
}
