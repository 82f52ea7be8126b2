//! Nodes whose clock begins in 1970, as those without a battery do, or runs ahead (libfaketime, as Debian has it).

use std::fs;
use std::path::Path;

use crate::harness::command::{command, run};
use crate::harness::daemon::{Daemon, Plan};
use crate::harness::{Node, Sea, sea, wait_for};

const NAME: &str = "drawer";
/// Time goes on from there, and timers keep their own time.
const BEGIN: &str = "@1970-01-01 00:00:10";
const AHEAD: &str = "+21d";
const CALM: &str = "holm: v1\napplication: calm\nservices:\n  web:\n    runtime: process\n    \
    command: [sleep, \"100000\"]\n    stop: { grace: 1s }\n";

/// Where Debian puts the library, whatever the machine.
pub(crate) fn library() -> String {
    let all = fs::read_dir("/usr/lib").expect("a directory").flatten();
    let found = all.map(|dir| dir.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    found.expect("the package faketime").display().to_string()
}

fn clock(time: &str) -> Vec<String> {
    let library = format!("LD_PRELOAD={}", library());
    vec![library, format!("FAKETIME={time}"), "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned()]
}

fn plan(sea: &Sea, time: &str) -> Plan {
    let mut words = clock(time);
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
    let plan = plan(&sea, BEGIN);
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
    let line = doctor(&sea, BEGIN);
    assert!(line.contains("1970"), "{line}");
}

/// What `holm doctor` says of the clock there.
fn doctor(sea: &Sea, time: &str) -> String {
    let mut doctor = command("/usr/bin/env");
    doctor.args(clock(time)).arg(sea.path("holm")).args(["doctor", "--data-dir"]).arg(sea.path(NAME));
    let found = run(doctor, "").stdout;
    found.lines().find(|line| line.contains("clock")).unwrap_or_default().to_owned()
}

/// It is told whose clock it is, and joins as soon as that is right.
#[test]
fn a_new_node_that_is_months_ahead_is_told_to_set_its_clock_needs_clock() {
    let sea = sea().start();
    let plan = plan(&sea, "+120d");
    let token = sea.token("root", &["--role", "node"]);
    let node = Daemon::start(&plan, Some(&token));
    let log = |plan: &Plan| fs::read_to_string(&plan.log).unwrap_or_default();
    let said = wait_for("it is told", || Some(log(&plan)).filter(|log| log.contains("Cannot join yet")));
    assert!(said.contains("set the clock of this machine") && said.contains("here it is 20"), "{said}");
    assert!(!said.contains("not the orchestrator that made the token"), "{said}");
    drop(node);
    // The orchestrator's own certificate lasts longer than that of a member.
    let plan = self::plan(&sea, "+60d");
    let other = sea.token("root", &["--role", "node"]);
    let _node = Daemon::start(&plan, Some(&other));
    let said =
        wait_for("it is told", || Some(log(&plan)).filter(|log| log.contains("just made for this machine")));
    assert!(said.contains("set the clock of this machine") && said.contains("holm node remove"), "{said}");
    sea.holm(&["node", "remove", NAME]).done();
    let plan = self::plan(&sea, "+0d");
    let _node = Daemon::start(&plan, Some(&token));
    wait_for("it joins with the same token", || log(&plan).contains("This node has joined").then_some(()));
}

#[test]
fn a_node_that_is_weeks_ahead_renews_its_certificate_once_and_is_told_so_needs_clock() {
    let sea = sea().start();
    let plan = plan(&sea, AHEAD);
    let _node = Daemon::start(&plan, Some(&sea.token("root", &["--role", "node"])));
    let renewals = || {
        let log = fs::read_to_string(&plan.log).unwrap_or_default();
        log.matches("The certificate was renewed").count()
    };
    wait_for("it takes its certificate for an old one", || (renewals() > 0).then_some(()));
    // What comes after it on the same link has come when the next has: no further request was before it.
    sea.deploy(CALM);
    sea.holm(&["exec", "calm/web/0", "--", "sleep", "2"]).done();
    assert_eq!(renewals(), 1);
    let line =
        wait_for("the time is kept", || Some(doctor(&sea, AHEAD)).filter(|line| line.contains("ahead")));
    assert!(line.starts_with("warn") && line.contains("20d") || line.contains("21d"), "{line}");
}
