//! What the node machine makes of agents that restart, machines that reboot, strays, frozen lists and
//! commits that fail.

use std::collections::{BTreeMap, BTreeSet};

use holm_core::node::{NodeEffect, NodeEvent, Outcome, RuntimeEvent, Space, Survivor, SurvivorState};
use holm_model::fact::Fact;
use holm_model::id::StoreId;
use holm_model::item::{Assignment, ItemKey};
use holm_model::message::Up;
use holm_model::name::Name;
use holm_model::service::{RestartPolicy, ServiceSpec};
use holm_model::state::InstanceState as I;
use holm_model::wish::SpecBytes;

use crate::support::*;

#[test]
fn a_node_that_restarts_offline_adopts_and_goes_on() {
    let (node, _) = running(&assignment(1));
    let mut node = node.restart("boot-1", vec![survivor(1, 1, SurvivorState::Running)]);
    assert_eq!((node.state(1), node.orders()), (I::Running, vec![]));
    assert_eq!(node.machine.instance(id(1)).unwrap().incarnation, 1);
    node.exit(1, 1, 1);
    node.sleep_until_due();
    assert_eq!(node.launched().incarnation, 2);
}

#[test]
fn what_ended_while_the_agent_was_away_is_judged_by_how_it_ended() {
    let exited = |code| SurvivorState::Exited(Outcome::exited(code));
    for (state, expected) in [(exited(0), I::Completed), (exited(3), I::Failed)] {
        let (node, _) = running(&assignment(1));
        let node = node.restart("boot-1", vec![survivor(1, 1, state)]);
        assert_eq!(node.state(1), expected);
    }
}

#[test]
fn a_process_that_is_gone_counts_as_a_failure_but_not_after_a_reboot() {
    let (node, _) = running(&assignment(1));
    let node = node.restart("boot-1", Vec::new());
    assert!(node.reason(1).starts_with("the process is gone"), "{}", node.reason(1));
    assert_eq!(node.machine.instance(id(1)).unwrap().attempts, 1);

    let (node, _) = running(&assignment(1));
    let mut node = node.restart("boot-2", Vec::new());
    assert_eq!(node.launched().incarnation, 2, "at once, without a link");
    assert_eq!(node.machine.instance(id(1)).unwrap().attempts, 0);
}

#[test]
fn an_interrupted_launch_is_launched_anew_and_one_under_way_is_awaited() {
    let launching = || {
        let (mut node, mut parent) = running(&assignment(1));
        change(&mut parent, &mut node, &assignment(2));
        node
    };
    let alive = survivor(1, 1, SurvivorState::Running);
    let mut node = launching().restart("boot-1", vec![alive.clone()]);
    assert_eq!(node.launched().incarnation, 2);
    let under_way = survivor(2, 1, SurvivorState::Launching);
    let mut node = launching().restart("boot-1", vec![alive, under_way]);
    assert!(node.orders().is_empty());
    node.run(2, 1);
    assert_eq!(node.state(2), I::Running);
}

#[test]
fn what_was_made_and_never_started_has_cost_no_attempt() {
    let (mut node, mut parent) = running(&assignment(1));
    let once = with_policy(RestartPolicy::Never);
    change(&mut parent, &mut node, &Assignment { id: id(2), ..once });
    node.runtime(2, 1, RuntimeEvent::Starting { ports: BTreeMap::new() });
    let found = vec![survivor(1, 1, SurvivorState::Running), survivor(2, 1, SurvivorState::Created)];
    let mut node = node.restart("boot-1", found);
    assert_eq!(node.launched().incarnation, 2);
}

#[test]
fn what_nobody_wishes_and_was_never_started_is_removed() {
    let (node, _) = running(&assignment(1));
    let found = vec![survivor(1, 1, SurvivorState::Running), survivor(9, 1, SurvivorState::Created)];
    let mut node = node.restart("boot-1", found);
    assert_eq!(node.orders(), [NodeEffect::Remove { id: id(9), incarnation: 1 }]);
}

#[test]
fn a_halt_that_was_interrupted_is_finished() {
    let (mut node, mut parent) = running(&assignment(1));
    let removal = parent.remove(ItemKey::Assignment(id(1)));
    node.down(removal);
    let mut node = node.restart("boot-1", vec![survivor(1, 1, SurvivorState::Running)]);
    assert_eq!(node.orders(), [halt(1)]);
    let mut node = node.restart("boot-1", Vec::new());
    assert_eq!(node.orders(), [NodeEffect::Remove { id: id(1), incarnation: 1 }]);
}

