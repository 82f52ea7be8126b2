//! Waiting until an application is as it was wished, with what happens meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_client::Client;
use holm_model::state::{RunState, ServiceState};
use holm_model::view::generation::GenerationOutcome;
use holm_model::view::query::InstanceQuery;
use holm_model::view::{ApplicationView, InstanceView, ServiceView};
use tokio::time::Instant;

use super::pulse::Pulse;
use super::slots;
use super::steady::{Crashes, Steady};
use crate::failure::Failure;
use crate::output::live::Live;
use crate::output::time::now;
use crate::output::{clean, stdout_ink, table};

/// Which application, and which version of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) project: &'a str,
    pub(crate) name: &'a str,
    pub(crate) generation: u64,
}

/// What a look at an application tells. Pure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is as it was wished.
    Reached,
    /// Its canary is, and waits for a person.
    Canary,
    Wait,
    Failed,
    /// Its rollout has failed and goes no further: why.
    Halted(String),
    /// People told it to rest: nothing of it runs.
    Rests,
    /// It has failed, and something older took its place: what, and why.
    TakenBack(String),
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Until it is as wished.
    pub(crate) limit: Duration,
    /// How long it must stay so without a restart: a program that ends at once was RUNNING, too.
    pub(crate) stable: Duration,
}

/// What was printed of each instance of a slot, so that only changes are: a slot has two while one replaces the other.
#[derive(Debug, Default)]
pub(crate) struct Seen(BTreeMap<(String, Option<String>), String>);

// === impl Seen ===

impl Seen {
    /// What is new of each slot since the last call; slots with the same reason share a line.
    pub(crate) fn changes(&mut self, instances: &[InstanceView]) -> Vec<String> {
        let (mut lines, mut with_reason) = (Vec::new(), Vec::new());
        let mut there = BTreeSet::new();
        for instance in instances {
            let text = line(instance);
            let slot = format!("{}/{}", instance.application, instance.slot);
            let key = (slot.clone(), instance.id.clone());
            there.insert(key.clone());
            if self.0.get(&key) == Some(&text) {
                continue;
            }
            let told = (slot, text.clone());
            if instance.reason.is_empty() {
                lines.extend(slots::grouped([told]));
            } else {
                with_reason.push(told);
            }
            self.0.insert(key, text);
        }
        self.0.retain(|key, _| there.contains(key));
        lines.extend(slots::grouped(with_reason));
        lines
    }
}

fn line(instance: &InstanceView) -> String {
    let place: Vec<_> =
        [&instance.cluster, &instance.node].into_iter().flatten().map(String::as_str).collect();
    let at = if place.is_empty() { String::new() } else { format!(" on {}", place.join("/")) };
    let reason =
        if instance.reason.is_empty() { String::new() } else { format!(": {}", clean(&instance.reason)) };
    format!("{}{at}{reason}", instance.state)
}

/// Returns when the application runs as wished; shows what happens meanwhile, unless it was `seen`.
pub(crate) async fn until_running(
    client: &Client,
    wanted: Wanted<'_>,
    patience: Patience,
    seen: &mut Seen,
) -> Result<(), Failure> {
    let mut live = Live::new();
    let show = |instances: &[InstanceView]| {
        if live.is_terminal() {
            live.draw(&table::render(instances, false, now(), stdout_ink()));
            return Ok(());
        }
        seen.changes(instances).iter().try_for_each(|line| live.note(line))
    };
    let state = reach(client, wanted, patience, show).await?;
    live.clear();
    live.note(&format!("{} is {state}", wanted.name))?;
    let rollout = client.application(wanted.project, wanted.name).await?.rollout;
    let canaries = rollout.map(|rollout| rollout.canaries).unwrap_or_default();
    if canaries.is_empty() {
        return Ok(());
    }
    let name = wanted.name;
    live.note(&format!(
        "the canary of {} runs well: `holm promote {name}` goes on, `holm rollback {name}` takes it back",
        canaries.join(", ")
    ))
}

/// As [`until_running`], for programs.
pub(crate) async fn until_running_quietly(
    client: &Client,
    wanted: Wanted<'_>,
    patience: Patience,
) -> Result<(), Failure> {
    reach(client, wanted, patience, |_| Ok(())).await.map(drop)
}

