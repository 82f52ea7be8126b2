//! Members that are away: for a while, or for ever.

use std::time::Duration;

use crate::harness::proc::Program;
use crate::harness::things::Cluster;
use crate::harness::{Instance, LIMIT, Node, Sea, holds_for, sea, wait_for, wait_within};

fn sleeper(name: &str, more: &[&str]) -> String {
    let more: String = more.iter().map(|line| format!("    {line}\n")).collect();
    format!(
        "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"100000\"]\n    \
         resources: {{ cpu: 1m, memory: 1Mi }}\n    stop: {{ grace: 1s }}\n    \
         restart: {{ policy: always, backoff: 50ms..1s }}\n{more}"
    )
}

#[test]
fn a_lost_node_is_replaced_and_its_return_leaves_no_surplus() {
    let mut sea = sea().impatient().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(&sleeper("shop", &["replicas: 4"]));
    let lost: Vec<_> = sea.instances("shop").into_iter().map(|i| i.node().to_owned()).collect();
    let lost = lost.first().cloned().expect("somewhere");
    let other = if lost == "fl-1" { "fl-2" } else { "fl-1" };
    // The agent alone is gone: its programs go on, nobody hears of them.
    let on_lost: Vec<_> = sea.programs().into_iter().filter(|p| p.node == lost).collect();
    sea.kill(&lost);
    let moved = |all: &[Instance]| all.iter().filter(|i| i.runs() && i.node() == other).count() == 4;
    sea.until("shop", "all four run on the other node", moved);
    assert_eq!(sea.node(&lost).state, "offline");
    let dangled = sea.history("application=default/shop&kind=instance");
    assert!(dangled.iter().any(|event| event.to == "DANGLING"), "{dangled:#?}");
    assert!(on_lost.iter().all(Program::lives), "nobody could end them");
    sea.start(&lost);
    sea.until("shop", "the surplus is gone", |all| all.len() == 4 && moved(all));
    wait_for("four programs, none of the old ones", || {
        let all = sea.programs();
        (all.len() == 4 && all.iter().all(|p| p.node == other && !on_lost.contains(p))).then_some(())
    });
    // And the node is of use again.
    sea.holm(&["scale", "shop/web", "0"]).done();
    sea.deploy(&sleeper("again", &[&format!("placement: {{ node: {lost} }}")]));
}

#[test]
fn what_runs_below_a_dead_cluster_orchestrator_is_told_by_its_nodes_and_stays() {
    let soon = ["--fall-back-after", "1s"];
    let sea = sea().impatient().cluster("vienna", &["fl-1"]).cluster("munich", &["ma-1"]);
    let mut sea = sea.words("fl-1", &soon).words("ma-1", &soon).words("root", &["--fall-back=false"]).start();
    sea.deploy(&sleeper("shop", &["replicas: 1"]));
    let node = sea.instances("shop")[0].node().to_owned();
    let cluster = if node == "fl-1" { "vienna" } else { "munich" };
    let programs = sea.programs();
    sea.kill(cluster);
    wait_for("its node tells by itself", || {
        sea.history("kind=node").iter().any(|event| event.to == "by itself").then_some(())
    });
    let stays = |sea: &Sea| {
        let all = sea.instances("shop");
        all.len() == 1 && all[0].runs() && all[0].node() == node && sea.programs() == programs
    };
    wait_for("the root gives the cluster up", || {
        let all: Vec<Cluster> = sea.list("root", "clusters")?;
        all.iter().any(|of| of.name == cluster && of.state == "offline").then_some(())
    });
    assert_eq!(sea.node(&node).state, "online");
    // Longer than anything here may be silent, and the agent starts anew meanwhile.
    sea.restart(&node);
    holds_for(Duration::from_secs(15), "it runs where it was, and nowhere else", || stays(&sea));
    sea.restart("root");
    holds_for(Duration::from_secs(12), "as it does for a root that starts anew", || {
        sea.programs() == programs
    });

    let nodes: Vec<Node> = sea.list("root", "nodes").expect("an answer");
    assert!(nodes.iter().all(|node| node.cluster.is_some()), "none is taken in: {nodes:#?}");

    sea.start(cluster);
    wait_for("the node speaks by its cluster again", || {
        sea.history("kind=node").iter().any(|event| event.to == "by its cluster").then_some(())
    });
    wait_for("all is as it was", || stays(&sea).then_some(()));

    // Without a word of the node it is replaced as ever.
    sea.kill(&node);
    sea.kill(cluster);
    sea.until("shop", "it runs elsewhere", |all| all.iter().any(|i| i.runs() && i.node() != node));
}