#[test]
fn strays_end_once_the_list_is_valid() {
    let mut node = Node::new();
    node.step(NodeEvent::survivors(vec![
        survivor(1, 4, SurvivorState::Running),
        survivor(2, 1, SurvivorState::Exited(Outcome::exited(0))),
    ]));
    assert!(node.orders().is_empty(), "no list was heard yet");
    let mut parent = Parent::new();
    node.step(NodeEvent::LinkUp);
    node.talk(&mut parent);
    assert_eq!(node.orders(), [halt(4), NodeEffect::Remove { id: id(2), incarnation: 1 }]);
    node.exit(1, 4, 0);
    assert_eq!(node.orders(), [NodeEffect::Remove { id: id(1), incarnation: 4 }]);
    node.runtime(1, 4, RuntimeEvent::Removed);
    assert!(node.machine.instances().next().is_none());
}

#[test]
fn a_stray_that_the_list_has_is_adopted() {
    let mut node = Node::new();
    node.step(NodeEvent::survivors(vec![survivor(1, 4, SurvivorState::Running)]));
    let mut parent = Parent::new();
    parent.items.insert(ItemKey::Assignment(id(1)), pack(&assignment(1)));
    node.step(NodeEvent::LinkUp);
    node.talk(&mut parent);
    assert!(node.orders().is_empty());
    assert_eq!((node.state(1), node.machine.instance(id(1)).unwrap().incarnation), (I::Running, 4));
}

#[test]
fn a_frozen_node_stops_nothing_and_heals() {
    let (mut node, mut parent) = running(&assignment(1));
    parent.store = StoreId(uid(99));
    parent.items.clear();
    node.step(NodeEvent::LinkDown);
    node.step(NodeEvent::LinkUp);
    node.talk(&mut parent);
    node.down(parent.alive());
    node.step(NodeEvent::survivors(vec![
        survivor(1, 1, SurvivorState::Running),
        survivor(9, 1, SurvivorState::Running),
    ]));
    assert!(node.machine.is_frozen());
    assert!(node.orders().is_empty());
    node.exit(1, 1, 1);
    node.sleep_until_due();
    assert_eq!(node.launched().incarnation, 2);
}

#[test]
fn an_undone_step_is_made_good_from_what_the_runtimes_say() {
    let (mut node, _) = running(&with_policy(RestartPolicy::Always));
    let exited =
        NodeEvent::Runtime { id: id(1), incarnation: 1, event: RuntimeEvent::Exited(Outcome::exited(1)) };
    node.machine.step(node.now, exited);
    node.machine.undo().unwrap();
    assert_eq!((node.state(1), node.machine.instance(id(1)).unwrap().incarnation), (I::Running, 1));
    assert_eq!(node.machine.take_effects(), [NodeEffect::ListSurvivors, NodeEffect::Reconnect]);
    let survivor = survivor(1, 1, SurvivorState::Exited(Outcome::exited(1)));
    node.step(NodeEvent::survivors(vec![survivor]));
    assert_eq!(node.launched().incarnation, 2);
}

/// What was told last of the node's only runtime.
fn unavailable(node: &Node) -> Option<String> {
    let facts = node.effects.iter().rev().filter_map(|effect| match effect {
        NodeEffect::Send(Up::Facts(facts)) => Some(&facts.put),
        _ => None,
    });
    let report = facts.flatten().find_map(|fact| match fact {
        Fact::Node(report) => Some(report),
        _ => None,
    });
    report.unwrap().facts.runtimes[0].unavailable.clone()
}

/// What a node that cannot write sees is told; what has to be on the disk first waits.
#[test]
fn a_full_disk_is_told_and_nothing_is_obeyed_or_launched_until_it_takes_writes() {
    let (mut node, mut parent) = running(&with_policy(RestartPolicy::Always));
    node.step(crate::rules::facts(&["process"]));
    node.step(NodeEvent::Disk { trouble: Some("full".to_owned()) });
    assert_eq!(unavailable(&node).as_deref(), Some("this node's disk takes no writes: full"));
    node.take();
    node.exit(1, 1, 1);
    let status = node.told(1).unwrap();
    assert_eq!((status.state, status.exhausted), (I::Failed, false));
    assert_eq!(status.reason, "not started: this node's disk takes no writes: full");
    assert_eq!(node.orders(), []);
    change(&mut parent, &mut node, &assignment(2));
    assert!(node.machine.instance(id(2)).is_none() && node.orders().is_empty());

    node.step(NodeEvent::Disk { trouble: None });
    assert_eq!(unavailable(&node), None);
    assert!(node.take().contains(&NodeEffect::Reconnect), "what was not obeyed is asked for again");
    assert_eq!(node.machine.instance(id(1)).unwrap().incarnation, 2);
}

