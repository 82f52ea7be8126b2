//! A node whose clock begins in 1970, as those without a battery do (libfaketime, as Debian has it).

use std::fs;
use std::path::Path;

use crate::harness::command::{command, run};
use crate::harness::daemon::{Daemon, Plan};
use crate::harness::{Node, Sea, sea, wait_for};

const NAME: &str = "drawer";
/// Time goes on from there, and timers keep their own time.
const CLOCK: [&str; 3] = ["LD_PRELOAD=", "FAKETIME=@1970-01-01 00:00:10", "FAKETIME_DONT_FAKE_MONOTONIC=1"];
const CALM: &str = "holm: v1\napplication: calm\nservices:\n  web:\n    runtime: process\n    \
    command: [sleep, \"100000\"]\n    stop: { grace: 1s }\n";

/// Where Debian puts the library, whatever the machine.
fn library() -> String {
    let all = fs::read_dir("/usr/lib").expect("a directory").flatten();
    let found = all.map(|dir| dir.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    found.expect("the package faketime").display().to_string()
}

fn in_1970() -> Vec<String> {
    let [preload, rest @ ..] = CLOCK;
    let rest = rest.iter().map(|word| (*word).to_owned());
    std::iter::once(format!("{preload}{}", library())).chain(rest).collect()
}

fn plan(sea: &Sea) -> Plan {
    let mut words = in_1970();
    words.push(sea.path("holm").display().to_string());
    words.extend([
        "node".to_owned(),
        format!("--data-dir={}", sea.path(NAME).display()),
        format!("--name={NAME}"),
        format!("--parent={}", sea.address("root")),
        format!("--engine={}", sea.path("no-engine").display()),
    ]);
    Plan { program: "/usr/bin/env".into(), words, log: sea.path("drawer.log"), namespace: None }
}

fn online(sea: &Sea) -> Option<()> {
    let nodes: Vec<Node> = sea.list("root", "nodes")?;
    nodes.iter().any(|node| node.name == NAME && node.state == "online").then_some(())
}

/// How often it has opened its link.
fn links(log: &Path) -> usize {
    fs::read_to_string(log).unwrap_or_default().matches("Linked to the orchestrator").count()
}

#[test]
fn a_node_in_1970_joins_works_and_comes_back_needs_clock() {
    let sea = sea().words("root", &["--certificate-life=9s"]).start();
    let plan = plan(&sea);
    let mut node = Daemon::start(&plan, Some(&sea.token("root", &["--role", "node"])));
    wait_for("it joins", || online(&sea));
    sea.deploy(CALM);
    sea.holm(&["exec", "calm/web/0", "--", "true"]).done();
    let certificate = || fs::read(sea.path(NAME).join("credentials.pem")).ok();
    let first = certificate();
    wait_for("its certificate is renewed", || (certificate() != first).then_some(()));
    // Off, and on again: the clock is back in 1970.
    node.kill();
    let before = links(&plan.log);
    let _node = Daemon::start(&plan, None);
    wait_for("it is linked again", || (links(&plan.log) > before).then_some(()));
    sea.running("calm", 1);
    sea.holm(&["exec", "calm/web/0", "--", "true"]).done();
    let mut doctor = command("/usr/bin/env");
    doctor.args(in_1970()).arg(sea.path("holm")).args(["doctor", "--data-dir"]).arg(sea.path(NAME));
    let found = run(doctor, "");
    let line = found.stdout.lines().find(|line| line.contains("clock")).unwrap_or_default();
    assert!(line.contains("1970"), "{found:?}");
}
