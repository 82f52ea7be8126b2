//! Runs of `cron` at their times.
//!
//! A run is a service of its own in the wish, named after its time: `report-20261122t1700z`. So it is placed,
//! restarted, shown and survived like any other; the service that it is a run of has no slots itself. The owner decides
//! from wall time: what was due last, and whether that was in time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holm_model::id::WishId;
use holm_model::job::{Cron, Kind, Missed, Overlap};
use holm_model::name::Name;
use holm_model::service::{Replicas, ServiceSpec};
use holm_model::slot::ServiceKey;
use holm_model::state::RunState;
use holm_model::time::Time;
use holm_model::wish::{RunOf, ServiceWish, SpecBytes, Version, Wish, Work};

use super::Orchestrator;
use super::demand::{Demand, Origin};
use super::rows::WishRow;
use super::timing::Timing;

/// What is older was missed: nobody was there to start it.
const LATE: Duration = Duration::from_secs(60);
/// A last time that lies so far ahead was told by a clock that was wrong; nearer ones are waited for, so that a clock
/// that goes back a little begins nothing twice.
const WRONG: Duration = Duration::from_secs(24 * 3600);
/// Runs of one `cron` that have not ended.
const MOST_AT_ONCE: usize = 100;
/// What is due beyond that begins with the next tick, so that no step is as long as there are crons.
const MOST_IN_A_STEP: usize = 50;
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
    /// As [`Turn::Run`], once those before it have ended: they are asked to.
    Instead,
    LeftOut(&'static str),
}

