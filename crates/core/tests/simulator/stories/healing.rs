//! The rules of a service for the loss of a node or a cluster, and for its return.

use holm_model::healing::Reconcile;
use holm_model::item::EndpointsKey;
use holm_model::placement::Preference;
use holm_model::slot::ServiceKey;

use crate::fleet::{Spec, app, fleet, name, nodes, sized, steady, unhurried};
use crate::world::{Who, World};

/// `web` runs in one place, is replaced in another one, and the first returns.
struct Lost {
    /// Cut and healed.
    member: &'static str,
    before: &'static str,
    after: &'static str,
}

const NODE: Lost = Lost { member: "vienna/fl-1", before: "vienna/fl-1", after: "vienna/fl-2" };
const CLUSTER: Lost = Lost { member: "vienna", before: "vienna/fl-1", after: "munich/fl-1" };

impl Lost {
    fn world(&self, spec: Spec) -> World {
        let mut fleet = match self.member {
            "vienna" => fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1)),
            _ => fleet().cluster("vienna", nodes(2)),
        };
        fleet.apply(app("shop").service("web", spec, 1));
        fleet.run_until_lines(&[&format!("web/0 RUNNING {}", self.before)]);
        fleet.cut(self.member);
        fleet.run_until("it is replaced", |fleet| {
            fleet.lines().contains(&format!("web/0 RUNNING {}", self.after))
        });
        fleet
    }

    fn returns(&self, fleet: &mut World, stays: &str) {
        fleet.heal(self.member);
        fleet.run_until_lines(&[&format!("web/0 RUNNING {stays}")]);
        fleet.run_until("the surplus ends", |fleet| fleet.processes("web") == [stays]);
        fleet.run_secs(30);
        assert_eq!(fleet.lines(), [format!("web/0 RUNNING {stays}")], "and it stays so");
    }
}

#[test]
fn a_service_is_replaced_after_its_own_deadline_before_the_usual_one() {
    for lost in [&NODE, &CLUSTER] {
        let mut fleet = match lost.member {
            "vienna" => fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1)),
            _ => fleet().cluster("vienna", nodes(2)),
        };
        let web = steady().replaced_after(4);
        fleet.apply(app("shop").service("web", web, 1).service("usual", steady(), 1));
        fleet.run_until_running(2);
        fleet.cut(lost.member);
        fleet.run_secs(3);
        assert_eq!(fleet.processes("web"), [lost.before]);
        fleet.run_secs(3);
        assert_eq!(fleet.processes("web").len(), 2, "{:?}", fleet.lines());
        assert_eq!(fleet.processes("usual"), [lost.before], "the other one waits for the usual deadline");
        assert!(fleet.lines().contains(&format!("web/0 DANGLING {}", lost.before)), "{:?}", fleet.lines());
    }
}

/// Found by the drill: a member that is silent for as long as the service waits counts as online for five seconds more,
/// and was chosen to replace itself.
#[test]
fn whoever_is_silent_for_as_long_as_the_service_waits_replaces_nobody() {
    for lost in [&NODE, &CLUSTER] {
        let mut fleet = match lost.member {
            "vienna" => unhurried().cluster("vienna", nodes(1)).cluster("munich", nodes(1)),
            _ => unhurried().cluster("vienna", nodes(2)),
        };
        fleet.apply(app("shop").service("web", steady().replaced_after(10), 1));
        fleet.run_until_lines(&[&format!("web/0 RUNNING {}", lost.before)]);
        fleet.cut(lost.member);
        fleet.run_secs(12);
        let lines = fleet.lines();
        let expected = [format!("web/0 DANGLING {}", lost.before), format!("web/0 RUNNING {}", lost.after)];
        assert!(expected.iter().all(|line| lines.contains(line)) && lines.len() == 2, "{lines:?}");
    }
}

/// Found by the drill, too.
#[test]
fn the_only_cluster_returns_and_nothing_there_is_replaced() {
    let mut fleet = unhurried().cluster("vienna", nodes(3));
    fleet.apply(app("shop").service("web", steady().replaced_after(10), 2));
    fleet.run_until_running(2);
    let ids = |fleet: &World| [0, 1].map(|slot| fleet.slot(&format!("web/{slot}")).id);
    let before = ids(&fleet);
    for silence in [12, 32, 90] {
        fleet.cut("vienna");
        fleet.run_secs(silence);
        assert_eq!(fleet.processes("web").len(), 2);
        fleet.heal("vienna");
        fleet.run_until_running(2);
        fleet.run_secs(60);
        assert_eq!(ids(&fleet), before, "after {silence} s: {:#?}", fleet.lines());
    }
}

