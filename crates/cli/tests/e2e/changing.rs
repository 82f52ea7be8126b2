//! Changes that can be taken back: history, differences, rollbacks by people and by the owner itself.

use std::time::Duration;

use serde_json::Value;

use crate::harness::command::run;
use crate::harness::{Sea, sea, wait_for, wait_within};

const GOOD: &str = "[sleep, \"100000\"]";
const BAD: &str = "[sh, -c, \"exit 3\"]";

fn manifest(command: &str, version: u32, update: &str) -> String {
    format!(
        "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    command: {command}\n    \
         env: {{ VERSION: \"{version}\" }}\n    replicas: 2\n    stop: {{ grace: 1s }}\n    \
         restart: {{ attempts: 1, backoff: 100ms..200ms }}\n    update: {{ {update} }}\n"
    )
}

const CAREFUL: &str = "on-failure: rollback, healthy-for: 1s, deadline: 60s";

fn history(sea: &Sea) -> Value {
    sea.holm(&["history", "shop", "-o", "json"]).done().json()
}

fn until_ran(sea: &Sea) {
    wait_for("everything ran well", || (history(sea)[0]["outcome"] == "ran").then_some(()));
}

#[test]
fn what_was_said_is_shown_compared_and_gone_back_to() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(&manifest(GOOD, 1, CAREFUL));
    sea.deploy(&manifest(GOOD, 2, CAREFUL));
    let said = sea.holm(&["history", "shop"]).done();
    assert!(said.stdout.contains("2*") && said.stdout.contains("env.VERSION: 1 → 2"), "{said:?}");
    let said = sea.holm(&["diff", "shop"]).done();
    assert!(said.stdout.contains("--- generation 1\n+++ generation 2\n"), "{said:?}");
    assert!(
        said.stdout.contains("-       VERSION: ") && said.stdout.contains("+       VERSION: "),
        "{said:?}"
    );
    assert!(!said.stdout.contains('\u{1b}'), "no colour in a pipe: {said:?}");
    let file = sea.file("app.yaml", &manifest(GOOD, 2, CAREFUL));
    let said = sea.holm(&["diff", "-f", &file.to_string_lossy()]).done();
    assert!(said.stdout.contains("generation 2 and the file say the same"), "{said:?}");

    sea.holm(&["rollback", "shop", "9"]).refused(1, &["has no generation 9", "there is 1, 2"]);
    let said = sea.holm(&["rollback", "shop", "--plan"]).done();
    assert!(said.stdout.contains("env.VERSION: 2 → 1"), "{said:?}");
    let said = sea.holm(&["rollback", "shop", "1", "--wait=60s"]).done();
    assert!(said.stdout.contains("applied as generation 3"), "{said:?}");
    let said = sea.holm(&["rollback", "shop", "1"]).done();
    assert!(said.stdout.contains("says just that already"), "{said:?}");
    assert_eq!((&history(&sea)[0]["cause"], &history(&sea)[0]["to"]), (&"rollback".into(), &1.into()));
}

#[test]
fn an_update_that_fails_is_taken_back_though_the_root_dies_meanwhile() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).cluster("munich", &["fl-2"]).start();
    sea.deploy(&manifest(GOOD, 1, CAREFUL));
    until_ran(&sea);
    let bad = manifest(BAD, 2, CAREFUL);
    let said = run(sea.call_at("root", &["apply", "--wait=90s", "-"]), &bad);
    let said =
        said.refused(1, &["generation 2 of shop has failed", "what ran before takes its place", "web/0"]);
    assert!(said.stderr.contains("holm history shop"), "{said:?}");
    until_ran(&sea);
    assert_eq!(history(&sea)[0]["cause"], "automatic-rollback");

    sea.apply(&manifest(BAD, 4, CAREFUL)).done();
    sea.kill("root");
    sea.start("root");
    wait_for("it is taken back", || {
        let newest = history(&sea)[0].clone();
        (newest["cause"] == "automatic-rollback" && newest["generation"] == 5 && newest["outcome"] == "ran")
            .then_some(())
    });
    assert_eq!(sea.running("shop", 2).len(), 2);
}

#[test]
fn an_update_that_fails_and_halts_is_not_waited_for() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let halts = "on-failure: halt, healthy-for: 1s, parallel: 1";
    sea.deploy(&manifest(GOOD, 1, halts));
    until_ran(&sea);
    let said = run(sea.call_at("root", &["apply", "--wait=90s", "-"]), &manifest(BAD, 2, halts));
    // Of the service, or of its rollout, whichever is heard first.
    said.refused(1, &["shop has failed", "web/0"]);
}

#[test]
fn a_canary_waits_to_be_promoted() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let canary = "strategy: canary, canary: { count: 1 }, healthy-for: 1s";
    sea.deploy(&manifest(GOOD, 1, canary));
    until_ran(&sea);
    sea.holm(&["promote", "shop"]).refused(1, &["no canary of application default/shop waits"]);
    let said = run(sea.call_at("root", &["apply", "--wait=60s", "-"]), &manifest(GOOD, 2, canary)).done();
    assert!(said.stdout.contains("holm promote shop"), "{said:?}");
    let rows: Value = sea.holm(&["get", "instances", "-o", "json"]).done().json();
    let rows: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["generation"].clone()).collect();
    assert_eq!(rows, [2, 1]);
    sea.holm(&["promote", "shop"]).done();
    until_ran(&sea);
}

/// More than 10 s: a minute is the shortest time between two runs.
#[test]
fn jobs_end_and_runs_begin_at_their_times() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let manifest = "holm: v1\napplication: shop\nservices:\n  import:\n    runtime: process\n    \
                    command: [sh, -c, \"exit 0\"]\n    kind: job\n    replicas: 2\n  report:\n    runtime: process\n    \
                    command: [sh, -c, \"echo reported\"]\n    kind: { cron: \"* * * * *\", zone: Europe/Vienna }\n";
    let said = run(sea.call_at("root", &["apply", "--wait=60s", "-"]), manifest).done();
    assert!(said.stdout.contains("shop is COMPLETED"), "{said:?}");
    let of_import = |row: &Value| row["service"] == "import" && row["state"] == "COMPLETED";
    let rows: Value = sea.holm(&["get", "instances", "-o", "json"]).done().json();
    assert_eq!(rows.as_array().unwrap().iter().filter(|row| of_import(row)).count(), 2, "{rows}");
    let name = wait_within(Duration::from_secs(90), "a run has ended", || {
        let rows: Value = sea.holm(&["get", "instances", "-o", "json"]).done().json();
        let ran = rows.as_array()?.iter().find(|row| row["service"] != "import")?.clone();
        (ran["state"] == "COMPLETED").then(|| ran["service"].as_str().unwrap_or_default().to_owned())
    });
    assert!(name.starts_with("report-2") && name.ends_with('z'), "{name}");
    let said = sea.holm(&["logs", &format!("shop/{name}")]).done();
    assert!(said.stdout.contains("reported"), "{said:?}");
    let said = sea.holm(&["describe", "application", "shop"]).done();
    assert!(said.stdout.contains("NEXT RUN") && said.stdout.contains(&name), "{said:?}");
}