/// `busy`: how many runs before it have not ended.
fn turn(cron: &Cron, at: Time, now: Time, busy: usize) -> Turn {
    match (cron.missed, cron.overlap) {
        (Missed::Skip, _) if now.since(at) > LATE => Turn::LeftOut("it was due while nobody could start it"),
        _ if busy == 0 => Turn::Run,
        (_, Overlap::Forbid) => Turn::LeftOut("the run before has not ended"),
        (_, Overlap::Replace) => Turn::Instead,
        (_, Overlap::Allow) if busy >= MOST_AT_ONCE => {
            Turn::LeftOut("as many runs as there may be have not ended")
        }
        (_, Overlap::Allow) => Turn::Run,
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

/// Which `cron` a service is a run of, as far as its name tells: of one that was restored nothing else does.
pub(super) fn run_of(service: &Name, spec: &SpecBytes) -> Option<RunOf> {
    let is_job = spec.decode().is_ok_and(|spec| matches!(spec.kind, Kind::Job(_)));
    let (service, minute) = service.as_str().rsplit_once('-').filter(|_| is_job)?;
    let (date, time) = minute.strip_suffix('z')?.split_once('t')?;
    let parts = (date.get(..4)?, date.get(4..6)?, date.get(6..)?, time.get(..2)?, time.get(2..)?);
    let (year, month, day, hour, minute) = parts;
    let at = format!("{year}-{month}-{day}T{hour}:{minute}:00Z").parse().ok()?;
    Some(RunOf { service: Name::new(service).ok()?, at })
}

/// What happened to an application by itself: an event's word, and why.
pub(super) type Told = (&'static str, String);

impl Orchestrator {
    /// Once a second.
    pub(super) fn look_at_runs(&mut self) {
        let mut timing = std::mem::take(&mut self.timing);
        timing.retain(|key| self.demands.contains_key(&Origin::Own(key.clone())));
        timing.room = MOST_IN_A_STEP;
        let full_at = timing.full_at.take();
        let (before, behind): (Vec<_>, Vec<_>) =
            timing.wishes.iter().copied().partition(|id| full_at.is_some_and(|full| *id < full));
        for id in behind.into_iter().chain(before) {
            let Some((wish, told)) = self.next_of(id, &mut timing) else { continue };
            let app = wish.key.to_string();
            self.wishes.change(&mut self.journal, &id, |row| row.wish = wish);
            self.refresh_demands(id);
            for (to, reason) in told {
                self.note("application", app.clone(), app.clone(), ("", to), ("policy", &reason));
            }
        }
        // Wishes may have become such meanwhile.
        timing.wishes.append(&mut self.timing.wishes);
        self.timing = timing;
    }

    /// What the wish is at this moment, if that is something else.
    fn next_of(&self, id: WishId, timing: &mut Timing) -> Option<(Wish, Vec<Told>)> {
        let row = self.wishes.get(&id).filter(|row| row.wish.deleted.is_none() && !row.wish.unconfirmed)?;
        let mut wish = Cow::Borrowed(&row.wish);
        let mut told = self.begin_runs(&mut wish, timing);
        told.extend(self.end_late_jobs(&mut wish, timing));
        self.forget_runs(&mut wish);
        let Cow::Owned(mut wish) = wish else { return None };
        wish.version = Version { epoch: self.epoch, generation: self.last_generation(&wish.key) + 1 };
        wish.changed = self.now.wall;
        Some((wish, told))
    }

    /// Whether the wish has work that ends; asked when its demands change.
    pub(super) fn note_timing(&mut self, id: WishId) {
        let ends = |row: &WishRow| {
            row.wish.deleted.is_none()
                && self
                    .demands_of(&row.wish)
                    .any(|(_, demand)| demand.spec.as_ref().is_some_and(|spec| spec.kind != Kind::Service))
        };
        if self.wishes.get(&id).is_some_and(ends) {
            self.timing.wishes.insert(id);
        } else {
            self.timing.wishes.remove(&id);
        }
    }

    fn begin_runs(&self, wish: &mut Cow<'_, Wish>, timing: &mut Timing) -> Vec<Told> {
        let now = self.now.wall;
        let crons = self.demands_of(wish).filter(|(_, demand)| demand.part.run == RunState::Run);
        let crons: Vec<(Name, Arc<ServiceSpec>)> =
            crons.filter_map(|(name, demand)| Some((name.clone(), demand.spec.clone()?))).collect();
        let mut told = Vec::new();
        for (name, spec) in crons {
            let (Some(cron), Some(service)) = (spec.kind.cron(), wish.services.get(&name)) else { continue };
            let done = service.due.filter(|due| due.since(now) < WRONG);
            let Some(done) = done else {
                // Of a version that did not note it, or of a clock that was far ahead.
                change(wish, &name, |service| service.due = Some(now));
                continue;
            };
            if timing.room == 0 {
                timing.full_at.get_or_insert(wish.id);
                break;
            }
            let key = ServiceKey { wish: wish.id, service: name.clone() };
            let is_due = timing.next(&key, &service.spec, cron, done).is_some_and(|at| at <= now);
            match (due(cron, done, now).filter(|_| is_due), service.work.pending) {
                (Some(at), before) => {
                    change(wish, &name, |service| (service.due, service.work.pending) = (Some(at), None));
                    told.extend(
                        before
                            .map(|before| left_out(&name, before, "the next was due before it could begin")),
                    );
                    told.push(self.take_turn(wish, (&name, &spec, cron), at));
                    timing.room -= 1;
                }
                (None, Some(at)) if self.busy(wish, &name).is_empty() => {
                    change(wish, &name, |service| service.work.pending = None);
                    told.push(self.begin_run(wish, (&name, &spec, cron), at));
                    timing.room -= 1;
                }
                (None, _) => {}
            }
        }
        told
    }

    fn take_turn(&self, wish: &mut Cow<'_, Wish>, of: (&Name, &ServiceSpec, &Cron), at: Time) -> Told {
        let (name, _, cron) = of;
        let busy = self.busy(wish, name);
        match turn(cron, at, self.now.wall, busy.len()) {
            Turn::LeftOut(why) => left_out(name, at, why),
            Turn::Run => self.begin_run(wish, of, at),
            Turn::Instead => {
                for run in &busy {
                    change(wish, run, |run| run.run = RunState::Stop);
                }
                change(wish, name, |service| service.work.pending = Some(at));
                (
                    "waits",
                    format!("{name}, due at {at}: until the run before it, which is stopped, has ended"),
                )
            }
        }
    }

    fn begin_run(
        &self,
        wish: &mut Cow<'_, Wish>,
        (name, spec, cron): (&Name, &ServiceSpec, &Cron),
        at: Time,
    ) -> Told {
        let Some(service) = wish.services.get(name) else { return left_out(name, at, "it is gone") };
        let replicas = service.replicas;
        if replicas == Replicas::Number(0) {
            return left_out(name, at, "it is scaled to 0");
        }
        let Some(run) = run_name(name, at).filter(|run| !wish.services.contains_key(run)) else {
            return left_out(name, at, "there is one of this name already");
        };
        let generation = self.last_generation(&wish.key) + 1;
        let spec = ServiceSpec { kind: Kind::Job(cron.job.clone()), ..spec.clone() };
        let begun = ServiceWish {
            spec: SpecBytes::encode(&spec),
            generation,
            replicas,
            applied_replicas: replicas,
            run: RunState::Run,
            restarts: 0,
            promoted: generation,
            due: None,
            work: Work { begun: Some(self.now.wall), ..Work::default() },
            run_of: Some(RunOf { service: name.clone(), at }),
        };
        let told = format!("{run}, due at {at}");
        let mut services = wish.services.clone();
        services.insert(run, begun);
        if let Err(refusal) = self.check_quota(&wish.key, &services) {
            return left_out(name, at, &refusal.to_string());
        }
        wish.to_mut().services = services;
        ("begun", told)
    }

    /// Of each `cron` the newest that have ended are kept; of what is none any more, nothing.
    fn forget_runs(&self, wish: &mut Cow<'_, Wish>) {
        let runs = wish.services.iter().filter_map(|(name, run)| Some((name, run.run_of.as_ref()?)));
        // Names of runs are in the order of their times.
        let mut ended: BTreeMap<&Name, Vec<&Name>> = BTreeMap::new();
        for (name, run) in runs.filter(|(name, _)| self.is_over(wish.id, name)) {
            ended.entry(&run.service).or_default().push(name);
        }
        let keep = |service: &Name| {
            let demand = self.demands.get(&own(wish.id, service));
            let cron = demand.and_then(|demand| demand.spec.as_deref()?.kind.cron());
            cron.map_or(0, |cron| cron.keep as usize)
        };
        let surplus = ended.iter().flat_map(|(service, runs)| {
            let surplus = runs.len().saturating_sub(keep(service));
            runs.iter().take(surplus).map(|name| (*name).clone())
        });
        for name in surplus.collect::<Vec<_>>() {
            wish.to_mut().services.remove(&name);
        }
    }

    /// Runs that have not ended.
    fn busy(&self, wish: &Wish, service: &Name) -> Vec<Name> {
        let of = |wish: &ServiceWish| wish.run_of.as_ref().is_some_and(|run| run.service == *service);
        let runs = wish.services.iter().filter(|(_, wish)| of(wish)).map(|(name, _)| name);
        runs.filter(|run| !self.is_over(wish.id, run)).cloned().collect()
    }

    /// The services that the wish has had since before this step.
    pub(super) fn demands_of<'a>(
        &'a self,
        wish: &'a Wish,
    ) -> impl Iterator<Item = (&'a Name, &'a Demand)> + use<'a> {
        wish.services.keys().filter_map(|name| Some((name, self.demands.get(&own(wish.id, name))?)))
    }

    /// When the `cron` is due next, for people.
    pub(super) fn next_run(&self, service: &ServiceWish) -> Option<Time> {
        let spec = service.spec.decode().ok()?;
        let cron = spec.kind.cron().filter(|_| service.run == RunState::Run)?;
        cron.schedule.next_after(&cron.zone, self.now.wall)
    }
}

fn left_out(service: &Name, at: Time, why: &str) -> Told {
    ("left out", format!("{service}, due at {at}: {why}"))
}

pub(super) fn change(wish: &mut Cow<'_, Wish>, service: &Name, change: impl FnOnce(&mut ServiceWish)) {
    if let Some(service) = wish.to_mut().services.get_mut(service) {
        change(service);
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
            job: holm_model::job::Job::default(),
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
        assert_eq!(turn(&cron, now, now, 0), Turn::Run);
        assert!(matches!(turn(&cron, now, now, 1), Turn::LeftOut(_)));
        assert!(matches!(turn(&cron, late, now, 0), Turn::LeftOut(_)));
        cron.missed = Missed::RunOnce;
        assert_eq!(turn(&cron, late, now, 0), Turn::Run);
        cron.overlap = Overlap::Allow;
        assert_eq!(turn(&cron, now, now, 1), Turn::Run);
        assert!(matches!(turn(&cron, now, now, MOST_AT_ONCE), Turn::LeftOut(_)));
        cron.overlap = Overlap::Replace;
        assert_eq!(turn(&cron, now, now, 1), Turn::Instead);
    }

    #[test]
    fn a_run_is_named_after_its_time() {
        let report = Name::new("report").unwrap();
        assert_eq!(run_name(&report, Time(1_795_366_800_000)).unwrap().as_str(), "report-20261122t1700z");
        assert_eq!(run_name(&report, Time(i64::MAX)), None);
    }

    #[test]
    fn a_restored_run_is_known_by_its_name() {
        let mut spec = ServiceSpec::new(Name::new("process").unwrap(), Vec::new());
        let run =
            |name: &str, spec: &ServiceSpec| run_of(&Name::new(name).unwrap(), &SpecBytes::encode(spec));
        assert_eq!(run("report-20261122t1700z", &spec), None, "no job");
        spec.kind = Kind::Job(holm_model::job::Job::default());
        let found = run("nightly-report-20261122t1700z", &spec).unwrap();
        assert_eq!((found.service.as_str(), found.at), ("nightly-report", Time(1_795_366_800_000)));
        for other in ["report", "report-20261322t1700z", "report-2026t1z", "report-20261122t17z"] {
            assert_eq!(run(other, &spec), None, "{other}");
        }
    }
}
