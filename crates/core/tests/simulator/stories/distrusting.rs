//! Members that a store knows too little of: whether they were revoked, nobody can say there.

use holm_core::orchestrator::command::Command;
use holm_core::orchestrator::{Effect, Event, LinkId};
use holm_model::id::MemberId;
use holm_model::message::Up;
use serde_bytes::ByteBuf;

use super::forgetting::{adopt, replace};
use crate::disk::Disk;
use crate::fleet::{app, fleet, nodes, steady};
use crate::world::World;

/// Their certificates are older than the store.
#[test]
fn members_that_an_empty_store_has_learnt_are_revoked_and_removed_for_good() {
    for command in [|member| Command::RevokeMember { member }, |member| Command::RemoveMember { member }] {
        for alone in [false, true] {
            let mut fleet = fleet().node("edge");
            fleet.apply(app("shop").service("web", steady(), 1));
            fleet.run_until_running(1);
            replace(&mut fleet, Disk::default());
            adopt(&mut fleet);
            fleet.run_until_running(1);
            let member = fleet.member_id("root/edge");
            if alone {
                fleet.cut("root/edge");
                fleet.run_secs(40);
            }
            fleet.command(0, command(member)).unwrap();
            fleet.run_secs(40);
            fleet.heal("root/edge");
            fleet.crash(fleet.who("root/edge"), false);
            fleet.run_secs(60);
            let dial = &fleet.dials[fleet.dial_to(0, member).unwrap()];
            assert!(dial.accepted.is_empty(), "alone: {alone}");
        }
    }
}

#[test]
fn a_node_that_never_ran_anything_is_adopted_too() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.run_secs(5);
    let vienna = fleet.orch("vienna");
    fleet.crash(fleet.who("vienna"), false);
    fleet.orchestrators[vienna].replace_disk(Disk::default());
    fleet.run_secs(15);
    fleet.apply(app("shop").per_node("log", steady()));
    fleet.run_secs(15);
    let member = fleet.member_id("vienna/fl-1");
    fleet.command(vienna, Command::Adopt { member }).unwrap();
    fleet.run_until_lines(&["log/vienna/fl-1 RUNNING vienna/fl-1"]);
}

/// Somebody may have been revoked since the backup: nobody knows here, so that nobody is told anything.
#[test]
fn a_restored_store_tells_members_nothing_until_they_are_adopted() {
    let mut fleet = fleet().node("stolen").node("edge");
    fleet.apply(app("shop").service("web", steady(), 2));
    fleet.run_until_running(2);
    fleet.run_secs(5);
    let mut copy = fleet.orchestrators[0].disk.clone();
    copy.distrust();
    replace(&mut fleet, copy);
    let members = fleet.orchestrators[0].up().members();
    assert!(members.iter().all(|member| member.unconfirmed && !member.frozen), "{members:#?}");
    let before = fleet.rows();
    fleet.apply(app("late").service("log", steady(), 1));
    fleet.apply(app("shop").service("web", steady().version("2"), 2));
    fleet.run_secs(60);
    assert_eq!(fleet.processes("log"), Vec::<String>::new());
    let after = fleet.rows().into_iter().filter(|row| row.application == "shop");
    assert!(after.zip(&before).all(|(row, before)| (&row.id, row.incarnation) == (&before.id, 1)));

    let member = fleet.member_id("root/edge");
    fleet.command(0, Command::Adopt { member }).unwrap();
    fleet.run_until("it is told again", |fleet| fleet.processes("log").len() == 1);
    assert_eq!(fleet.slot("log/0").node.as_deref(), Some("edge"));
    let told = fleet.rows().into_iter().filter(|row| row.node.as_deref() == Some("stolen"));
    assert!(told.into_iter().all(|row| row.generation == 1));
}

fn say(fleet: &mut World, event: Event) -> Vec<Effect> {
    let now = fleet.orchestrators[0].clock.at(fleet.now);
    let machine = fleet.orchestrators[0].machine.as_mut().unwrap();
    machine.take_effects();
    machine.step(now, event);
    machine.take_effects()
}

