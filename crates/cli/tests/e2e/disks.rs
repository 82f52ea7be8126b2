//! Full disks: below a store, and below the logs of a node.

use crate::harness::disk::Disk;
use crate::harness::{sea, wait_for};

fn manifest(name: &str, command: &str) -> String {
    format!(
        "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: process\n    command: {command}\n    \
         stop: {{ grace: 1s }}\n    restart: {{ policy: always, backoff: 50ms..1s }}\n"
    )
}

const SLEEP: &str = "[sleep, \"100000\"]";

#[test]
fn a_full_disk_makes_the_root_read_only_until_there_is_room_needs_root() {
    let disk = Disk::mount("24m");
    let mut sea = sea().data_dir("root", &disk.path().join("root")).cluster("vienna", &["fl-1"]).start();
    sea.deploy(&manifest("before", SLEEP));
    let before = sea.programs();
    disk.fill();
    // Some commits may still fit into what the store has already.
    let refused = wait_for("a write is refused", || {
        let said = sea.holm(&["scale", "before/web", "1"]);
        (said.code != 0).then_some(said)
    });
    refused.refused(1, &["read-only"]);
    let status = || sea.holm(&["status", "-o", "json"]).done().json::<serde_json::Value>();
    assert!(status()["read_only"].is_string(), "{}", status());
    // It answers, and nothing that runs is touched.
    assert_eq!(sea.instances("before").len(), 1);
    // Links began anew with the failed commit.
    wait_for("logs can be read", || (sea.holm(&["logs", "before"]).code == 0).then_some(()));
    assert_eq!(sea.programs(), before);
    assert!(sea.application("after").is_none());
    disk.free();
    wait_for("it takes writes again", || status()["read_only"].is_null().then_some(()));
    sea.deploy(&manifest("after", SLEEP));
    // Every refused write left nothing behind, and what was acknowledged holds.
    sea.kill("root");
    sea.start("root");
    sea.running("before", 1);
    sea.running("after", 1);
    assert!(before.iter().all(crate::harness::proc::Program::lives));
}

#[test]
fn a_full_disk_at_a_node_harms_no_program_and_is_told_needs_root() {
    let disk = Disk::mount("24m");
    let data = disk.path().join("fl-1");
    let mut sea = sea().cluster("vienna", &["fl-1"]).data_dir("fl-1", &data).start();
    let talk = "[sh, -c, 'x=$(head -c 500 /dev/zero | tr \"\\0\" x); i=0; while :; do i=$((i+1)); echo line $i \"$x\"; sleep 0.02; done']";
    sea.deploy(&manifest("talk", talk));
    let said = |sea: &crate::harness::Sea| sea.holm(&["logs", "talk", "--tail", "1"]).stdout;
    wait_for("it talks", || said(&sea).contains("line").then_some(()));
    let before = crate::harness::proc::programs(&data);
    assert_eq!(before.len(), 1);
    disk.fill();
    crate::harness::holds_for(std::time::Duration::from_secs(3), "it runs on", || {
        crate::harness::proc::programs(&data) == before && sea.ended("fl-1").is_none()
    });
    assert_eq!(sea.node("fl-1").state, "online");
    sea.running("talk", 1);
    disk.free();
    let number =
        |line: &str| line.strip_prefix("line ").and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
    let then = wait_for("lines come again", || number(&said(&sea)));
    wait_for("and go on", || number(&said(&sea)).filter(|now| *now > then));
    // What could not be kept is told, not hidden.
    let all = wait_for("the gap is told", || {
        let all = sea.holm(&["logs", "talk"]).done().stdout;
        all.lines().any(|line| line.starts_with('[') && line.contains("lost")).then_some(all)
    });
    assert!(all.contains("line 1 "), "what was kept before is there");
    assert_eq!(crate::harness::proc::programs(&data), before);
    // New work is possible again.
    sea.deploy(&manifest("more", SLEEP));
}

