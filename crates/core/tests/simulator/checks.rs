//! The promises, as far as a world can tell whether they are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_core::orchestrator::{Config, Orchestrator};
use holm_model::id::{AssignmentId, WishId};
use holm_model::item::{Item, ItemKey};
use holm_model::name::Name;
use holm_model::record::Table;
use holm_model::service::Replicas;
use holm_model::slot::SlotIndex;
use holm_model::state::RunState;
use holm_model::view::InstanceView;
use holm_model::wish::{ServiceWish, Wish};

use crate::disk::Disk;
use crate::member::NodeSite;
use crate::runtime::{Process, ProcessState};
use crate::world::{LinkAt, NodeAt, Orch, Who, World};

/// A slot, wherever its wish was made.
type SlotAt = (WishId, Name, SlotIndex);

/// Since when something that must end has been so.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    unlisted: BTreeMap<(NodeAt, AssignmentId), Duration>,
    doubled: BTreeMap<SlotAt, Duration>,
}

/// Halts that fail are tried again after five seconds each; agents die meanwhile.
const PATIENCE: Duration = Duration::from_secs(40);

/// After an undo the machine is what its disk says.
pub(crate) fn undone(machine: &Orchestrator, disk: &Disk, config: &Config) {
    let loaded = Orchestrator::load(disk.snapshot(), config.clone(), 0).unwrap();
    assert_eq!(wishes(machine), wishes(&loaded), "wishes after an undo");
    assert_eq!(machine.tokens(), loaded.tokens(), "tokens after an undo");
    assert_eq!(machine.revision(), loaded.revision(), "the revision after an undo");
    let names = |of: &Orchestrator| of.members().into_iter().map(|m| (m.id, m.name)).collect::<Vec<_>>();
    assert_eq!(names(machine), names(&loaded), "members after an undo");
    let (ours, theirs) = (machine.list_digests(), loaded.list_digests());
    assert_eq!(ours.len(), theirs.len(), "lists after an undo");
}

pub(crate) fn wishes(machine: &Orchestrator) -> Vec<&Wish> {
    let ids = machine.applications().into_iter().map(|view| view.id.parse::<WishId>().unwrap());
    ids.map(|id| machine.wish(id).expect("a shown application has a wish")).collect()
}

impl World {
    /// Members that still belong to the sea, with all above them.
    fn belongs(&self, link: LinkAt) -> bool {
        let dial = &self.dials[link];
        !dial.removed && self.dial_of(Who::Orchestrator(dial.parent)).is_none_or(|above| self.belongs(above))
    }

    pub(crate) fn in_the_sea(&self, who: Who) -> bool {
        self.dial_of(who).is_none_or(|link| self.belongs(link))
    }

    /// Reached from the top at this moment.
    fn reachable(&self, who: Who) -> bool {
        self.is_up(who)
            && self.dial_of(who).is_none_or(|link| {
                let dial = &self.dials[link];
                !dial.removed
                    && dial.is_connected()
                    && !dial.cut
                    && self.reachable(Who::Orchestrator(dial.parent))
            })
    }

    /// Live processes of nodes in the sea.
    fn live(&self) -> impl Iterator<Item = (NodeAt, AssignmentId, &Process)> {
        let nodes = self.nodes.iter().enumerate();
        let ours = nodes.filter(|(at, site)| !site.gone && self.in_the_sea(Who::Node(*at)));
        ours.flat_map(|(at, site)| {
            let live = site.runtimes.processes.iter().filter(|(_, process)| process.is_live());
            live.map(move |(id, process)| (at, *id, process))
        })
    }

    fn is_held(&self, node: NodeAt, id: AssignmentId) -> bool {
        let machine = self.nodes[node].machine.as_ref();
        let item = machine.and_then(|machine| machine.held().get(&ItemKey::Assignment(id)));
        matches!(item.map(holm_model::item::PackedItem::unpack), Some(Ok(Item::Assignment(a))) if a.held)
    }

    // --- at every moment ---

    /// What may not last.
    pub(crate) fn watch(&self, watch: &mut Watch) {
        let mut unlisted = BTreeSet::new();
        let mut slots: BTreeMap<SlotAt, u32> = BTreeMap::new();
        for (node, id, process) in self.live() {
            let site = &self.nodes[node];
            let awake = site.paused_until <= self.now;
            let Some(machine) = site.machine.as_ref().filter(|_| awake) else { continue };
            let listed = machine.held().get(&ItemKey::Assignment(id)).is_some();
            if !listed && machine.held().is_valid() && !machine.is_frozen() {
                unlisted.insert((node, id));
            }
            if self.reachable(Who::Node(node))
                && process.state == ProcessState::Running
                && !self.is_held(node, id)
            {
                let slot = (process.part.wish, process.part.service.clone(), process.slot.clone());
                *slots.entry(slot).or_default() += 1;
            }
        }
        let doubled = slots.into_iter().filter(|(_, copies)| *copies > 1).map(|(slot, _)| slot).collect();
        self.must_end(&mut watch.unlisted, unlisted, "runs what its list does not have");
        self.must_end(&mut watch.doubled, doubled, "runs twice on nodes that are there");
    }

