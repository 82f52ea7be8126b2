//! Named volumes of what moves: fetched before the first start, removed with the copy that gave them.

use holm_model::id::AssignmentId;
use holm_model::item::Carry;

use super::decide::Doing;
use super::event::NodeEffect;
use super::machine::NodeMachine;

impl NodeMachine {
    /// From whom its volumes are fetched before it starts.
    pub(super) fn fetches(&self, id: AssignmentId) -> Option<AssignmentId> {
        let fetched = self.records.get(&id).is_some_and(|record| record.fetched);
        match self.wanted.get(&id)?.carry {
            Some(Carry::From(from)) if !fetched => Some(from),
            _ => None,
        }
    }

    /// It has ended for its successor, and does not start again unless that is taken back.
    #[must_use]
    pub fn gives(&self, id: AssignmentId) -> bool {
        let told = self.wanted.get(&id).is_some_and(|wanted| wanted.carry == Some(Carry::Gives));
        let ended = self.lives.get(&id).is_none_or(|life| life.doing == Doing::Idle);
        let rests = self.records.get(&id).is_some_and(|record| !record.state.is_live());
        told && ended && rests && self.ready
    }

    /// Its volumes are with its successor: noted, since the list forgets it next.
    pub(super) fn note_carried(&mut self, id: AssignmentId) {
        let Some(wanted) = self.wanted.get(&id).filter(|it| it.carry == Some(Carry::Given)) else { return };
        let Ok(order) = &wanted.order else { return };
        let named = order.spec.volumes.iter().filter(|volume| !volume.source.starts_with('/'));
        let volumes: Vec<String> = named.map(|volume| volume.source.clone()).collect();
        if self.records.get(&id).is_some_and(|record| record.discards != volumes) {
            self.records.change(&mut self.journal, &id, |record| record.discards = volumes);
        }
    }

    /// With the instance; not while another one of the application is here, which may use them.
    pub(super) fn discard(&mut self, id: AssignmentId) {
        let Some(record) = self.records.get(&id).filter(|record| !record.discards.is_empty()) else { return };
        let (wish, volumes) = (record.identity.wish, record.discards.clone());
        let Some(runtime) = record.runtime.clone() else { return };
        let shared = self.records.iter().any(|(other, record)| *other != id && record.identity.wish == wish);
        if !shared {
            self.effects.push(NodeEffect::Discard { id, wish, runtime, volumes });
        }
    }
}
