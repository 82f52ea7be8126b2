//! Nodes that go to another cluster, with real processes.

use std::fs;
use std::time::Duration;

use crate::harness::delay::far;
use crate::harness::{Node, Running, Sea, sea, wait_for, wait_within};

const SHOP: &str = "holm: v1
application: shop
services:
  web: { runtime: process, command: [sleep, \"100000\"], replicas: 2 }
  log: { runtime: process, command: [sleep, \"100000\"], replicas: per-node }
";

/// All that the root knows by this name.
fn all(sea: &Sea, name: &str) -> Vec<Node> {
    let nodes: Vec<Node> = sea.list("root", "nodes").unwrap_or_default();
    nodes.into_iter().filter(|node| node.name == name).collect()
}

/// Where the node is, once it is online in exactly one cluster and known in no other.
fn only_one(sea: &Sea, name: &str) -> Option<String> {
    match &all(sea, name)[..] {
        [one] if one.state == "online" => one.cluster.clone(),
        _ => None,
    }
}

fn state_at(sea: &Sea, cluster: &str, name: &str) -> Option<String> {
    let nodes: Vec<Node> = sea.list(cluster, "nodes").expect("it answers");
    nodes.into_iter().find(|node| node.name == name).map(|node| node.state)
}

#[test]
fn a_node_goes_to_another_cluster_and_its_old_certificate_is_void() {
    let mut sea = sea().cluster("vienna", &["fl-1", "fl-2"]).cluster("graz", &["gr-1"]).start();
    sea.deploy(SHOP);
    sea.running("shop", 5);
    let old = sea.node("fl-1").id;
    let done =
        sea.holm(&["node", "move", "fl-1", "--to", "graz", "--address", sea.address("graz"), "-o", "json"]);
    let told: serde_json::Value = done.done().json();
    assert_eq!(told["to"], "graz", "{told}");
    let cluster = wait_for("it is in one cluster only", || only_one(&sea, "fl-1"));
    assert_eq!(cluster, "graz");
    let new = sea.node("fl-1").id;
    assert_ne!(new, old);
    assert_eq!(state_at(&sea, "vienna", "fl-1"), None);
    wait_for("what was left of both memberships is gone", || {
        (!sea.data("fl-1").join("other-membership").exists()).then_some(())
    });
    // It runs its own there, and what it had in the old one is replaced.
    let all = sea.running("shop", 5);
    assert!(all.iter().any(|instance| instance.node() == "fl-1"), "{all:#?}");

    // Started with the old address, it is still there.
    sea.kill("fl-1");
    sea.start("fl-1");
    sea.all_connected();
    wait_for("it is back in the new one", || only_one(&sea, "fl-1").filter(|cluster| cluster == "graz"));
    assert_eq!(sea.node("fl-1").id, new, "the same member");

    let audit = |at: &str| sea.holm_at(at, &["get", "audit", "-o", "json"]).done().stdout;
    assert!(audit("root").contains("node.move"));
    let (vienna, graz) = (audit("vienna"), audit("graz"));
    assert!(vienna.contains("member.drain") && vienna.contains("member.left"), "{vienna}");
    assert!(graz.contains("node.invite"), "{graz}");
    for name in ["root", "vienna", "graz", "fl-1"] {
        assert!(!sea.log(name).contains("holm-join."), "a token is in the log of {name}");
    }
}

#[test]
fn a_node_that_cannot_go_stays_and_says_why() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).cluster("graz", &["fl-9"]).start();
    let id = sea.node("fl-1").id;
    sea.holm(&["node", "move", "fl-7", "--to", "graz"]).refused(1, &["fl-7"]);
    sea.holm(&["node", "move", "fl-1", "--to", "linz"]).refused(1, &["linz"]);
    sea.holm(&["node", "move", "fl-1", "--to", "vienna"]).refused(1, &["is in cluster `vienna` already"]);
    sea.holm_at("vienna", &["node", "move", "fl-1", "--to", "graz"])
        .refused(1, &["say `holm node move` to the root"]);
    // Nobody is there.
    sea.holm(&["node", "move", "fl-1", "--to", "graz", "--address", "127.0.0.1:1"])
        .refused(1, &["stays where it is", "127.0.0.1:1"]);
    // Somebody else is there: nothing is sent to him.
    sea.holm(&["node", "move", "fl-1", "--to", "graz", "--address", sea.address("vienna")])
        .refused(1, &["stays where it is", "is not the orchestrator that made the token"]);
    let node = sea.node("fl-1");
    assert_eq!((node.id, node.cluster.as_deref(), &*node.state), (id, Some("vienna"), "online"));
    sea.holm_at("vienna", &["node", "uncordon", "fl-1"]).done();
    sea.kill("graz");
    wait_for("the cluster is away", || {
        let asked = sea.holm(&["node", "move", "fl-1", "--to", "graz", "--address", "127.0.0.1:1"]);
        (asked.code == 1 && asked.stderr.contains("cluster `graz` cannot be told anything now")).then_some(())
    });
    sea.kill("fl-1");
    let audit = sea.holm(&["get", "audit", "-o", "json"]).done().stdout;
    assert!(audit.contains("node.move") && audit.contains("stays where it is"), "{audit}");
}

/// One way: what a test does in between is not overtaken.
const FAR: Duration = Duration::from_millis(300);

/// `fl-1` of vienna, killed when it was a member of graz, too, with the credentials of the one or of the other in use.
fn killed_between(new_in_use: bool) -> Sea {
    let mut sea = sea().cluster("vienna", &["fl-1"]).cluster("graz", &["gr-1"]).start();
    let used = sea.data("fl-1").join("credentials.pem");
    let other = sea.data("fl-1").join("other-membership/credentials.pem");
    let old = fs::read(&used).unwrap();
    let graz = far(sea.address("graz"), FAR).to_string();
    let words = ["node", "move", "fl-1", "--to", "graz", "--address", &*graz, "--deadline", "2s"];
    let asked = Running::start(sea.call_at("root", &words));
    wait_for("it has two memberships", || other.exists().then_some(()));
    sea.kill("fl-1");
    drop(asked);
    // It was killed before the exchange, or after: here it is said which.
    if (fs::read(&used).unwrap() != old) != new_in_use {
        let between = used.with_extension("between");
        fs::rename(&used, &between).unwrap();
        fs::rename(&other, &used).unwrap();
        fs::rename(&between, &other).unwrap();
    }
    sea
}

fn is_in_only(sea: &Sea, here: &str, there: &str) -> Option<()> {
    let gone = state_at(sea, there, "fl-1").is_none();
    (gone && state_at(sea, here, "fl-1").as_deref() == Some("online")).then_some(())
}

fn has_one_membership(sea: &Sea) -> Option<()> {
    (!sea.data("fl-1").join("other-membership").exists()).then_some(())
}

#[test]
fn a_node_killed_before_it_uses_the_new_membership_is_where_it_was() {
    let mut sea = killed_between(false);
    sea.start("fl-1");
    wait_for("it is in vienna only", || is_in_only(&sea, "vienna", "graz"));
    wait_for("nothing is left of the other", || has_one_membership(&sea));
    wait_for("the root says the same", || only_one(&sea, "fl-1").filter(|at| at == "vienna"));
}

#[test]
fn a_node_killed_after_that_is_where_it_goes() {
    let mut sea = killed_between(true);
    sea.start("fl-1");
    wait_for("it is in graz only", || is_in_only(&sea, "graz", "vienna"));
    wait_for("nothing is left of the other", || has_one_membership(&sea));
    wait_for("the root says the same", || only_one(&sea, "fl-1").filter(|at| at == "graz"));
}

#[test]
fn a_node_that_does_not_reach_its_new_cluster_goes_back_and_leaves_it_later() {
    let mut sea = killed_between(true);
    sea.kill("graz");
    sea.start("fl-1");
    let limit = Duration::from_secs(100);
    wait_within(limit, "it gives up", || sea.log("fl-1").contains("does not take the node").then_some(()));
    wait_within(limit, "it is back", || (state_at(&sea, "vienna", "fl-1")? == "online").then_some(()));
    sea.start("graz");
    wait_within(limit, "it is in vienna only", || is_in_only(&sea, "vienna", "graz"));
    wait_within(limit, "nothing is left of the other", || has_one_membership(&sea));
}