#[test]
fn the_root_manages_a_node_of_a_dead_cluster_orchestrator_until_that_is_back() {
    let mut sea =
        sea().impatient().cluster("vienna", &["fl-1"]).words("fl-1", &["--fall-back-after", "1s"]).start();
    sea.deploy(&sleeper("shop", &["replicas: 1"]));
    let shop = sea.programs();
    sea.kill("vienna");
    // It is looked into as ever.
    wait_for("it is reached without its cluster", || {
        let ran = sea.holm(&["exec", "shop/web/0", "--", "sh", "-c", "echo $HOLM_NODE"]);
        (ran.stdout == "fl-1\n").then_some(())
    });
    assert!(sea.holm(&["logs", "shop"]).done().stdout.contains("[started, process"));
    wait_for("the root has given the cluster up", || {
        let nodes = sea.holm(&["get", "nodes"]).done().stdout;
        nodes.contains("speaks for itself: its cluster is silent").then_some(())
    });
    let other = sea.holm(&["restart", "shop/web/0"]);
    assert!(other.stderr.contains("until it is back"), "{other:#?}");

    // And takes what is new.
    sea.apply(&sleeper("new", &["replicas: 1"]));
    let on =
        |node: &'static str| move |all: &[Instance]| all.len() == 1 && all[0].runs() && all[0].node() == node;
    sea.until("new", "it runs on the machine", on("vienna-fl-1"));
    let nodes = sea.holm(&["get", "nodes"]).done().stdout;
    assert!(nodes.contains("is vienna/fl-1, whose cluster is silent"), "{nodes}");
    let all = sea.programs();
    assert_eq!(all.len(), 2);
    sea.restart("fl-1");
    sea.restart("root");
    holds_for(Duration::from_secs(5), "both go on over restarts", || sea.programs() == all);
    sea.until("new", "it runs on the machine", on("vienna-fl-1"));

    sea.start("vienna");
    sea.until("new", "it has moved", on("fl-1"));
    let guest = sea.data("fl-1").join("guest");
    wait_for("nothing is left of the second node", || (!guest.exists()).then_some(()));
    let nodes: Vec<Node> = sea.list("root", "nodes").expect("an answer");
    assert_eq!(nodes.iter().map(|node| &node.name[..]).collect::<Vec<_>>(), ["fl-1"]);
    let now = sea.programs();
    assert!(now.len() == 2 && now.contains(&shop[0]), "{now:#?}");
    let audit = sea.holm(&["get", "audit", "-o", "json"]).done().stdout;
    assert!(audit.contains("node.take-in") && audit.contains("node.wiped"), "{audit}");
}

#[test]
fn a_lost_node_with_all_its_programs_is_replaced_in_another_cluster_if_needed() {
    let mut sea = sea().impatient().cluster("vienna", &["fl-1"]).cluster("munich", &["ma-1"]).start();
    sea.deploy(&sleeper("shop", &["replicas: 2"]));
    let lost = sea.instances("shop")[0].node().to_owned();
    let other = if lost == "fl-1" { "ma-1" } else { "fl-1" };
    sea.power_off(&lost);
    sea.until("shop", "both run on the node of the other cluster", |all| {
        all.iter().filter(|i| i.runs() && i.node() == other).count() == 2
    });
    sea.start(&lost);
    let all = sea.running("shop", 2);
    assert!(all.iter().all(|i| i.node() == other), "the replacement stays: {all:#?}");
    wait_for("two programs", || {
        (sea.programs().iter().filter(|p| p.node == other).count() == 2 && sea.programs().len() == 2)
            .then_some(())
    });
}

