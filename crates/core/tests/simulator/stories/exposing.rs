//! Ports of orchestrators that lead to services, and who takes connections there.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_core::node::{CheckKind, NodeEvent, Probed};
use holm_core::orchestrator::command::{Command, Expected, ProjectCommand, Refusal};
use holm_core::orchestrator::exposing::Exposure;
use holm_model::expose::{Expose, ExposedAt};
use holm_model::health::{Check, Probe};
use holm_model::service::{RestartPolicy, Volume};
use holm_model::view::people::Quota;

use crate::fleet::{App, Spec, app, fleet, key, name, nodes, steady};
use crate::world::{NodeAt, World};

fn exposed(port: u16, at: &[ExposedAt]) -> Spec {
    let mut spec = steady().port("http", None);
    let expose = Expose { port, at: at.iter().copied().collect() };
    spec.0.expose = BTreeMap::from([(name("http"), expose)]);
    spec
}

fn healthy(mut spec: Spec) -> Spec {
    spec.0.health = Some(Check::new(Probe::Tcp { port: name("http") }));
    spec
}

fn table<'a>(fleet: &'a World, orchestrator: &str) -> &'a [Exposure] {
    &fleet.orchestrators[fleet.orch(orchestrator)].exposed
}

/// How many take connections behind each port.
pub(super) fn targets(fleet: &World, orchestrator: &str) -> Vec<(u16, usize)> {
    table(fleet, orchestrator).iter().map(|exposure| (exposure.port, exposure.targets.len())).collect()
}

fn refused(fleet: &mut World, application: App) -> String {
    let (project, application) = (name("default"), application.0);
    let command = Command::Apply { project, application, expected: Expected::Anything };
    match fleet.command(0, command) {
        Err(refusal @ (Refusal::Invalid(_) | Refusal::Conflict(_))) => refusal.to_string(),
        other => panic!("{other:?}"),
    }
}

/// All instances that run answer their check.
fn answer(fleet: &mut World, generation: u64) {
    (0..fleet.nodes.len()).for_each(|node| answer_on(fleet, node, generation));
}

fn answer_on(fleet: &mut World, node: NodeAt, generation: u64) {
    let live = fleet.nodes[node]
        .runtimes
        .processes
        .iter()
        .filter(|(_, process)| process.is_live() && process.part.generation == generation);
    let live: Vec<_> = live.map(|(id, process)| (*id, process.incarnation)).collect();
    for (id, incarnation) in live {
        let probed = Probed { good: true, answer: "connected".to_owned() };
        let event = NodeEvent::Probed { id, incarnation, kind: CheckKind::Health, probed };
        fleet.node_event(node, event);
    }
}

#[test]
fn each_orchestrator_opens_what_its_own_nodes_run_and_the_root_what_it_is_asked_for() {
    let mut fleet = fleet().cluster("vienna", nodes(2)).cluster("munich", nodes(1)).node("edge");
    fleet.apply(app("below").service("web", exposed(20_001, &[ExposedAt::Cluster]).in_cluster("vienna"), 2));
    fleet.apply(app("above").service("web", exposed(20_002, &[ExposedAt::Root]).in_cluster("munich"), 1));
    fleet.apply(app("own").service("web", exposed(20_003, &[ExposedAt::Cluster]).on_node("edge"), 1));
    fleet.run_until_running(4);
    fleet.run_secs(1);
    assert_eq!(targets(&fleet, "vienna"), [(20_001, 2)]);
    assert_eq!(targets(&fleet, "munich"), []);
    assert_eq!(targets(&fleet, "root"), [(20_002, 1), (20_003, 1)]);

    fleet.scale("below", "web", 1);
    fleet.run_until("one is left", |fleet| targets(fleet, "vienna") == [(20_001, 1)]);
    fleet.delete("below");
    fleet.run_until("nothing is exposed", |fleet| table(fleet, "vienna").is_empty());
}

