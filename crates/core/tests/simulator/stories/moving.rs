//! Copies that go elsewhere, by order or because their member is emptied.

use holm_core::orchestrator::InstanceFilter;
use holm_core::orchestrator::command::{Command, Expected, Refusal, Reply};
use holm_model::expose::{Expose, ExposedAt};
use holm_model::state::RunState;

use crate::fleet::{app, fleet, key, name, nodes, program, sized, steady};
use crate::world::{Who, World};

fn drain(fleet: &mut World, member: &str) {
    let (orch, id) = place(fleet, member);
    fleet.command(orch, Command::Drain { member: id, lose_volumes: false }).unwrap();
}

pub(super) fn place(fleet: &World, member: &str) -> (usize, holm_model::id::MemberId) {
    let orch = member.split_once('/').map_or(0, |(parent, _)| fleet.orch(parent));
    (orch, fleet.member_id(member))
}

/// What the drained member's orchestrator says of it: slots that are there, and why.
fn stays(fleet: &World, member: &str) -> Vec<(String, String)> {
    let (orch, id) = place(fleet, member);
    let machine = fleet.orchestrators[orch].up();
    let node =
        machine.nodes().into_iter().find(|node| node.id == id.to_string()).and_then(|node| node.draining);
    let cluster =
        machine.clusters().into_iter().find(|row| row.id == id.to_string()).and_then(|row| row.draining);
    let drain = node.or(cluster).expect("it is drained");
    drain.stays.into_iter().map(|stays| (stays.slot, stays.reason)).collect()
}

pub(super) fn moved(fleet: &World, orch: usize) -> Vec<String> {
    let history = &fleet.orchestrators[orch].disk.history;
    history.iter().filter(|change| change.to == "moved").map(|change| change.reason.clone()).collect()
}

pub(super) fn say(fleet: &mut World, run: RunState) {
    let (app, expected) = (key("shop"), Expected::Anything);
    let patch =
        Command::Patch { app, service: None, replicas: None, run: Some(run), restart: false, expected };
    fleet.command(0, patch).unwrap();
}

fn why(refused: Result<Reply, Refusal>) -> String {
    refused.unwrap_err().to_string()
}

#[test]
fn the_old_copy_goes_on_until_the_new_one_runs() {
    let mut fleet = fleet().node("edge").node("other");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    fleet.migrate("web/0", Some("other")).unwrap();
    let mut seen = false;
    for _ in 0..100 {
        fleet.run_for(std::time::Duration::from_millis(20));
        assert!(!fleet.processes("web").is_empty(), "never without a copy");
        seen |= fleet.lines().contains(&"web/0 MIGRATING edge".to_owned());
    }
    assert!(seen);
    fleet.run_until_lines(&["web/0 RUNNING other"]);
    fleet.run_until("the old copy ends", |fleet| fleet.processes("web") == ["root/other"]);
    fleet.run_secs(2);
    let told = moved(&fleet, 0);
    assert!(told.len() == 1 && told[0].starts_with("from edge to other in "), "{told:?}");
    assert!(told[0].ends_with(" s, without a break"), "{told:?}");
}

#[test]
fn a_slot_moves_between_clusters_too() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet.migrate("web/0", Some("munich")).unwrap();
    fleet.run_until_lines(&["web/0 RUNNING munich/fl-1"]);
    fleet.run_until("the old copy ends", |fleet| fleet.processes("web") == ["munich/fl-1"]);
}