#[test]
fn a_short_absence_moves_nothing() {
    let mut sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(&sleeper("shop", &["replicas: 2"]));
    let before = sea.programs();
    let ids = sea.instances("shop");
    sea.kill("fl-1");
    sea.kill("fl-2");
    holds_for(Duration::from_secs(2), "they stay as they are", || sea.programs() == before);
    sea.start("fl-1");
    sea.start("fl-2");
    sea.all_connected();
    let now = sea.running("shop", 2);
    assert_eq!(
        now.iter().map(Instance::id).collect::<Vec<_>>(),
        ids.iter().map(Instance::id).collect::<Vec<_>>()
    );
    assert_eq!(sea.programs(), before);
}

#[test]
fn a_lost_cluster_orchestrator_leaves_its_nodes_at_work_and_the_root_moves_what_it_had() {
    let mut sea = sea().impatient().cluster("vienna", &["fl-1"]).cluster("munich", &["ma-1"]).start();
    sea.deploy(&sleeper("shop", &["replicas: 2"]));
    let home = sea.instances("shop")[0].cluster.clone().expect("in a cluster");
    let (node, other) = if home == "vienna" { ("fl-1", "munich") } else { ("ma-1", "vienna") };
    let before = sea.programs();
    sea.kill(&home);
    // Crashed programs restart by policy with nobody above.
    let victim = before[0].clone();
    victim.kill();
    wait_for("it is restarted", || {
        sea.programs().into_iter().find(|p| p.slot == victim.slot && p.node == node && p.pid != victim.pid)
    });
    wait_for("the root marks the cluster", || {
        let clusters: Vec<Cluster> = sea.list("root", "clusters")?;
        clusters.iter().any(|c| c.name == home && c.state == "offline").then_some(())
    });
    sea.until("shop", "it runs in the other cluster", |all| {
        all.iter().filter(|i| i.runs() && i.cluster.as_deref() == Some(other)).count() == 2
    });
    // What the lost cluster had goes on until somebody can tell its nodes.
    assert!(sea.programs().iter().filter(|p| p.node == node).count() == 2);
    sea.start(&home);
    sea.running("shop", 2);
    wait_for("the surplus is gone", || (sea.programs().len() == 2).then_some(()));
    assert!(sea.programs().iter().all(|p| p.node != node), "the replacement stays");
}

#[test]
fn without_the_root_a_cluster_goes_on() {
    let mut sea = sea().impatient().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(&sleeper("shop", &["replicas: 3"]));
    sea.kill("root");
    sea.holm(&["status"]).refused(1, &["cannot be reached"]);
    // Restarts by policy.
    let victim = sea.program("shop", "web/0");
    victim.kill();
    wait_for("it is restarted", || {
        sea.programs().into_iter().find(|p| p.slot == "web/0" && p.pid != victim.pid)
    });
    // The command line of the cluster works.
    let said = sea.holm_at("vienna", &["status", "-o", "json"]).done();
    let status: serde_json::Value = said.json();
    assert_eq!((&status["role"], &status["name"]), (&"cluster".into(), &"vienna".into()), "{status}");
    wait_for("it notices", || {
        let status: serde_json::Value = sea.holm_at("vienna", &["status", "-o", "json"]).done().json();
        (status["parent"] == "disconnected").then_some(())
    });
    let all: Vec<Instance> = sea.holm_at("vienna", &["get", "instances", "-o", "json"]).done().json();
    assert_eq!(all.len(), 3, "{all:#?}");
    sea.holm_at("vienna", &["logs", "shop/web/0"]).done();
    let echo = sea.holm_at("vienna", &["exec", "shop/web/1", "--", "echo", "here"]).done();
    assert_eq!(echo.line(), "here");
    // It heals: a node is lost, and its share is placed again inside the cluster.
    sea.power_off("fl-1");
    sea.until_at("vienna", LIMIT, "shop", "all on the other node", |all| {
        all.iter().filter(|i| i.runs() && i.node() == "fl-2").count() == 3
    });
    wait_for("three programs", || (sea.programs().len() == 3).then_some(()));
    let healed = sea.programs();
    // The root comes back and takes over what it finds.
    sea.start("root");
    sea.until("shop", "the root sees what the cluster did", |all| {
        let running: Vec<_> = all.iter().filter(|i| i.runs()).collect();
        running.len() == 3 && running.iter().all(|i| i.node() == "fl-2")
    });
    assert_eq!(sea.programs(), healed);
    // And so does the node that was lost: nothing of it is left over.
    sea.start("fl-1");
    sea.running("shop", 3);
    wait_for("nothing started twice", || (sea.programs() == healed).then_some(()));
}

