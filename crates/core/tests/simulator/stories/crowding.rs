//! Nodes whose disk stays full.

use std::time::Duration;

use holm_core::node::{NodeEvent, Space};
use holm_model::priority::Priority;
use holm_model::service::Volume;

use crate::fleet::{Spec, app, fleet, nodes, steady};
use crate::world::World;

fn of(priority: Priority) -> Spec {
    let mut spec = steady().memory("16Mi");
    spec.0.priority = priority;
    spec
}

fn with_data(mut spec: Spec) -> Spec {
    spec.0.volumes = vec![Volume { source: "/srv".into(), target: "/srv".into(), read_only: false }];
    spec
}

/// So many MiB of 100 are free there; said for longer than the node bears it.
fn free(fleet: &mut World, node: &str, mib: u64) {
    let at = fleet.node_at(node);
    for _ in 0..2 {
        fleet.node_event(at, NodeEvent::DiskSpace(Space { total: 100 << 20, free: mib << 20 }));
        fleet.run_for(Duration::from_secs(125));
    }
}

fn said(fleet: &World) -> Vec<(String, String)> {
    let all = fleet.orchestrators.iter().flat_map(|site| &site.disk.history);
    let all = all.filter(|change| change.to == "leaves a full disk" || change.to == "disk stays full");
    all.map(|change| (change.slot.clone(), change.to.clone())).collect()
}

#[test]
fn the_least_important_without_data_leaves_first_and_one_by_one() {
    let mut fleet = fleet().node("edge");
    let shop = app("shop").service("high", of(Priority::High), 1).service("low", of(Priority::Low), 1);
    fleet.apply(shop.service("data", with_data(of(Priority::Low)), 1));
    fleet.run_until_running(3);
    let mut fleet = fleet.node("other");
    fleet.run_for(Duration::from_secs(5));
    let at = fleet.node_at("root/edge");
    let full = |fleet: &mut World, free: u64| {
        fleet.node_event(at, NodeEvent::DiskSpace(Space { total: 100 << 20, free: free << 20 }));
    };
    full(&mut fleet, 4);
    fleet.run_for(Duration::from_secs(121));
    assert_eq!(said(&fleet), [], "it may be for a moment only");
    full(&mut fleet, 4);
    fleet.run_for(Duration::from_secs(30));
    assert_eq!(fleet.lines(), ["data/0 RUNNING edge", "high/0 RUNNING edge", "low/0 RUNNING other"]);
    assert_eq!(said(&fleet), [("low/0".to_owned(), "leaves a full disk".to_owned())]);
    // That was enough.
    full(&mut fleet, 40);
    fleet.run_for(Duration::from_secs(200));
    assert_eq!(said(&fleet).len(), 1);
    free(&mut fleet, "root/edge", 3);
    assert_eq!(fleet.lines(), ["data/0 RUNNING edge", "high/0 RUNNING other", "low/0 RUNNING other"]);
    // What is left has data there: said once.
    fleet.run_for(Duration::from_secs(300));
    let told: Vec<_> = said(&fleet).into_iter().map(|(_, what)| what).collect();
    assert_eq!(told, ["leaves a full disk", "leaves a full disk", "disk stays full"]);
}

#[test]
fn what_nobody_else_can_have_stays_and_runs() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("low", of(Priority::Low), 1));
    fleet.run_until_running(1);
    free(&mut fleet, "vienna/fl-1", 4);
    assert_eq!(fleet.lines(), ["low/0 RUNNING vienna/fl-1"]);
    assert_eq!(said(&fleet), [(String::new(), "disk stays full".to_owned())]);
}
