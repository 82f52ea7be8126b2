//! Services that are scaled by themselves.

use std::time::Duration;

use holm_core::node::{NodeEvent, RuntimeEvent};
use holm_core::orchestrator::command::{Command, Expected, ProjectCommand, Refusal};
use holm_model::member::Usage;
use holm_model::resources::Cpu;
use holm_model::scale::{Scale, ScaleBy};
use holm_model::view::people::Quota;

use crate::fleet::{Spec, app, fleet, key, name, nodes, steady};
use crate::world::World;

/// From 1 to `max` by half of a core each.
fn scaled(max: u32) -> Spec {
    let mut spec = steady();
    spec.0.resources.cpu = Cpu(1000);
    let (stabilization, cooldown) = (Duration::from_secs(60), Duration::from_secs(10));
    spec.0.scale = Some(Scale { min: 1, max, by: ScaleBy::Cpu(50), stabilization, cooldown });
    spec
}

/// For so long, all instances together use so much, in thousandths of a core, and tell it every second.
fn burn(fleet: &mut World, total: u64, seconds: u64) {
    for _ in 0..seconds {
        let live: Vec<_> = (0..fleet.nodes.len())
            .flat_map(|node| {
                let processes = fleet.nodes[node].runtimes.processes.iter();
                let live = processes.filter(|(_, process)| process.is_live());
                live.map(|(id, process)| (node, *id, process.incarnation)).collect::<Vec<_>>()
            })
            .collect();
        for (node, id, incarnation) in &live {
            let usage = Usage { cpu_millis: total / live.len() as u64, memory: 1 };
            let (id, incarnation, event) = (*id, *incarnation, RuntimeEvent::Usage(usage));
            fleet.node_event(*node, NodeEvent::Runtime { id, incarnation, event });
        }
        fleet.run_for(Duration::from_secs(1));
    }
}

fn running(fleet: &World) -> usize {
    fleet.rows().iter().filter(|row| row.state == "RUNNING").count()
}

/// What was told of it at the orchestrator.
fn told(fleet: &World, orchestrator: &str, word: &str) -> Vec<String> {
    let history = &fleet.orchestrators[fleet.orch(orchestrator)].disk.history;
    history.iter().filter(|change| change.to == word).map(|change| change.reason.clone()).collect()
}

#[test]
fn a_load_makes_more_and_its_end_fewer_and_each_change_is_told() {
    let mut fleet = fleet().cluster("vienna", nodes(3));
    fleet.apply(app("shop").service("web", scaled(4), 1));
    fleet.run_until_running(1);
    burn(&mut fleet, 1400, 60);
    assert_eq!(running(&fleet), 3, "1.4 cores, half of a core each: {:#?}", fleet.lines());
    let first = &told(&fleet, "root", "scaled")[0];
    assert_eq!(first, "web: replicas: 1 → 3: cpu is at 140%, 50% is wanted");
    burn(&mut fleet, 9000, 60);
    assert_eq!(running(&fleet), 4, "never more than it may have");
    burn(&mut fleet, 100, 50);
    assert_eq!(running(&fleet), 4, "more were asked for within the last minute");
    burn(&mut fleet, 100, 60);
    assert_eq!(running(&fleet), 1);
    assert_eq!(told(&fleet, "root", "scaled").len(), 3);
    assert!(told(&fleet, "vienna", "scaled").is_empty(), "the owner alone decides");
}

#[test]
fn who_is_not_heard_changes_nothing_and_what_is_stopped_begins_anew() {
    let mut fleet = fleet().cluster("vienna", nodes(3));
    fleet.apply(app("shop").service("web", scaled(4), 1));
    fleet.run_until_running(1);
    burn(&mut fleet, 1400, 30);
    assert_eq!(running(&fleet), 3);
    fleet.cut("vienna");
    burn(&mut fleet, 100, 9);
    let asked = |fleet: &World| fleet.orchestrators[0].up().applications()[0].services[0].replicas.clone();
    fleet.run_secs(120);
    assert_eq!(asked(&fleet), "3");
    fleet.heal("vienna");
    burn(&mut fleet, 1400, 30);
    assert_eq!(asked(&fleet), "3");
    // A root that was away knows nothing of before, and takes its time.
    fleet.crash(fleet.who("root"), false);
    burn(&mut fleet, 100, 30);
    assert_eq!(asked(&fleet), "3");
    burn(&mut fleet, 100, 90);
    assert_eq!(asked(&fleet), "1");
}

#[test]
fn a_clusters_own_is_scaled_by_the_cluster_and_by_nobodys_hand() {
    let mut fleet = fleet().cluster("vienna", nodes(3));
    let (project, application) = (name("default"), app("own").service("web", scaled(4), 1).0);
    let apply = Command::Apply { project, application, expected: Expected::Anything };
    let vienna = fleet.orch("vienna");
    fleet.command(vienna, apply).unwrap();
    fleet.run_until_running(1);
    burn(&mut fleet, 1400, 60);
    assert_eq!((running(&fleet), told(&fleet, "vienna", "scaled").len()), (3, 1));
    let scale = Command::Patch {
        app: key("own"),
        service: None,
        replicas: Some(2),
        run: None,
        restart: false,
        expected: Expected::Anything,
    };
    let Err(Refusal::Conflict(why)) = fleet.command(vienna, scale) else { panic!() };
    assert_eq!(
        why,
        "default/own/web is scaled by itself, from 1 to 4 by cpu 50%; change `scale` in its manifest"
    );
}

#[test]
fn a_quota_stops_it_and_that_is_told_once() {
    let mut fleet = fleet().cluster("vienna", nodes(3));
    let quota = Quota { instances: Some(2), ..Quota::default() };
    fleet.command(0, Command::Project(ProjectCommand::SetQuota { name: name("default"), quota })).unwrap();
    fleet.apply(app("shop").service("web", scaled(4), 1));
    fleet.run_until_running(1);
    burn(&mut fleet, 1400, 60);
    assert_eq!(running(&fleet), 1);
    let told = told(&fleet, "root", "not scaled");
    assert!(told.len() == 1 && told[0].contains("instances"), "{told:?}");
}
