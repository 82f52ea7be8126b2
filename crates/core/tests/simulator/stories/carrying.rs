//! Named volumes follow what moves, and nothing that was written is lost: see [`crate::volumes`].

use std::time::Duration;

use holm_core::orchestrator::command::{Command, Expected};
use holm_core::orchestrator::moving::Migration;
use holm_model::item::Carry;
use holm_model::state::RunState;

use super::moving::{moved, place, say};
use crate::fleet::{app, fleet, key, name, seeded, steady};
use crate::runtime::ProcessState;
use crate::world::{Weather, Who, World};

/// A slot with a named volume on `edge`; `other` can take it.
fn keeper() -> World {
    let mut fleet = fleet().node("edge").node("other");
    let (_, other) = place(&fleet, "root/other");
    fleet.command(0, Command::Cordon { member: other, cordoned: true }).unwrap();
    fleet.apply(app("shop").service("store", steady().volume("data"), 1));
    fleet.run_until_lines(&["store/0 RUNNING edge"]);
    fleet.command(0, Command::Cordon { member: other, cordoned: false }).unwrap();
    fleet
}

#[test]
fn a_volume_follows_and_no_two_copies_run_at_once() {
    let mut fleet = keeper();
    fleet.migrate("store/0", Some("other")).unwrap();
    for _ in 0..200 {
        fleet.run_for(std::time::Duration::from_millis(20));
        let all = fleet.nodes.iter().flat_map(|site| site.runtimes.processes.values());
        assert!(all.filter(|process| process.state == ProcessState::Running).count() <= 1, "never two");
    }
    fleet.run_until_lines(&["store/0 RUNNING other"]);
    fleet.run_until("the old one is gone", |fleet| fleet.processes("store") == ["root/other"]);
    fleet.run_secs(3);
    let told = moved(&fleet, 0);
    assert!(told.len() == 1 && told[0].contains(" ms, with 1000 bytes of its volumes"), "{told:?}");
    assert!(told[0].contains(", down for "), "{told:?}");
    let restarts = fleet.rows().into_iter().map(|row| row.restarts).collect::<Vec<_>>();
    assert_eq!(restarts, [0], "to fetch and then to start is one start");
    // It is where its data is by now.
    say(&mut fleet, RunState::Stop);
    fleet.run_until_lines(&["store/0 STOPPED other"]);
    say(&mut fleet, RunState::Run);
    fleet.run_until_lines(&["store/0 RUNNING other"]);
}

#[test]
fn a_move_with_a_volume_that_is_cut_or_countermanded_leaves_the_old_copy_with_its_data() {
    for order in ["lost", "stopped", "updated"] {
        let mut fleet = keeper();
        fleet.migrate("store/0", Some("other")).unwrap();
        fleet.run_until("it is on its way", |fleet| fleet.lines().len() == 2);
        match order {
            "lost" => fleet.cut("root/other"),
            "stopped" => say(&mut fleet, RunState::Stop),
            _ => fleet.apply(app("shop").service("store", steady().volume("data").version("2"), 1)),
        }
        let line = if order == "stopped" { "store/0 STOPPED edge" } else { "store/0 RUNNING edge" };
        fleet.run_secs(30);
        assert!(fleet.lines().contains(&line.to_owned()), "{order}: {:?}", fleet.lines());
        if order == "lost" {
            assert!(fleet.processes("store").contains(&"root/edge".to_owned()));
            fleet.heal("root/other");
        }
        fleet.run_until_lines(&[line]);
        assert_eq!(moved(&fleet, 0), [""; 0], "{order}");
    }
}

/// What the disk of the root says of the old copy's volumes.
fn gives(fleet: &World) -> bool {
    let rows = fleet.orchestrators[0].disk.texts(holm_model::record::Table::Placement);
    rows.iter().any(|row| row.contains(&serde_json::to_string(&Carry::Gives).unwrap()))
}

/// On its way, the old copy told to end.
fn given_up() -> World {
    let mut fleet = keeper();
    fleet.migrate("store/0", Some("other")).unwrap();
    for _ in 0..2000 {
        if gives(&fleet) {
            return fleet;
        }
        fleet.run_for(Duration::from_millis(5));
    }
    panic!("it is never told to end: {:?}", fleet.lines());
}

#[test]
fn whoever_dies_while_the_rest_is_fetched_the_move_goes_on() {
    for (millis, who) in
        [0, 50, 100, 200, 400, 800].into_iter().flat_map(|m| [(m, 0), (m, 1), (m, 2), (m, 3)])
    {
        let mut fleet = given_up();
        fleet.run_for(Duration::from_millis(millis));
        let who = match who {
            0 => Who::Orchestrator(0),
            1 => fleet.who("root/edge"),
            2 => fleet.who("root/other"),
            // With its machine.
            _ => Who::Node(fleet.node_at("root/other")),
        };
        fleet.crash(who, millis % 200 == 0);
        fleet.run_secs(5);
        fleet.run_until_lines(&["store/0 RUNNING other"]);
        fleet.run_until("the old one is gone", |fleet| fleet.processes("store") == ["root/other"]);
    }
}

#[test]
fn a_giver_that_is_heard_before_the_taker_after_a_restart_does_not_go_on() {
    let mut fleet = given_up();
    fleet.cut("root/other");
    fleet.crash(Who::Orchestrator(0), false);
    fleet.run_secs(5);
    assert_eq!(fleet.processes("store"), [""; 0], "whether the other has all of it is not known");
    fleet.heal("root/other");
    fleet.run_until_lines(&["store/0 RUNNING other"]);
}