#[test]
fn a_node_that_reboots_with_nobody_above_runs_its_work_again() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(&sleeper("shop", &["replicas: 2", "ports: { http: auto }"]));
    let before = sea.instances("shop");
    let ids = |all: &[Program]| all.iter().map(|p| p.instance.clone()).collect::<Vec<_>>();
    let programs = sea.programs();
    sea.kill("root");
    sea.kill("vienna");
    sea.power_off("fl-1");
    assert!(sea.programs().is_empty());
    sea.start("fl-1");
    wait_within(LIMIT, "both run again", || (sea.programs().len() == 2).then_some(()));
    assert_eq!(ids(&sea.programs()), ids(&programs), "the same instances");
    let again = sea.programs();
    // The reunion changes nothing.
    sea.start("vienna");
    sea.start("root");
    sea.all_connected();
    let all = sea.running("shop", 2);
    assert_eq!(
        all.iter().map(Instance::id).collect::<Vec<_>>(),
        before.iter().map(Instance::id).collect::<Vec<_>>()
    );
    assert_eq!(
        all.iter().map(|i| &i.ports).collect::<Vec<_>>(),
        before.iter().map(|i| &i.ports).collect::<Vec<_>>()
    );
    assert_eq!(sea.programs(), again);
}

#[test]
fn what_was_deleted_while_a_node_was_away_ends_when_it_returns() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(&sleeper("shop", &[]));
    sea.deploy(&sleeper("other", &[]));
    let kept = sea.program("other", "web/0");
    sea.kill("fl-1");
    sea.holm(&["delete", "application", "shop"]).done();
    // Nobody above remembers it after a restart either.
    sea.restart("vienna");
    sea.restart("root");
    assert_eq!(sea.programs().len(), 2);
    sea.start("fl-1");
    wait_for("only the other one runs", || (sea.programs() == [kept.clone()]).then_some(()));
    sea.until("shop", "gone", <[_]>::is_empty);
}

#[test]
fn a_removed_node_ends_what_it_ran_and_stays_out() {
    let mut sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(&sleeper("shop", &["replicas: 2"]));
    let gone = sea.instances("shop")[0].node().to_owned();
    sea.holm_at("vienna", &["node", "remove", &gone]).done();
    sea.until("shop", "both run elsewhere", |all| {
        all.len() == 2 && all.iter().all(|i| i.runs() && i.node() != gone)
    });
    wait_for("the root forgets it, too", || {
        let nodes: Vec<Node> = sea.list("root", "nodes")?;
        nodes.iter().all(|node| node.name != gone).then_some(())
    });
    // It is no member any more, even when it is started again.
    sea.kill(&gone);
    sea.start(&gone);
    holds_for(Duration::from_secs(2), "it does not come back by itself", || {
        let nodes: Option<Vec<Node>> = sea.list("vienna", "nodes");
        nodes.is_some_and(|nodes| nodes.iter().all(|node| node.name != gone))
    });
}
