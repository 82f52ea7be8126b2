//! Work that ends: runs of `cron` at their times, and deadlines of jobs.
//!
//! A run is a service of its own in the wish, named after its time: `report-20261122t1700z`. So it is placed,
//! restarted, shown and survived like any other; the service that it is a run of has no slots itself. The owner decides
//! from wall time: what was due last, and whether that was in time.

use std::time::Duration;

use holm_model::duration::Span;
use holm_model::id::WishId;
use holm_model::job::{Cron, Job, Kind, Missed, Overlap};
use holm_model::name::Name;
use holm_model::service::ServiceSpec;
use holm_model::slot::ServiceKey;
use holm_model::state::RunState;
use holm_model::time::Time;
use holm_model::wish::{RunOf, ServiceWish, SpecBytes, Version, Wish};

use super::Orchestrator;
use super::demand::{Demand, Origin};
use super::generations::GenerationRow;

/// What is older was missed: nobody was there to start it.
const LATE: Duration = Duration::from_secs(60);
/// Before which nothing is looked for, from near to far: most often the nearest has what was due last.
const BACK: [Duration; 5] = [
    Duration::from_secs(120),
    Duration::from_secs(3600),
    Duration::from_secs(24 * 3600),
    Duration::from_secs(32 * 24 * 3600),
    Duration::from_secs(367 * 24 * 3600),
];

/// The last time after `done` and until `now` at which it was due.
fn due(cron: &Cron, done: Time, now: Time) -> Option<Time> {
    let until_now = |time: &Time| *time <= now;
    let next = |after| cron.schedule.next_after(&cron.zone, after).filter(until_now);
    let back =
        BACK.map(|back| Time(now.0.saturating_sub(i64::try_from(back.as_millis()).unwrap_or(i64::MAX))));
    let begins = back.into_iter().map(|begin| begin.max(done)).chain([done]);
    let mut last = begins.into_iter().find_map(next)?;
    while let Some(later) = next(last) {
        last = later;
    }
    Some(last)
}

/// What becomes of a run that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Run,
    /// As [`Turn::Run`], once those before it are ended.
    Instead,
    LeftOut(&'static str),
}

fn turn(cron: &Cron, at: Time, now: Time, busy: bool) -> Turn {
    match (cron.missed, cron.overlap) {
        (Missed::Skip, _) if now.since(at) > LATE => Turn::LeftOut("it was due while nobody could start it"),
        (_, Overlap::Forbid) if busy => Turn::LeftOut("the run before has not ended"),
        (_, Overlap::Replace) if busy => Turn::Instead,
        _ => Turn::Run,
    }
}

/// `report-20261122t1700z`; `None` for a time that is no date, or a name that is too long.
fn run_name(service: &Name, at: Time) -> Option<Name> {
    let text = at.to_string();
    // `2026-11-22T17:00…`: what is no date has another form.
    let minute =
        text.get(..16).filter(|minute| minute.as_bytes()[10] == b'T')?.replace(['-', ':'], "").to_lowercase();
    Name::new(&format!("{service}-{minute}z")).ok()
}

impl Orchestrator {
    /// Once a second.
    pub(super) fn look_at_runs(&mut self) {
        let alive = self.wishes.iter().filter(|(_, row)| row.wish.deleted.is_none() && !row.wish.unconfirmed);
        let ids: Vec<WishId> = alive.map(|(id, _)| *id).collect();
        for id in ids {
            let Some(row) = self.wishes.get(&id) else { continue };
            let mut wish = row.wish.clone();
            let mut told = self.begin_runs(&mut wish);
            told.extend(self.end_late_jobs(&mut wish));
            self.forget_runs(&mut wish);
            if Some(&wish) == self.wishes.get(&id).map(|row| &row.wish) {
                continue;
            }
            wish.version = Version { epoch: self.epoch, generation: self.last_generation(&wish.key) + 1 };
            wish.changed = self.now.wall;
            let app = wish.key.to_string();
            self.wishes.change(&mut self.journal, &id, |row| row.wish = wish);
            self.refresh_demands(id);
            for (to, reason) in told {
                self.note("application", app.clone(), app.clone(), ("", to), ("policy", &reason));
            }
        }
    }