#[test]
fn only_the_ready_take_connections_and_an_update_waits_for_them() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    let spec = || healthy(exposed(20_001, &[ExposedAt::Cluster]));
    fleet.apply(app("shop").service("web", spec(), 2));
    fleet.run_until_running(2);
    fleet.run_secs(20);
    assert_eq!(targets(&fleet, "vienna"), [(20_001, 0)], "nobody has answered");
    answer(&mut fleet, 1);
    fleet.run_secs(1);
    assert_eq!(targets(&fleet, "vienna"), [(20_001, 2)]);

    fleet.apply(app("shop").service("web", spec().version("2"), 2));
    for _ in 0..300 {
        fleet.run_for(Duration::from_millis(100));
        assert_eq!(targets(&fleet, "vienna"), [(20_001, 2)], "the old stay while no new one is ready");
    }
    let generations = |fleet: &World| {
        let mut all: Vec<u64> = fleet.rows().iter().map(|row| row.generation).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(generations(&fleet), [1, 1, 2], "one of the new beside the two old");
    let last_resorts = table(&fleet, "vienna")[0].targets.iter().filter(|target| target.last_resort);
    assert_eq!(last_resorts.count(), 1);
    for _ in 0..100 {
        answer(&mut fleet, 2);
        fleet.run_for(Duration::from_millis(500));
        assert!(targets(&fleet, "vienna")[0].1 >= 2, "{:#?}", fleet.lines());
    }
    assert_eq!(generations(&fleet), [2, 2]);
}

#[test]
fn a_new_one_that_never_gets_ready_leaves_the_old_one_where_it_is() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", exposed(20_001, &[ExposedAt::Cluster]), 1));
    fleet.run_until_running(1);
    let mut broken = exposed(20_001, &[ExposedAt::Cluster]);
    broken.0.command = vec!["crash".to_owned(), "100".to_owned()];
    fleet.apply(app("shop").service("web", broken, 1));
    fleet.run_secs(60);
    let old = |fleet: &World| fleet.rows().iter().any(|row| row.generation == 1 && row.state == "RUNNING");
    assert!(old(&fleet), "{:#?}", fleet.lines());
    assert_eq!(targets(&fleet, "vienna"), [(20_001, 1)]);
    // Whoever goes back has it at once.
    fleet.apply(app("shop").service("web", exposed(20_001, &[ExposedAt::Cluster]), 1));
    fleet.run_until_running(1);
}

pub(super) fn at_cluster() -> Spec {
    exposed(20_001, &[ExposedAt::Cluster])
}

/// A program that ends itself soon after each start.
fn broken() -> Spec {
    let mut broken = at_cluster();
    broken.0.command = vec!["crash".to_owned(), "100".to_owned()];
    broken
}

fn generations(fleet: &World) -> Vec<u64> {
    fleet.rows().iter().map(|row| row.generation).collect()
}

#[test]
fn two_copies_never_write_to_the_same_volume() {
    let with_volume = |mut spec: Spec, read_only| {
        let volume = Volume { source: "data".to_owned(), target: "/data".to_owned(), read_only };
        spec.0.volumes = vec![volume];
        spec
    };
    for (old, new, fewest, most) in [
        (with_volume(at_cluster(), false), with_volume(at_cluster().version("2"), false), 0, 1),
        (at_cluster(), with_volume(at_cluster(), false), 0, 1),
        (with_volume(at_cluster(), false), at_cluster(), 0, 1),
        (with_volume(at_cluster(), true), with_volume(at_cluster().version("2"), true), 1, 2),
    ] {
        let mut fleet = fleet().cluster("vienna", nodes(2));
        fleet.apply(app("shop").service("web", old, 1));
        fleet.run_until_running(1);
        let home = fleet.processes("web");
        fleet.apply(app("shop").service("web", new, 1));
        let mut copies = vec![1];
        for _ in 0..300 {
            fleet.run_for(Duration::from_millis(100));
            copies.push(fleet.processes("web").len());
        }
        assert_eq!((copies.iter().min(), copies.iter().max()), (Some(&fewest), Some(&most)));
        fleet.run_until_running(1);
        assert_eq!(generations(&fleet), [2]);
        assert!(most > 1 || fleet.processes("web") == home, "where its data are");
    }
}

