//! A store that is older than what its members obeyed: nothing is stopped, nothing deleted revives,
//! and people decide.

use holm_core::orchestrator::command::{Command, Expected};
use holm_model::item::ItemKey;
use holm_model::member::Role;
use holm_model::view::TokenRole;
use holm_model::view::held::Fate;

use crate::disk::Disk;
use crate::fleet::{app, fleet, key, name, nodes, steady};
use crate::world::{Who, World};

/// The root comes back with another store, and its members have called.
pub(super) fn replace(fleet: &mut World, disk: Disk) {
    fleet.crash(Who::Orchestrator(0), false);
    fleet.orchestrators[0].replace_disk(disk);
    fleet.run_secs(15);
}

fn decide(fleet: &mut World, command: impl Fn(holm_model::id::MemberId) -> Command) {
    let frozen = fleet.orchestrators[0].up().members().into_iter().filter(|member| member.frozen);
    let frozen: Vec<_> = frozen.map(|member| member.id.parse().unwrap()).collect();
    assert!(!frozen.is_empty(), "somebody is frozen");
    for member in frozen {
        fleet.command(0, command(member)).unwrap();
    }
}

pub(super) fn adopt(fleet: &mut World) {
    decide(fleet, |member| Command::Adopt { member });
}

fn discard(fleet: &mut World) {
    decide(fleet, |member| Command::Discard { member });
}

#[test]
fn an_empty_store_stops_nothing_and_learns_by_adopting() {
    let mut fleet = fleet().cluster("vienna", nodes(2)).node("edge");
    fleet.apply(app("shop").service("web", steady().memory("200Mi"), 3));
    let running = ["web/0 RUNNING vienna/fl-1", "web/1 RUNNING vienna/fl-2", "web/2 RUNNING edge"];
    fleet.run_until_lines(&running);
    let before: Vec<_> = fleet.rows().into_iter().map(|row| (row.id, row.incarnation)).collect();

    replace(&mut fleet, Disk::default());
    assert_eq!(fleet.processes("web").len(), 3, "nothing was stopped");
    assert_eq!(fleet.orchestrators[0].up().applications(), [], "it knows of nothing");
    adopt(&mut fleet);
    fleet.run_until_lines(&running);
    let after: Vec<_> = fleet.rows().into_iter().map(|row| (row.id, row.incarnation)).collect();
    assert_eq!(before, after, "nothing was started anew");
    assert_eq!(fleet.orchestrators[0].up().applications().len(), 1);
    fleet.scale("shop", "web", 0);
    fleet.run_until("it obeys again", |fleet| fleet.processes("web").is_empty());
}

#[test]
fn what_was_deleted_since_the_copy_does_not_revive() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.apply(app("keep").service("log", steady(), 1));
    fleet.run_until("both run", |fleet| fleet.processes("web").len() + fleet.processes("log").len() == 2);
    let copy = fleet.orchestrators[0].disk.clone();
    fleet.delete("shop");
    fleet.run_until_lines(&["log/0 RUNNING vienna/fl-1"]);

    replace(&mut fleet, copy);
    adopt(&mut fleet);
    fleet.run_secs(30);
    assert_eq!(fleet.processes("web").len(), 0);
    assert_eq!(fleet.processes("log").len(), 1);
    let row = fleet.slot("web/0");
    assert_eq!((row.state.as_str(), row.reason.contains("confirm")), ("REQUESTED", true), "{}", row.reason);

    fleet.command(0, Command::Confirm { app: key("shop") }).unwrap();
    fleet.run_until("people may want it again", |fleet| fleet.processes("web").len() == 1);
}

