//! Loading, stepping, undoing, asking.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_model::content::ContentKey;
use holm_model::id::{AssignmentId, MemberId, Uid};
use holm_model::item::{Endpoints, EndpointsKey, Item, ItemKey};
use holm_model::member::{NodeFacts, Usage};
use holm_model::message::Up;
use holm_model::name::Name;
use holm_model::record::Table;
use holm_model::service::ServiceSpec;
use holm_model::slot::ServiceKey;
use holm_model::time::Now;

use super::deadlines::Deadlines;
use super::decide::Doing;
use super::event::{NodeEffect, NodeEvent, Survivor};
use super::health::Checkups;
use super::lease::Leases;
use super::pressure::{DiskLimits, Pressure};
use super::record::InstanceRecord;
use super::wanted::Wanted;
use super::wiping::Wiping;
use super::withdrawn::Withdrawn;
use crate::held::Held;
use crate::report::Reporter;
use crate::revocation::{Void, told};
use crate::table::{Journal, LoadError, Rows, Snapshot};

/// What does not change while the agent runs.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub name: Name,
    /// The program's version.
    pub version: String,
    /// Changes when the machine was started anew: tells a crash of a process from a reboot.
    pub boot_id: String,
    pub disk: DiskLimits,
}

/// See the [module](super).
#[derive(Debug)]
pub struct NodeMachine {
    pub(super) config: NodeConfig,
    pub(super) held: Held,
    pub(super) records: Rows<AssignmentId, InstanceRecord>,
    pub(super) journal: Journal,
    pub(super) reporter: Reporter,
    pub(super) effects: Vec<NodeEffect>,
    /// The assignments of `held`.
    pub(super) wanted: BTreeMap<AssignmentId, Wanted>,
    /// Secrets and files of `held`, by the setting.
    pub(super) stamps: BTreeMap<ContentKey, Uid>,
    pub(super) lives: BTreeMap<AssignmentId, Life>,
    /// Survivors without a record.
    pub(super) strays: BTreeMap<AssignmentId, Stray>,
    /// Runtimes that could not tell what they have.
    pub(super) silent: BTreeSet<Name>,
    pub(super) asking: Asking,
    /// Survivors were heard; before that nothing may be launched.
    pub(super) ready: bool,
    pub(super) linked: bool,
    /// Our id, once the orchestrator told it.
    pub(super) member: Option<MemberId>,
    pub(super) facts: Option<NodeFacts>,
    pub(super) usage: Usage,
    pub(super) leases: Leases,
    pub(super) deadlines: Deadlines,
    pub(super) wiping: Wiping,
    /// Why the disk takes no writes, if it does not.
    pub(super) trouble: Option<String>,
    pub(super) withdrawn: Withdrawn,
    pub(super) pressure: Pressure,
    /// Instances that wait for the end of a copy before them.
    pub(super) queued: BTreeSet<AssignmentId>,
    /// Instances to look at before the step ends.
    pub(super) touched: BTreeSet<AssignmentId>,
}

/// Whether those are asked again that were silent and are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asking {
    #[default]
    No,
    /// At this boot time.
    At(Duration),
    /// They were, and have not answered: they are not asked twice at once.
    Awaited,
}

/// What is known of an instance for as long as the agent runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    pub(super) doing: Doing,
    /// Of what executes; events of another one are late and say nothing.
    pub(super) incarnation: u32,
    /// Boot time since when it runs.
    pub(super) up_since: Option<Duration>,
    /// Boot time before which nothing is tried again.
    pub(super) wait: Option<Duration>,
    pub(super) usage: Option<Usage>,
    /// In thousandths.
    pub(super) metric: Option<u64>,
    /// Bytes of the first copy of its volumes, while it fetches them.
    pub(super) copied: Option<u64>,
    pub(super) checkups: Checkups,
    /// How it ended before it is launched again; empty when nobody knows any more.
    pub(super) ended: String,
    /// Its health check has failed, why; it is ended, and then the restart policy decides.
    pub(super) unhealthy: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Stray {
    pub(super) survivor: Survivor,
    /// It was asked to halt or to be removed.
    pub(super) asked: bool,
    pub(super) wait: Option<Duration>,
}

// === impl NodeMachine ===

