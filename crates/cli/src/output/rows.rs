//! Which columns things have: machines and what runs on them. Those of people stand in [`access`].

mod access;

use std::collections::BTreeMap;
use std::fmt::Display;

use holm_model::member::{Role, Usage};
use holm_model::resources::{Cpu, Memory};
use holm_model::state::{MemberState, ServiceState};
use holm_model::time::Time;
use holm_model::view::held::HeldItem;
use holm_model::view::{
    ApplicationView, AuditView, ClusterView, EventView, InstanceView, MemberView, NodeView, ServiceView,
};

pub(crate) use self::access::{age_of, used_of};
use super::exposures::ready;
use super::notes::{Waiting, Why};
use super::table::{Column, Listed};
use super::time::{age, local};

type C<T> = Column<T>;

// === cells ===

fn place(cluster: Option<&str>, node: Option<&str>) -> String {
    [cluster, node].into_iter().flatten().collect::<Vec<_>>().join("/")
}

fn pairs<V: Display>(map: &BTreeMap<String, V>) -> String {
    map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// `free/total`, or the total where what is free is not known.
fn of(free: Option<&str>, total: &str) -> String {
    free.map_or_else(|| total.to_owned(), |free| format!("{free}/{total}"))
}

fn cpu(usage: Option<&Usage>) -> String {
    usage.map(|usage| Cpu(usage.cpu_millis).to_string()).unwrap_or_default()
}

/// In whole MiB, or KiB below one: exact bytes tell people nothing here.
fn memory(usage: Option<&Usage>) -> String {
    let whole = |bytes: u64| if bytes < 1 << 20 { bytes >> 10 << 10 } else { bytes >> 20 << 20 };
    usage.map(|usage| Memory(whole(usage.memory)).to_string()).unwrap_or_default()
}

fn heard(at: Option<Time>, now: Time) -> String {
    at.map(|at| age(at, now)).unwrap_or_default()
}

pub(crate) fn with_note(state: &str, note: bool, word: &str) -> String {
    if note { format!("{state}, {word}") } else { state.to_owned() }
}

/// The state of a member, and what else is to be known of it at a glance.
pub(crate) fn standing(state: MemberState, frozen: bool, unconfirmed: bool, leaving: bool) -> String {
    let word = if unconfirmed { "unconfirmed" } else { "frozen" };
    with_note(&with_note(state.word(), frozen || unconfirmed, word), leaving, "leaving")
}

/// A frozen member is called by what people have to decide about it.
const fn held_up(frozen: bool, unconfirmed: bool) -> Option<Why> {
    match (frozen, unconfirmed) {
        (_, true) => Some(Why::Unconfirmed),
        (true, false) => Some(Why::Frozen),
        (false, false) => None,
    }
}

/// Why none of a node's runtimes takes anything new, if that is so.
pub(crate) fn takes_nothing(node: &NodeView) -> Option<&str> {
    let mut reasons = node.facts.runtimes.iter().map(|runtime| runtime.unavailable.as_deref());
    let first = reasons.next()??;
    reasons.all(|reason| reason.is_some()).then_some(first)
}

fn waits(name: &str, why: Option<Why>) -> Vec<Waiting> {
    why.map(|why| Waiting { name: name.to_owned(), why }).into_iter().collect()
}

/// Frozen nodes of a cluster.
fn nodes_wait(cluster: &str, nodes: &[String]) -> Vec<Waiting> {
    nodes.iter().map(|node| Waiting { name: format!("{cluster}/{node}"), why: Why::Below }).collect()
}

// === impl Listed ===

impl Listed for InstanceView {
    const COLUMNS: &'static [Column<Self>] = &[
        C::wide("ID", |i, _| i.id.clone().unwrap_or_default()),
        C::wide("PROJECT", |i, _| i.project.clone()),
        C::new("APPLICATION", |i, _| i.application.clone()),
        C::known("OWNER", |i, _| i.owner.clone().unwrap_or_default()),
        C::new("SLOT", |i, _| i.slot.clone()),
        C::new("STATE", |i, _| with_note(&i.state, i.held, "held")),
        C::new("READY", |i, _| ready(i).to_owned()),
        C::new("NODE", |i, _| place(i.cluster.as_deref(), i.node.as_deref())),
        C::wide("RUNTIME", |i, _| i.runtime.clone()),
        C::wide("GENERATION", |i, _| i.generation.to_string()),
        C::new("RESTARTS", |i, _| i.restarts.to_string()),
        C::wide("PORTS", |i, _| pairs(&i.ports)),
        C::wide("CPU", |i, _| cpu(i.usage.as_ref())),
        C::wide("MEMORY", |i, _| memory(i.usage.as_ref())),
        C::new("AGE", |i, now| age(i.since, now)),
        C::new("REASON", |i, _| i.reason.clone()),
    ];

    fn names(&self) -> Vec<String> {
        let slot = format!("{}/{}", self.application, self.slot);
        self.id.iter().cloned().chain([slot, self.slot.clone(), self.application.clone()]).collect()
    }

    fn key(&self) -> String {
        format!("{}/{}/{} {}", self.project, self.application, self.slot, self.id.as_deref().unwrap_or(""))
    }
}