/// A disk that fills up: images go, then nothing new comes; what runs here goes on, and starts again.
#[test]
fn a_disk_that_is_nearly_full_is_cleaned_and_takes_nothing_new() {
    let (mut node, _parent) = running(&with_policy(RestartPolicy::Always));
    node.step(crate::rules::facts(&["process"]));
    let space = |free: u64| NodeEvent::DiskSpace(Space { total: 100 << 20, free: free << 20 });
    let cleanings = |node: &Node| node.effects.iter().filter(|e| **e == NodeEffect::Clean).count();
    node.step(space(10));
    assert_eq!(cleanings(&node), 1);
    assert_eq!(unavailable(&node), None, "there is room for some more");
    node.step(space(4));
    assert_eq!(cleanings(&node), 2);
    assert_eq!(unavailable(&node).as_deref(), Some("its disk is nearly full: 4Mi of 100Mi free"));
    node.exit(1, 1, 1);
    assert_eq!(node.machine.instance(id(1)).unwrap().incarnation, 2, "what is here starts again");
    node.step(space(6));
    assert!(unavailable(&node).is_some(), "not at once");
    node.step(space(8));
    assert_eq!(unavailable(&node), None);
}

#[test]
fn a_row_that_cannot_be_read_is_an_error_that_names_it() {
    let mut disk = Disk::default();
    disk.0.insert((holm_model::record::Table::Instance, id(1).to_string()), b"{}".to_vec());
    let loaded = holm_core::node::NodeMachine::load(&mut disk.snapshot(), crate::support::config("b"));
    let error = loaded.unwrap_err().to_string();
    assert!(error.contains("`instance`") && error.contains(&id(1).to_string()), "{error}");
}

/// The runtime `process` of the node is ready, or not.
fn runtime_facts(unavailable: Option<&str>) -> NodeEvent {
    let NodeEvent::Facts(mut facts) = crate::rules::facts(&["process"]) else { panic!() };
    facts.runtimes[0].unavailable = unavailable.map(str::to_owned);
    NodeEvent::Facts(facts)
}

fn ask_silent() -> NodeEffect {
    NodeEffect::AskSilent([name("process")].into())
}

/// The node's only runtime, asked once more, has these.
fn silent_told(found: Vec<Survivor>) -> NodeEvent {
    NodeEvent::SilentTold { asked: [name("process")].into(), found, silent: [].into() }
}

const DEAD: &str = "nothing answers at unix:///run/engine.sock";

#[test]
fn a_state_that_nobody_can_look_at_is_told_as_the_last_that_is_known() {
    let (mut node, _) = running(&assignment(1));
    node.step(runtime_facts(None));
    node.step(runtime_facts(Some(DEAD)));
    let status = node.told(1).unwrap();
    assert_eq!((status.state, status.incarnation), (I::Running, 1));
    assert_eq!(status.reason, format!("this is the last known state: {DEAD}"));
    node.take();
    node.step(runtime_facts(None));
    assert_eq!((node.told(1).unwrap().reason.as_str(), node.state(1)), ("", I::Running));
    assert!(node.orders().is_empty(), "nothing is started or ended");
}

#[test]
fn what_a_silent_runtime_may_have_is_left_alone_until_it_tells() {
    let (node, _) = running(&assignment(1));
    let mut node = Node { now: node.now, ..Node::from(node.disk, "boot-1") };
    node.step(runtime_facts(Some(DEAD)));
    node.step(NodeEvent::Survivors { found: Vec::new(), silent: [name("process")].into() });
    node.sleep(FIRST * 1000);
    assert_eq!(node.state(1), I::Running);
    assert!(node.reason(1).contains(DEAD), "{}", node.reason(1));
    assert!(node.orders().is_empty());
    // Who ends it meanwhile has to wait as well.
    node.step(runtime_facts(None));
    assert!(node.take().contains(&ask_silent()));
    node.step(silent_told(vec![survivor(1, 1, SurvivorState::Running)]));
    assert_eq!((node.state(1), node.reason(1).as_str()), (I::Running, ""));
    assert!(node.orders().is_empty(), "it goes on");
}