#[test]
fn a_taker_that_is_never_heard_again_had_not_started() {
    let mut fleet = given_up();
    fleet.run_for(Duration::from_millis(60));
    fleet.cut("root/other");
    fleet
        .run_until("the old one goes on", |fleet| fleet.lines().contains(&"store/0 RUNNING edge".to_owned()));
    fleet.run_secs(30);
    assert_eq!(fleet.processes("store"), ["root/edge"]);
    fleet.heal("root/other");
    fleet.run_secs(10);
    assert_eq!(fleet.processes("store"), ["root/edge"]);
    assert!(fleet.nodes[fleet.node_at("root/other")].volumes.kept.is_empty(), "the copy is gone");
    // The next try is whole again.
    fleet.migrate("store/0", Some("other")).unwrap();
    fleet.run_until_lines(&["store/0 RUNNING other"]);
}

#[test]
fn what_goes_back_at_once_is_not_discarded_with_what_gave_it() {
    for seed in 0..40 {
        let mut fleet = seeded(seed).node("edge").node("other");
        fleet.apply(app("shop").service("store", steady().volume("data"), 1));
        fleet.run_until_running(1);
        for _ in 0..6 {
            let there = fleet.slot("store/0").node.unwrap();
            let to = if there == "edge" { "other" } else { "edge" };
            for _ in 0..400 {
                if fleet.migrate("store/0", Some(to)).is_ok() {
                    break;
                }
                fleet.run_for(Duration::from_millis(5));
            }
            fleet.run_until("it is there", |fleet| fleet.lines() == [format!("store/0 RUNNING {to}")]);
        }
    }
}

#[test]
fn a_taker_that_is_removed_leaves_the_old_copy_with_its_data() {
    let mut fleet = given_up();
    fleet.cut("root/other");
    let (_, member) = place(&fleet, "root/other");
    fleet.command(0, Command::RemoveMember { member }).unwrap();
    fleet.run_until_lines(&["store/0 RUNNING edge"]);
}

/// What was lost meanwhile is made good by the next session.
fn heal(fleet: &mut World, member: &str) {
    fleet.heal(member);
    fleet.break_connection(fleet.dial_of(fleet.who(member)).unwrap());
}

/// Moves at any time, and anybody dies, is cut off or changes their mind: each start has the newest data, which
/// [`World::write`] sees to, and at the end it is in one place.
fn moves_about(seed: u64) {
    let mut fleet = seeded(seed).node("edge").node("other").node("third");
    let mut version = 1;
    let store = |version: u32| {
        app("shop").service(
            "store",
            steady().volume("data").version(&version.to_string()).waits_for_return(),
            1,
        )
    };
    fleet.apply(store(version));
    fleet.run_secs(5);
    fleet.weather = Weather {
        launch_fails: 100,
        halt_fails: 50,
        breaks: 5,
        crash: 5,
        full_disk: 5,
        group: 300,
        ..Weather::default()
    };
    for _ in 0..40 {
        let node = *fleet.rng.pick(&["edge", "other", "third"]).unwrap();
        let member = format!("root/{node}");
        let (app, expected) = (key("shop"), Expected::Anything);
        let run = |run| Command::Patch {
            app: key("shop"),
            service: None,
            replicas: None,
            run: Some(run),
            restart: false,
            expected: Expected::Anything,
        };
        let (slot, to) = ("store/0".to_owned(), Some(name(node)));
        let command = match fleet.rng.below(12) {
            0..4 => Command::Migrate(Migration { app, slot, to, lose_volume: false }),
            4 => run(RunState::Stop),
            5 => run(RunState::Run),
            6 => {
                version += 1;
                Command::Apply { project: name("default"), application: store(version).0, expected }
            }
            what => {
                match what {
                    7 => fleet.crash(Who::Orchestrator(0), false),
                    8 => fleet.crash(fleet.who(&member), false),
                    9 => fleet.crash(fleet.who(&member), true),
                    10 => fleet.cut(&member),
                    _ => heal(&mut fleet, &member),
                }
                run(RunState::Run)
            }
        };
        // Whether anybody answers, and what: as it comes.
        if fleet.is_up(Who::Orchestrator(0)) {
            fleet.ask(0, command);
        }
        let pause = fleet.rng.millis(10, 3000);
        fleet.run_for(pause);
    }
    fleet.weather = Weather::default();
    for node in ["edge", "other", "third"] {
        heal(&mut fleet, &format!("root/{node}"));
    }
    fleet.run_secs(60);
    // Its attempts may be used up.
    let (app, expected) = (key("shop"), Expected::Anything);
    let patch = Command::Patch {
        app,
        service: None,
        replicas: None,
        run: Some(RunState::Run),
        restart: true,
        expected,
    };
    fleet.command(0, patch).unwrap();
    fleet.run_until("it runs", |fleet| {
        fleet.processes("store").len() == 1 && fleet.rows().len() == 1 && fleet.rows()[0].state == "RUNNING"
    });
    fleet.run_secs(30);
    let there = fleet.nodes.iter().filter(|site| !site.volumes.kept.is_empty());
    let there = there.map(|site| (site.path.clone(), site.volumes.kept.clone())).collect::<Vec<_>>();
    assert!(there.len() == 1 && there[0].1 == fleet.written, "seed {seed}: {there:?} of {:?}", fleet.written);
    assert_eq!(fleet.processes("store"), [there[0].0.clone()]);
}

#[test]
fn nothing_that_was_written_is_lost_whatever_happens() {
    for seed in 0..150 {
        moves_about(seed);
    }
}