#[test]
fn what_was_scaled_away_does_not_revive() {
    let fresh = || {
        let mut fleet = fleet().cluster("vienna", nodes(1)).node("edge");
        fleet.apply(app("shop").service("web", steady(), 4));
        fleet.run_until_running(4);
        let copy = fleet.orchestrators[0].disk.clone();
        fleet.scale("shop", "web", 1);
        fleet.run_until_running(1);
        (fleet, copy)
    };
    // Whether the store has forgotten everything, or only the last change.
    for older in [false, true] {
        let (mut fleet, copy) = fresh();
        replace(&mut fleet, if older { copy } else { Disk::default() });
        adopt(&mut fleet);
        fleet.run_secs(20);
        assert_eq!(fleet.lines(), ["web/0 RUNNING vienna/fl-1"], "from an older copy: {older}");
        assert_eq!(fleet.processes("web").len(), 1);
    }
}

#[test]
fn what_was_applied_since_the_copy_goes_on_and_is_adopted() {
    let mut fleet = fleet().node("fl-1");
    let copy = fleet.orchestrators[0].disk.clone();
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    replace(&mut fleet, copy);
    assert_eq!(fleet.processes("web").len(), 1);
    assert!(fleet.nodes[0].machine.as_ref().unwrap().is_frozen());
    adopt(&mut fleet);
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    assert_eq!(fleet.slot("web/0").incarnation, 1);
}

#[test]
fn discarding_imposes_what_the_store_says() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("old").service("log", steady(), 1));
    fleet.run_until_lines(&["log/0 RUNNING fl-1"]);
    let copy = fleet.orchestrators[0].disk.clone();
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until("both run", |fleet| fleet.processes("web").len() + fleet.processes("log").len() == 2);
    replace(&mut fleet, copy);
    discard(&mut fleet);
    fleet.run_until_lines(&["log/0 RUNNING fl-1"]);
    fleet.run_until("the newer one ends", |fleet| fleet.processes("web").is_empty());
}

#[test]
fn what_ended_since_the_copy_is_started_by_discarding_as_another_instance() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).node("edge");
    fleet.apply(app("shop").service("web", steady().in_cluster("vienna"), 1));
    fleet.apply(app("moved").service("job", steady().on_node("edge"), 1));
    let running = ["job/0 RUNNING edge", "web/0 RUNNING vienna/fl-1"];
    fleet.run_until_lines(&running);
    let copy = fleet.orchestrators[0].disk.clone();
    let ids = |fleet: &World| fleet.rows().into_iter().map(|row| row.id).collect::<Vec<_>>();
    let before = ids(&fleet);
    let listed = |fleet: &World| {
        let vienna = fleet.orchestrators[fleet.orch("vienna")].up();
        let shares = vienna.held().items().filter(|item| matches!(item.key, ItemKey::Share(_)));
        shares.map(|item| item.key.clone()).collect::<Vec<_>>()
    };
    let shares = listed(&fleet);
    fleet.delete("shop");
    fleet.delete("moved");
    fleet.run_until_lines(&[]);
    fleet.run_secs(5);

    replace(&mut fleet, copy);
    discard(&mut fleet);
    fleet.run_until_lines(&running);
    assert!(ids(&fleet).iter().all(|id| !before.contains(id)), "an id is never used for two lives");
    assert!(listed(&fleet).iter().all(|share| !shares.contains(share)), "nor for two shares");
}

#[test]
fn a_frozen_member_gets_nothing_new() {
    let mut fleet = fleet().node("fl-1");
    let copy = fleet.orchestrators[0].disk.clone();
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    replace(&mut fleet, copy);
    fleet.apply(app("new").service("log", steady(), 1));
    fleet.run_secs(20);
    let row = fleet.slot("log/0");
    assert_eq!(row.reason, "no place: fl-1: is frozen until it is adopted or its list discarded");
    assert_eq!(fleet.processes("log").len(), 0);
}

#[test]
fn a_frozen_cluster_goes_on_healing() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    replace(&mut fleet, Disk::default());
    let vienna = fleet.orch("vienna");
    assert_eq!(fleet.orchestrators[vienna].up().parent_state(), "behind");
    fleet.cut("vienna/fl-1");
    fleet.run_until("it heals", |fleet| fleet.processes("web").contains(&"vienna/fl-2".to_owned()));
}

