//! Projects at clusters: which there are, and what is left of their quotas.

use serde_json::Value;

use crate::harness::{Sea, sea, wait_for};

const APP: &str = "holm: v1
application: own
services:
  web:
    runtime: process
    command: [sleep, \"100000\"]
    stop: { grace: 1s }
";

fn used(sea: &Sea, at: &str) -> Option<u64> {
    let shown = sea.holm_at(at, &["project", "show", "blue", "-o", "json"]);
    (shown.code == 0).then(|| shown.json::<Value>()["used"]["instances"].as_u64().unwrap())
}

const fn scale(number: &str) -> [&str; 5] {
    ["scale", "own/web", number, "-p", "blue"]
}

#[test]
fn a_cluster_keeps_to_the_projects_and_quotas_of_its_root_also_alone() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).start();
    let manifest = sea.file("own.yaml", APP).display().to_string();
    let apply = ["apply", "-p", "blue", &manifest];
    sea.holm_at("vienna", &apply)
        .refused(1, &["told this cluster of no project `blue`", "holm project create blue"]);
    sea.holm(&["project", "create", "blue", "--instances", "2"]).done();
    wait_for("vienna knows it", || used(&sea, "vienna"));
    sea.holm_at("vienna", &apply).done();
    wait_for("the root counts it", || used(&sea, "root").filter(|used| *used == 1));
    sea.holm(&["project", "delete", "blue"]).refused(1, &["cluster `vienna` has applications of its own"]);

    sea.kill("root");
    sea.holm_at("vienna", &scale("3")).refused(1, &["what the root leaves", "3 instances of 2"]);
    sea.holm_at("vienna", &scale("2")).done();
    sea.start("root");
    wait_for("the root counts both", || used(&sea, "root").filter(|used| *used == 2));
    sea.holm(&apply).refused(1, &["3 instances of 2"]);
}
