//! A cluster that lost its store and adopted its nodes while its parent was out of reach.

use holm_core::orchestrator::command::{Command, Expected};
use holm_model::record::Table;

use crate::disk::Disk;
use crate::fleet::{app, fleet, nodes, steady};
use crate::world::{Orch, Who, World};

/// Vienna is cut off, loses its store, and people there adopt what its nodes hold.
fn lose_store_alone(fleet: &mut World) -> Orch {
    fleet.cut("vienna");
    let vienna = fleet.orch("vienna");
    fleet.crash(Who::Orchestrator(vienna), false);
    fleet.orchestrators[vienna].replace_disk(Disk::default());
    fleet.run_secs(8);
    let frozen = fleet.orchestrators[vienna].up().members().into_iter().filter(|member| member.frozen);
    let frozen: Vec<_> = frozen.map(|member| member.id.parse().unwrap()).collect();
    assert!(!frozen.is_empty(), "somebody is frozen");
    for member in frozen {
        fleet.command(vienna, Command::Adopt { member }).unwrap();
    }
    vienna
}

#[test]
fn what_it_adopted_passes_to_the_parents_shares_without_a_second_copy() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("web", steady(), 2).per_node("log", steady()));
    fleet.run_until_running(4);
    let before: Vec<_> = fleet.rows().into_iter().map(|row| (row.id, row.incarnation)).collect();

    let vienna = lose_store_alone(&mut fleet);
    assert_eq!(fleet.orchestrators[vienna].up().applications().len(), 1, "its own, as far as it knows");
    fleet.run_secs(2);
    fleet.heal("vienna");
    for _ in 0..200 {
        fleet.run_for(std::time::Duration::from_millis(100));
        assert_eq!((fleet.processes("web").len(), fleet.processes("log").len()), (2, 2));
    }
    let after: Vec<_> = fleet.rows().into_iter().map(|row| (row.id, row.incarnation)).collect();
    assert_eq!(before, after, "nothing was started anew");
    assert_eq!(fleet.orchestrators[vienna].up().applications(), [], "it is the parent's again");

    fleet.scale("shop", "web", 1);
    fleet.run_until("it obeys", |fleet| fleet.processes("web").len() == 1);
    fleet.delete("shop");
    fleet.run_until_lines(&[]);
}

#[test]
fn what_it_kept_of_what_is_its_parents_is_forgotten() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_running(1);
    let vienna = lose_store_alone(&mut fleet);
    // What was never kept is kept at a start.
    fleet.crash(Who::Orchestrator(vienna), false);
    fleet.run_secs(8);
    let kept = |fleet: &World| fleet.orchestrators[vienna].disk.texts(Table::Generation);
    assert_eq!(kept(&fleet).len(), 1);
    fleet.heal("vienna");
    fleet.run_until("it is the parent's again", |fleet| {
        fleet.orchestrators[vienna].up().applications().is_empty()
    });
    assert_eq!(kept(&fleet), [""; 0]);
}

#[test]
fn what_the_parent_placed_elsewhere_meanwhile_ends_there() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.apply(app("gone").service("log", steady(), 1));
    fleet.run_until_lines(&["log/0 RUNNING vienna/fl-1", "web/0 RUNNING vienna/fl-1"]);
    lose_store_alone(&mut fleet);
    fleet.delete("gone");
    fleet.run_until("munich runs it", |fleet| fleet.processes("web").contains(&"munich/fl-1".to_owned()));
    fleet.heal("vienna");
    fleet.run_until_lines(&["web/0 RUNNING munich/fl-1"]);
    fleet.run_until("the surplus ends", |fleet| {
        fleet.processes("web") == ["munich/fl-1"] && fleet.processes("log").is_empty()
    });
}

#[test]
fn an_application_of_its_own_stays_its_own() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let vienna = fleet.orch("vienna");
    let own = app("own").service("log", steady(), 1).0;
    let project = crate::fleet::name("default");
    fleet
        .command(vienna, Command::Apply { project, application: own, expected: Expected::Anything })
        .unwrap();
    fleet.run_until("it runs", |fleet| fleet.processes("log").len() == 1);
    lose_store_alone(&mut fleet);
    fleet.heal("vienna");
    fleet.run_secs(20);
    assert_eq!(fleet.processes("log").len(), 1);
    assert_eq!(fleet.orchestrators[vienna].up().applications().len(), 1);
}