#[test]
fn what_a_silent_runtime_has_lost_is_started_anew_once() {
    let (node, _) = running(&assignment(1));
    let mut node = Node { now: node.now, ..Node::from(node.disk, "boot-1") };
    node.step(runtime_facts(Some(DEAD)));
    node.step(NodeEvent::Survivors { found: Vec::new(), silent: [name("process")].into() });
    node.step(runtime_facts(None));
    node.step(silent_told(Vec::new()));
    assert_eq!(node.state(1), I::Failed);
    node.sleep_until_due();
    assert_eq!(node.launched().incarnation, 2);
}

#[test]
fn after_a_boot_of_the_machine_nothing_runs_whatever_a_runtime_says() {
    let (node, _) = running(&assignment(1));
    let mut node = Node { now: node.now, ..Node::from(node.disk, "boot-2") };
    node.step(runtime_facts(Some(DEAD)));
    node.step(NodeEvent::Survivors { found: Vec::new(), silent: [name("process")].into() });
    assert_eq!(node.launched().incarnation, 2);
}

/// Both runtimes are ready, whatever `engine` tells; it has instance 2, and `process` has instance 1.
fn with_mute_engine() -> (Node, Parent) {
    let (mut node, mut parent) = running(&assignment(1));
    change(&mut parent, &mut node, &in_engine(2));
    node.run(2, 1);
    let mut node = Node { now: node.now, ..Node::from(node.disk, "boot-1") };
    node.step(crate::rules::facts(&["process", "engine"]));
    let found = vec![survivor(1, 1, SurvivorState::Running)];
    node.step(NodeEvent::Survivors { found, silent: engine() });
    node.step(NodeEvent::LinkUp);
    node.talk(&mut parent);
    node.take();
    node.sleep_until_due();
    assert!(node.take().contains(&NodeEffect::AskSilent(engine())));
    (node, parent)
}

fn in_engine(counter: u64) -> Assignment {
    let mut wanted = assignment(counter);
    wanted.part.spec = SpecBytes::encode(&ServiceSpec { runtime: name("engine"), ..spec() });
    wanted
}

fn engine() -> BTreeSet<Name> {
    [name("engine")].into()
}

fn asks(node: &mut Node) -> usize {
    let asks = |effect: &NodeEffect| matches!(effect, NodeEffect::AskSilent(_) | NodeEffect::ListSurvivors);
    node.take().iter().filter(|effect| asks(effect)).count()
}

#[test]
fn a_silent_runtime_is_not_asked_again_before_it_has_answered() {
    let (mut node, _) = with_mute_engine();
    for _ in 0..10 {
        node.sleep(FIRST * 10);
        node.step(crate::rules::facts(&["process", "engine"]));
    }
    assert_eq!(asks(&mut node), 0);
    assert!(node.machine.awaits_survivor(id(2)) && !node.machine.awaits_survivor(id(1)));
    node.step(NodeEvent::SilentTold { asked: engine(), found: Vec::new(), silent: engine() });
    assert_eq!((node.state(2), node.state(1)), (I::Running, I::Running));
    node.sleep_until_due();
    assert_eq!(asks(&mut node), 1, "again after an answer");
    let found = vec![survivor(2, 1, SurvivorState::Running)];
    node.step(NodeEvent::SilentTold { asked: engine(), found, silent: BTreeSet::new() });
    assert_eq!((node.state(2), node.reason(2).as_str()), (I::Running, ""));
    assert!(node.machine.next_deadline().is_none() && !node.machine.awaits_survivor(id(2)));
}

#[test]
fn what_a_silent_runtime_tells_ends_no_back_off_and_no_launch_of_others() {
    let (mut node, mut parent) = with_mute_engine();
    node.exit(1, 1, 1);
    assert_eq!(node.state(1), I::Failed);
    let due = node.machine.next_deadline();
    change(&mut parent, &mut node, &in_engine(3));
    assert_eq!(node.launched().id, id(3));
    // Its answer is from before that launch.
    let found = vec![survivor(2, 1, SurvivorState::Running)];
    node.step(NodeEvent::SilentTold { asked: engine(), found, silent: BTreeSet::new() });
    assert_eq!(node.orders(), []);
    assert_eq!((node.state(1), node.machine.next_deadline()), (I::Failed, due));
    node.run(3, 1);
    assert_eq!(node.state(3), I::Running);
    node.sleep_until_due();
    assert_eq!(node.launched().incarnation, 2);
}