impl NodeMachine {
    /// Takes its rows out of `snapshot`. Feed [`NodeEvent::Facts`] and [`NodeEvent::Survivors`] next.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn load(snapshot: &mut Snapshot, config: NodeConfig) -> Result<Self, LoadError> {
        let mut machine = Self {
            config,
            held: Held::load(snapshot)?,
            records: Rows::load(Table::Instance, snapshot)?,
            journal: Journal::default(),
            reporter: Reporter::default(),
            effects: Vec::new(),
            wanted: BTreeMap::new(),
            stamps: BTreeMap::new(),
            lives: BTreeMap::new(),
            strays: BTreeMap::new(),
            silent: BTreeSet::new(),
            asking: Asking::default(),
            ready: false,
            linked: false,
            member: None,
            facts: None,
            usage: Usage::default(),
            leases: Leases::default(),
            deadlines: Deadlines::default(),
            wiping: Wiping::default(),
            trouble: None,
            withdrawn: Withdrawn::default(),
            pressure: Pressure::default(),
            queued: BTreeSet::new(),
            touched: BTreeSet::new(),
        };
        machine.derive();
        Ok(machine)
    }

    /// What follows from the rows.
    fn derive(&mut self) {
        self.wanted = self.held.items().filter_map(Wanted::of).collect();
        self.wanted.retain(|id, _| !self.withdrawn.contains(*id));
        self.derive_stamps();
        self.report_all();
    }

    /// Commit [`NodeMachine::journal_mut`] afterwards, then carry out [`NodeMachine::take_effects`]; or
    /// [`NodeMachine::undo`]. Several steps may share one commit.
    pub fn step(&mut self, now: Now, event: NodeEvent) {
        match event {
            NodeEvent::LinkUp => self.link_up(now),
            NodeEvent::LinkDown => self.link_down(),
            NodeEvent::Received(down) => self.received(down, now),
            NodeEvent::Resettled => self.held.resettle(&mut self.journal),
            NodeEvent::Survivors { found, silent } => self.survivors(found, silent, now),
            NodeEvent::SilentTold { asked, found, silent } => self.silent_told(&asked, found, silent, now),
            NodeEvent::Runtime { id, incarnation, event } => self.runtime(id, incarnation, event, now),
            NodeEvent::Probed { id, incarnation, kind, probed } => {
                self.probed(id, incarnation, kind, probed, now);
            }
            NodeEvent::Restart { id } => self.restart(id),
            NodeEvent::Facts(facts) => {
                self.facts = Some(*facts);
                self.report_node();
                self.ask_the_silent();
                self.doubt(now);
                self.touch_all();
            }
            NodeEvent::NodeUsage(usage) => {
                self.usage = usage;
                self.report_node();
            }
            NodeEvent::DiskSpace(space) => self.disk_space(space, now),
            NodeEvent::Cleaned { images } => self.cleaned(&images, now),
            NodeEvent::Disk { trouble } => self.disk(trouble),
            NodeEvent::Wiped(report) => self.wiped(report),
            NodeEvent::Withdrawn(ids) => self.withdrawn_before(ids),
            NodeEvent::Tick => {}
        }
        if self.asking.at().is_some_and(|at| at <= now.boot) {
            self.ask_the_silent();
        }
        self.touch_due(now);
        if self.ready {
            for id in std::mem::take(&mut self.touched) {
                self.reconcile(id, now);
                self.report(id);
            }
            for id in self.queued.clone() {
                self.reconcile(id, now);
                self.report(id);
            }
        }
        self.ask_for_leases(now);
        self.wipe_when_empty();
        let facts = self.reporter.take(self.held.revision());
        self.effects.extend(facts.into_iter().map(NodeEffect::Send));
    }

    fn disk(&mut self, trouble: Option<String>) {
        if self.trouble.is_some() && trouble.is_none() && self.linked {
            // What was said meanwhile was not obeyed; it is said again to a new session.
            self.effects.push(NodeEffect::Reconnect);
        }
        self.trouble = trouble;
        self.report_node();
        self.touch_all();
    }

    pub fn take_effects(&mut self) -> Vec<NodeEffect> {
        std::mem::take(&mut self.effects)
    }

    pub const fn journal_mut(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// What the journal held is on disk, or is kept for it.
    pub fn committed(&mut self) {
        self.journal.committed();
        self.withdrawn.committed();
    }

    /// The commit failed: everything since the last one did not happen. What the runtimes and the
    /// orchestrator told in that time is asked for again.
    ///
    /// # Errors
    /// When a row from before the steps cannot be read: a bug.
    pub fn undo(&mut self) -> Result<(), LoadError> {
        let undo: Vec<_> = self.journal.take_undo().collect();
        for (table, key, value) in undo {
            self.held.restore(table, &key, value.as_deref())?;
            if table == Table::Instance {
                self.records.restore(&key, value.as_deref())?;
            }
        }
        self.effects.clear();
        self.lives.clear();
        self.deadlines.clear();
        self.strays.clear();
        self.touched.clear();
        self.ready = false;
        self.asking = Asking::No;
        self.withdrawn.undo();
        self.reporter = Reporter::default();
        if self.wiping == Wiping::Asked {
            self.wiping = Wiping::Not;
        }
        self.effects.push(NodeEffect::ListSurvivors);
        if self.linked {
            self.held.disconnected();
            self.effects.push(NodeEffect::Reconnect);
        }
        self.derive();
        Ok(())
    }

    /// Boot time at which a [`NodeEvent::Tick`] is wanted.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let lives = self.lives.values().filter_map(|life| life.wait);
        let strays = self.strays.values().filter_map(|stray| stray.wait);
        let other = self.asking.at().into_iter().chain(self.next_lease()).chain(self.deadlines.next());
        lives.chain(strays).chain(other).min()
    }

    /// To be sent every few seconds while nothing else is.
    #[must_use]
    pub const fn keep_alive(&self) -> Up {
        Up::Alive { revision: self.held.revision() }
    }

    /// The parent is behind what this node obeyed last; see [`Held::is_frozen`].
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.held.is_frozen()
    }

    #[must_use]
    pub const fn member(&self) -> Option<MemberId> {
        self.member
    }

    /// Whose signature counts no more, as far as the list tells.
    #[must_use]
    pub fn revoked(&self) -> Void {
        Void::of(told(&self.held))
    }

    #[must_use]
    pub const fn held(&self) -> &Held {
        &self.held
    }

    #[must_use]
    pub fn instance(&self, id: AssignmentId) -> Option<&InstanceRecord> {
        self.records.get(&id)
    }

    pub fn instances(&self) -> impl Iterator<Item = (AssignmentId, &InstanceRecord)> {
        self.records.iter().map(|(id, record)| (*id, record))
    }

    /// The specification in the list.
    #[must_use]
    pub fn spec(&self, id: AssignmentId) -> Option<&ServiceSpec> {
        Some(&self.wanted.get(&id)?.order.as_ref().ok()?.spec)
    }

    /// Ports of peers that the assignment connects to.
    pub fn connects(&self, id: AssignmentId) -> impl Iterator<Item = EndpointsKey> {
        let order = self.wanted.get(&id).and_then(|wanted| wanted.order.as_ref().ok());
        order.into_iter().flat_map(|order| {
            order.spec.connects.iter().map(|connect| EndpointsKey {
                service: ServiceKey { wish: order.part.wish, service: connect.service.clone() },
                port: connect.port.clone(),
            })
        })
    }

    /// Assignments that connect to this port.
    pub fn consumers(&self, key: &EndpointsKey) -> impl Iterator<Item = AssignmentId> {
        self.wanted.keys().copied().filter(move |id| self.connects(*id).any(|wanted| wanted == *key))
    }

    /// Current addresses of a port; empty when the list tells none.
    #[must_use]
    pub fn endpoints(&self, key: &EndpointsKey) -> Endpoints {
        let item = self.held.get(&ItemKey::Endpoints(key.clone()));
        match item.map(holm_model::item::PackedItem::unpack) {
            Some(Ok(Item::Endpoints(endpoints))) => endpoints,
            _ => Endpoints::default(),
        }
    }
}

// === impl Asking ===

impl Asking {
    const fn at(self) -> Option<Duration> {
        match self {
            Self::At(at) => Some(at),
            Self::No | Self::Awaited => None,
        }
    }
}
