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
        let found = report(&sea, "vienna", &["--parent", sea.address("root")]);
        found.healthy.then_some(found)
    });
    assert_eq!(found.of("session"), ("ok", "open; ".to_owned()));
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
    report(&sea, "fl-1", &parent).blames("certificate", &["has not joined", "holm token create --role node"]);
    let mut call = command(PROGRAM);
    call.args(["doctor", "-o", "json", "--data-dir"]).arg(sea.path("nothing"));
    run(call, "").json::<Report>().blames("directory", &["nothing cannot be read", "--data-dir"]);
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