    fn must_end<K: Ord + Clone + std::fmt::Debug>(
        &self,
        since: &mut BTreeMap<K, Duration>,
        now: BTreeSet<K>,
        what: &str,
    ) {
        since.retain(|key, _| now.contains(key));
        for key in now {
            let first = *since.entry(key.clone()).or_insert(self.now);
            assert!(self.now - first < PATIENCE, "{key:?} {what} since {first:?}");
        }
    }

    // --- when everything has come to rest ---

    /// # Errors
    /// What is not as people wished, or not known where it should be.
    pub(crate) fn settled(&self) -> Result<(), String> {
        self.links_agree()?;
        let mut wanted = BTreeSet::new();
        for orch in 0..self.orchestrators.len() {
            if !self.in_the_sea(Who::Orchestrator(orch)) {
                continue;
            }
            let machine = self.orchestrators[orch].up();
            let wishes = wishes(machine);
            self.oracle.check(orch, &wishes)?;
            for wish in wishes {
                for (service, wished) in &wish.services {
                    self.service_settled(orch, wish, service, wished)
                        .map_err(|error| format!("{}/{service}: {error}", wish.key))?;
                    wanted.insert((wish.id, service.clone()));
                }
            }
        }
        match self.live().find(|(_, _, p)| !wanted.contains(&(p.part.wish, p.part.service.clone()))) {
            Some((node, id, process)) => {
                Err(format!("{} runs {id} of {}, that nobody wants", self.nodes[node].path, process.part.app))
            }
            None => self.lists_agree(),
        }
    }

    fn links_agree(&self) -> Result<(), String> {
        for (link, dial) in self.dials.iter().enumerate() {
            if self.belongs(link) && !dial.cut && !dial.is_connected() {
                return Err(format!("{} is not connected", self.name(dial.member)));
            }
        }
        Ok(())
    }

    /// Members hold the lists that their orchestrators have for them.
    fn lists_agree(&self) -> Result<(), String> {
        for (link, dial) in self.dials.iter().enumerate() {
            if !self.belongs(link) || dial.cut {
                continue;
            }
            let theirs = self.orchestrators[dial.parent].up().list_digests();
            let held = match dial.member {
                Who::Node(node) => self.nodes[node].machine.as_ref().unwrap().held().digest(),
                Who::Orchestrator(orch) => self.orchestrators[orch].up().held().digest(),
            };
            if theirs.get(&dial.id) != Some(&held) {
                return Err(format!("{} holds another list than it was given", self.name(dial.member)));
            }
        }
        Ok(())
    }

    fn service_settled(
        &self,
        orch: Orch,
        wish: &Wish,
        service: &Name,
        wished: &ServiceWish,
    ) -> Result<(), String> {
        let mut found: BTreeMap<SlotIndex, Vec<(NodeAt, AssignmentId, &Process)>> = BTreeMap::new();
        for (node, id, process) in self.live() {
            if process.part.wish == wish.id && process.part.service == *service {
                found.entry(process.slot.clone()).or_default().push((node, id, process));
            }
        }
        let numbers = match wished.replicas {
            Replicas::Number(number) => (0..number).map(SlotIndex::Number).collect(),
            Replicas::PerNode => self.nodes_for(orch, wished),
        };
        let failed = self.has_failed(orch, wish, service, wished);
        for (slot, processes) in &found {
            // A halted update leaves what the new specification would not have.
            let stays = failed && processes.iter().all(|copy| copy.2.part.generation != wished.generation);
            let wanted = numbers.contains(slot) && !wish.unconfirmed && wished.run != RunState::Stop;
            if processes.len() > 1 || !(wanted || wish.unconfirmed || stays) {
                let at: Vec<_> = processes
                    .iter()
                    .map(|(node, id, p)| format!("{id} on {} ({:?})", self.nodes[*node].path, p.state))
                    .collect();
                return Err(format!("slot {slot} (wanted: {wanted}) runs as {at:?}"));
            }
        }
        // What is paused keeps what it has in memory: an update waits for a place that it need not leave for, and a canary
        // proves nothing.
        let old = || found.values().flatten().any(|copy| copy.2.part.generation != wished.generation);
        let canary = || wished.spec.decode().is_ok_and(|spec| spec.update.canary().is_some());
        let paused = wished.run == RunState::Pause && (old() || canary());
        let halted = failed || paused || self.is_halted(orch, wished, &found);
        for slot in &numbers {
            let copies = found.get(slot).map_or(&[][..], |all| all);
            self.slot_settled(orch, wish, (service, wished), slot, copies, halted)
                .map_err(|error| format!("slot {slot}: {error}"))?;
        }
        Ok(())
    }

