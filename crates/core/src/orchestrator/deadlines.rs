//! Jobs that have not ended by their deadline are stopped.

use std::borrow::Cow;
use std::time::Duration;

use holm_model::duration::Span;
use holm_model::job::{Job, Kind};
use holm_model::name::Name;
use holm_model::slot::ServiceKey;
use holm_model::state::RunState;
use holm_model::time::Time;
use holm_model::wish::Wish;

use super::Orchestrator;
use super::generations::GenerationRow;
use super::runs::{Told, change};
use super::timing::Timing;

impl Orchestrator {
    pub(super) fn end_late_jobs(&self, wish: &mut Cow<'_, Wish>, timing: &mut Timing) -> Vec<Told> {
        let mut late: Vec<(Name, Duration)> = Vec::new();
        for (name, demand) in self.demands_of(wish).filter(|(_, demand)| demand.part.run == RunState::Run) {
            let Some(Kind::Job(Job { deadline: Some(deadline), .. })) =
                demand.spec.as_deref().map(|s| &s.kind)
            else {
                continue;
            };
            let Some(begun) = self.begun(wish, name) else { continue };
            let key = ServiceKey { wish: wish.id, service: name.clone() };
            if timing.elapsed(&key, begun, self.now) > *deadline && !self.is_over(wish.id, name) {
                late.push((name.clone(), *deadline));
            }
        }
        let stop = |(name, deadline): (Name, Duration)| {
            change(wish, &name, |service| (service.run, service.work.late) = (RunState::Stop, true));
            ("stopped", format!("{name}: its deadline of {} has passed", Span(deadline)))
        };
        late.into_iter().map(stop).collect()
    }

    /// When the job was asked for last.
    fn begun(&self, wish: &Wish, name: &Name) -> Option<Time> {
        let service = wish.services.get(name)?;
        let noted = service.work.begun.or_else(|| service.run_of.as_ref().map(|run| run.at));
        // A version that did not note it kept generations: the first of those in a row that say the same.
        noted.or_else(|| {
            let says = |(_, row): &(u64, &GenerationRow)| {
                row.services.get(name).is_some_and(|said| said.spec == service.spec)
            };
            let newest_first: Vec<_> = self.generations_of(wish.id).collect();
            newest_first.iter().rev().take_while(|row| says(row)).last().map(|(_, row)| row.at)
        })
    }
}