#[test]
fn a_member_obeys_no_lower_epoch() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    // The root was restarted in the meantime; the copy is of the reign before.
    let copy = fleet.orchestrators[0].disk.clone();
    fleet.crash(Who::Orchestrator(0), false);
    fleet.run_secs(10);
    fleet.scale("shop", "web", 2);
    fleet.run_until_running(2);
    replace(&mut fleet, copy);
    assert_eq!(fleet.processes("web").len(), 2, "nothing was stopped");
    let held = fleet.nodes[0].machine.as_ref().unwrap().held();
    assert_eq!(held.items().filter(|item| matches!(item.key, ItemKey::Assignment(_))).count(), 2);
    assert!(held.is_frozen());
}

#[test]
fn a_decision_that_did_not_arrive_is_told_again() {
    let mut fleet = fleet().node("fl-1");
    let copy = fleet.orchestrators[0].disk.clone();
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    replace(&mut fleet, copy);
    adopt(&mut fleet);
    fleet.cut("root/fl-1");
    fleet.run_secs(10);
    fleet.crash(Who::Orchestrator(0), false);
    fleet.heal("root/fl-1");
    fleet.run_secs(5);
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    assert!(!fleet.nodes[0].machine.as_ref().unwrap().is_frozen());
    fleet.scale("shop", "web", 0);
    fleet.run_until("it obeys", |fleet| fleet.processes("web").is_empty());
}

#[test]
fn what_people_ask_for_while_a_member_is_frozen_stays_asked_for() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady().on_node("fl-1"), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    replace(&mut fleet, Disk::default());
    let member = fleet.member_id("root/fl-2");
    fleet.command(0, Command::Adopt { member }).unwrap();
    fleet.apply(app("new").service("log", steady(), 1));
    fleet.run_until_lines(&["log/0 RUNNING fl-2"]);
    // The other one calls again, still undecided.
    fleet.cut("root/fl-1");
    fleet.run_secs(10);
    fleet.heal("root/fl-1");
    fleet.run_secs(10);
    fleet.scale("new", "log", 2);
    fleet.run_until_lines(&["log/0 RUNNING fl-2", "log/1 RUNNING fl-2"]);
}

#[test]
fn a_restored_store_voids_its_join_tokens() {
    let mut fleet = fleet().node("fl-1");
    fleet.create_token(0, "t", TokenRole::Node, 3).unwrap();
    let copy = fleet.orchestrators[0].disk.clone();
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    replace(&mut fleet, copy);
    let refusal = fleet.show_token(0, "t", Role::Node, "fl-2", None).unwrap_err();
    assert_eq!(refusal.to_string(), "this token was revoked");
}

#[test]
fn a_write_about_what_a_frozen_member_holds_is_refused_until_people_decide() {
    let mut fleet = fleet().node("fl-1");
    let copy = fleet.orchestrators[0].disk.clone();
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    let newer = fleet.orchestrators[0].disk.clone();
    fleet.scale("shop", "web", 2);
    fleet.run_until_running(2);
    // Whether the store has forgotten the application or only its last change.
    for disk in [copy, newer] {
        replace(&mut fleet, disk);
        let known = !fleet.orchestrators[0].up().applications().is_empty();
        let application = app("shop").service("web", steady(), 5).0;
        let mut writes =
            vec![Command::Apply { project: name("default"), application, expected: Expected::Anything }];
        if known {
            let (app, service) = (key("shop"), Some(name("web")));
            writes.push(Command::Patch {
                app,
                service,
                replicas: Some(5),
                run: None,
                restart: false,
                expected: Expected::Anything,
            });
            writes.push(Command::Delete { app: key("shop"), expected: Expected::Anything });
        }
        for write in writes {
            let refusal = fleet.command(0, write).unwrap_err();
            assert_eq!(
                refusal.to_string(),
                "application default/shop may be newer on member `fl-1`, which is frozen because this store is \
                 older than what it obeyed; decide first: `holm adopt fl-1` or `holm discard fl-1`"
            );
        }
        fleet.apply(app("other").service("log", steady(), 0));
    }
    adopt(&mut fleet);
    fleet.scale("shop", "web", 1);
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
}