    fn begin_runs(&self, wish: &mut Wish) -> Vec<(&'static str, String)> {
        let mut told = Vec::new();
        let crons = self.demands_of(wish).filter(|(_, demand)| demand.part.run == RunState::Run);
        let crons: Vec<(Name, Cron, ServiceSpec)> = crons
            .filter_map(|(name, demand)| {
                let spec = demand.spec.as_deref()?;
                Some((name.clone(), spec.kind.cron()?.clone(), spec.clone()))
            })
            .collect();
        for (name, cron, spec) in crons {
            let Some(service) = wish.services.get_mut(&name) else { continue };
            let now = self.now.wall;
            // A clock that went back does not make it wait until that time comes again.
            let done = service.due.unwrap_or(now).min(now);
            let Some(at) = due(&cron, done, now) else {
                service.due.get_or_insert(now);
                continue;
            };
            service.due = Some(at);
            let service = service.clone();
            told.push(self.begin_run(wish, (&name, &service), (&cron, &spec), at));
        }
        told
    }

    fn begin_run(
        &self,
        wish: &mut Wish,
        (name, service): (&Name, &ServiceWish),
        (cron, spec): (&Cron, &ServiceSpec),
        at: Time,
    ) -> (&'static str, String) {
        let busy: Vec<Name> =
            self.runs_of(wish, name).filter(|run| !self.is_over(wish, run)).cloned().collect();
        match turn(cron, at, self.now.wall, !busy.is_empty()) {
            Turn::LeftOut(why) => return ("left out", format!("{name}, due at {at}: {why}")),
            Turn::Instead => wish.services.retain(|run, _| !busy.contains(run)),
            Turn::Run => {}
        }
        let Some(run) = run_name(name, at).filter(|run| !wish.services.contains_key(run)) else {
            return ("left out", format!("{name}, due at {at}: there is one of this name already"));
        };
        let generation = self.last_generation(&wish.key) + 1;
        let spec = ServiceSpec { kind: Kind::Job(cron.job.clone()), ..spec.clone() };
        let begun = ServiceWish {
            spec: SpecBytes::encode(&spec),
            generation,
            replicas: service.replicas,
            applied_replicas: service.replicas,
            run: RunState::Run,
            restarts: 0,
            promoted: generation,
            due: None,
            run_of: Some(RunOf { service: name.clone(), at }),
        };
        let told = format!("{run}, due at {at}");
        wish.services.insert(run, begun);
        ("begun", told)
    }

    /// Jobs that have not ended by their deadline are stopped.
    fn end_late_jobs(&self, wish: &mut Wish) -> Vec<(&'static str, String)> {
        let late: Vec<(Name, Duration)> = self
            .demands_of(wish)
            .filter(|(_, demand)| demand.part.run == RunState::Run)
            .filter_map(|(name, demand)| {
                let Kind::Job(Job { deadline: Some(deadline) }) = &demand.spec.as_deref()?.kind else {
                    return None;
                };
                let begun = self.begun(wish, name)?;
                let late = self.now.wall.since(begun) > *deadline && !self.is_over(wish, name);
                late.then(|| (name.clone(), *deadline))
            })
            .collect();
        let mut told = Vec::new();
        for (name, deadline) in late {
            if let Some(service) = wish.services.get_mut(&name) {
                service.run = RunState::Stop;
                let deadline = Span(deadline);
                told.push(("stopped", format!("{name}: its deadline of {deadline} has passed")));
            }
        }
        told
    }

    /// When a job was due, or applied.
    fn begun(&self, wish: &Wish, name: &Name) -> Option<Time> {
        let service = wish.services.get(name)?;
        if let Some(run) = &service.run_of {
            return Some(run.at);
        }
        let says = |(_, row): &(u64, &GenerationRow)| {
            row.services.get(name).is_some_and(|said| said.spec == service.spec)
        };
        // The first of those in a row that say the same, up to the newest.
        let newest_first: Vec<_> = self.generations_of(wish.id).collect();
        newest_first.iter().rev().take_while(|row| says(row)).last().map(|(_, row)| row.at)
    }

    /// Of each `cron` the newest that have ended are kept.
    fn forget_runs(&self, wish: &mut Wish) {
        let crons: Vec<(Name, usize)> = self
            .demands_of(wish)
            .filter_map(|(name, demand)| {
                Some((name.clone(), demand.spec.as_deref()?.kind.cron()?.keep as usize))
            })
            .collect();
        for (name, keep) in crons {
            // Names of runs are in the order of their times.
            let over: Vec<Name> =
                self.runs_of(wish, &name).filter(|run| self.is_over(wish, run)).cloned().collect();
            let surplus = over.len().saturating_sub(keep);
            for run in &over[..surplus] {
                wish.services.remove(run);
            }
        }
    }