#[test]
fn what_goes_on_beside_a_failed_update_is_started_again_when_it_ends() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", at_cluster(), 1));
    fleet.run_until_running(1);
    fleet.apply(app("shop").service("web", broken(), 1));
    fleet.run_secs(60);
    assert_eq!(targets(&fleet, "vienna"), [(20_001, 1)]);
    fleet.crash(fleet.who("vienna/fl-1"), true);
    fleet.run_secs(30);
    assert_eq!(targets(&fleet, "vienna"), [(20_001, 1)], "{:#?}", fleet.lines());
    fleet.exit("web", 1);
    fleet.run_until("the old one is reached again", |fleet| targets(fleet, "vienna") == [(20_001, 1)]);
}

#[test]
fn a_failed_update_is_tried_elsewhere_when_the_one_before_is_at_its_end() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    let old = |on| {
        let mut old = at_cluster();
        old.0.restart.policy = on;
        old
    };
    fleet.apply(app("shop").service("web", old(RestartPolicy::Never), 1));
    fleet.run_until_running(1);
    fleet.apply(app("shop").service("web", broken(), 1));
    fleet.run_secs(60);
    assert_eq!(targets(&fleet, "vienna"), [(20_001, 1)]);
    let tried = |fleet: &World| {
        let rows = fleet.rows();
        rows.iter().filter(|row| row.generation == 2).map(|row| row.id.clone()).collect::<Vec<_>>()
    };
    let before = tried(&fleet);
    fleet.exit("web", 1);
    fleet.run_secs(30);
    let after = tried(&fleet);
    assert!(after.iter().any(|id| !before.contains(id)), "{before:?}: {:#?}", fleet.rows());
}

fn apply_at(fleet: &mut World, orch: &str, project: &str, application: App) -> Result<(), Refusal> {
    let (project, application) = (name(project), application.0);
    let command = Command::Apply { project, application, expected: Expected::Anything };
    fleet.command(fleet.orch(orch), command).map(drop)
}

/// The services that ports of the cluster lead to.
fn open(fleet: &World) -> Vec<String> {
    let open = table(fleet, "vienna").iter().filter(|exposure| exposure.refused.is_none());
    open.map(|exposure| exposure.app.application.to_string()).collect()
}

/// A root that was started so often: wishes of root and cluster are ordered by chance, as it were.
fn started(starts: usize) -> World {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    for _ in 0..starts {
        fleet.crash(fleet.who("root"), false);
        fleet.run_secs(8);
    }
    fleet
}

#[test]
fn whoever_has_a_port_of_a_cluster_keeps_it_whoever_wishes_later() {
    for starts in 0..3 {
        let mut fleet = started(starts);
        apply_at(&mut fleet, "vienna", "default", app("own").service("web", at_cluster(), 1)).unwrap();
        fleet.run_secs(5);
        assert_eq!(open(&fleet), ["own"]);
        fleet.apply(app("far").service("web", at_cluster().in_cluster("vienna"), 1));
        for _ in 0..40 {
            fleet.run_for(Duration::from_millis(500));
            assert_eq!(open(&fleet), ["own"]);
        }
        let reason = fleet.rows().into_iter().find(|row| row.application == "far").unwrap().reason;
        assert!(reason.contains("port 20001 leads to default/own/web already"), "{reason}");
        let delete = Command::Delete { app: key("own"), expected: Expected::Anything };
        fleet.command(fleet.orch("vienna"), delete).unwrap();
        fleet
            .run_until("it is free, and the other has it", |fleet| targets(fleet, "vienna") == [(20_001, 1)]);
        assert_eq!(open(&fleet), ["far"]);
    }
}

