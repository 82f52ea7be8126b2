//! Daemons that are killed or restarted: promise 1 of the design, and that nobody's workload notices.

use crate::harness::command::{PROGRAM, command, run};
use crate::harness::proc::Program;
use crate::harness::sea::SETTLED;
use crate::harness::{LIMIT, Sea, holds_for, sea, wait_for};

fn sleeper(name: &str, replicas: u32) -> String {
    format!(
        "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"100000\"]\n    \
         replicas: {replicas}\n    resources: {{ cpu: 1m, memory: 1Mi }}\n    stop: {{ grace: 1s }}\n"
    )
}

/// One orchestrator's tier each: what is killed, right after requests were acknowledged.
fn killed_during_a_deployment(victim: &str) {
    let mut sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(&sleeper("before", 2));
    let before = sea.programs();
    // Acknowledged, and killed at once: nothing else has had the time to become true.
    sea.apply(&sleeper("during", 6));
    sea.kill(victim);
    sea.start(victim);
    sea.running("during", 6);
    let acknowledged: serde_json::Value =
        sea.holm(&["describe", "application", "during", "-o", "json"]).done().json();
    assert_eq!(acknowledged["generation"], 1, "{acknowledged}");
    // And in the middle of a change of many.
    sea.holm(&["scale", "during/web", "12"]).done();
    sea.holm(&["delete", "application", "before"]).done();
    sea.kill(victim);
    sea.start(victim);
    sea.running("during", 12);
    sea.until("before", "what was deleted is gone", <[_]>::is_empty);
    wait_for("the programs are those that are wished", || {
        let all = sea.programs();
        (all.len() == 12 && all.iter().all(|p| p.application == "during" && !before.contains(p)))
            .then_some(())
    });
    assert!(sea.application("before").is_none(), "a deletion holds");
}

#[test]
fn a_root_killed_during_a_deployment_reaches_the_wish() {
    killed_during_a_deployment("root");
}

#[test]
fn a_cluster_killed_during_a_deployment_reaches_the_wish() {
    killed_during_a_deployment("vienna");
}

#[test]
fn an_agent_killed_during_a_deployment_reaches_the_wish() {
    killed_during_a_deployment("fl-1");
}

#[test]
fn a_root_killed_again_and_again_keeps_every_acknowledged_request() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).start();
    for round in 0..5 {
        sea.apply(&sleeper(&format!("app-{round}"), 1));
        sea.kill("root");
        sea.start("root");
    }
    for round in 0..5 {
        sea.running(&format!("app-{round}"), 1);
    }
    wait_for("each runs once", || (sea.programs().len() == 5).then_some(()));
}

/// Programs are the same ones, and `get` says so, once everybody has found everybody again.
#[track_caller]
fn untouched(sea: &Sea, before: &[Program], what: &str) {
    holds_for(SETTLED, what, || sea.programs() == before);
    sea.all_connected();
    let all = sea.running("calm", before.len());
    assert!(
        all.iter().all(|instance| instance.restarts == 0 && instance.incarnation == 1),
        "{what}: {all:#?}"
    );
    assert_eq!(sea.programs(), before, "{what}");
}

#[test]
fn restarts_touch_no_workload() {
    let mut sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(&sleeper("calm", 6));
    let before = sea.programs();
    assert_eq!(before.len(), 6);
    for name in ["root", "vienna", "fl-1", "fl-2"] {
        sea.restart(name);
        untouched(&sea, &before, &format!("restart of {name}"));
        sea.kill(name);
        sea.start(name);
        untouched(&sea, &before, &format!("kill -9 of {name}"));
    }
    // Everything at once, from the top to the bottom.
    for name in ["root", "vienna", "fl-1", "fl-2"] {
        sea.kill(name);
    }
    for name in ["fl-1", "fl-2", "vienna", "root"] {
        sea.start(name);
    }
    untouched(&sea, &before, "kill -9 of everything");
    // What was adopted still obeys.
    sea.holm(&["delete", "application", "calm", "--wait"]).done();
    wait_for("the programs end", || sea.programs().is_empty().then_some(()));
}

#[test]
fn a_second_root_on_one_directory_is_refused() {
    let sea = sea().start();
    let mut second = command(PROGRAM);
    second.args(["root", "--listen", "127.0.0.1:0", "--data-dir"]).arg(sea.data("root"));
    let said = run(second, "");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains(&*sea.data("root").to_string_lossy()), "names the directory: {said:?}");
    assert!(said.stderr.contains("in use") || said.stderr.contains("another"), "says why: {said:?}");
    sea.holm(&["status"]).done();
    sea.apply(&sleeper("still-served", 1));
}

#[test]
fn a_second_agent_on_one_directory_is_refused() {
    let sea = sea().node("solo").start();
    let mut second = command(PROGRAM);
    second.args(["node", "--parent", sea.address("root"), "--data-dir"]).arg(sea.data("solo"));
    let said = run(second, "");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains(&*sea.data("solo").to_string_lossy()), "names the directory: {said:?}");
    sea.deploy(&sleeper("still-served", 1));
}

#[test]
fn a_daemon_that_is_told_to_stop_ends_soon() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(&sleeper("calm", 1));
    let before = sea.programs();
    for name in ["fl-1", "vienna", "root"] {
        let started = std::time::Instant::now();
        sea.stop(name);
        assert!(started.elapsed() < LIMIT / 6, "{name} took {:?}", started.elapsed());
    }
    assert_eq!(sea.programs(), before, "stopping agents stops no program");
}