/// Who deletes in order to make room; and whoever starts again before there is any, starts nothing of it.
#[test]
fn a_node_with_a_full_disk_ends_what_is_deleted_and_says_what_is_wrong_needs_root() {
    let disk = Disk::mount("24m");
    let data = disk.path().join("fl-1");
    let mut sea = sea().cluster("vienna", &["fl-1"]).data_dir("fl-1", &data).start();
    // So that its supervisor writes nothing: what fills the disk is somebody else.
    sea.deploy(&manifest("gone", SLEEP));
    sea.deploy(&manifest("stays", SLEEP));
    disk.fill();
    // Too large for pages that the store has left.
    let large = format!("[sh, -c, 'exec sleep 1000 # {}']", "x".repeat(500_000));
    sea.apply(&manifest("large", &large));
    let told = || sea.holm(&["status"]).done().stdout;
    let told = wait_for("it is told", || {
        Some(told()).filter(|text| text.contains("vienna/fl-1 takes nothing new: "))
    });
    assert!(told.contains("disk"), "{told}");
    assert!(sea.holm(&["get", "nodes"]).done().stdout.contains("NOT READY"));
    let before = crate::harness::proc::programs(&data);
    sea.holm(&["delete", "application", "gone"]).done();
    let left = wait_for("it has ended", || {
        let left = crate::harness::proc::programs(&data);
        (left.len() == 1 && before.len() == 2).then_some(left)
    });
    sea.kill("fl-1");
    sea.start("fl-1");
    crate::harness::holds_for(std::time::Duration::from_secs(3), "nothing of it starts", || {
        crate::harness::proc::programs(&data) == left
    });
    disk.free();
    sea.holm(&["delete", "application", "large"]).done();
    sea.deploy(&manifest("more", SLEEP));
    sea.running("stays", 1);
    assert_eq!(sea.instances("gone").len(), 0);
    assert!(left.iter().all(crate::harness::proc::Program::lives));
}

#[test]
fn a_disk_that_stays_full_takes_nothing_new_and_lets_the_least_important_go_needs_root() {
    let disk = Disk::mount("64m");
    let words = ["--disk-tight=60", "--disk-full=40", "--disk-patience=2s"];
    let sea = sea()
        .cluster("vienna", &["fl-1", "fl-2"])
        .data_dir("fl-1", &disk.path().join("fl-1"))
        .words("fl-1", &words)
        .start();
    sea.holm_at("vienna", &["node", "cordon", "fl-2"]).done();
    let service = |name: &str, more: &str| {
        format!("  {name}: {{ runtime: process, command: {SLEEP}, stop: {{ grace: 1s }}, {more} }}\n")
    };
    let services = [
        service("high", "priority: high"),
        service("low", "priority: low"),
        service("data", "priority: low, volumes: [\"/tmp:/tmp\"]"),
    ];
    sea.deploy(&format!("holm: v1\napplication: shop\nservices:\n{}", services.concat()));
    sea.holm_at("vienna", &["node", "uncordon", "fl-2"]).done();
    disk.take(46);
    let full = "its disk is nearly full";
    wait_for("it is told", || sea.node("fl-1").runtimes.is_empty().then_some(()));
    sea.apply(&format!(
        "holm: v1\napplication: more\nservices:\n  web:\n    runtime: process\n    command: {SLEEP}\n    \
         placement: {{ node: fl-1 }}\n"
    ));
    sea.until("more", "it waits, and says for what", |all| all[0].reason.contains(full));
    let nodes = |sea: &crate::harness::Sea| -> Vec<(String, String)> {
        let all = sea.instances("shop").into_iter().filter(|instance| instance.runs());
        let mut all: Vec<_> = all.map(|i| (i.slot.clone(), i.node().to_owned())).collect();
        all.sort();
        all
    };
    let expected = [("data/0", "fl-1"), ("high/0", "fl-1"), ("low/0", "fl-2")]
        .map(|(a, b)| (a.to_owned(), b.to_owned()));
    wait_for("the least important has gone", || (nodes(&sea) == expected).then_some(()));
    let told = sea.holm_at("vienna", &["events"]).done().stdout;
    assert!(
        told.contains("leaves a full disk") && told.contains(full) && told.contains("priority low"),
        "{told}"
    );
    crate::harness::holds_for(std::time::Duration::from_secs(3), "one at a time", || nodes(&sea) == expected);
    disk.free();
    sea.running("more", 1);
}
