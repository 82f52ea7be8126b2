//! Steps before a start.

use std::time::Duration;

use crate::harness::{holds_for, sea, wait_for};

fn manifest(name: &str, before: &str) -> String {
    format!(
        "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: process\n    \
         command: [sh, -c, \"echo serving; exec sleep 100000\"]\n    before:\n{before}    \
         restart: {{ attempts: 2, backoff: 50ms..100ms }}\n    stop: {{ grace: 1s }}\n"
    )
}

#[test]
fn steps_run_before_a_start_and_one_that_fails_is_named() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let steps = "      - command: [sh, -c, \"echo one for $HOLM_SLOT\"]\n      - { command: [echo, \"two of {{slot.index}}\"], timeout: 1m }\n";
    sea.deploy(&manifest("good", steps));
    let logs = wait_for("all has been said", || {
        let logs = sea.holm(&["logs", "good"]).done().stdout;
        logs.contains("serving").then_some(logs)
    });
    let at = |text: &str| logs.find(text).unwrap_or_else(|| panic!("no {text:?} in {logs}"));
    assert!(at("one for web/0") < at("two of 0") && at("two of 0") < at("serving"), "{logs}");

    sea.apply(&manifest(
        "bad",
        "      - command: [\"true\"]\n      - command: [sh, -c, \"echo why; exit 3\"]\n",
    ));
    let all = sea.until("bad", "FAILED", |all| all.iter().any(|i| i.state == "FAILED"));
    assert!(all[0].reason.contains("step 2 of 2") && all[0].reason.contains("code 3"), "{all:#?}");
    let logs = sea.holm(&["logs", "bad"]).done().stdout;
    assert!(logs.contains("why") && !logs.contains("serving"), "{logs}");

    sea.apply(&manifest("slow", "      - { command: [sleep, \"100000\"], timeout: 1s }\n"));
    let all = sea.until("slow", "FAILED", |all| all.iter().any(|i| i.state == "FAILED"));
    assert!(all[0].reason.contains("its timeout of 1s"), "{all:#?}");
}

#[test]
fn a_step_whose_agent_dies_is_run_again_and_can_be_stopped() {
    let mut sea = sea().node("solo").start();
    let gate = sea.file("gate", "");
    std::fs::remove_file(&gate).unwrap();
    let wait = format!("echo waiting; until [ -e {} ]; do sleep 0.05; done", gate.display());
    sea.apply(&manifest("shop", &format!("      - command: [sh, -c, \"{wait}\"]\n")));
    let waits = |sea: &crate::harness::Sea, times: usize| {
        wait_for("the step waits", || {
            let logs = sea.holm(&["logs", "shop"]);
            // What the step wrote, not the note that says its command.
            let said = logs.stdout.lines().filter(|line| line.ends_with("waiting")).count();
            (logs.code == 0 && said == times).then_some(())
        });
    };
    waits(&sea, 1);
    sea.until("shop", "its step is told", |all| {
        all[0].state == "PREPARING" && all[0].reason.contains("step 1 of 1")
    });
    sea.kill("solo");
    sea.start("solo");
    waits(&sea, 2);
    std::fs::write(&gate, "").unwrap();
    sea.running("shop", 1);
    std::fs::remove_file(&gate).unwrap();
    sea.holm(&["restart", "shop/web"]).done();
    waits(&sea, 3);
    sea.holm(&["stop", "shop/web"]).done();
    sea.until("shop", "STOPPED", |all| all.iter().all(|i| i.state == "STOPPED"));
    holds_for(Duration::from_millis(500), "the program is not started", || sea.programs().is_empty());
}