/// How long what has failed for good on its node may take to be tried on another one.
const ELSEWHERE: Duration = Duration::from_secs(1);

async fn reach(
    client: &Client,
    wanted: Wanted<'_>,
    Patience { limit, stable }: Patience,
    mut show: impl FnMut(&[InstanceView]) -> Result<(), Failure>,
) -> Result<ServiceState, Failure> {
    let deadline = Instant::now() + limit;
    let mut pulse = Pulse::open(client).await?;
    let (mut steady, mut crashes) = (Steady::new(stable), Crashes::default());
    let mut failing = None;
    loop {
        let application = client.application(wanted.project, wanted.name).await?;
        let instances = instances(client, wanted).await?;
        show(&instances)?;
        let verdict = verdict(&application, wanted.generation);
        let fails = matches!(verdict, Verdict::Failed).then(Instant::now);
        failing = fails.map(|now| failing.unwrap_or(now));
        let until = match verdict {
            Verdict::TakenBack(why) => return Err(taken_back(wanted, &why)),
            Verdict::Canary => return Ok(application.state),
            Verdict::Failed => match failing.map(|since| since + ELSEWHERE) {
                Some(end) if end > Instant::now() => end.min(deadline),
                _ => return Err(failed(wanted, &open_ends(&instances))),
            },
            Verdict::Halted(why) => return Err(halted(wanted, &why)),
            Verdict::Rests => return Err(rests(wanted, &application)),
            Verdict::Wait => {
                steady.broken();
                deadline
            }
            Verdict::Reached => match steady.held(&instances, Instant::now()) {
                None => return Ok(application.state),
                // What holds at the deadline may hold to its end.
                Some(end) => end,
            },
        };
        let hopeless = crashes.again_and_again(&instances) + &Crashes::given_up(&instances);
        if !hopeless.is_empty() && !goes_back(&application) {
            return Err(failed(wanted, &hopeless));
        }
        match tokio::time::timeout_at(until, pulse.beat()).await {
            Ok(beat) => crashes.hear(beat?),
            Err(_) if until == deadline => return Err(late(wanted, &application, &instances, limit)),
            Err(_) => {}
        }
    }
}

pub(crate) async fn instances(client: &Client, wanted: Wanted<'_>) -> Result<Vec<InstanceView>, Failure> {
    let query = InstanceQuery {
        project: Some(wanted.project.to_owned()),
        application: Some(wanted.name.to_owned()),
        ..InstanceQuery::default()
    };
    Ok(client.instances(&query).await?)
}

pub(crate) fn verdict(application: &ApplicationView, generation: u64) -> Verdict {
    use ServiceState as S;
    if application.generation < generation {
        return Verdict::Wait;
    }
    if let Some(rollout) = &application.rollout {
        if rollout.took_back.is_some_and(|failed| failed >= generation) {
            return Verdict::TakenBack(rollout.reason.clone());
        }
        if !rollout.canaries.is_empty() {
            return Verdict::Canary;
        }
    }
    match application.state {
        S::Paused | S::Stopped if application.services.iter().any(|service| service.run != RunState::Run) => {
            Verdict::Rests
        }
        S::Running | S::Completed | S::Paused | S::Stopped => Verdict::Reached,
        // A run before this generation failed: the next one is another matter.
        S::Error if only_runs_failed(application) => {
            why_halted(application).map_or(Verdict::Reached, Verdict::Halted)
        }
        // Who goes back by itself is waited for: what becomes of it says more.
        S::Error if !goes_back(application) => Verdict::Failed,
        _ => why_halted(application).map_or(Verdict::Wait, Verdict::Halted),
    }
}

/// All is as it was wished, but for crons whose last run has failed, and their runs.
fn only_runs_failed(application: &ApplicationView) -> bool {
    use ServiceState as S;
    let is_cron = |service: &ServiceView| service.next.is_some() || !service.spec["kind"]["cron"].is_null();
    let (crons, rest): (Vec<_>, Vec<_>) =
        application.services.iter().partition(|service| is_cron(service) || service.run_of.is_some());
    let fine =
        |service: &&ServiceView| matches!(service.state, S::Running | S::Completed | S::Paused | S::Stopped);
    !crons.is_empty() && rest.iter().all(fine)
}

