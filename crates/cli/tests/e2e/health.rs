//! Health and readiness of programs, as people meet them.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::command::run;
use crate::harness::{Sea, sea, wait_for};

/// A service `web` that answers HTTP; `more` are further lines of it.
fn manifest(sea: &Sea, name: &str, more: &[&str]) -> String {
    let more: String = more.iter().map(|line| format!("    {line}\n")).collect();
    format!(
        "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: process\n    command: [{}, \
         __sensor-collector, --floor, a, --port, \"{{{{port.http}}}}\"]\n    ports: {{ http: auto }}\n    \
         stop: {{ grace: 1s }}\n{more}",
        sea.path("holm").display()
    )
}

#[test]
fn a_program_that_does_not_answer_is_started_again() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let check = "health: { http: /healthz, every: 200ms, timeout: 300ms, failures: 3, start: 0s }";
    sea.deploy(&manifest(&sea, "stuck", &[check]));
    let before = sea.running("stuck", 1);
    assert!(before[0].ready);
    let shown = sea.holm(&["describe", "instance", "stuck/web/0"]).done().stdout;
    assert!(shown.contains("yes (GET /healthz: 200)"), "{shown}");

    // It lives, and answers nobody: not even the request to end.
    sea.program("stuck", "web/0").signal(Signal::SIGSTOP);
    let after = sea.until("stuck", "it was started again, and is ready", |all| {
        all.len() == 1 && all[0].ready && all[0].restarts == 1
    });
    assert_eq!(after[0].id, before[0].id, "on the same node, the same instance");
    let said = "health check failed 3 times: GET /healthz: no answer in 300ms";
    let failed = |event: &crate::harness::things::Event| event.to == "FAILED" && event.reason.contains(said);
    let events = sea.history("application=default/stuck&kind=instance");
    assert!(events.iter().any(failed), "{events:#?}");
}

#[test]
fn whoever_is_not_ready_is_waited_for_and_gets_no_work() {
    let sea = sea().node("solo").start();
    let flag = sea.path("ready");
    let check = format!("ready: {{ exec: [test, -e, {}], every: 200ms, failures: 1 }}", flag.display());
    let text = manifest(&sea, "slow", &[&check]);
    let late = run(sea.call_at("root", &["apply", "--wait=2s", "--stable=0s", "-"]), &text);
    late.refused(1, &["slow is still INSTANTIATING after 2s"]);
    let found = sea.running("slow", 1);
    assert!(!found[0].ready);
    let table = sea.holm(&["get", "instances"]).done().stdout;
    assert!(table.contains("READY") && table.contains(" no "), "{table}");
    let shown = sea.holm(&["describe", "instance", "slow/web/0"]).done().stdout;
    assert!(shown.contains(&format!("no (`test -e {}`: exit code 1)", flag.display())), "{shown}");

    fs::write(&flag, "").unwrap();
    sea.deploy(&text);
    assert!(sea.running("slow", 1)[0].ready);
    fs::remove_file(&flag).unwrap();
    let rows =
        sea.until("slow", "it is not ready any more, and runs on", |all| all.len() == 1 && !all[0].ready);
    assert_eq!((rows[0].state.as_str(), rows[0].restarts), ("RUNNING", 0));
    wait_for("events tell both", || {
        let events = sea.history("application=default/slow&kind=instance");
        let told = |word: &str| events.iter().any(|event| event.to == word);
        (told("ready") && told("not ready")).then_some(())
    });
    assert_eq!(sea.application("slow").unwrap().state, "INSTANTIATING");
}

#[test]
fn a_crash_loop_is_shown_as_one() {
    let sea = sea().node("solo").start();
    sea.apply(
        "holm: v1\napplication: loop\nservices:\n  web:\n    runtime: process\n    command: [sh, -c, exit 3]\n    \
         restart: { attempts: 9, backoff: 50ms..60s }\n",
    );
    let told = |reason: &str| {
        reason.starts_with("crash loop: ") && reason.ends_with("; the last: exited with code 3")
    };
    sea.until_at("root", Duration::from_secs(30), "loop", "it is called a crash loop", |all| {
        all.len() == 1 && told(&all[0].reason)
    });
}