#[test]
fn a_cluster_takes_no_port_away_from_what_its_root_has_there() {
    for starts in 0..3 {
        let mut fleet = started(starts);
        fleet.apply(app("far").service("web", at_cluster().in_cluster("vienna"), 1));
        fleet.run_secs(5);
        assert_eq!(open(&fleet), ["far"]);
        let own = app("own").service("web", at_cluster(), 1);
        let told = apply_at(&mut fleet, "vienna", "default", own).unwrap_err().to_string();
        assert!(told.ends_with("port 20001 leads to default/far/web already; choose another"), "{told}");
        fleet.run_secs(5);
        assert_eq!(open(&fleet), ["far"]);
    }
}

#[test]
fn a_clusters_own_keeps_its_port_over_a_restart_though_an_older_wish_of_its_root_waits_for_it() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("far").service("web", steady().port("http", None).in_cluster("vienna"), 1));
    fleet.run_until_running(1);
    // From here on its wishes are numbered after those of its root.
    fleet.crash(fleet.who("vienna"), false);
    fleet.run_secs(8);
    apply_at(&mut fleet, "vienna", "default", app("own").service("web", at_cluster(), 1)).unwrap();
    fleet.run_secs(5);
    fleet.apply(app("far").service("web", at_cluster().in_cluster("vienna"), 1));
    fleet.run_secs(5);
    let waits = |fleet: &World| table(fleet, "vienna").iter().any(|exposure| exposure.refused.is_some());
    assert!(open(&fleet) == ["own"] && waits(&fleet), "{:#?}", table(&fleet, "vienna"));
    fleet.crash(fleet.who("vienna"), false);
    for _ in 0..40 {
        fleet.run_for(Duration::from_millis(500));
        assert!(["own".to_owned()].starts_with(&open(&fleet)), "{:#?}", table(&fleet, "vienna"));
    }
    let reached = table(&fleet, "vienna").iter().find(|exposure| exposure.refused.is_none()).unwrap();
    assert_eq!((open(&fleet), reached.targets.len()), (vec!["own".to_owned()], 1));
}

#[test]
fn whoever_has_a_port_keeps_it_until_it_has_gone_whoever_was_wished_first() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1)).cluster("graz", nodes(0));
    let at = |cluster: &str| at_cluster().in_cluster(cluster);
    fleet.apply(app("west").service("web", at("munich"), 1));
    fleet.apply(app("east").service("web", at("vienna"), 1));
    fleet.run_until_running(2);
    // There is no place for it yet.
    fleet.apply(app("east").service("web", at("graz"), 1));
    fleet.run_secs(5);
    fleet.apply(app("west").service("web", at("vienna"), 1));
    for _ in 0..40 {
        fleet.run_for(Duration::from_millis(500));
        assert_eq!((open(&fleet), targets(&fleet, "vienna")[0].1), (vec!["east".to_owned()], 1));
    }
    fleet.delete("east");
    fleet.run_until("it is free, and the other has it", |fleet| {
        open(fleet) == ["west"] && targets(fleet, "vienna") == [(20_001, 1)]
    });
}

#[test]
fn what_another_project_has_is_not_told() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let create = ProjectCommand::Create { name: name("blue"), quota: Quota::default() };
    fleet.command(0, Command::Project(create)).unwrap();
    fleet.apply(app("first").service("web", at_cluster(), 1));
    let second = app("second").service("web", at_cluster(), 1);
    let told = apply_at(&mut fleet, "root", "blue", second).unwrap_err().to_string();
    assert!(told.ends_with("port 20001 is taken by another project; choose another"), "{told}");
}