#[test]
fn what_cannot_move_is_refused_with_the_reason_and_goes_on() {
    let mut fleet = fleet().cluster("vienna", sized(&[256, 64])).node("edge");
    let shop = app("shop")
        .service("web", steady().memory("100Mi").in_cluster("vienna"), 2)
        .service("store", steady().volume("data").on_node("edge"), 1)
        .service("far", steady().in_cluster("vienna"), 1)
        .per_node("log", steady().on_node("edge"));
    fleet.apply(shop);
    fleet.run_until_running(5);
    let before = fleet.lines();
    let vienna = fleet.orch("vienna");
    for (orch, slot, to, reason) in [
        (vienna, "web/0", Some("fl-1"), "web/0 is on `fl-1` already"),
        (vienna, "web/0", Some("fl-9"), "there is no node `fl-9`; `holm get nodes` lists what there is"),
        (vienna, "web/0", Some("fl-2"), "`fl-2` cannot take web/0: 64MiB free, 100MiB asked"),
        (
            0,
            "web/9",
            None,
            "there is no instance `default/shop web/9`; `holm get instances` lists what there is",
        ),
        (0, "far/0", Some("edge"), "`edge` cannot take far/0: is not (in) the cluster `vienna`"),
        (
            0,
            "far/0",
            Some("fl-2"),
            "node `fl-2` belongs to cluster `vienna`, which places its own work: ask that orchestrator, or name the \
             cluster",
        ),
        (0, "log/edge", None, "log/edge belongs to edge: the service has one on each node"),
    ] {
        assert_eq!(why(fleet.migrate_at(orch, slot, to)), reason);
    }
    let refused = why(fleet.migrate("far/0", None));
    assert!(refused.starts_with("far/0 cannot go anywhere else: no place: "), "{refused}");
    fleet.run_secs(20);
    assert_eq!(fleet.lines(), before);
    // With the person's word the data stays behind.
    fleet.apply(app("shop").service("store", steady().volume("data"), 1));
    fleet.run_until_running(1);
}

#[test]
fn a_new_copy_that_fails_leaves_the_old_one_where_it_was() {
    let mut fleet = fleet().node("edge").node("other");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    fleet.weather.launch_fails = 1000;
    fleet.migrate("web/0", Some("other")).unwrap();
    fleet.run_secs(30);
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    assert_eq!(fleet.slot("web/0").incarnation, 1);
    assert_eq!(moved(&fleet, 0), Vec::<String>::new());
}

#[test]
fn a_target_that_is_lost_on_the_way_leaves_the_old_copy_where_it_was() {
    let mut fleet = fleet().node("edge").node("other");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    fleet.cut("root/other");
    fleet.migrate("web/0", Some("other")).unwrap();
    fleet.run_until("it is given up", |fleet| fleet.lines().contains(&"web/0 RUNNING edge".to_owned()));
    fleet.heal("root/other");
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    fleet.run_until("nothing is left there", |fleet| fleet.processes("web") == ["root/edge"]);
}

#[test]
fn a_node_is_drained_one_by_one_for_each_service() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    let vienna = fleet.orch("vienna");
    let other = fleet.member_id("vienna/fl-2");
    fleet.command(vienna, Command::Cordon { member: other, cordoned: true }).unwrap();
    fleet.apply(app("shop").service("web", steady(), 3).service("store", steady(), 1));
    fleet.run_until_running(4);
    fleet.command(vienna, Command::Cordon { member: other, cordoned: false }).unwrap();
    drain(&mut fleet, "vienna/fl-1");
    let mut seen = false;
    for _ in 0..200 {
        fleet.run_for(std::time::Duration::from_millis(20));
        let rows = fleet.orchestrators[vienna].up().instances(&InstanceFilter::default());
        let moving =
            rows.iter().filter(|row| row.slot.starts_with("web/") && row.state == "MIGRATING").count();
        assert!(moving <= 1, "{:?}", fleet.lines());
        seen |= moving == 1 && fleet.lines().iter().any(|line| line.contains("MIGRATING"));
        let slots: std::collections::BTreeSet<String> = fleet
            .nodes
            .iter()
            .flat_map(|site| site.runtimes.processes.values())
            .filter(|p| p.is_live())
            .map(|p| p.slot.to_string())
            .collect();
        assert_eq!(slots.len(), 3, "none is lost on the way");
    }
    fleet.run_until("it is empty", |fleet| {
        fleet.processes("web").iter().chain(&fleet.processes("store")).all(|at| at == "vienna/fl-2")
    });
    assert!(seen, "the root is told of it");
    assert_eq!(stays(&fleet, "vienna/fl-1"), []);
    assert!(moved(&fleet, vienna).iter().all(|told| told.ends_with("without a break")));
    assert_eq!(moved(&fleet, vienna).len(), 4);
    fleet.run_secs(2);
    let drained = fleet.orchestrators[vienna].disk.history.iter().any(|change| change.to == "drained");
    assert!(drained);
    // The root says of each what its cluster says.
    let cordoned = |fleet: &World| {
        let rows = fleet.orchestrators[0].up().nodes();
        rows.into_iter().filter(|row| row.cordoned).map(|row| row.name).collect::<Vec<_>>()
    };
    fleet.run_until("the root knows", |fleet| cordoned(fleet) == ["fl-1"]);
    let emptied = fleet.member_id("vienna/fl-1");
    fleet.command(vienna, Command::Cordon { member: emptied, cordoned: false }).unwrap();
    fleet.run_until("the root knows", |fleet| cordoned(fleet).is_empty());
}

