//! `holm doctor`: what it finds, and that it disturbs nothing.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use serde::Deserialize;

use crate::harness::command::{PROGRAM, command, run};
use crate::harness::{Ran, Sea, sea, wait_for, wait_within};

#[derive(Debug, Deserialize)]
struct Report {
    healthy: bool,
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
struct Check {
    check: String,
    state: String,
    says: String,
    #[serde(default)]
    todo: String,
}

impl Report {
    /// The state of a check and its words.
    #[track_caller]
    fn of(&self, check: &str) -> (&str, String) {
        let found = self.checks.iter().find(|c| c.check == check);
        let found = found.unwrap_or_else(|| panic!("no check `{check}`: {self:#?}"));
        (&found.state, format!("{}; {}", found.says, found.todo))
    }

    /// Fails unless `check` failed and says all of `words`, and the whole is unhealthy.
    #[track_caller]
    fn blames(&self, check: &str, words: &[&str]) {
        let (state, says) = self.of(check);
        assert!(!self.healthy && state == "fail", "{self:#?}");
        assert!(words.iter().all(|word| says.contains(word)), "{says}");
    }

    /// It is not there yet, and that is no fault.
    #[track_caller]
    fn comes_next(&self, check: &str, words: &[&str]) {
        let (state, says) = self.of(check);
        assert!(state == "next" && words.iter().all(|word| says.contains(word)), "{self:#?}");
    }
}

fn look(sea: &Sea, member: &str, words: &[&str]) -> Ran {
    let mut call = command(PROGRAM);
    call.arg("doctor").arg("--data-dir").arg(sea.data(member)).args(words).env("HOME", "/nonexistent");
    run(call, "")
}

#[track_caller]
fn report(sea: &Sea, member: &str, words: &[&str]) -> Report {
    let ran = look(sea, member, &[&["-o", "json"], words].concat());
    let report: Report = ran.json();
    assert_eq!(ran.code, i32::from(!report.healthy), "{ran:?}");
    report
}

fn links(sea: &Sea, node: &str) -> usize {
    sea.log(node).matches("Linked to the orchestrator").count()
}

#[test]
fn a_healthy_node_is_healthy_and_keeps_its_session() {
    let sea = sea().node("fl-1").start();
    wait_for("it is linked", || (links(&sea, "fl-1") == 1).then_some(()));
    let found = report(&sea, "fl-1", &[]);
    assert!(found.healthy, "{found:#?}");
    for check in ["directory", "certificate", "clock", "name", "tcp", "tls", "session", "disk"] {
        assert_eq!(found.of(check).0, "ok", "{found:#?}");
    }
    let text = look(&sea, "fl-1", &[]).done().stdout;
    assert!(text.lines().all(|line| ["ok ", "warn"].iter().any(|word| line.starts_with(word))), "{text}");
    let yaml = look(&sea, "fl-1", &["-o", "yaml"]).done().stdout;
    assert!(yaml.starts_with("healthy: true"), "{yaml}");
    assert_eq!(links(&sea, "fl-1"), 1, "its session went on");
    sea.all_connected();
}

#[test]
fn orchestrators_are_looked_at_as_well() {
    let mut sea = sea().cluster("vienna", &[]).start();
    let found = wait_for("the cluster is connected", || {
        let found = report(&sea, "vienna", &[]);
        found.healthy.then_some(found)
    });
    assert_eq!(found.of("session"), ("ok", "open; ".to_owned()));
    assert!(found.of("tcp").1.contains(sea.address("root")), "it tells its parent: {found:#?}");
    let found = report(&sea, "root", &[]);
    assert!(found.healthy && found.of("orchestrator").0 == "ok", "{found:#?}");
    sea.stop("vienna");
    let listener = TcpListener::bind(sea.address("vienna")).expect("its port is free now");
    let words = ["--parent", sea.address("root"), "--listen", sea.address("vienna")];
    report(&sea, "vienna", &words).blames("port", &["cannot be had", "--listen"]);
    drop(listener);
    let found = report(&sea, "vienna", &words);
    assert_eq!((found.of("port").0, found.of("session").0), ("ok", "ok"), "{found:#?}");
}

#[test]
fn an_orchestrator_that_is_away_or_another_is_found() {
    let mut sea = sea().node("fl-1").start();
    let elsewhere = crate::harness::sea().start();
    let found = report(&sea, "fl-1", &["--parent", elsewhere.address("root")]);
    found.blames("tls", &["is not the orchestrator of this member", "--parent"]);
    let found = report(&sea, "fl-1", &["--parent", "no-such-host.invalid:7700"]);
    found.blames("name", &["no-such-host.invalid", "resolv.conf"]);
    sea.kill("root");
    report(&sea, "fl-1", &[]).blames("tcp", &["cannot be reached", "firewall"]);
    // While it does not run, it must be told whom it calls.
    sea.stop("fl-1");
    let found = report(&sea, "fl-1", &[]);
    assert_eq!(found.of("orchestrator").0, "warn", "{found:#?}");
    let file = sea.file("node.toml", &format!("[node]\nparent = \"{}\"\n", sea.address("root")));
    let file = file.to_str().expect("a plain path");
    report(&sea, "fl-1", &["--config", file]).blames("tcp", &["cannot be reached"]);
}

#[test]
fn a_member_that_was_revoked_or_has_not_joined_is_told_so() {
    let mut sea = sea().node("fl-1").start();
    sea.stop("fl-1");
    let parent = ["--parent", sea.address("root")];
    let found = report(&sea, "fl-1", &parent);
    assert_eq!(found.of("session"), ("ok", "its certificate is accepted; ".to_owned()), "{found:#?}");
    sea.holm(&["node", "revoke", "fl-1"]).done();
    report(&sea, "fl-1", &parent).blames("session", &["revoked or removed", "token"]);
    fs::remove_file(sea.data("fl-1").join("credentials.pem")).expect("it had some");
    report(&sea, "fl-1", &parent)
        .comes_next("certificate", &["has not joined", "holm token create --role node"]);
    let mut call = command(PROGRAM);
    call.args(["doctor", "-o", "json", "--data-dir"]).arg(sea.path("nothing"));
    let found = run(call, "").json::<Report>();
    found.comes_next("directory", &["nothing is not there yet", "--data-dir"]);
    found.comes_next("processes", &["first start"]);
    assert!(
        found.healthy && found.of("disk").0 == "ok",
        "nothing is wrong with a machine that is new: {found:#?}"
    );
}

#[test]
fn before_it_joins_a_machine_is_told_whether_its_orchestrator_made_the_token() {
    let (sea, other) = (sea().start(), crate::harness::sea().start());
    let at = |token: &str| sea.file("token", &format!("{token}\n")).display().to_string();
    let new = sea.path("new");
    fs::create_dir_all(&new).expect("a directory");
    let look = |words: &[&str]| {
        let mut call = command(PROGRAM);
        call.args(["doctor", "-o", "json", "--parent", sea.address("root"), "--data-dir"])
            .arg(&new)
            .args(words);
        run(call, "").json::<Report>()
    };
    let token = sea.token("root", &["--role", "node"]);
    let found = look(&["--token-file", &at(&token)]);
    assert!(found.of("tls").0 == "ok" && found.of("tls").1.contains("as the token says"), "{found:#?}");
    assert_eq!(found.of("dates").0, "ok", "{found:#?}");
    let status = sea.holm(&["status", "-o", "json"]).json::<serde_json::Value>();
    let fingerprint = status["fingerprint"].as_str().expect("a fingerprint").to_owned();
    assert!(found.of("tls").1.contains(&fingerprint), "{found:#?}");
    let found = look(&[]);
    assert!(found.of("tls").0 == "warn" && found.of("tls").1.contains(&fingerprint), "{found:#?}");
    let foreign = other.token("root", &["--role", "node"]);
    look(&["--token-file", &at(&foreign)]).blames("tls", &["which made the token", "holm token create"]);
    look(&["--token-file", &at("holm-join.x")]).blames("token", &["mistyped"]);
    // Nothing of it was used up.
    sea.list::<serde_json::Value>("root", "nodes")
        .is_some_and(|nodes| nodes.is_empty())
        .then_some(())
        .expect("none");
}

#[test]
fn the_dates_of_a_certificate_are_compared_with_the_clock_needs_clock() {
    let sea = sea().start();
    let token = sea.file("token", &sea.token("root", &["--role", "node"]));
    fs::create_dir_all(sea.path("new")).expect("a directory");
    let at = |offset: &str| {
        let mut call = command(PROGRAM);
        call.args(["doctor", "-o", "json", "--parent", sea.address("root")]);
        call.env("LD_PRELOAD", crate::clocks::library()).env("FAKETIME", offset);
        call.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        call.arg("--data-dir").arg(sea.path("new")).arg("--token-file").arg(&token);
        run(call, "").json::<Report>()
    };
    let behind = at("-400d");
    assert!(behind.of("tls").0 == "ok" && behind.of("dates").0 == "warn", "{behind:#?}");
    at("+3000d").blames("dates", &["has expired", "set the clock"]);
}

/// Nobody takes its connections.
#[test]
fn an_engine_that_hangs_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = dir.path().join("engine.sock");
    let _mute = std::os::unix::net::UnixListener::bind(&engine).expect("a socket");
    let mut call = command(PROGRAM);
    call.args(["doctor", "-o", "json", "--data-dir"]).arg(dir.path()).arg("--engine").arg(&engine);
    run(call, "").json::<Report>().blames("containers", &["engine.sock and does not answer", "restart"]);
}

