//! A parent made by hand, a disk, and the smallest assignments.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_core::node::{
    DiskLimits, Launch, NodeConfig, NodeEffect, NodeEvent, NodeMachine, Outcome, RuntimeEvent, Survivor,
    SurvivorState,
};
use holm_core::table::{Journal, Snapshot};
use holm_model::fact::{Fact, InstanceStatus};
use holm_model::id::{AssignmentId, Epoch, MemberId, StoreId, Uid, WishId};
use holm_model::item::{Assignment, Digest, Item, ItemKey, Items, PackedItem, Part};
use holm_model::message::{Down, ListChange, READS, Up, Welcome};
use holm_model::name::Name;
use holm_model::record::{Batch, Table};
use holm_model::service::{Replicas, Restart, RestartPolicy, ServiceSpec};
use holm_model::slot::SlotIndex;
use holm_model::state::{InstanceState, RunState};
use holm_model::time::{Now, Time};
use holm_model::wish::{AppKey, SpecBytes, Version};

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn uid(counter: u64) -> Uid {
    Uid { epoch: Epoch::new(1, 1), counter }
}

pub(crate) fn id(counter: u64) -> AssignmentId {
    AssignmentId(uid(counter))
}

pub(crate) const FIRST: Duration = Duration::from_secs(1);
pub(crate) const MOST: Duration = Duration::from_secs(60);

pub(crate) fn spec() -> ServiceSpec {
    let restart = Restart { policy: RestartPolicy::OnFailure, attempts: 3, backoff: (FIRST, MOST) };
    ServiceSpec { restart, ..ServiceSpec::new(name("process"), vec!["sleep".to_owned()]) }
}

pub(crate) fn assignment(counter: u64) -> Assignment {
    let part = Part {
        app: AppKey { project: name("default"), application: name("building") },
        wish: WishId(uid(1000)),
        version: Version { epoch: Epoch::new(1, 1), generation: 1 },
        service: name("web"),
        generation: 1,
        spec: SpecBytes::encode(&spec()),
        replicas: Replicas::Number(1),
        run: RunState::Run,
        restarts: 0,
        run_of: None,
    };
    Assignment { id: id(counter), part, slot: SlotIndex::Number(0), held: false, carry: None }
}

pub(crate) fn pack(assignment: &Assignment) -> PackedItem {
    Item::Assignment(assignment.clone()).pack(ItemKey::Assignment(assignment.id))
}

/// Rows as the store would keep them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(pub(crate) BTreeMap<(Table, String), Vec<u8>>);

impl Disk {
    pub(crate) fn commit(&mut self, journal: &mut Journal) -> Batch {
        let batch = journal.take_batch();
        for write in batch.writes.clone() {
            match write.value {
                Some(value) => self.0.insert((write.table, write.key), value),
                None => self.0.remove(&(write.table, write.key)),
            };
        }
        journal.committed();
        batch
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        for ((table, key), value) in &self.0 {
            snapshot.entry(*table).or_default().push((key.clone(), value.clone()));
        }
        snapshot
    }
}

/// An orchestrator with one member, as far as lists are concerned.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    pub(crate) store: StoreId,
    pub(crate) epoch: Epoch,
    pub(crate) revision: u64,
    pub(crate) reigns: Vec<(Epoch, u64)>,
    pub(crate) session: u64,
    pub(crate) items: Items,
}