impl Listed for NodeView {
    fn waits(&self) -> Vec<Waiting> {
        match &self.cluster {
            Some(cluster) if self.frozen && !self.unconfirmed => {
                nodes_wait(cluster, std::slice::from_ref(&self.name))
            }
            _ => waits(&self.name, held_up(self.frozen, self.unconfirmed)),
        }
    }

    const COLUMNS: &'static [Column<Self>] = &[
        C::wide("ID", |n, _| n.id.clone()),
        C::new("NAME", |n, _| n.name.clone()),
        C::new("CLUSTER", |n, _| n.cluster.clone().unwrap_or_default()),
        C::new("STATE", |n, _| {
            with_note(
                &standing(n.state, n.frozen, n.unconfirmed, n.leaving),
                n.cordoned,
                held_off(n.draining.is_some()),
            )
        }),
        C::new("ARCH", |n, _| format!("{}/{}", n.os, n.arch)),
        C::new("CPU", |n, _| of(n.cpu_free.as_deref(), &n.cpu)),
        C::new("MEMORY", |n, _| of(n.memory_free.as_deref(), &n.memory)),
        C::new("INSTANCES", |n, _| n.instances.to_string()),
        C::new("RUNTIMES", |n, _| n.runtimes.join(",")),
        C::wide("LABELS", |n, _| pairs(&n.labels)),
        C::wide("CAPABILITIES", |n, _| n.capabilities.join(",")),
        C::wide("ADDRESSES", |n, _| n.facts.addresses.join(",")),
        C::wide("SYSTEM", |n, _| n.facts.os_version.clone()),
        C::wide("VERSION", |n, _| n.facts.version.clone()),
        C::known("HEARD", |n, now| heard(n.last_heard, now)),
        C::known("NOT READY", |n, _| takes_nothing(n).unwrap_or_default().to_owned()),
        C::known("REMARK", |n, _| remark(n)),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.id.clone(), self.name.clone()]
    }
}

impl Listed for ClusterView {
    fn waits(&self) -> Vec<Waiting> {
        let itself = waits(&self.name, held_up(self.frozen, self.unconfirmed));
        [itself, nodes_wait(&self.name, &self.frozen_nodes)].concat()
    }

    const COLUMNS: &'static [Column<Self>] = &[
        C::wide("ID", |c, _| c.id.clone()),
        C::new("NAME", |c, _| c.name.clone()),
        C::new("STATE", |c, _| {
            with_note(
                &standing(c.state, c.frozen, c.unconfirmed, c.leaving),
                c.cordoned,
                held_off(c.draining.is_some()),
            )
        }),
        C::new("NODES", |c, _| format!("{}/{}", c.online, c.nodes)),
        C::new("CPU", |c, _| of(Some(&c.cpu_free), &c.cpu)),
        C::new("MEMORY", |c, _| of(Some(&c.memory_free), &c.memory)),
        C::new("INSTANCES", |c, _| c.instances.to_string()),
        C::new("HEARD", |c, now| heard(c.last_heard, now)),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.id.clone(), self.name.clone()]
    }
}