    /// An update is halted by a slot that has no place for the new specification, so that the old one stays.
    fn is_halted(
        &self,
        orch: Orch,
        wished: &ServiceWish,
        found: &BTreeMap<SlotIndex, Vec<(NodeAt, AssignmentId, &Process)>>,
    ) -> bool {
        let without_place = |slot, id| self.place_for(orch, wished, slot, Some(id)).is_none();
        found.iter().flat_map(|(slot, all)| all.iter().map(move |copy| (slot, copy))).any(
            |(slot, (_, id, process))| {
                process.part.generation != wished.generation && without_place(slot, *id)
            },
        )
    }

    /// An update is halted by a slot in which the new specification has failed.
    fn has_failed(&self, orch: Orch, wish: &Wish, service: &Name, wished: &ServiceWish) -> bool {
        let rows = self.rows_of(orch, wish, service);
        rows.iter().any(|row| row.generation == wished.generation && row.state == "FAILED")
    }

    /// The slots of a per-node service: one for each node that it suits.
    fn nodes_for(&self, orch: Orch, wished: &ServiceWish) -> BTreeSet<SlotIndex> {
        let placement = wished.spec.decode().unwrap().placement;
        let above =
            |parent: Orch| self.dial_of(Who::Orchestrator(parent)).map(|link| self.dials[link].parent);
        let below = |parent: Orch| parent == orch || above(parent) == Some(orch);
        let suits = |site: &NodeSite| {
            let labels =
                placement.labels.iter().all(|(key, value)| site.facts.labels.get(key) == Some(value));
            let parent = &self.orchestrators[site.parent].config.name;
            let cluster = placement.cluster.as_ref().is_none_or(|cluster| cluster == parent);
            labels && cluster && placement.node.as_ref().is_none_or(|node| *node == site.name)
        };
        let nodes = self.nodes.iter().enumerate();
        let chosen = nodes.filter(|(at, site)| {
            below(site.parent) && suits(site) && !site.gone && self.in_the_sea(Who::Node(*at))
        });
        chosen.map(|(_, site)| SlotIndex::Node(self.path_of(site.parent, &site.name))).collect()
    }

    fn path_of(&self, parent: Orch, node: &Name) -> Vec<Name> {
        let config = &self.orchestrators[parent].config;
        let cluster = config.tier == holm_core::orchestrator::Tier::Cluster;
        cluster.then(|| config.name.clone()).into_iter().chain([node.clone()]).collect()
    }

    fn slot_settled(
        &self,
        orch: Orch,
        wish: &Wish,
        (service, wished): (&Name, &ServiceWish),
        slot: &SlotIndex,
        processes: &[(NodeAt, AssignmentId, &Process)],
        halted: bool,
    ) -> Result<(), String> {
        let mut rows = self.rows_of(orch, wish, service);
        let mut slots = vec![format!("{service}/{slot}")];
        if let (SlotIndex::Node(path), []) = (slot, processes)
            && path.len() > 1
        {
            // A cluster that has none of them, yet.
            slots.push(format!("{service}/{}", path[0]));
        }
        rows.retain(|row| slots.contains(&row.slot));
        if let [(node, id, process)] = processes {
            let found = rows.iter().find(|row| row.id == Some(id.to_string())).cloned();
            let place = &self.nodes[*node].path;
            let row = found.ok_or_else(|| format!("{id} on {place} is not shown; there is {rows:?}"))?;
            copy_settled(&row, process, wished, halted)?;
            // Whoever vanished is shown as what it was last; nothing else is shown beside it.
            rows.retain(|other| other.id != row.id && other.state != "DANGLING" && !other.held);
            return if rows.is_empty() { Ok(()) } else { Err(format!("more rows than copies: {rows:?}")) };
        }
        if wished.run == RunState::Stop && matches!(slot, SlotIndex::Node(_)) {
            return Ok(());
        }
        // A halted update leaves there what the specification before had there, which may be nothing.
        let nothing = matches!(slot, SlotIndex::Node(path) if path.len() > 1) && rows.is_empty();
        if halted && nothing {
            return Ok(());
        }
        let place = self.place_for(orch, wished, slot, None);
        let fine = rows.iter().any(|row| match row.state.as_str() {
            "FAILED" if row.reason.contains("next attempt") => false,
            "FAILED" => !row.reason.is_empty(),
            // Asked again now and then; the reason is the last answer.
            "REQUESTED" | "SCHEDULED_CLUSTER" if wish.unconfirmed => row.reason.contains("confirm"),
            "REQUESTED" | "SCHEDULED_CLUSTER" => !row.reason.is_empty() && (halted || place.is_none()),
            "STOPPED" => wished.run != RunState::Run,
            "COMPLETED" => true,
            "DANGLING" => matches!(slot, SlotIndex::Node(_)),
            _ => false,
        });
        if fine { Ok(()) } else { Err(format!("nothing runs (place: {place:?}), and the rows are {rows:?}")) }
    }