#[test]
fn a_port_is_one_services_and_one_of_those_that_are_granted() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    let both = |port| exposed(port, &[ExposedAt::Cluster, ExposedAt::Root]);
    let told = refused(&mut fleet, app("far").service("web", both(80), 1));
    assert!(told.starts_with("services.web.expose.http: port 80 cannot be opened"), "{told}");
    fleet.apply(app("first").service("web", both(20_001), 1));
    let told = refused(&mut fleet, app("second").service("api", both(20_001), 1));
    let expected = "services.api.expose.http: port 20001 leads to default/first/web already; choose another";
    assert_eq!(told, expected);
    let told = refused(&mut fleet, app("twice").service("a", both(20_002), 1).service("b", both(20_002), 1));
    assert!(told.contains("leads to default/twice/a already"), "{told}");
    // Two clusters have a port each, and whose was deleted is free.
    let at = |cluster: &str| exposed(20_005, &[ExposedAt::Cluster]).in_cluster(cluster);
    fleet.apply(app("east").service("web", at("vienna"), 1));
    fleet.apply(app("west").service("web", at("munich"), 1));
    fleet.command(0, Command::Delete { app: key("first"), expected: Expected::Anything }).unwrap();
    fleet.apply(app("second").service("api", both(20_001), 1));
}

#[test]
fn the_root_leads_to_the_old_copy_of_an_update_until_the_new_one_is_ready() {
    let spec = |version: &str| healthy(exposed(20_001, &[ExposedAt::Root]).version(version));
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("web", spec("1"), 1));
    fleet.run_until_running(1);
    answer(&mut fleet, 1);
    fleet.run_until("it is reached", |fleet| targets(fleet, "root") == [(20_001, 1)]);
    fleet.apply(app("shop").service("web", spec("2"), 1));
    for _ in 0..40 {
        fleet.run_for(Duration::from_millis(500));
        // Something else is told of it meanwhile.
        answer(&mut fleet, 1);
        assert_eq!(targets(&fleet, "root"), [(20_001, 1)], "{:#?}", fleet.rows());
        assert!(fleet.rows().iter().all(|row| !row.reason.contains("silent")), "{:#?}", fleet.rows());
    }
    fleet.migrate_at(1, "web/0", None).unwrap_err();
    answer(&mut fleet, 2);
    fleet.run_until("the new one takes over", |fleet| fleet.rows().len() == 1);
    assert_eq!(targets(&fleet, "root"), [(20_001, 1)]);
}

/// A cluster's word that the old copy is on its way out, MIGRATING, is no word that it serves nobody.
#[test]
fn the_root_leads_to_what_a_cluster_moves_until_the_new_copy_is_ready() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("web", healthy(exposed(20_001, &[ExposedAt::Root])), 1));
    fleet.run_until_running(1);
    answer(&mut fleet, 1);
    fleet.run_until("it is reached", |fleet| targets(fleet, "root") == [(20_001, 1)]);
    let vienna = fleet.orch("vienna");
    let old = fleet.nodes.iter().position(|site| !site.runtimes.processes.is_empty()).unwrap();
    let member = fleet.member_id(&fleet.nodes[old].path.clone());
    fleet.command(vienna, Command::Drain { member, lose_volumes: false }).unwrap();
    fleet.run_until("it moves", |fleet| fleet.rows().iter().any(|row| row.state == "MIGRATING"));
    for _ in 0..40 {
        fleet.run_for(Duration::from_millis(500));
        answer_on(&mut fleet, old, 1);
        assert_eq!(targets(&fleet, "root"), [(20_001, 1)], "{:#?}", fleet.rows());
    }
    answer(&mut fleet, 1);
    fleet.run_until("the new one takes over", |fleet| {
        fleet.processes("web") == [fleet.nodes[1 - old].path.clone()]
    });
    assert_eq!(targets(&fleet, "root"), [(20_001, 1)]);
}

/// Nothing before it runs: it is as with any other service.
#[test]
fn what_is_exposed_for_the_first_time_and_fails_is_tried_on_one_other_node() {
    let mut fleet = fleet().node("fl-1").node("fl-2").node("fl-3");
    let mut broken = exposed(20001, &[ExposedAt::Root]);
    broken.0.command = vec!["crash".to_owned(), "500".to_owned()];
    fleet.apply(app("shop").service("web", broken, 1));
    fleet.run_secs(60);
    let launches: Vec<_> = fleet.nodes.iter().map(|node| node.runtimes.launches).collect();
    assert_eq!(launches, [3, 3, 0]);
}
