//! Tokens: who may join, once, in time and as what; and who is thrown out.

use std::time::Duration;

use crate::harness::command::{PROGRAM, command, run};
use crate::harness::{Node, Sea, holds_for, sea, wait_for};

/// Starts an agent with `token` that is expected to end by itself, or to be refused again and again.
fn refused(sea: &mut Sea, name: &str, parent: &str, token: &str, words: &[&str]) {
    sea.add_node(name, parent, token);
    wait_for(&format!("{name} says {words:?}: {}", sea.log(name)), || {
        let log = sea.log(name).to_lowercase();
        words.iter().all(|word| log.contains(word)).then_some(())
    });
    let nodes: Vec<Node> = sea.list(parent, "nodes").expect("it answers");
    assert!(nodes.iter().all(|node| node.name != name), "{nodes:#?}");
}

fn nodes(sea: &Sea, at: &str) -> Vec<String> {
    sea.list::<Node>(at, "nodes").unwrap_or_default().into_iter().map(|node| node.name).collect()
}

#[test]
fn a_token_is_good_for_as_many_as_it_says() {
    let mut sea = sea().start();
    let once = sea.token("root", &["--role", "node"]);
    sea.add_node("first", "root", &once);
    wait_for("the first joins", || nodes(&sea, "root").contains(&"first".to_owned()).then_some(()));
    refused(&mut sea, "second", "root", &once, &["token", "use"]);
    let twice = sea.token("root", &["--role", "node", "--uses", "2"]);
    for name in ["third", "fourth"] {
        sea.add_node(name, "root", &twice);
    }
    wait_for("both join", || (nodes(&sea, "root").len() == 3).then_some(()));
    refused(&mut sea, "fifth", "root", &twice, &["token", "use"]);
    // Started again it needs no token, and is the same node.
    let id = sea.node("first").id;
    sea.kill("first");
    sea.start("first");
    sea.all_connected();
    assert_eq!(sea.node("first").id, id);
}

#[test]
fn a_token_that_is_expired_void_mistyped_or_of_another_sea_is_refused() {
    let mut sea = sea().start();
    let short = sea.token("root", &["--role", "node", "--ttl", "1s"]);
    wait_for("it expires", || {
        let tokens: Vec<serde_json::Value> = sea.holm(&["token", "ls", "-o", "json"]).done().json();
        let past = tokens.iter().all(|token| token["expires"].as_str().is_some_and(|at| at < &*now()));
        past.then_some(())
    });
    refused(&mut sea, "late", "root", &short, &["expired"]);

    let created: serde_json::Value =
        sea.holm(&["token", "create", "--role", "node", "-o", "json"]).done().json();
    let word = |key: &str| created[key].as_str().expect("a text").to_owned();
    sea.holm(&["token", "revoke", &word("id")]).done();
    refused(&mut sea, "void", "root", &word("token"), &["token", "revoked"]);

    let good = sea.token("root", &["--role", "node"]);
    let mut mistyped: Vec<char> = good.chars().collect();
    let middle = mistyped.len() / 2;
    mistyped.swap(middle, middle + 1);
    if mistyped[middle] == mistyped[middle + 1] {
        mistyped[middle] = if mistyped[middle] == 'a' { 'b' } else { 'a' };
    }
    refused(&mut sea, "typo", "root", &mistyped.iter().collect::<String>(), &["mistyped"]);
    refused(&mut sea, "cut", "root", &good[..good.len() - 3], &["mistyped"]);

    let elsewhere = crate::harness::sea().start();
    let foreign = elsewhere.token("root", &["--role", "node"]);
    refused(&mut sea, "stranger", "root", &foreign, &["is not the orchestrator that made the token"]);
    // None of this has used the good one up.
    sea.add_node("good", "root", &good);
    wait_for("it joins", || nodes(&sea, "root").contains(&"good".to_owned()).then_some(()));
}

#[test]
fn a_token_for_another_role_is_refused() {
    let mut sea = sea().cluster("vienna", &[]).start();
    let for_cluster = sea.token("root", &["--role", "cluster"]);
    refused(&mut sea, "posing", "root", &for_cluster, &["cluster"]);
    let for_node = sea.token("root", &["--role", "node"]);
    let mut call = command(PROGRAM);
    call.args(["cluster", "--name", "graz", "--parent", sea.address("root"), "--listen", "127.0.0.1:0"]);
    call.arg("--data-dir").arg(sea.path("graz")).env("HOLM_TOKEN", &for_node);
    let said = run(call, "");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("node"), "{said:?}");
    // An API token is no join token.
    let admin = sea.token("root", &["--role", "admin"]);
    refused(&mut sea, "person", "root", &admin, &["join token"]);
    // A node token of the root is not one of the cluster.
    refused(&mut sea, "lost", "vienna", &for_node, &["is not the orchestrator that made the token"]);
}

#[test]
fn a_revoked_node_is_cut_at_once_and_stays_out() {
    let mut sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.holm_at("vienna", &["node", "revoke", "fl-1"]).done();
    wait_for("its link is cut", || sea.log("vienna").contains("closed").then_some(()));
    wait_for("it is told why", || sea.log("fl-1").to_lowercase().contains("revoked").then_some(()));
    let out = |sea: &Sea| {
        let nodes: Vec<Node> = sea.list("vienna", "nodes").unwrap_or_default();
        nodes.iter().all(|node| node.name != "fl-1" || node.state != "online")
    };
    wait_for("it is not online", || out(&sea).then_some(()));
    sea.kill("fl-1");
    sea.start("fl-1");
    holds_for(Duration::from_secs(3), "it stays out", || out(&sea));
    // After a restart of its orchestrator, and while that is cut off, too.
    sea.kill("root");
    sea.restart("vienna");
    wait_for("the other one is back", || {
        let nodes: Vec<Node> = sea.list("vienna", "nodes")?;
        nodes.iter().any(|node| node.name == "fl-2" && node.state == "online").then_some(())
    });
    holds_for(Duration::from_secs(3), "it stays out", || out(&sea));
}

#[test]
fn a_node_revoked_at_the_root_stays_out_of_a_cluster_that_is_then_cut_off() {
    let mut sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.holm(&["node", "revoke", "fl-1"]).done();
    let out = |sea: &Sea| {
        let nodes: Vec<Node> = sea.list("vienna", "nodes").unwrap_or_default();
        nodes.iter().all(|node| node.name != "fl-1" || node.state != "online")
    };
    wait_for("the cluster cuts it", || out(&sea).then_some(()));
    sea.kill("root");
    sea.kill("fl-1");
    sea.restart("vienna");
    sea.start("fl-1");
    holds_for(Duration::from_secs(4), "it stays out", || out(&sea));
}

/// As the API writes times.
fn now() -> String {
    let mut call = command("date");
    call.args(["-u", "+%Y-%m-%dT%H:%M:%S"]);
    run(call, "").done().line().to_owned()
}