/// Why the newest generation goes no further, if it has failed and nothing takes its place.
fn why_halted(application: &ApplicationView) -> Option<String> {
    let rollout = application.rollout.as_ref()?;
    let failed = rollout.outcome == GenerationOutcome::Failed && !rollout.rolls_back;
    failed.then(|| rollout.reason.clone())
}

/// If it fails, its owner goes back to what ran before.
fn goes_back(application: &ApplicationView) -> bool {
    application.rollout.as_ref().is_some_and(|rollout| rollout.rolls_back)
}

fn rests(wanted: Wanted<'_>, application: &ApplicationView) -> Failure {
    let name = wanted.name;
    let way = if application.state == ServiceState::Paused { "resume" } else { "start" };
    Failure::new(format!("{name} does not run: it is {}, as somebody told it to be", application.state))
        .hint(format!("what was applied holds when it runs again: `holm {way} {name}`"))
}

/// `why`: lines about slots.
fn failed(wanted: Wanted<'_>, why: &str) -> Failure {
    Failure::new(format!("{} has failed{why}", wanted.name))
        .hint(format!("`holm logs {}` shows what its instances said", wanted.name))
}

fn halted(wanted: Wanted<'_>, why: &str) -> Failure {
    let name = wanted.name;
    Failure::new(format!("the rollout of {name} has failed and goes no further: {why}")).hint(format!(
        "`holm history {name}` shows what failed, `holm rollback {name}` goes back to what ran before"
    ))
}

fn taken_back(wanted: Wanted<'_>, why: &str) -> Failure {
    let Wanted { name, generation, .. } = wanted;
    Failure::new(format!(
        "generation {generation} of {name} has failed, and what ran before takes its place: {why}"
    ))
    .hint(format!("`holm history {name}` shows both, `holm diff {name}` what differs"))
}

fn late(
    wanted: Wanted<'_>,
    application: &ApplicationView,
    instances: &[InstanceView],
    limit: Duration,
) -> Failure {
    let limit = holm_model::duration::Span(limit);
    Failure::new(format!(
        "{} is still {} after {limit}{}",
        wanted.name,
        application.state,
        open_ends(instances)
    ))
    .hint("it goes on without you: `holm get instances -w` watches it")
}