#[test]
fn a_certificate_that_expired_in_a_drawer_is_good_for_renewal() {
    let mut sea = sea().node("fl-1").words("root", &["--certificate-life=9s"]).start();
    sea.stop("fl-1");
    let parent = ["--parent", sea.address("root")];
    wait_within(Duration::from_secs(30), "it expires", || {
        let found = report(&sea, "fl-1", &parent);
        let (state, says) = found.of("certificate");
        (state == "warn" && says.contains("expired")).then_some(())
    });
    let found = report(&sea, "fl-1", &parent);
    let (state, says) = found.of("session");
    assert!(found.healthy && state == "warn" && says.contains("renew its certificate only"), "{found:#?}");
    sea.start("fl-1");
    wait_for("it renews it by itself", || {
        (report(&sea, "fl-1", &[]).of("certificate").0 == "ok").then_some(())
    });
}

#[test]
fn a_proxy_that_only_the_daemon_or_only_the_look_uses_is_noticed() {
    let sea = sea().node("fl-1").start();
    let found = report(&sea, "fl-1", &["--proxy", "http://me:secret@127.0.0.1:1"]);
    assert_eq!(found.of("proxy").0, "warn", "{found:#?}");
    assert!(found.of("proxy").1.contains("the daemon uses no proxy"), "{found:#?}");
    let shown = look(&sea, "fl-1", &["--proxy", "http://me:secret@127.0.0.1:1"]);
    assert!(shown.code == 1 && !shown.stdout.contains("secret"), "{shown:?}");
    let mut call = command(PROGRAM);
    call.arg("doctor").arg("--data-dir").arg(sea.data("fl-1"));
    call.env("HTTPS_PROXY", "http://127.0.0.1:1").env("NO_PROXY", "");
    let found = run(call, "");
    assert_eq!(found.code, 0, "this machine itself is called directly: {found:?}");
}