#[test]
fn the_only_node_keeps_what_has_no_other_place_and_says_so() {
    let mut fleet = fleet().node("edge");
    let shop = app("shop").service("web", steady(), 1).per_node("log", steady()).service(
        "store",
        steady().volume("v"),
        1,
    );
    fleet.apply(shop);
    fleet.run_until_running(3);
    drain(&mut fleet, "root/edge");
    fleet.run_secs(5);
    let told = stays(&fleet, "root/edge");
    let reason = |slot: &str| &told.iter().find(|(of, _)| of == slot).unwrap().1;
    assert!(reason("web/0").starts_with("cannot go anywhere else: no place: edge: "), "{told:?}");
    assert_eq!(reason("log/edge"), "belongs to edge: the service has one on each node");
    assert!(reason("store/0").starts_with("cannot go anywhere else: no place: edge: "), "{told:?}");
    assert_eq!(fleet.slot("web/0").reason, *reason("web/0"));
    assert_eq!(fleet.lines().len(), 3);
    // A wish that survives; another node is what it waits for.
    fleet.crash(Who::Orchestrator(0), false);
    fleet.run_secs(5);
    let mut fleet = fleet.node("other");
    fleet.run_until("it goes there", |fleet| fleet.processes("web") == ["root/other"]);
    // People changed their minds: it takes new work again.
    let (_, member) = place(&fleet, "root/edge");
    fleet.command(0, Command::Cordon { member, cordoned: false }).unwrap();
    fleet.migrate("web/0", Some("edge")).unwrap();
    fleet.run_until("it is back", |fleet| fleet.processes("web") == ["root/edge"]);
}

#[test]
fn a_cluster_is_drained_into_another_one() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 2).service("done", program(&["job", "100"]), 1));
    fleet.run_until("both run", |fleet| fleet.processes("web").len() == 2);
    fleet.run_secs(5);
    drain(&mut fleet, "vienna");
    fleet.run_until("they moved", |fleet| fleet.processes("web") == ["munich/fl-1", "munich/fl-1"]);
    fleet.run_secs(3);
    assert_eq!(stays(&fleet, "vienna"), []);
    assert!(fleet.orchestrators[0].disk.history.iter().any(|change| change.to == "drained"));
    fleet.run_secs(60);
    assert!(fleet.lines().contains(&"done/0 COMPLETED".to_owned()), "{:?}", fleet.lines());
    assert_eq!(fleet.processes("done"), Vec::<String>::new(), "it is not run again");
    let (_, member) = (0, fleet.dials[fleet.dial_of(fleet.who("vienna/fl-1")).unwrap()].id);
    let refused = why(fleet.command(0, Command::Drain { member, lose_volumes: false }));
    assert!(refused.contains("drain it there") && refused.contains("holm cluster drain vienna"), "{refused}");
}