/// Each slot that does not run, and why.
fn open_ends(instances: &[InstanceView]) -> String {
    let done = ["RUNNING", "COMPLETED"];
    let open = instances.iter().filter(|instance| !done.contains(&instance.state.as_str()));
    slots::below(open.map(|instance| (instance.slot.clone(), line(instance))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::instance;
    use holm_model::time::Time;
    use holm_model::view::generation::RolloutView;

    fn application(state: ServiceState, generation: u64) -> ApplicationView {
        ApplicationView {
            id: "1-aa-1".to_owned(),
            project: "default".to_owned(),
            name: "shop".to_owned(),
            state,
            generation,
            unconfirmed: false,
            created: Time(0),
            changed: Time(0),
            rollout: None,
            services: Vec::new(),
        }
    }

    #[test]
    fn an_older_generation_that_runs_is_not_what_was_wished() {
        assert_eq!(verdict(&application(ServiceState::Running, 1), 2), Verdict::Wait);
        assert_eq!(verdict(&application(ServiceState::Running, 2), 2), Verdict::Reached);
        assert_eq!(verdict(&application(ServiceState::Updating, 2), 2), Verdict::Wait);
        assert_eq!(verdict(&application(ServiceState::Error, 2), 2), Verdict::Failed);
    }

    #[test]
    fn a_rollout_that_halted_has_failed_though_the_rest_runs() {
        let mut application = application(ServiceState::Updating, 2);
        let rollout = |outcome| RolloutView {
            generation: 2,
            outcome,
            reason: "web/0: exit code 3".to_owned(),
            took_back: None,
            canaries: Vec::new(),
            rolls_back: false,
        };
        application.rollout = Some(rollout(GenerationOutcome::Underway));
        assert_eq!(verdict(&application, 2), Verdict::Wait);
        application.rollout = Some(rollout(GenerationOutcome::Failed));
        assert_eq!(verdict(&application, 2), Verdict::Halted("web/0: exit code 3".to_owned()));
        assert_eq!(verdict(&application, 3), Verdict::Wait, "the next is not there yet");
    }

    #[test]
    fn what_rests_as_people_wish_does_not_run() {
        for (state, run, expected) in [
            (ServiceState::Stopped, RunState::Stop, Verdict::Rests),
            (ServiceState::Paused, RunState::Pause, Verdict::Rests),
            (ServiceState::Stopping, RunState::Stop, Verdict::Wait),
            // A part rests, and the rest runs; or there are no replicas.
            (ServiceState::Running, RunState::Stop, Verdict::Reached),
            (ServiceState::Stopped, RunState::Run, Verdict::Reached),
            (ServiceState::Completed, RunState::Run, Verdict::Reached),
        ] {
            let service = serde_json::json!({
                "name": "web", "state": state, "runtime": "process", "replicas": "1", "running": 0, "slots": 1,
                "run": run, "generation": 1, "spec": {},
            });
            let mut application = application(state, 1);
            application.services = vec![serde_json::from_value(service).unwrap()];
            assert_eq!(verdict(&application, 1), expected, "{state} {run:?}");
        }
    }

    #[test]
    fn a_cron_whose_last_run_failed_holds_up_no_change() {
        let service = |name: &str, state, extra: serde_json::Value| {
            let mut view = serde_json::json!({
                "name": name, "state": state, "runtime": "process", "replicas": "1", "running": 0, "slots": 1,
                "run": RunState::Run, "generation": 2, "spec": {},
            });
            view.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            serde_json::from_value(view).unwrap()
        };
        let mut application = application(ServiceState::Error, 2);
        let cron =
            || service("report", ServiceState::Error, serde_json::json!({"next": "2027-01-01T03:00:00Z"}));
        let run = || service("report-7", ServiceState::Error, serde_json::json!({"run_of": "report"}));
        let web = |state| service("web", state, serde_json::json!({}));
        application.services = vec![cron(), run(), web(ServiceState::Running)];
        assert_eq!(verdict(&application, 2), Verdict::Reached);
        application.services = vec![cron()];
        assert_eq!(verdict(&application, 2), Verdict::Reached);
        application.services = vec![cron(), run(), web(ServiceState::Error)];
        assert_eq!(verdict(&application, 2), Verdict::Failed);
        application.services = vec![web(ServiceState::Error)];
        assert_eq!(verdict(&application, 2), Verdict::Failed);
    }

    #[test]
    fn what_was_taken_back_has_failed_though_something_runs() {
        let mut application = application(ServiceState::Running, 3);
        application.rollout = Some(RolloutView {
            generation: 3,
            outcome: GenerationOutcome::Underway,
            reason: "web/0: exit code 1".to_owned(),
            took_back: Some(2),
            canaries: Vec::new(),
            rolls_back: false,
        });
        assert_eq!(verdict(&application, 2), Verdict::TakenBack("web/0: exit code 1".to_owned()));
        assert_eq!(verdict(&application, 3), Verdict::Reached);
    }

    #[test]
    fn only_changes_are_told() {
        let mut seen = Seen::default();
        let mut one = instance("1-aa-1", "web/0");
        assert_eq!(seen.changes(&[one.clone()]), ["building/web/0  RUNNING on vienna/fl-1"]);
        assert!(seen.changes(&[one.clone()]).is_empty());
        let mut next = instance("1-aa-2", "web/0");
        next.state = "STARTING".to_owned();
        assert_eq!(seen.changes(&[one.clone(), next.clone()]), ["building/web/0  STARTING on vienna/fl-1"]);
        assert!(seen.changes(&[one.clone(), next]).is_empty(), "old and new copy do not take turns");
        one.state = "FAILED".to_owned();
        one.reason = "exit code 1".to_owned();
        assert_eq!(seen.changes(&[one.clone()]), ["building/web/0  FAILED on vienna/fl-1: exit code 1"]);
        (one.state, one.cluster, one.node) = ("REQUESTED".to_owned(), None, None);
        one.reason = "no place: fl-1: 64MiB free, 128MiB asked".to_owned();
        let waiting: Vec<_> =
            (0..4).map(|i| InstanceView { slot: format!("web/{i}"), ..one.clone() }).collect();
        let told =
            "building/web/0, building/web/1 and 2 more  REQUESTED: no place: fl-1: 64MiB free, 128MiB asked";
        assert_eq!(seen.changes(&waiting), [told], "one long reason is told once");
        assert_eq!(open_ends(&waiting), format!("\n  {}", told.replace("building/", "")));
    }
}