impl Parent {
    pub(crate) fn new() -> Self {
        let epoch = Epoch::new(1, 1);
        let store = StoreId(uid(1));
        Self { store, epoch, revision: 1, reigns: Vec::new(), session: 0, items: Items::new() }
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.items)
    }

    pub(crate) fn welcome(&mut self) -> Down {
        self.session += 1;
        Down::Welcome(Welcome {
            protocol: 1,
            version: "test".to_owned(),
            session: self.session,
            member: MemberId(uid(7)),
            name: name("fl-1"),
            path: vec![name("vienna")],
            store: self.store,
            epoch: self.epoch,
            revision: self.revision,
            reigns: self.reigns.clone(),
            reads: READS,
        })
    }

    pub(crate) fn alive(&self) -> Down {
        Down::Alive { revision: self.revision, digest: self.digest() }
    }

    pub(crate) fn change(&self, from: Option<u64>, put: Vec<PackedItem>, removed: Vec<ItemKey>) -> Down {
        let (store, epoch, to, digest) = (self.store, self.epoch, self.revision, self.digest());
        Down::Change(ListChange { store, epoch, from, to, put, removed, digest })
    }

    pub(crate) fn put(&mut self, item: PackedItem) -> Down {
        let from = self.revision;
        self.revision += 1;
        self.items.insert(item.key.clone(), item.clone());
        self.change(Some(from), vec![item], Vec::new())
    }

    pub(crate) fn remove(&mut self, key: ItemKey) -> Down {
        let from = self.revision;
        self.revision += 1;
        self.items.remove(&key);
        self.change(Some(from), Vec::new(), vec![key])
    }

    /// What it answers.
    pub(crate) fn answer(&mut self, up: &Up) -> Option<Down> {
        match up {
            Up::Hello(_) => Some(self.welcome()),
            Up::Sync { digest, .. } if *digest == self.digest() => Some(self.alive()),
            Up::Sync { .. } => {
                let entry = |item: &PackedItem| (item.key.clone(), item.hash().to_vec().into());
                let entries = self.items.values().map(entry).collect();
                Some(Down::Catalog { revision: self.revision, entries })
            }
            Up::Want { keys } => {
                let put = keys.iter().filter_map(|key| self.items.get(key).cloned()).collect();
                Some(self.change(None, put, Vec::new()))
            }
            _ => None,
        }
    }
}

/// A node machine with its disk, a clock, and what it asked for since the last look.
pub(crate) struct Node {
    pub(crate) machine: NodeMachine,
    pub(crate) disk: Disk,
    pub(crate) now: Now,
    pub(crate) effects: Vec<NodeEffect>,
    pub(crate) batches: Vec<Batch>,
}