    /// A node that could take the slot, by what its list leaves free, `instead` of what is there.
    fn place_for(
        &self,
        orch: Orch,
        wished: &ServiceWish,
        slot: &SlotIndex,
        instead: Option<AssignmentId>,
    ) -> Option<String> {
        let spec = wished.spec.decode().unwrap();
        let wanted: BTreeSet<u16> = spec.ports.values().filter_map(|port| port.host).collect();
        let suited = self.nodes_for(orch, wished);
        let fits = |site: &&NodeSite| {
            let machine = site.machine.as_ref().expect("everybody is up");
            let index = SlotIndex::Node(self.path_of(site.parent, &site.name));
            let here = matches!(slot, SlotIndex::Number(_)) || *slot == index;
            let (mut free, mut ports) = (site.facts.allocatable, BTreeSet::new());
            for item in machine.held().items() {
                if let Ok(Item::Assignment(assignment)) = item.unpack()
                    && Some(assignment.id) != instead
                {
                    let taken = assignment.part.spec.decode().unwrap();
                    free = free.less(&taken.resources);
                    ports.extend(taken.ports.values().filter_map(|port| port.host));
                }
            }
            here && suited.contains(&index)
                && free.holds(&spec.resources)
                && ports.is_disjoint(&wanted)
                && !machine.is_frozen()
        };
        self.nodes.iter().filter(|site| !site.gone).find(fits).map(|site| site.path.clone())
    }

    /// # Errors
    /// What is left although everything was deleted.
    pub(crate) fn empty(&self) -> Result<(), String> {
        self.links_agree()?;
        if let Some((node, id, process)) = self.live().next() {
            return Err(format!("{} still runs {id} of {}", self.nodes[node].path, process.part.app));
        }
        let in_the_sea = |who| self.in_the_sea(who);
        let orchestrators = (0..self.orchestrators.len()).map(Who::Orchestrator);
        for who in orchestrators.chain((0..self.nodes.len()).map(Who::Node)).filter(|who| in_the_sea(*who)) {
            let disk = match who {
                Who::Orchestrator(orch) => &self.orchestrators[orch].disk,
                Who::Node(node) => &self.nodes[node].disk,
            };
            for table in [Table::Placement, Table::Verdict, Table::Fact, Table::Instance, Table::Wish] {
                let rows = disk.texts(table);
                if !rows.is_empty() {
                    return Err(format!("{} keeps {rows:?} in {}", self.name(who), table.name()));
                }
            }
            let mut items = disk.texts(Table::Item);
            items.retain(|key| !key.starts_with("revocation/") && !key.starts_with("project/"));
            if !items.is_empty() {
                return Err(format!("{} keeps items {items:?}", self.name(who)));
            }
        }
        self.lists_agree()
    }
}

/// A copy that runs is shown as what it is.
fn copy_settled(
    row: &InstanceView,
    process: &Process,
    wished: &ServiceWish,
    halted: bool,
) -> Result<(), String> {
    let state = match (process.state, wished.run) {
        (ProcessState::Running, RunState::Run) => "RUNNING",
        (ProcessState::Paused, RunState::Pause) => "PAUSED",
        (state, run) => return Err(format!("{run:?} is wished, and there is {state:?}: {row:?}")),
    };
    if row.state == state && !row.held && (halted || process.part.generation == wished.generation) {
        return Ok(());
    }
    let (state, generation) = (process.state, process.part.generation);
    Err(format!("a copy is {state:?} of generation {generation}, and shown as {row:?}"))
}