    fn runs_of<'a>(&self, wish: &'a Wish, service: &'a Name) -> impl Iterator<Item = &'a Name> + use<'a> {
        let of = |wish: &ServiceWish| wish.run_of.as_ref().is_some_and(|run| run.service == *service);
        wish.services.iter().filter(move |(_, wish)| of(wish)).map(|(name, _)| name)
    }

    /// The services that the wish has had since before this step.
    fn demands_of<'a>(&'a self, wish: &'a Wish) -> impl Iterator<Item = (&'a Name, &'a Demand)> {
        wish.services.keys().filter_map(|name| Some((name, self.demands.get(&own(wish.id, name))?)))
    }

    /// Every slot of the job has ended and is not started again by itself.
    fn is_over(&self, wish: &Wish, name: &Name) -> bool {
        let origin = own(wish.id, name);
        let Some(demand) = self.demands.get(&origin) else { return false };
        let Some(spec) = demand.spec.as_deref() else { return false };
        if demand.rests() {
            return true;
        }
        let mut slots = self.slots.of(&origin).filter(|(_, slot)| slot.wanted).peekable();
        slots.peek().is_some()
            && slots.all(|(index, slot)| {
                let given_up = || {
                    let slot_id = (origin.clone(), index.clone());
                    self.failure_for_good(&slot_id, slot, demand.part.generation).is_some()
                };
                slot.active.is_some_and(|id| self.is_done(id, spec)) || given_up()
            })
    }

    /// When the `cron` is due next, for people.
    pub(super) fn next_run(&self, service: &ServiceWish) -> Option<Time> {
        let spec = service.spec.decode().ok()?;
        let cron = spec.kind.cron().filter(|_| service.run == RunState::Run)?;
        cron.schedule.next_after(&cron.zone, self.now.wall)
    }
}

fn own(wish: WishId, service: &Name) -> Origin {
    Origin::Own(ServiceKey { wish, service: service.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn cron(schedule: &str) -> Cron {
        Cron {
            schedule: schedule.parse().unwrap(),
            zone: holm_model::cron::Zone::default(),
            overlap: Overlap::Forbid,
            missed: Missed::Skip,
            keep: 3,
            job: Job::default(),
        }
    }

    #[test]
    fn the_last_time_that_was_due_is_found_however_long_ago() {
        let every = cron("*/15 * * * *");
        assert_eq!(due(&every, Time(0), Time(14 * MINUTE)), None);
        assert_eq!(due(&every, Time(0), Time(15 * MINUTE)), Some(Time(15 * MINUTE)));
        assert_eq!(due(&every, Time(15 * MINUTE), Time(29 * MINUTE)), None, "it is done already");
        let year = 365 * 24 * 60 * MINUTE;
        assert_eq!(due(&every, Time(0), Time(year + MINUTE)), Some(Time(year)));
        assert_eq!(
            due(&cron("0 0 1 1 *"), Time(0), Time(5 * year)),
            due(&cron("0 0 1 1 *"), Time(4 * year), Time(5 * year))
        );
        assert_eq!(due(&every, Time(year), Time(0)), None, "a clock that went back");
    }

    #[test]
    fn what_is_due_takes_its_turn() {
        let (late, now) = (Time(0), Time(2 * MINUTE));
        let mut cron = cron("* * * * *");
        assert_eq!(turn(&cron, now, now, false), Turn::Run);
        assert!(matches!(turn(&cron, now, now, true), Turn::LeftOut(_)));
        assert!(matches!(turn(&cron, late, now, false), Turn::LeftOut(_)));
        cron.missed = Missed::RunOnce;
        assert_eq!(turn(&cron, late, now, false), Turn::Run);
        cron.overlap = Overlap::Allow;
        assert_eq!(turn(&cron, now, now, true), Turn::Run);
        cron.overlap = Overlap::Replace;
        assert_eq!(turn(&cron, now, now, true), Turn::Instead);
    }

    #[test]
    fn a_run_is_named_after_its_time() {
        let report = Name::new("report").unwrap();
        assert_eq!(run_name(&report, Time(1_795_366_800_000)).unwrap().as_str(), "report-20261122t1700z");
        assert_eq!(run_name(&report, Time(i64::MAX)), None);
    }
}