#[test]
fn a_longer_deadline_than_the_usual_one_is_waited_for() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("web", steady().replaced_after(40), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet.cut("vienna/fl-1");
    fleet.run_secs(35);
    assert_eq!(fleet.lines(), ["web/0 DANGLING vienna/fl-1"]);
    fleet.run_secs(10);
    assert_eq!(fleet.lines(), ["web/0 DANGLING vienna/fl-1", "web/0 RUNNING vienna/fl-2"]);
}

#[test]
fn whoever_waits_for_return_is_never_replaced() {
    for lost in [&NODE, &CLUSTER] {
        let mut fleet = fleet().cluster("vienna", nodes(2)).cluster("munich", nodes(1));
        fleet.apply(app("shop").service("web", steady().waits_for_return(), 1));
        fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
        let before = fleet.slot("web/0").id;
        fleet.cut(lost.member);
        fleet.run_secs(100);
        assert_eq!(fleet.lines(), ["web/0 DANGLING vienna/fl-1"]);
        fleet.heal(lost.member);
        fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
        assert_eq!(fleet.slot("web/0").id, before);
        assert_eq!(fleet.slot("web/0").incarnation, 1, "nothing was started anew");
    }
}

#[test]
fn whoever_waits_for_return_goes_elsewhere_when_people_remove_the_node() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("web", steady().waits_for_return(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet.cut("vienna/fl-1");
    fleet.run_secs(30);
    let member = fleet.member_id("vienna/fl-1");
    let vienna = fleet.orch("vienna");
    fleet.command(vienna, holm_core::orchestrator::command::Command::RemoveMember { member }).unwrap();
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-2"]);
}

#[test]
fn the_original_stays_where_the_service_says_so() {
    for lost in [&NODE, &CLUSTER] {
        let mut fleet = lost.world(steady().reconcile(Reconcile::KeepOriginal));
        lost.returns(&mut fleet, lost.before);
    }
}

#[test]
fn an_original_that_has_ended_meanwhile_is_not_waited_for() {
    let mut fleet = NODE.world(steady().reconcile(Reconcile::KeepOriginal));
    let (node, machine) = (fleet.node_at("vienna/fl-1"), fleet.who("vienna/fl-1"));
    fleet.nodes[node].gone = true;
    fleet.crash(machine, true);
    fleet.run_secs(20);
    assert_eq!(fleet.processes("web"), ["vienna/fl-2"]);
}

#[test]
fn the_replacement_stays_by_default() {
    for lost in [&NODE, &CLUSTER] {
        let mut fleet = lost.world(steady());
        lost.returns(&mut fleet, lost.after);
    }
}

#[test]
fn the_one_that_ran_on_without_a_break_stays_as_the_longest_running() {
    for lost in [&NODE, &CLUSTER] {
        let mut fleet = lost.world(steady().reconcile(Reconcile::LongestRunning));
        lost.returns(&mut fleet, lost.before);
        // One whose machine was started anew did not.
        let mut fleet = lost.world(steady().reconcile(Reconcile::LongestRunning));
        let node = fleet.who(lost.before);
        fleet.crash(node, true);
        fleet.run_secs(10);
        assert_eq!(fleet.processes("web").len(), 2, "it was started there again");
        lost.returns(&mut fleet, lost.after);
    }
}

#[test]
fn the_better_place_stays_where_the_service_says_so() {
    for (better, stays) in [("fl-1", "vienna/fl-1"), ("fl-2", "vienna/fl-2")] {
        let mut web = steady().reconcile(Reconcile::BestScore);
        let condition = format!("name == '{better}'").parse().unwrap();
        web.0.placement.prefer = vec![Preference { condition, weight: 5 }];
        let mut fleet = fleet().cluster("vienna", nodes(2));
        let vienna = fleet.orch("vienna");
        let member = fleet.member_id("vienna/fl-2");
        // It begins at the first whatever it prefers.
        let cordon = |cordoned| holm_core::orchestrator::command::Command::Cordon { member, cordoned };
        fleet.command(vienna, cordon(true)).unwrap();
        fleet.apply(app("shop").service("web", web, 1));
        fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
        fleet.command(vienna, cordon(false)).unwrap();
        fleet.cut("vienna/fl-1");
        fleet.run_until("it is replaced", |fleet| fleet.processes("web").len() == 2);
        NODE.returns(&mut fleet, stays);
    }
}

#[test]
fn a_rule_survives_the_death_of_whoever_applies_it() {
    let mut fleet = NODE.world(steady().reconcile(Reconcile::KeepOriginal));
    let vienna = fleet.orch("vienna");
    fleet.crash(Who::Orchestrator(vienna), false);
    fleet.run_secs(5);
    NODE.returns(&mut fleet, NODE.before);
}

#[test]
fn an_original_of_an_older_generation_is_nothing_to_go_back_to() {
    let rule = || steady().reconcile(Reconcile::KeepOriginal);
    let mut fleet = NODE.world(rule());
    fleet.apply(app("shop").service("web", rule().version("2"), 1));
    fleet.run_secs(20);
    NODE.returns(&mut fleet, NODE.after);
}

#[test]
fn when_the_replacement_is_lost_the_original_that_is_back_goes_on() {
    let mut fleet = fleet().cluster("vienna", sized(&[64, 64]));
    fleet.apply(app("shop").service("web", steady().memory("48Mi"), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet.cut("vienna/fl-1");
    fleet.run_until("it is replaced", |fleet| fleet.processes("web").len() == 2);
    fleet.cut("vienna/fl-2");
    fleet.run_secs(1);
    fleet.heal("vienna/fl-1");
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1", "web/0 DANGLING vienna/fl-2"]);
    fleet.heal("vienna/fl-2");
    NODE.returns(&mut fleet, NODE.before);
}

#[test]
fn a_held_copy_gets_no_traffic() {
    let mut fleet = fleet().cluster("vienna", nodes(3));
    let web = steady().port("http", None).memory("200Mi").reconcile(Reconcile::KeepReplacement);
    let log = steady().connects("web", "http").on_node("fl-3").memory("100Mi");
    fleet.apply(app("shop").service("web", web, 1).service("log", log, 1));
    fleet.run_until_running(2);
    let row = fleet.rows().into_iter().find(|row| row.service == "web").unwrap();
    let before = format!("{}/{}", row.cluster.unwrap(), row.node.unwrap());
    fleet.cut(&before);
    fleet.run_until("it is replaced", |fleet| fleet.processes("web").len() == 2);
    // Nothing is replaced by a node that is asleep when the first returns.
    let after = fleet.processes("web").into_iter().find(|place| *place != before).unwrap();
    let told = |fleet: &World| {
        let key = EndpointsKey {
            service: ServiceKey { wish: row.application_id.parse().unwrap(), service: name("web") },
            port: name("http"),
        };
        let site = &fleet.nodes[fleet.node_at("vienna/fl-3")];
        site.machine.as_ref().unwrap().endpoints(&key).endpoints.len()
    };
    fleet.run_until("it is known", |fleet| told(fleet) == 1);
    fleet.heal(&before);
    for _ in 0..100 {
        fleet.run_for(std::time::Duration::from_millis(50));
        assert!(told(&fleet) <= 1, "the one that returned is shown beside {after}");
    }
}

#[test]
fn what_is_paused_keeps_what_it_has_in_memory_when_its_node_is_away() {
    use holm_core::orchestrator::command::{Command, Expected};
    let say = |fleet: &mut World, run| {
        let (app, expected) = (crate::fleet::key("shop"), Expected::Anything);
        let patch =
            Command::Patch { app, service: None, replicas: None, run: Some(run), restart: false, expected };
        fleet.command(0, patch).unwrap();
    };
    let mut fleet = fleet().cluster("vienna", nodes(2)).cluster("munich", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    say(&mut fleet, holm_model::state::RunState::Pause);
    fleet.run_until_lines(&["web/0 PAUSED vienna/fl-1"]);
    let id = fleet.slot("web/0").id;
    for lost in ["vienna/fl-1", "vienna"] {
        fleet.cut(lost);
        fleet.run_secs(90);
        fleet.heal(lost);
        fleet.run_until_lines(&["web/0 PAUSED vienna/fl-1"]);
        assert_eq!((&fleet.slot("web/0").id, fleet.slot("web/0").incarnation), (&id, 1));
    }
    // Resumed while it is away, it is replaced.
    fleet.cut("vienna/fl-1");
    fleet.run_secs(60);
    say(&mut fleet, holm_model::state::RunState::Run);
    fleet.run_until("another one runs", |fleet| {
        fleet.rows().iter().any(|row| row.state == "RUNNING" && row.node.as_deref() == Some("fl-2"))
    });
}