#[test]
fn what_is_exposed_and_moves_takes_over_by_time_alone() {
    let mut web = steady().port("http", None);
    let expose = Expose { port: 20_001, at: [ExposedAt::Cluster].into() };
    web.0.expose = [(name("http"), expose)].into();
    let mut fleet = fleet().node("edge").node("other");
    fleet.apply(app("shop").service("web", web, 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    fleet.run_secs(10);
    fleet.migrate("web/0", Some("other")).unwrap();
    fleet.run_until("the old copy ends", |fleet| fleet.processes("web") == ["root/other"]);
    fleet.run_until_lines(&["web/0 RUNNING other"]);
}

#[test]
fn a_target_where_it_fails_is_asked_ever_more_rarely() {
    let mut fleet = fleet().node("edge");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    let mut fleet = fleet.node("other");
    fleet.run_secs(2);
    fleet.weather.launch_fails = 1000;
    drain(&mut fleet, "root/edge");
    let moves = |fleet: &World| {
        let history = &fleet.orchestrators[0].disk.history;
        history.iter().filter(|change| change.reason.starts_with("moves to other")).count()
    };
    fleet.run_secs(60);
    let first = moves(&fleet);
    assert!((1..=5).contains(&first), "{first}");
    fleet.run_secs(60);
    assert!(moves(&fleet) - first <= 2, "{first}, {}", moves(&fleet));
    assert_eq!(fleet.slot("web/0").incarnation, 1, "it runs where it was");
    let told = stays(&fleet, "root/edge");
    assert!(told[0].1.contains("it failed there"), "{told:?}");
    fleet.weather.launch_fails = 0;
    fleet.run_until("it goes there", |fleet| fleet.processes("web") == ["root/other"]);
}

#[test]
fn when_one_of_them_cannot_go_the_others_of_its_service_do() {
    let mut fleet = fleet().node("edge").node("other");
    let (_, other) = place(&fleet, "root/other");
    fleet.command(0, Command::Cordon { member: other, cordoned: true }).unwrap();
    fleet.apply(app("shop").service("web", steady(), 2));
    fleet.run_until_running(2);
    fleet.command(0, Command::Cordon { member: other, cordoned: false }).unwrap();
    fleet.weather.launch_fails = 1000;
    drain(&mut fleet, "root/edge");
    fleet.run_secs(6);
    fleet.weather.launch_fails = 0;
    fleet.run_until("both are there", |fleet| fleet.processes("web") == ["root/other", "root/other"]);
}

#[test]
fn what_does_not_come_up_leaves_a_drained_node_too() {
    let mut fleet = fleet().node("edge").node("other");
    let (_, other) = place(&fleet, "root/other");
    fleet.command(0, Command::Cordon { member: other, cordoned: true }).unwrap();
    // It waits between its attempts for most of the time.
    fleet.apply(app("shop").service("web", program(&["crash", "1500"]), 1));
    fleet.run_secs(3);
    fleet.command(0, Command::Cordon { member: other, cordoned: false }).unwrap();
    drain(&mut fleet, "root/edge");
    fleet.run_until("it is tried elsewhere", |fleet| {
        fleet.nodes.iter().all(|site| site.path != "root/edge" || site.runtimes.processes.is_empty())
    });
    assert_eq!(stays(&fleet, "root/edge"), []);
}

#[test]
fn a_pause_on_the_way_keeps_it_where_its_memory_is() {
    let mut fleet = fleet().node("edge").node("other");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    fleet.migrate("web/0", Some("other")).unwrap();
    say(&mut fleet, RunState::Pause);
    fleet.run_until_lines(&["web/0 PAUSED edge"]);
    fleet.run_until("nothing is left of the other copy", |fleet| fleet.processes("web") == ["root/edge"]);
    say(&mut fleet, RunState::Run);
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    assert_eq!(fleet.slot("web/0").incarnation, 1);
}

#[test]
fn what_is_frozen_or_silent_is_not_moved() {
    let mut fleet = fleet().node("edge").node("other");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    fleet.cut("root/edge");
    fleet.run_secs(4);
    assert_eq!(why(fleet.migrate("web/0", Some("other"))), "web/0 is on edge, of which nothing is heard now");
    fleet.heal("root/edge");
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
}

#[test]
fn one_that_comes_back_has_not_moved() {
    let mut fleet = fleet().node("edge").node("other");
    fleet.apply(app("shop").service("web", steady().exclusive(), 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    fleet.weather.launch_fails = 1000;
    fleet.migrate("web/0", Some("other")).unwrap();
    fleet.run_secs(20);
    fleet.weather.launch_fails = 0;
    fleet.run_secs(60);
    let back = moved(&fleet, 0);
    assert!(back.iter().all(|told| !told.contains("from edge to edge")), "{back:?}");
}

/// Its volume is on one node: neither a drain nor an update takes it away from there.
#[test]
fn what_is_stopped_stays_with_its_volume() {
    for update in [false, true] {
        let mut fleet = fleet().node("edge").node("other");
        let (_, edge) = place(&fleet, "root/edge");
        fleet.command(0, Command::Cordon { member: edge, cordoned: true }).unwrap();
        fleet.apply(app("shop").service("store", steady().volume("data"), 1));
        fleet.run_until_lines(&["store/0 RUNNING other"]);
        fleet.command(0, Command::Cordon { member: edge, cordoned: false }).unwrap();
        say(&mut fleet, RunState::Stop);
        fleet.run_until_lines(&["store/0 STOPPED other"]);
        if update {
            fleet.apply(app("shop").service("store", steady().volume("data").version("2"), 1));
            fleet.run_secs(10);
        } else {
            drain(&mut fleet, "root/other");
            fleet.run_secs(10);
            assert!(stays(&fleet, "root/other")[0].1.starts_with("keeps data in the volume `data` on other"));
            let (_, other) = place(&fleet, "root/other");
            fleet.command(0, Command::Cordon { member: other, cordoned: false }).unwrap();
        }
        say(&mut fleet, RunState::Run);
        fleet.run_until_lines(&["store/0 RUNNING other"]);
    }
}

#[test]
fn an_update_and_a_failure_leave_it_where_its_volume_is() {
    let mut fleet = fleet().node("edge").node("other");
    let (_, edge) = place(&fleet, "root/edge");
    fleet.command(0, Command::Cordon { member: edge, cordoned: true }).unwrap();
    fleet.apply(app("shop").service("store", steady().volume("data"), 1));
    fleet.run_until_lines(&["store/0 RUNNING other"]);
    fleet.command(0, Command::Cordon { member: edge, cordoned: false }).unwrap();
    fleet.apply(app("shop").service("store", steady().volume("data").version("2"), 1));
    fleet.run_secs(30);
    assert_eq!(
        (fleet.lines(), fleet.slot("store/0").generation),
        (vec!["store/0 RUNNING other".to_owned()], 2)
    );
    let mut broken = program(&["crash", "100"]).volume("data");
    broken.0.update.on_failure = holm_model::update::OnFailure::Halt;
    fleet.apply(app("shop").service("store", broken, 1));
    fleet.run_secs(60);
    assert_eq!(fleet.lines(), ["store/0 FAILED other"]);
    fleet.apply(app("shop").service("store", steady().volume("data").version("4"), 1));
    fleet.run_until_lines(&["store/0 RUNNING other"]);
}

#[test]
fn a_drain_gets_past_an_update_that_has_halted() {
    let mut fleet = fleet().node("edge").node("other");
    let (_, other) = place(&fleet, "root/other");
    fleet.command(0, Command::Cordon { member: other, cordoned: true }).unwrap();
    let broken = || {
        let mut broken = program(&["crash", "100"]);
        broken.0.update.on_failure = holm_model::update::OnFailure::Halt;
        broken
    };
    fleet.apply(app("shop").service("web", steady(), 2));
    fleet.run_until_running(2);
    fleet.apply(app("shop").service("web", broken(), 2));
    fleet.run_secs(60);
    let old = |fleet: &World| fleet.rows().into_iter().find(|row| row.generation == 1);
    assert_eq!(old(&fleet).unwrap().node.as_deref(), Some("edge"), "{:#?}", fleet.lines());
    fleet.command(0, Command::Cordon { member: other, cordoned: false }).unwrap();
    drain(&mut fleet, "root/edge");
    fleet.run_until("the old generation runs on elsewhere", |fleet| {
        old(fleet).is_some_and(|row| row.state == "RUNNING" && row.node.as_deref() == Some("other"))
    });
}

#[test]
fn one_that_had_to_end_first_and_fails_elsewhere_holds_nobody_up() {
    let mut fleet = fleet().node("edge").node("other");
    let (_, other) = place(&fleet, "root/other");
    fleet.command(0, Command::Cordon { member: other, cordoned: true }).unwrap();
    let mut once = steady().exclusive();
    once.0.restart.policy = holm_model::service::RestartPolicy::Never;
    fleet.apply(app("shop").service("web", once, 2));
    fleet.run_until_running(2);
    fleet.command(0, Command::Cordon { member: other, cordoned: false }).unwrap();
    fleet.weather.launch_fails = 1000;
    fleet.migrate("web/0", Some("other")).unwrap();
    fleet.run_until("it has failed there", |fleet| {
        fleet.rows().iter().any(|row| row.slot == "web/0" && row.state == "FAILED")
    });
    fleet.weather.launch_fails = 0;
    fleet.migrate("web/1", Some("other")).unwrap();
    fleet.run_until("it moves", |fleet| fleet.processes("web") == ["root/other"]);
}