/// Its certificate has expired in an outage: it can tell nothing until it is renewed, nor renew it unconfirmed.
#[test]
fn a_member_of_a_restored_store_whose_certificate_has_expired_is_adopted_and_renews_it() {
    for command in [|member: MemberId| Command::Adopt { member }, |member| Command::Discard { member }] {
        let mut fleet = fleet().node("edge");
        fleet.cut("root/edge");
        let mut copy = fleet.orchestrators[0].disk.clone();
        copy.distrust();
        replace(&mut fleet, copy);
        let member = fleet.member_id("root/edge");
        let error = fleet.command(0, command(member)).unwrap_err();
        assert!(error.to_string().contains("is not connected"), "{error}");

        let link = LinkId(u64::MAX);
        let renew = || Event::LinkMessage { link, message: Up::Renew { csr: ByteBuf::from(vec![1]) } };
        let opened =
            || Event::LinkOpened { link, member, serial: "0001".to_owned(), renew_only: true, from: None };
        assert_eq!(say(&mut fleet, opened()), []);
        assert_eq!(say(&mut fleet, renew()), [], "nobody knows whether it was revoked");
        fleet.command(0, command(member)).unwrap();
        // Its link is closed: it asks again on the next.
        assert_eq!(say(&mut fleet, opened()), []);
        assert_eq!(say(&mut fleet, renew()), [Effect::Sign { link, member, csr: vec![1] }]);
    }
}

/// What a cluster was told to refuse is known again when it is adopted.
#[test]
fn revocations_that_a_cluster_remembers_come_back_with_it() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).node("stolen");
    fleet.run_secs(5);
    let copy = fleet.orchestrators[0].disk.clone();
    let member = fleet.member_id("root/stolen");
    fleet.command(0, Command::RevokeMember { member }).unwrap();
    fleet.run_secs(5);
    replace(&mut fleet, copy);
    adopt(&mut fleet);
    fleet.run_secs(40);
    let dial = &fleet.dials[fleet.dial_to(0, member).unwrap()];
    assert!(dial.accepted.is_empty());
}

/// The store of a cluster is restored, before or after it was given what it runs; the root may place that elsewhere.
#[test]
fn what_a_restored_cluster_runs_is_started_nowhere_else_and_goes_on_when_it_is_adopted() {
    for old in [false, true] {
        let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
        let vienna = fleet.orch("vienna");
        fleet.run_secs(5);
        let before = fleet.orchestrators[vienna].disk.clone();
        fleet.apply(app("shop").service("web", steady(), 1));
        fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
        fleet.run_secs(5);
        let mut copy = if old { before } else { fleet.orchestrators[vienna].disk.clone() };
        copy.distrust();
        fleet.crash(fleet.who("vienna"), false);
        fleet.orchestrators[vienna].replace_disk(copy);
        for second in 0..90 {
            fleet.run_secs(1);
            assert_eq!(fleet.processes("web"), ["vienna/fl-1"], "old: {old}, {second} s after the restore");
        }
        let member = fleet.member_id("vienna/fl-1");
        fleet.command(vienna, Command::Adopt { member }).unwrap();
        for second in 0..60 {
            fleet.run_secs(1);
            assert_eq!(fleet.processes("web"), ["vienna/fl-1"], "old: {old}, {second} s after the adoption");
        }
        assert_eq!(fleet.lines(), ["web/0 RUNNING vienna/fl-1"], "old: {old}");
    }
}

/// It does not come back: what it claims waits for nobody.
#[test]
fn a_revoked_member_that_is_not_confirmed_blocks_no_changes() {
    let mut fleet = fleet().node("stolen").node("edge");
    fleet.apply(app("shop").service("web", steady(), 2));
    fleet.run_until_running(2);
    fleet.run_secs(5);
    replace(&mut fleet, Disk::default());
    let member = fleet.member_id("root/edge");
    fleet.command(0, Command::Adopt { member }).unwrap();
    let member = fleet.member_id("root/stolen");
    fleet.command(0, Command::RevokeMember { member }).unwrap();
    fleet.run_secs(2);
    fleet.apply(app("shop").service("web", steady().version("2"), 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
}
