//! Which columns things have.

use std::collections::BTreeMap;
use std::fmt::Display;

use holm_model::member::{Role, Usage};
use holm_model::resources::{Cpu, Memory};
use holm_model::time::Time;
use holm_model::view::{
    ApplicationView, AuditView, ClusterView, EventView, InstanceView, MemberView, NodeView, TokenRole,
    TokenView,
};

use super::table::{Column, Listed};
use super::time::{age, left, local};

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

/// What a frozen member is, and what to do about it.
pub(crate) fn frozen(name: &str) -> String {
    format!(
        "{name} is frozen: it obeyed a newer store than the one here, so it runs on and takes nothing new.\n  \
         `holm adopt {name}`    what it runs is right: the store learns it\n  \
         `holm discard {name}`  the store is right: what it does not know is ended there"
    )
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
    fn note(&self) -> Option<String> {
        self.frozen.then(|| frozen(&self.name))
    }

    const COLUMNS: &'static [Column<Self>] = &[
        C::wide("ID", |n, _| n.id.clone()),
        C::new("NAME", |n, _| n.name.clone()),
        C::new("CLUSTER", |n, _| n.cluster.clone().unwrap_or_default()),
        C::new("STATE", |n, _| with_note(n.state.word(), n.frozen, "frozen")),
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
    ];

    fn names(&self) -> Vec<String> {
        vec![self.id.clone(), self.name.clone()]
    }
}

impl Listed for ClusterView {
    fn note(&self) -> Option<String> {
        self.frozen.then(|| frozen(&self.name))
    }

    const COLUMNS: &'static [Column<Self>] = &[
        C::wide("ID", |c, _| c.id.clone()),
        C::new("NAME", |c, _| c.name.clone()),
        C::new("STATE", |c, _| with_note(c.state.word(), c.frozen, "frozen")),
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
    const COLUMNS: &'static [Column<Self>] = &[
        C::wide("ID", |a, _| a.id.clone()),
        C::new("PROJECT", |a, _| a.project.clone()),
        C::new("NAME", |a, _| a.name.clone()),
        C::new("STATE", |a, _| with_note(a.state.word(), a.unconfirmed, "unconfirmed")),
        C::new("RUNNING", |a, _| {
            let (running, slots) =
                a.services.iter().fold((0, 0), |(r, s), one| (r + one.running, s + one.slots));
            format!("{running}/{slots}")
        }),
        C::new("SERVICES", |a, _| a.services.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(",")),
        C::wide("GENERATION", |a, _| a.generation.to_string()),
        C::wide("CHANGED", |a, now| age(a.changed, now)),
        C::new("AGE", |a, now| age(a.created, now)),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.id.clone(), self.name.clone()]
    }
}

impl Listed for MemberView {
    fn note(&self) -> Option<String> {
        (self.frozen || self.unconfirmed).then(|| frozen(&self.name))
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
        C::new("STATE", |m, _| m.state.word().to_owned()),
        C::known("NOTE", |m, _| {
            let notes = [(m.frozen, "frozen: adopt or discard"), (m.unconfirmed, "unconfirmed")];
            notes.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
        }),
        C::new("ID", |m, _| m.id.clone()),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.id.clone(), self.name.clone()]
    }
}

impl Listed for TokenView {
    const COLUMNS: &'static [Column<Self>] = &[
        C::new("ID", |t, _| t.id.clone()),
        C::new("ROLE", |t, _| role(t.role).to_owned()),
        C::new("STATE", |t, now| {
            match (t.revoked, t.expires <= now, t.uses_left) {
                (true, ..) => "revoked",
                (false, true, _) => "expired",
                (false, false, Some(0)) => "used up",
                (false, false, _) => "valid",
            }
            .to_owned()
        }),
        C::new("EXPIRES IN", |t, now| left(t.expires, now)),
        C::new("USES LEFT", |t, _| t.uses_left.map_or_else(|| "any".to_owned(), |uses| uses.to_string())),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.id.clone()]
    }
}

/// As `--role` takes it.
pub(crate) const fn role(role: TokenRole) -> &'static str {
    match role {
        TokenRole::Node => "node",
        TokenRole::Cluster => "cluster",
        TokenRole::Admin => "admin",
    }
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

/// What an event is about: an instance has a name for people beside its id.
pub(crate) fn subject(event: &EventView) -> String {
    let EventView { subject, slot, application, .. } = event;
    match slot.as_str() {
        // Its application stands beside it.
        "" if subject == application => String::new(),
        "" => subject.clone(),
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
    use super::*;

    #[test]
    fn little_memory_is_not_none() {
        let shown = |memory| super::memory(Some(&Usage { cpu_millis: 0, memory }));
        assert_eq!(shown(300 << 10), "300Ki");
        assert_eq!(shown((5 << 20) + 17), "5Mi");
        assert_eq!(shown(0), "0");
    }
}