#[test]
fn a_write_about_what_was_deleted_since_the_copy_is_refused_until_people_decide() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    let copy = fleet.orchestrators[0].disk.clone();
    fleet.delete("shop");
    fleet.run_until_lines(&[]);
    fleet.run_secs(5);
    replace(&mut fleet, copy);
    let delete = Command::Delete { app: key("shop"), expected: Expected::Anything };
    let refusal = fleet.command(0, delete.clone()).unwrap_err().to_string();
    assert!(refusal.starts_with("application default/shop may be newer on member `fl-1`"), "{refusal}");
    adopt(&mut fleet);
    fleet.command(0, delete).unwrap();
}

/// `web/0 learn end`: what a frozen member holds, and what deciding would lead to.
fn plan(fleet: &World, member: &str) -> Vec<String> {
    let held = fleet.orchestrators[0].up().held_by(fleet.member_id(member)).unwrap();
    assert!(held.frozen && held.complete, "{held:?}");
    held.items.iter().map(|item| format!("{} {} {}", item.slot, item.adopt, item.discard)).collect()
}

#[test]
fn what_a_frozen_member_holds_is_shown_with_what_deciding_would_lead_to() {
    let fresh = |disk: fn(Disk) -> Disk| {
        let mut fleet = fleet().cluster("vienna", nodes(1)).node("edge");
        fleet.apply(app("kept").service("log", steady().on_node("edge"), 1));
        fleet.apply(app("moved").service("job", steady().on_node("edge"), 1));
        fleet.run_until_running(2);
        let copy = fleet.orchestrators[0].disk.clone();
        fleet.apply(app("kept").service("log", steady().on_node("edge").version("2"), 1));
        fleet.delete("moved");
        fleet.apply(app("later").service("web", steady().in_cluster("vienna"), 1));
        fleet.apply(app("later-2").service("db", steady().on_node("edge"), 1));
        fleet.run_until_running(3);
        fleet.run_secs(10);
        replace(&mut fleet, disk(copy));
        fleet
    };
    // An empty store learns everything, or ends it.
    let mut fleet = fresh(|_| Disk::default());
    assert_eq!(plan(&fleet, "root/edge"), ["log/0 learn end", "db/0 learn end"]);
    assert_eq!(plan(&fleet, "vienna"), ["web/0 learn end"]);
    adopt(&mut fleet);
    fleet.run_until_running(3);

    // An older one knows what was there then.
    let mut fleet = fresh(|copy| copy);
    assert_eq!(
        plan(&fleet, "root/edge"),
        ["log/0 learn end", "log/0 forget start", "db/0 learn end", "job/0 forget start"]
    );
    adopt(&mut fleet);
    fleet.run_until("what was learned goes on", |fleet| {
        fleet.processes("db").len() == 1 && fleet.processes("job").is_empty()
    });
    let edge = fleet.orchestrators[0].up().held_by(fleet.member_id("root/edge")).unwrap();
    assert!(!edge.frozen && edge.items.iter().all(|item| item.discard == Fate::Keep), "{edge:?}");

    // Or it imposes that.
    let mut fleet = fresh(|copy| copy);
    discard(&mut fleet);
    fleet.run_until_lines(&["log/0 RUNNING edge", "job/0 RUNNING edge"]);
    fleet.run_until("what was learned nowhere ends", |fleet| {
        fleet.processes("db").is_empty() && fleet.processes("web").is_empty()
    });
}
