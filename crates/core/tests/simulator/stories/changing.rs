//! What follows when people change their minds.

use holm_core::orchestrator::command::{Command, Expected, Reply};
use holm_model::state::{RunState, ServiceState};

use crate::fleet::{app, fleet, key, name, nodes, steady};
use crate::world::World;

fn say(fleet: &mut World, run: Option<RunState>, restart: bool) {
    let patch = Command::Patch {
        app: key("shop"),
        service: None,
        replicas: None,
        run,
        restart,
        expected: Expected::Anything,
    };
    fleet.command(0, patch).unwrap();
}

#[test]
fn services_are_scaled_up_and_down() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    let first = fleet.slot("web/0").id;
    fleet.scale("shop", "web", 3);
    fleet.run_until_running(3);
    fleet.scale("shop", "web", 1);
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    assert_eq!(fleet.slot("web/0").id, first);
    assert_eq!(fleet.processes("web").len(), 1);
    fleet.scale("shop", "web", 0);
    fleet.run_until_lines(&[]);
}

#[test]
fn an_update_goes_slot_by_slot() {
    let mut fleet = fleet().cluster("vienna", nodes(2)).node("edge");
    fleet.apply(app("shop").service("web", steady().memory("100Mi").version("1"), 5));
    fleet.run_until_running(5);
    fleet.apply(app("shop").service("web", steady().memory("100Mi").version("2"), 5));
    let mut fewest = 5;
    for _ in 0..400 {
        fleet.run_for(std::time::Duration::from_millis(50));
        fewest = fewest.min(fleet.processes("web").len());
    }
    assert_eq!(fewest, 4, "one at a time");
    let rows = fleet.rows();
    assert!(rows.iter().all(|row| row.generation == 2 && row.state == "RUNNING"), "{:#?}", fleet.lines());
    assert_eq!(rows.len(), 5);
}

#[test]
fn an_update_passes_over_what_is_silent() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    let spec = |version| steady().memory("150Mi").version(version);
    fleet.apply(app("shop").service("web", spec("1"), 2));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1", "web/1 RUNNING munich/fl-1"]);
    fleet.cut("vienna");
    fleet.run_secs(1);
    fleet.apply(app("shop").service("web", spec("2"), 2));
    fleet.run_until("munich is updated", |fleet| {
        fleet.rows().iter().any(|row| row.cluster.as_deref() == Some("munich") && row.generation == 2)
    });
    fleet.heal("vienna");
    fleet.run_until("both are", |fleet| {
        fleet.rows().len() == 2
            && fleet.rows().iter().all(|row| row.generation == 2 && row.state == "RUNNING")
    });
}

#[test]
fn stop_and_start_keep_the_instance() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    let id = fleet.slot("web/0").id;
    say(&mut fleet, Some(RunState::Stop), false);
    fleet.run_until_lines(&["web/0 STOPPED vienna/fl-1"]);
    assert_eq!(fleet.processes("web").len(), 0);
    say(&mut fleet, Some(RunState::Run), false);
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    assert_eq!((fleet.slot("web/0").id, fleet.slot("web/0").incarnation), (id, 2));
}

#[test]
fn pause_and_resume_keep_the_incarnation() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    say(&mut fleet, Some(RunState::Pause), false);
    fleet.run_until_lines(&["web/0 PAUSED fl-1"]);
    say(&mut fleet, Some(RunState::Run), false);
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    assert_eq!(fleet.slot("web/0").incarnation, 1);
}

#[test]
fn a_restart_raises_the_incarnation_once() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 2));
    fleet.run_until_running(2);
    say(&mut fleet, None, true);
    fleet.run_until("both are restarted", |fleet| {
        fleet.rows().iter().all(|row| row.incarnation == 2 && row.state == "RUNNING")
    });
    fleet.run_secs(20);
    assert!(fleet.rows().iter().all(|row| row.incarnation == 2));
}

#[test]
fn what_is_deleted_leaves_nothing() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).node("edge");
    fleet.apply(app("shop").service("web", steady().memory("150Mi"), 2).per_node("log", steady()));
    fleet.run_until("four run", |fleet| fleet.processes("web").len() + fleet.processes("log").len() == 4);
    fleet.delete("shop");
    fleet.run_until("nothing is left", |fleet| fleet.empty().is_ok());
}