impl Listed for ApplicationView {
    fn waits(&self) -> Vec<Waiting> {
        waits(&format!("{}/{}", self.project, self.name), self.unconfirmed.then_some(Why::Restored))
    }

    const COLUMNS: &'static [Column<Self>] = &[
        C::wide("ID", |a, _| a.id.clone()),
        C::new("PROJECT", |a, _| a.project.clone()),
        C::new("NAME", |a, _| a.name.clone()),
        C::new("STATE", |a, _| with_note(a.state.word(), a.unconfirmed, "unconfirmed")),
        C::new("RUNNING", |a, _| running(&a.services)),
        C::known("FAILED", |a, _| failed(&a.services)),
        C::new("SERVICES", |a, _| a.services.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(",")),
        C::wide("GENERATION", |a, _| a.generation.to_string()),
        C::wide("CHANGED", |a, now| age(a.changed, now)),
        C::new("AGE", |a, now| age(a.created, now)),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.id.clone(), self.name.clone()]
    }
}

/// How many run of those that should; jobs that are done are told apart.
fn running(services: &[ServiceView]) -> String {
    let (done, others): (Vec<&ServiceView>, Vec<_>) =
        services.iter().partition(|service| service.state == ServiceState::Completed);
    let running: u32 = others.iter().map(|service| service.running).sum();
    let slots: u32 = others.iter().map(|service| service.slots).sum();
    match done.iter().map(|service| service.slots).sum::<u32>() {
        // Only what runs by the clock, and did not run yet.
        0 if others.is_empty() && services.iter().any(|service| service.next.is_some()) => "-".to_owned(),
        0 => format!("{running}/{slots}"),
        done if slots == 0 => format!("{done} done"),
        done => format!("{running}/{slots}, {done} done"),
    }
}

/// By name, those for which its state is an error.
fn failed(services: &[ServiceView]) -> String {
    let failed = services.iter().filter(|service| service.state == ServiceState::Error);
    failed.map(|service| service.name.as_str()).collect::<Vec<_>>().join(",")
}

impl Listed for MemberView {
    fn waits(&self) -> Vec<Waiting> {
        let itself = waits(&self.name, held_up(self.frozen, self.unconfirmed));
        [itself, nodes_wait(&self.name, &self.frozen_nodes)].concat()
    }

    const COLUMNS: &'static [Column<Self>] = &[
        C::new("NAME", |m, _| m.name.clone()),
        C::new("ROLE", |m, _| {
            match m.role {
                Role::Node => "node",
                Role::Cluster => "cluster",
            }
            .to_owned()
        }),
        C::new("STATE", |m, _| {
            with_note(&standing(m.state, m.frozen, m.unconfirmed, m.leaving), m.revoked, "revoked")
        }),
        C::known("NOTE", |m, _| {
            let below = !m.frozen_nodes.is_empty();
            let notes =
                [(m.frozen, "adopt or discard"), (m.unconfirmed, "adopt or remove"), (below, "frozen nodes")];
            notes.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
        }),
        C::new("ID", |m, _| m.id.clone()),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.id.clone(), self.name.clone()]
    }
}

impl Listed for HeldItem {
    const COLUMNS: &'static [Column<Self>] = &[
        C::wide("ID", |h, _| h.id.clone()),
        C::wide("PROJECT", |h, _| h.project.clone()),
        C::new("APPLICATION", |h, _| h.application.clone()),
        C::new("SLOT", |h, _| h.slot.clone()),
        C::new("HELD THERE", |h, _| generation(h.generation)),
        C::new("KNOWN HERE", |h, _| generation(h.known)),
        C::new("ADOPT", |h, _| h.adopt.to_string()),
        C::new("DISCARD", |h, _| h.discard.to_string()),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.id.clone()]
    }
}

