//! Named volumes: how much was written to them, and what moves takes along.
//!
//! Each start of a program writes once. Whoever starts with data that is not the newest has lost what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_core::node::{Data, Discard, NodeEvent, RuntimeEvent};
use holm_model::id::{AssignmentId, WishId};
use holm_model::service::ServiceSpec;

use crate::member::NodeSite;
use crate::runtime::{Stir, What};
use crate::world::{Happening, NodeAt, World};

/// Of an application, by name.
pub(crate) type Key = (WishId, String);

/// Those of one node.
#[derive(Debug, Default)]
pub(crate) struct Volumes {
    /// How often they were written, as far as this node has it.
    pub(crate) kept: BTreeMap<Key, u64>,
    /// Copies that never served.
    copies: BTreeSet<Key>,
}

/// Between two rounds of a transfer.
const ROUND: Duration = Duration::from_millis(100);

fn named(wish: WishId, spec: &ServiceSpec) -> impl Iterator<Item = Key> {
    let named = spec.volumes.iter().filter(|volume| !volume.source.starts_with('/'));
    named.map(move |volume| (wish, volume.source.clone()))
}

impl Volumes {
    pub(crate) fn discard(&mut self, what: &Discard) {
        for key in what.volumes.iter().map(|volume| (what.wish, volume.clone())) {
            if !what.unused || self.copies.contains(&key) {
                self.copies.remove(&key);
                self.kept.remove(&key);
            }
        }
    }
}

impl World {
    /// A round: until the one that gives has ended, it is not the last.
    pub(crate) fn fetch(&mut self, node: NodeAt, id: AssignmentId, from: AssignmentId) {
        let Some(process) = self.nodes[node].runtimes.processes.get(&id) else { return };
        let (incarnation, keys) =
            (process.incarnation, named(process.part.wish, &process.spec).collect::<Vec<_>>());
        let there =
            |site: &NodeSite| site.machine.as_ref().is_some_and(|machine| machine.instance(from).is_some());
        let giver = self.nodes.iter().position(there);
        let mut event = None;
        if let Some(giver) = giver {
            let over = self.nodes[giver].machine.as_ref().is_some_and(|machine| machine.gives(from));
            for key in keys {
                let has = self.nodes[giver].volumes.kept.get(&key).copied().unwrap_or(0);
                let volumes = &mut self.nodes[node].volumes;
                volumes.kept.insert(key.clone(), has);
                volumes.copies.insert(key);
            }
            event = Some(if over { RuntimeEvent::Fetched } else { RuntimeEvent::Copied(1000) });
        }
        if event == Some(RuntimeEvent::Fetched) {
            self.nodes[node].runtimes.processes.remove(&id);
        } else {
            self.plan(ROUND, Happening::Runtime(node, Stir { id, incarnation, what: What::ComesUp }));
        }
        if let Some(event) = event {
            self.node_event(node, NodeEvent::Runtime { id, incarnation, event });
        }
    }

    /// It has started, and writes.
    pub(crate) fn write(&mut self, node: NodeAt, id: AssignmentId) {
        let Some(process) = self.nodes[node].runtimes.processes.get(&id) else { return };
        let data = process.data;
        for key in named(process.part.wish, &process.spec).collect::<Vec<_>>() {
            let written = self.written.entry(key.clone()).or_default();
            let site = &mut self.nodes[node];
            let has = site.volumes.kept.entry(key.clone()).or_default();
            assert!(
                data == Data::Here && *has == 0 || *has == *written,
                "{id} starts on {} with {has} of {written} writes of {}",
                site.path,
                key.1
            );
            *written += 1;
            *has = *written;
            site.volumes.copies.remove(&key);
        }
    }
}
