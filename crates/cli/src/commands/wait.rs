//! Waiting until an application is as it was wished, with what happens meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_client::Client;
use holm_model::state::ServiceState;
use holm_model::view::query::InstanceQuery;
use holm_model::view::verdict::{self, Verdict};
use holm_model::view::{ApplicationView, InstanceView};
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
        let verdict = Verdict::of(&application, wanted.generation);
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
        if !hopeless.is_empty() && !verdict::goes_back(&application) {
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
