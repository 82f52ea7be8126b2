//! Nodes that are taken out of service, with real processes and a real engine.

use std::fs;

use crate::harness::command::command;
use crate::harness::{sea, wait_for};

const SHOP: &str = "holm: v1
application: shop
services:
  web: { runtime: process, command: [sleep, \"100000\"], replicas: 2 }
  log: { runtime: process, command: [sleep, \"100000\"], replicas: per-node }
";

#[test]
fn a_node_is_emptied_wipes_itself_and_the_audit_log_has_the_proof() {
    let mut sea = sea().node("fl-1").node("fl-2").start();
    sea.deploy(SHOP);
    sea.running("shop", 4);
    let data = sea.data("fl-1").to_owned();
    let done = sea.holm(&["node", "decommission", "fl-1", "-o", "json"]).done();
    let told: serde_json::Value = done.json();
    assert_eq!(told["proven"], true, "{told}");
    assert!(
        told["proof"].as_str().unwrap().contains("node fl-1 told that it wiped: all instances"),
        "{told}"
    );

    assert_eq!(wait_for("its agent has ended", || sea.ended("fl-1")), 0);
    assert!(sea.log("fl-1").trim_end().ends_with("It does not join again."), "{}", sea.log("fl-1"));
    let left: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["decommissioned"]);
    let all = sea.running("shop", 3);
    assert!(all.iter().all(|instance| instance.node() == "fl-2"));
    assert!(sea.programs().iter().all(|program| program.node == "fl-2"));
    let audit = sea.holm(&["get", "audit", "-o", "json"]).done().stdout;
    assert!(audit.contains("node.decommission") && audit.contains("node.wiped"), "{audit}");
    sea.holm(&["describe", "node", "fl-1"]).refused(1, &["no node `fl-1`"]);

    // Started again as before, it does not come back.
    sea.start("fl-1");
    assert_eq!(wait_for("it refuses", || sea.ended("fl-1")), 2);
    assert!(sea.log("fl-1").contains("--rejoin"), "{}", sea.log("fl-1"));
}

#[test]
fn a_silent_node_is_forgotten_by_force_and_nothing_is_proven() {
    let mut sea = sea().node("fl-1").node("fl-2").start();
    sea.kill("fl-1");
    wait_for("it is silent", || (sea.node("fl-1").state != "online").then_some(()));
    sea.holm(&["node", "decommission", "fl-1"]).refused(1, &["cannot be told anything now", "--force"]);
    let done = sea.holm(&["node", "decommission", "fl-1", "--force"]).done();
    assert!(done.stdout.contains("its wipe is not proven"), "{}", done.stdout);
    let audit = sea.holm(&["get", "audit", "-o", "json"]).done().stdout;
    assert!(audit.contains("node.forgotten") && !audit.contains("node.wiped"), "{audit}");
}

#[test]
fn what_it_brought_to_its_engine_goes_with_it_needs_engine() {
    let Ok(engine) = std::env::var("HOLM_TEST_DOCKER") else {
        return println!("skipped: HOLM_TEST_DOCKER names no container engine");
    };
    let socket = engine.trim_start_matches("unix://");
    let sea = sea().node("fl-1").words("fl-1", &[&format!("--engine={socket}")]).start();
    wait_for("the node offers containers", || {
        sea.node("fl-1").runtimes.contains(&"container".to_owned()).then_some(())
    });
    sea.deploy(
        "holm: v1\napplication: box\nservices:\n  web:\n    runtime: container\n    image: holm-test:1\n    \
         command: [/bin/sh, -c, 'while :; do sleep 1; done']\n    stop: { grace: 1s }\n    volumes: [\"data:/data\"]\n",
    );
    let volume = wait_for("the volume is written down", || {
        let entry = fs::read_dir(sea.data("fl-1").join("engine/volume")).ok()?.next()?.ok()?;
        Some(fs::read_to_string(entry.path()).unwrap())
    });
    let there = |what: &str, name: &str| {
        command("docker").args(["-H", &engine, what, "inspect", name]).output().unwrap().status.success()
    };
    assert!(there("volume", &volume));
    let told = sea.holm(&["node", "decommission", "fl-1", "--force"]).done().stdout;
    assert!(told.contains(&volume) && !told.contains("LEFT THERE"), "{told}");
    assert!(!there("volume", &volume));
    assert!(there("image", "holm-test:1"), "Holm has not pulled it");
}