#[test]
fn an_apply_keeps_what_was_scaled_by_hand() {
    let mut fleet = fleet().node("fl-1");
    let manifest = |version, replicas| app("shop").service("web", steady().version(version), replicas);
    fleet.apply(manifest("1", 2));
    fleet.scale("shop", "web", 4);
    fleet.apply(manifest("2", 2));
    assert_eq!(fleet.rows().iter().filter(|row| row.slot.starts_with("web/")).count(), 4);
    fleet.apply(manifest("2", 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
}

#[test]
fn an_equal_apply_changes_nothing() {
    let mut fleet = fleet().node("fl-1");
    let manifest = app("shop").service("web", steady(), 1);
    fleet.apply(manifest.clone());
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    let (revision, generation) = {
        let root = fleet.orchestrators[0].up();
        (root.revision(), root.applications()[0].generation)
    };
    let command =
        Command::Apply { project: name("default"), application: manifest.0, expected: Expected::Anything };
    let Ok(Reply::Applied(view)) = fleet.command(0, command) else { panic!("applied") };
    assert_eq!((view.generation, view.changes[0].action.as_str()), (generation, "keep"));
    assert_eq!(fleet.orchestrators[0].up().revision(), revision);
}

#[test]
fn peers_hear_where_a_service_listens() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).node("edge");
    let web = steady().port("http", None).in_cluster("vienna");
    let reader = steady().connects("web", "http").on_node("edge");
    fleet.apply(app("shop").service("web", web, 2).service("reader", reader, 1));
    let ports = |fleet: &World| {
        let node = fleet.nodes[fleet.node_at("root/edge")].machine.as_ref().unwrap();
        let reader = node.instances().next().map(|(id, _)| id);
        let keys: Vec<_> = reader.into_iter().flat_map(|id| node.connects(id)).collect();
        keys.iter().map(|key| node.endpoints(key).endpoints.len()).sum::<usize>()
    };
    fleet.run_until("two addresses", |fleet| ports(fleet) == 2);
    fleet.scale("shop", "web", 1);
    fleet.run_until("one address", |fleet| ports(fleet) == 1);
}

#[test]
fn every_request_is_in_the_audit_log_with_its_outcome() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.scale("shop", "web", 2);
    fleet.command(0, Command::Delete { app: key("ship"), expected: Expected::Anything }).unwrap_err();
    say(&mut fleet, Some(RunState::Stop), false);
    fleet.delete("shop");
    let audit = &fleet.orchestrators[0].disk.audit;
    let of_people = audit.iter().filter(|record| record.subject.starts_with("application"));
    let told: Vec<_> =
        of_people.map(|r| format!("{} {} {}: {}", r.who, r.verb, r.subject, r.outcome)).collect();
    assert_eq!(
        told,
        [
            "admin apply application default/shop: done",
            "admin scale application default/shop/web to 2: done",
            "admin delete application default/ship: refused: there is no application `default/ship`; `holm get applications` lists what there is",
            "admin stop application default/shop: done",
            "admin delete application default/shop: done",
        ]
    );
}

#[test]
fn what_is_scaled_to_nothing_does_not_run() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("web", steady(), 1).service("log", steady(), 1));
    fleet.run_until_running(2);
    let states = |fleet: &World| {
        let application = fleet.orchestrators[0].up().applications().remove(0);
        (application.state, application.services.iter().map(|service| service.state).collect::<Vec<_>>())
    };
    fleet.scale("shop", "web", 0);
    fleet.run_until_running(1);
    assert_eq!(states(&fleet), (ServiceState::Running, vec![ServiceState::Running, ServiceState::Stopped]));
    fleet.scale("shop", "log", 0);
    fleet.run_until_lines(&[]);
    assert_eq!(states(&fleet).0, ServiceState::Stopped);
    fleet.scale("shop", "web", 1);
    fleet.run_until_running(1);
    assert_eq!(states(&fleet).0, ServiceState::Running);
}

#[test]
fn a_pause_is_for_what_runs() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("web", steady(), 1).service("log", steady(), 1));
    fleet.run_until_running(2);
    let patch = |service: Option<&str>, run| Command::Patch {
        app: key("shop"),
        service: service.map(name),
        replicas: None,
        run: Some(run),
        restart: false,
        expected: Expected::Anything,
    };
    fleet.command(0, patch(Some("web"), RunState::Stop)).unwrap();
    fleet.run_until_lines(&["log/0 RUNNING fl-1", "web/0 STOPPED fl-1"]);
    let refusal = fleet.command(0, patch(Some("web"), RunState::Pause)).unwrap_err().to_string();
    assert_eq!(refusal, "default/shop/web is stopped, so there is nothing to pause; `holm start` starts it");
    fleet.command(0, patch(None, RunState::Pause)).unwrap();
    fleet.run_until_lines(&["log/0 PAUSED fl-1", "web/0 STOPPED fl-1"]);
    let states = fleet.orchestrators[0].up().applications().remove(0).services;
    let states: Vec<_> = states.into_iter().map(|service| (service.name, service.run)).collect();
    assert_eq!(states, [("log".to_owned(), RunState::Pause), ("web".to_owned(), RunState::Stop)]);
    // It starts only when it is resumed, unless it is stopped meanwhile.
    fleet
        .command(
            0,
            Command::Patch {
                app: key("shop"),
                service: Some(name("log")),
                replicas: None,
                run: None,
                restart: true,
                expected: Expected::Anything,
            },
        )
        .unwrap();
    fleet.run_until_lines(&["log/0 STOPPED fl-1", "web/0 STOPPED fl-1"]);
    assert_eq!(fleet.slot("log/0").reason, "paused; it starts when it is resumed");
    fleet.command(0, patch(Some("log"), RunState::Stop)).unwrap();
    fleet.run_until("that is said", |fleet| fleet.slot("log/0").reason == "stopped on request");
}
