//! What `apply` tells: that it runs, that it does not, that it never will.

use serde_json::Value;

use crate::harness::command::run;
use crate::harness::{Ran, Sea, sea};

fn manifest(command: &str, more: &str) -> String {
    format!(
        "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    command: {command}\n    \
         stop: {{ grace: 1s }}\n{more}"
    )
}

const SLEEP: &str = "[sleep, \"100000\"]";

fn apply(sea: &Sea, words: &[&str], manifest: &str) -> Ran {
    run(sea.call_at("root", &[&["apply"], words, &["-"]].concat()), manifest)
}

#[test]
fn a_program_that_ends_at_once_is_not_said_to_run() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let dies = "[sh, -c, \"sleep 0.3; exit 3\"]";
    // It was RUNNING for a moment, and is not started again.
    let never = manifest(dies, "    restart: { policy: never }\n");
    apply(&sea, &["--wait=60s"], &never)
        .refused(1, &["shop has failed", "web/0", "code 3", "holm logs shop"]);
    // It is started again and again.
    let again = manifest(dies, "    restart: { policy: always, attempts: 1000, backoff: 300ms..1s }\n");
    apply(&sea, &["--wait=60s"], &again).refused(1, &["shop has failed", "web/0", "started again", "code 3"]);
    // One that stays.
    let said = apply(&sea, &["--wait=60s"], &manifest(SLEEP, "")).done();
    assert!(said.stdout.contains("shop is RUNNING"), "{said:?}");
}

#[test]
fn what_fails_for_good_on_one_node_and_runs_on_another_has_not_failed() {
    let sea = sea().cluster("vienna", &["fl-1"]).node("edge").start();
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let once = format!("[sh, -c, \"mkdir {}/tried && exit 3; exec sleep 100000\"]", dir.path().display());
    let said = apply(&sea, &["--wait=60s"], &manifest(&once, "    restart: { attempts: 1 }\n")).done();
    assert!(said.stdout.contains("shop is RUNNING"), "{said:?}");
    assert!(dir.path().join("tried").exists() && sea.instances("shop")[0].restarts == 0, "on another node");
}

#[test]
fn a_runtime_that_no_node_has_is_told() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let wrong = manifest(SLEEP, "").replace("process", "proces");
    for words in [&["--plan"][..], &[]] {
        let said = apply(&sea, words, &wrong).done();
        assert!(
            said.stderr.contains("no node has the runtime `proces`") && said.stderr.contains("`process`"),
            "{said:?}"
        );
    }
    let said: Value = apply(&sea, &["-o", "json"], &wrong).done().json();
    assert!(said["warnings"][0].as_str().is_some_and(|text| text.contains("services.web.runtime")), "{said}");
    let said = apply(&sea, &[], &manifest(SLEEP, "")).done();
    assert!(said.stderr.is_empty(), "{said:?}");
}

#[test]
fn a_specification_is_shown_in_the_words_of_the_manifest() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let more =
        "    resources: { cpu: 100m, memory: 32Mi }\n    restart: { attempts: 7, backoff: 2s..1m30s }\n";
    sea.deploy(&manifest(SLEEP, more));
    let shop: Value = sea.holm(&["describe", "application", "shop", "-o", "json"]).done().json();
    let spec = &shop["services"][0]["spec"];
    assert_eq!(spec["stop"]["grace"], "1s", "{spec}");
    assert_eq!(spec["restart"]["backoff"], "2s..1m30s", "{spec}");
    assert_eq!((&spec["resources"]["cpu"], &spec["resources"]["memory"]), (&"100m".into(), &"32Mi".into()));
    // What is shown can be applied again, and changes nothing.
    let again = serde_json::json!({ "holm": "v1", "application": "shop", "services": { "web": spec } });
    let said = apply(&sea, &["--plan"], &again.to_string()).done();
    assert!(said.stdout.contains("has no changes"), "{said:?}");
    let changed = manifest(SLEEP, more).replace("grace: 1s", "grace: 2s");
    let said = apply(&sea, &["--plan"], &changed).done();
    assert!(said.stdout.contains("stop.grace: 1s → 2s"), "{said:?}");
}

#[test]
fn a_large_file_is_told_with_its_size() {
    let sea = sea().start();
    let file = sea.file("large.yaml", &"#".repeat(11 << 20));
    sea.holm(&["apply", &file.to_string_lossy()]).refused(1, &["large.yaml", "11534336 bytes", "at most"]);
}