fn generation(generation: Option<u64>) -> String {
    generation.map(|number| format!("generation {number}")).unwrap_or_default()
}

impl Listed for AuditView {
    const COLUMNS: &'static [Column<Self>] = &[
        C::new("TIME", |a, _| local(a.at)),
        C::new("WHO", |a, _| a.who.clone()),
        C::wide("FROM", |a, _| a.from.clone()),
        C::new("VERB", |a, _| a.verb.clone()),
        C::new("SUBJECT", |a, _| a.subject.clone()),
        C::new("OUTCOME", |a, _| a.outcome.clone()),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.sequence.to_string(), self.who.clone(), self.verb.clone(), self.subject.clone()]
    }
}

impl Listed for EventView {
    const COLUMNS: &'static [Column<Self>] = &[
        C::new("TIME", |e, _| local(e.at)),
        C::new("KIND", |e, _| e.kind.clone()),
        C::new("APPLICATION", |e, _| e.application.clone()),
        C::new("SUBJECT", |e, _| subject(e)),
        C::new("CHANGE", |e, _| change(e)),
        C::wide("CAUSE", |e, _| e.cause.clone()),
        C::new("REASON", |e, _| e.reason.clone()),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.cursor.to_string()]
    }
}

/// What it has to do with a cluster that is silent.
pub(crate) fn remark(node: &NodeView) -> String {
    match &node.guest_of {
        Some(node) => format!("is {node}, whose cluster is silent"),
        None if node.by_itself => "speaks for itself: its cluster is silent".to_owned(),
        None => String::new(),
    }
}

/// Of a member that takes nothing new.
const fn held_off(draining: bool) -> &'static str {
    if draining { "draining" } else { "cordoned" }
}

/// What an event is about: an instance has a name for people beside its id.
pub(crate) fn subject(event: &EventView) -> String {
    let EventView { subject, slot, application, .. } = event;
    match slot.as_str() {
        // Its application stands beside it.
        "" if subject == application => String::new(),
        "" => subject.clone(),
        slot if subject == application => slot.to_owned(),
        slot => format!("{slot} ({subject})"),
    }
}

/// `STARTING → RUNNING`.
pub(crate) fn change(event: &EventView) -> String {
    match (event.from.as_str(), event.to.as_str()) {
        ("", to) => to.to_owned(),
        (from, "") => format!("{from} → gone"),
        (from, to) => format!("{from} → {to}"),
    }
}

#[cfg(test)]
mod tests {
    use holm_model::state::RunState;

    use super::*;

    #[test]
    fn little_memory_is_not_none() {
        let shown = |memory| super::memory(Some(&Usage { cpu_millis: 0, memory }));
        assert_eq!(shown(300 << 10), "300Ki");
        assert_eq!(shown((5 << 20) + 17), "5Mi");
        assert_eq!(shown(0), "0");
    }

    #[test]
    fn jobs_that_are_done_are_not_missing_and_what_failed_has_a_name() {
        let service = |name: &str, state, running, slots: u32| ServiceView {
            name: name.to_owned(),
            state,
            runtime: "process".to_owned(),
            replicas: slots.to_string(),
            running,
            slots,
            run: RunState::Run,
            generation: 1,
            next: None,
            run_of: None,
            spec: serde_json::Value::Null,
        };
        let done = service("import", ServiceState::Completed, 0, 5);
        let web = service("web", ServiceState::Running, 2, 2);
        let lost = service("export", ServiceState::Error, 0, 1);
        let cells = |services: &[ServiceView]| (running(services), failed(services));
        assert_eq!(
            cells(&[done.clone(), web.clone(), lost]),
            ("2/3, 5 done".to_owned(), "export".to_owned())
        );
        assert_eq!(cells(&[done]), ("5 done".to_owned(), String::new()));
        assert_eq!(cells(&[web]), ("2/2".to_owned(), String::new()));
        let nightly =
            ServiceView { next: Some(Time(0)), ..service("nightly", ServiceState::Completed, 0, 0) };
        assert_eq!(cells(&[nightly]), ("-".to_owned(), String::new()));
    }
}
