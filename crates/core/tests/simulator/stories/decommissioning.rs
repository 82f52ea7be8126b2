//! Nodes that are taken out of service: emptied, wiped, proven, forgotten.

use std::time::Duration;

use holm_core::orchestrator::command::{Command, Refusal, Reply};

use crate::fleet::{app, fleet, steady};
use crate::world::World;

/// Whether it was forgotten at once.
fn decommission(fleet: &mut World, member: &str, force: bool) -> Result<bool, Refusal> {
    let member = fleet.member_id(member);
    match fleet.command(0, Command::Decommission { member, force })? {
        Reply::Decommission(view) => Ok(view.forgotten),
        other => panic!("{other:?}"),
    }
}

/// What the audit log has under a verb.
fn audit(fleet: &World, verb: &str) -> Vec<String> {
    let records = fleet.orchestrators[0].disk.audit.iter().filter(|record| record.verb == verb);
    records.map(|record| format!("{}: {}", record.who, record.outcome)).collect()
}

fn is_known(fleet: &World, name: &str) -> bool {
    fleet.orchestrators[0].up().members().iter().any(|member| member.name == name)
}

#[test]
fn it_is_emptied_wipes_itself_proves_it_and_is_forgotten() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady(), 1).per_node("log", steady()));
    fleet.run_until_lines(&["log/fl-1 RUNNING fl-1", "log/fl-2 RUNNING fl-2", "web/0 RUNNING fl-1"]);
    assert!(!decommission(&mut fleet, "root/fl-1", false).unwrap());
    fleet.run_until("it is forgotten", |fleet| !is_known(fleet, "fl-1"));
    fleet.run_until_lines(&["log/fl-2 RUNNING fl-2", "web/0 RUNNING fl-2"]);
    let proof = audit(&fleet, "node.wiped");
    assert!(proof[0].starts_with("admin: node fl-1 told that it wiped: all instances; 7 files"), "{proof:?}");
    assert_eq!((proof.len(), fleet.processes("log").len()), (1, 1));
    assert!(!fleet.orchestrators[0].revoked.serials.is_empty(), "its certificate is void");
}

#[test]
fn what_has_no_other_place_holds_it_up_until_people_force_it_or_think_again() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    decommission(&mut fleet, "root/fl-1", false).unwrap();
    fleet.run_secs(10);
    assert_eq!(fleet.processes("web").len(), 1, "it serves");
    let member = fleet.member_id("root/fl-1");
    fleet.command(0, Command::Cordon { member, cordoned: false }).unwrap();
    fleet.run_secs(5);
    assert_eq!(fleet.processes("web").len(), 1);
    assert!(!decommission(&mut fleet, "root/fl-1", true).unwrap());
    let back = fleet.command(0, Command::Cordon { member, cordoned: false });
    assert!(matches!(back, Err(Refusal::Conflict(why)) if why.contains("cannot be taken back")));
    fleet.run_until("it is forgotten", |fleet| !is_known(fleet, "fl-1"));
    assert_eq!((fleet.processes("web").len(), audit(&fleet, "node.wiped").len()), (0, 1));
}

#[test]
fn restarts_of_either_side_and_a_cut_interrupt_nothing() {
    for seed in 0..40_u64 {
        let mut fleet = crate::fleet::seeded(seed).node("fl-1").node("fl-2");
        fleet.apply(app("shop").service("web", steady(), 2));
        fleet.run_until_running(2);
        decommission(&mut fleet, "root/fl-1", false).unwrap();
        fleet.run_for(Duration::from_millis(seed * 40));
        match seed % 4 {
            0 => fleet.crash(fleet.who("root"), false),
            1 => fleet.crash(fleet.who("root/fl-1"), true),
            2 => {
                fleet.crash(fleet.who("root"), false);
                fleet.crash(fleet.who("root/fl-1"), false);
            }
            _ => {
                fleet.cut("root/fl-1");
                fleet.run_secs(20);
                assert!(
                    !is_known(&fleet, "fl-1") || audit(&fleet, "node.wiped").is_empty(),
                    "seed {seed}: known as long as it is not proven"
                );
                fleet.heal("root/fl-1");
            }
        }
        fleet
            .run_until("it is forgotten", |fleet| fleet.is_up(fleet.who("root")) && !is_known(fleet, "fl-1"));
        fleet.run_until_running(2);
        assert_eq!(audit(&fleet, "node.wiped").len(), 1, "seed {seed}: proven once");
    }
}

#[test]
fn one_that_is_silent_is_forgotten_by_force_only_and_nothing_is_proven() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    fleet.cut("root/fl-1");
    fleet.run_secs(7);
    let refused = decommission(&mut fleet, "root/fl-1", false);
    assert!(matches!(refused, Err(Refusal::Conflict(why)) if why.contains("--force")));
    assert!(is_known(&fleet, "fl-1"));
    assert!(decommission(&mut fleet, "root/fl-1", true).unwrap());
    assert!(!is_known(&fleet, "fl-1"));
    assert_eq!((audit(&fleet, "node.wiped").len(), audit(&fleet, "node.forgotten").len()), (0, 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-2"]);
}