pub(crate) fn config(boot_id: &str) -> NodeConfig {
    NodeConfig {
        name: name("fl-1"),
        version: "test".to_owned(),
        boot_id: boot_id.to_owned(),
        disk: DiskLimits::default(),
    }
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::from(Disk::default(), "boot-1")
    }

    pub(crate) fn from(disk: Disk, boot_id: &str) -> Self {
        let machine = NodeMachine::load(&mut disk.snapshot(), config(boot_id)).unwrap();
        let now = Now { boot: Duration::from_secs(100), wall: Time(1_700_000_000_000) };
        Self { machine, disk, now, effects: Vec::new(), batches: Vec::new() }
    }

    /// The agent ends without a word and comes back.
    pub(crate) fn restart(self, boot_id: &str, survivors: Vec<Survivor>) -> Self {
        let now = self.now;
        let mut node = Self { now, ..Self::from(self.disk, boot_id) };
        node.step(NodeEvent::survivors(survivors));
        node
    }

    pub(crate) fn step(&mut self, event: NodeEvent) {
        self.machine.step(self.now, event);
        let batch = self.disk.commit(self.machine.journal_mut());
        self.machine.committed();
        self.batches.push(batch);
        self.effects.extend(self.machine.take_effects());
    }

    pub(crate) fn runtime(&mut self, counter: u64, incarnation: u32, event: RuntimeEvent) {
        self.step(NodeEvent::Runtime { id: id(counter), incarnation, event });
    }

    pub(crate) fn down(&mut self, down: Down) {
        self.step(NodeEvent::Received(down));
    }

    pub(crate) fn sleep(&mut self, time: Duration) {
        self.now.boot += time;
        self.now.wall.0 += i64::try_from(time.as_millis()).unwrap();
        self.step(NodeEvent::Tick);
    }

    /// Up to the next deadline.
    pub(crate) fn sleep_until_due(&mut self) -> Duration {
        let due = self.machine.next_deadline().expect("a deadline");
        let time = due.saturating_sub(self.now.boot);
        self.sleep(time);
        time
    }

    pub(crate) fn take(&mut self) -> Vec<NodeEffect> {
        std::mem::take(&mut self.effects)
    }

    /// Effects on runtimes since the last look.
    pub(crate) fn orders(&mut self) -> Vec<NodeEffect> {
        let mut effects = self.take();
        effects.retain(|effect| {
            matches!(
                effect,
                NodeEffect::Launch(_)
                    | NodeEffect::Halt { .. }
                    | NodeEffect::Refresh(_)
                    | NodeEffect::Pause { .. }
                    | NodeEffect::Resume { .. }
                    | NodeEffect::Remove { .. }
            )
        });
        effects
    }

    /// The one launch since the last look.
    pub(crate) fn launched(&mut self) -> Launch {
        match &self.orders()[..] {
            [NodeEffect::Launch(launch)] => (**launch).clone(),
            other => panic!("one launch expected, not {other:#?}"),
        }
    }

    pub(crate) fn state(&self, counter: u64) -> InstanceState {
        self.machine.instance(id(counter)).expect("an instance").state
    }

    pub(crate) fn reason(&self, counter: u64) -> String {
        self.machine.instance(id(counter)).expect("an instance").reason.clone()
    }

    /// The newest status that was sent up since the last look.
    pub(crate) fn told(&self, counter: u64) -> Option<InstanceStatus> {
        let sent = self.effects.iter().rev().filter_map(|effect| match effect {
            NodeEffect::Send(Up::Facts(facts)) => Some(facts),
            _ => None,
        });
        sent.flat_map(|facts| &facts.put).find_map(|fact| match fact {
            Fact::Instance(report) if report.id == id(counter) => Some(report.status.clone()),
            _ => None,
        })
    }

    /// Until neither side has anything to say.
    pub(crate) fn talk(&mut self, parent: &mut Parent) {
        let mut seen = 0;
        while seen < self.effects.len() {
            let up = match &self.effects[seen] {
                NodeEffect::Send(up) => Some(up.clone()),
                _ => None,
            };
            seen += 1;
            if let Some(down) = up.and_then(|up| parent.answer(&up)) {
                self.down(down);
            }
        }
    }

    /// Linked, with one running instance.
    pub(crate) fn running(parent: &mut Parent, assignment: &Assignment) -> Self {
        let mut node = Self::new();
        node.step(NodeEvent::survivors(Vec::new()));
        parent.items.insert(ItemKey::Assignment(assignment.id), pack(assignment));
        node.step(NodeEvent::LinkUp);
        node.talk(parent);
        let launch = node.launched();
        node.run(launch.id.0.counter, launch.incarnation);
        node.take();
        node
    }

    pub(crate) fn run(&mut self, counter: u64, incarnation: u32) {
        self.runtime(counter, incarnation, RuntimeEvent::Starting { ports: BTreeMap::new() });
        self.runtime(counter, incarnation, RuntimeEvent::Running);
    }

    pub(crate) fn exit(&mut self, counter: u64, incarnation: u32, code: i32) {
        self.runtime(counter, incarnation, RuntimeEvent::Exited(Outcome::exited(code)));
    }
}

pub(crate) fn survivor(counter: u64, incarnation: u32, state: SurvivorState) -> Survivor {
    Survivor { id: id(counter), incarnation, state, ports: BTreeMap::new(), lease: None }
}

pub(crate) fn change(parent: &mut Parent, node: &mut Node, assignment: &Assignment) {
    let down = parent.put(pack(assignment));
    node.down(down);
}

pub(crate) fn with_spec(change: impl FnOnce(&mut ServiceSpec)) -> Assignment {
    let mut spec = spec();
    change(&mut spec);
    let mut assignment = assignment(1);
    assignment.part.spec = SpecBytes::encode(&spec);
    assignment
}

pub(crate) fn with_policy(policy: RestartPolicy) -> Assignment {
    with_spec(|spec| spec.restart.policy = policy)
}

pub(crate) fn running(assignment: &Assignment) -> (Node, Parent) {
    let mut parent = Parent::new();
    let node = Node::running(&mut parent, assignment);
    assert_eq!(node.state(1), InstanceState::Running);
    (node, parent)
}

pub(crate) fn halt(incarnation: u32) -> NodeEffect {
    NodeEffect::Halt { id: id(1), incarnation, drain: Duration::ZERO, grace: ServiceSpec::GRACE }
}
