//! What becomes of programs that end, and what people can do with a service.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Instance, holds_for, sea, wait_for};

/// A service `web` of processes; `more` are further lines of it.
fn manifest(name: &str, command: &str, more: &[&str]) -> String {
    let more: String = more.iter().map(|line| format!("    {line}\n")).collect();
    format!(
        "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: process\n    command: {command}\n    \
         stop: {{ grace: 1s }}\n{more}"
    )
}

const SLEEP: &str = "[sleep, \"100000\"]";

#[test]
fn a_program_that_fails_is_tried_again_then_elsewhere_once_then_failed() {
    let sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    let restart = "restart: { policy: on-failure, attempts: 3, backoff: 100ms..400ms }";
    let log = "[sh, -c, \"echo attempt on {{node.name}}; exit 1\"]";
    sea.apply(&manifest("broken", log, &[restart]));
    let starts = || {
        let events = sea.history("application=default/broken&kind=instance");
        let started = events.into_iter().filter(|event| event.to == "STARTING");
        started.map(|event| event.subject).collect::<Vec<_>>()
    };
    let all = sea.until("broken", "FAILED, and no attempt is left", |all| {
        all.len() == 1
            && all[0].state == "FAILED"
            && !all[0].reason.contains("next attempt")
            && starts().len() >= 6
    });
    assert!(all[0].reason.contains("code 1"), "{all:#?}");
    assert_eq!(sea.application("broken").map(|a| a.state).as_deref(), Some("ERROR"));
    // Two assignments, three attempts each.
    let mut ids = starts();
    assert_eq!(ids.len(), 6, "{ids:?}");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2, "one assignment here, one elsewhere: {ids:?}");
    holds_for(Duration::from_secs(2), "it is left alone afterwards", || sea.programs().is_empty());
    // The node is none the worse for it.
    sea.deploy(&manifest("fine", SLEEP, &[]));
}

#[test]
fn attempts_are_spaced_by_back_off() {
    let sea = sea().node("solo").start();
    let file = sea.file("times", "");
    // The program may run as another user.
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let command = format!("[sh, -c, \"cut -d' ' -f1 /proc/uptime >> {}; exit 7\"]", file.display());
    sea.apply(&manifest(
        "flaky",
        &command,
        &["restart: { policy: on-failure, attempts: 4, backoff: 200ms..10s }"],
    ));
    let at = wait_for("four attempts", || {
        let text = std::fs::read_to_string(&file).unwrap();
        let at: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        (at.len() >= 4).then_some(at)
    });
    let waits: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Each at least the one before, doubled; jitter may take some of it.
    for (wait, least) in waits.iter().zip([0.1, 0.2, 0.4]) {
        assert!(*wait >= least, "{waits:?}");
    }
    let all =
        sea.until("flaky", "FAILED", |all| all.iter().any(|i| i.state == "FAILED" && i.reason.contains('7')));
    assert_eq!(all.len(), 1, "{all:#?}");
}

#[test]
fn a_killed_program_is_replaced_quickly_with_always() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(&manifest("steady", SLEEP, &["restart: { policy: always, backoff: 50ms..1s }"]));
    for round in 1..=3 {
        let victim = sea.program("steady", "web/0");
        let killed = Instant::now();
        victim.kill();
        let next =
            wait_for("another program runs", || sea.programs().into_iter().find(|p| p.pid != victim.pid));
        // On a busy machine, in a debug build: the bench measures the promised half second.
        assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
        assert_eq!(next.instance, victim.instance, "a restart keeps the id");
        let all =
            sea.until("steady", "RUNNING again", |all| all[0].runs() && all[0].incarnation == round + 1);
        assert_eq!(all[0].restarts, round, "{all:#?}");
    }
}

#[test]
fn policies_decide_what_a_good_end_means() {
    let sea = sea().node("solo").start();
    let ends = "[sh, -c, \"sleep 0.3\"]";
    sea.apply(&manifest("once", ends, &["restart: { policy: never }"]));
    sea.apply(&manifest("good", ends, &["restart: { policy: on-failure, backoff: 50ms..1s }"]));
    sea.apply(&manifest(
        "again",
        ends,
        &["restart: { policy: always, attempts: 100, backoff: 50ms..100ms }"],
    ));
    sea.apply(&manifest("bad", "[sh, -c, \"exit 3\"]", &["restart: { policy: never }"]));
    sea.until("again", "started again", |all| all.iter().any(|i| i.restarts >= 2));
    sea.until("bad", "FAILED with its code", |all| {
        all.iter().any(|i| i.state == "FAILED" && i.reason.contains('3'))
    });
    for name in ["once", "good"] {
        let all = sea.until(name, "it has ended and stays so", |all| {
            all.len() == 1 && matches!(all[0].state.as_str(), "COMPLETED" | "STOPPED" | "TERMINATED")
        });
        assert_eq!(all[0].restarts, 0, "{all:#?}");
    }
}

#[test]
fn a_program_that_cannot_start_says_why() {
    let sea = sea().node("solo").start();
    let restart = "restart: { policy: on-failure, attempts: 2, backoff: 50ms..100ms }";
    sea.apply(&manifest("missing", "[/nowhere/program]", &[restart]));
    let all = sea.until("missing", "FAILED", |all| all.iter().any(|i| i.state == "FAILED"));
    assert!(all[0].reason.contains("/nowhere/program"), "names the program: {all:#?}");
}

#[test]
fn what_fits_nowhere_is_refused_with_the_reason_of_each_node() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.apply(&manifest("huge", SLEEP, &["resources: { cpu: 1m, memory: 900Ti }"]));
    let waits = |all: &[Instance]| all.len() == 1 && all[0].id.is_none() && !all[0].reason.is_empty();
    let all = sea.until("huge", "a reason", |all| waits(all));
    assert!(all[0].reason.contains("vienna") && all[0].reason.contains("900"), "{all:#?}");
    sea.apply(&manifest("lost", SLEEP, &["placement: { node: atlantis }"]));
    let all = sea.until("lost", "a reason", |all| waits(all));
    assert!(all[0].reason.contains("atlantis") || all[0].reason.contains("no node"), "{all:#?}");
    sea.apply(&manifest("blind", SLEEP, &["placement: { require: [hardware/eye] }"]));
    let all = sea.until("blind", "a reason", |all| waits(all));
    assert!(all[0].reason.contains("hardware/eye"), "{all:#?}");
}

#[test]
fn stop_start_pause_resume_restart_scale_delete() {
    let sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(&manifest("shop", SLEEP, &["replicas: 2"]));
    let first = sea.programs();
    let ids = |all: &[Instance]| all.iter().map(|i| i.id().to_owned()).collect::<Vec<_>>();
    let before = ids(&sea.running("shop", 2));

    sea.holm(&["pause", "shop/web"]).done();
    sea.until("shop", "PAUSED", |all| all.len() == 2 && all.iter().all(|i| i.state == "PAUSED"));
    assert_eq!(sea.programs(), first, "paused, not ended");
    sea.holm(&["resume", "shop/web"]).done();
    assert_eq!(ids(&sea.running("shop", 2)), before);
    assert_eq!(sea.programs(), first, "resumed, not started");

    sea.holm(&["stop", "shop"]).done();
    sea.until("shop", "STOPPED", |all| all.len() == 2 && all.iter().all(|i| i.state == "STOPPED"));
    assert!(sea.programs().is_empty());
    sea.holm(&["pause", "shop"]).refused(1, &["nothing to pause", "holm start"]);
    sea.holm(&["resume", "shop"]).refused(1, &["nothing of shop is paused", "holm start"]);
    sea.holm(&["start", "shop"]).done();
    assert_eq!(ids(&sea.running("shop", 2)), before, "they stay where they are placed");
    let second = sea.programs();
    assert!(second.iter().all(|program| !first.contains(program)));

    sea.holm(&["restart", "shop/web"]).done();
    sea.until("shop", "a new incarnation of each", |all| {
        let now = sea.programs();
        all.iter().all(Instance::runs)
            && now.len() == 2
            && now.iter().all(|program| !second.contains(program))
    });
    assert_eq!(ids(&sea.running("shop", 2)), before, "a restart keeps the ids");

    sea.holm(&["scale", "shop/web", "5"]).done();
    let five = ids(&sea.running("shop", 5));
    assert!(before.iter().all(|id| five.contains(id)), "those that ran go on");
    sea.holm(&["scale", "shop/web", "1"]).done();
    sea.running("shop", 1);
    wait_for("one program", || (sea.programs().len() == 1).then_some(()));
    sea.holm(&["scale", "shop/web", "0"]).done();
    sea.until("shop", "nothing", <[_]>::is_empty);
    sea.holm(&["scale", "shop/web", "2"]).done();
    sea.running("shop", 2);

    sea.holm(&["delete", "application", "shop", "--wait"]).done();
    assert!(sea.instances("shop").is_empty());
    assert!(sea.programs().is_empty());
    sea.holm(&["describe", "application", "shop"]).refused(1, &["shop"]);
    sea.holm(&["scale", "shop/web", "2"]).refused(1, &["shop"]);
    // A name that was deleted is free.
    sea.deploy(&manifest("shop", SLEEP, &[]));
}

#[test]
fn a_program_may_end_in_its_own_time_and_is_killed_after_that() {
    let sea = sea().node("solo").start();
    let gentle =
        "[sh, -c, \"trap 'sleep 0.5; echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done\"]";
    let stubborn = "[sh, -c, \"trap '' TERM; echo ready; while :; do sleep 0.05; done\"]";
    sea.deploy(&manifest("gentle", gentle, &[]).replace("grace: 1s", "grace: 20s"));
    sea.deploy(&manifest("stubborn", stubborn, &[]));
    for name in ["gentle", "stubborn"] {
        wait_for("its trap is set", || sea.holm(&["logs", name]).stdout.contains("ready").then_some(()));
    }
    let programs = sea.programs();
    sea.holm(&["stop", "gentle"]).done();
    sea.holm(&["stop", "stubborn"]).done();
    for name in ["gentle", "stubborn"] {
        sea.until(name, "STOPPED", |all| all.iter().all(|i| i.state == "STOPPED"));
    }
    assert!(programs.iter().all(|program| !program.lives()));
    assert!(sea.holm(&["logs", "gentle"]).done().stdout.contains("bye"), "it was asked, not killed");
}

#[test]
fn a_changed_manifest_changes_what_runs_and_the_same_one_does_not() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let with = |word: &str| {
        manifest(
            "shop",
            "[sh, -c, \"echo $WORD; exec sleep 100000\"]",
            &[&format!("env: {{ WORD: {word} }}")],
        )
    };
    sea.deploy(&with("one"));
    let first = sea.programs();
    assert!(sea.apply(&with("one")).stdout.contains("no changes"));
    let plan =
        crate::harness::command::run(sea.call_at("root", &["apply", "--plan", "-"]), &with("two")).done();
    assert!(
        plan.stdout.contains("would be") && plan.stdout.contains("~ web") && plan.stdout.contains("WORD"),
        "{plan:?}"
    );
    assert_eq!(sea.programs(), first, "a plan and an equal manifest change nothing");
    sea.deploy(&with("two"));
    let all = sea.running("shop", 1);
    assert_eq!(all[0].generation, 2, "{all:#?}");
    wait_for("the new one talks", || sea.holm(&["logs", "shop"]).stdout.contains("two").then_some(()));
    assert!(sea.programs().iter().all(|program| !first.contains(program)));
    // Three-way: what people did by hand stays when the manifest does not speak of it.
    sea.holm(&["scale", "shop/web", "3"]).done();
    sea.running("shop", 3);
    sea.deploy(&with("three"));
    sea.until("shop", "three of generation 3 or later", |all| {
        all.len() == 3 && all.iter().all(|i| i.runs() && i.generation >= 3)
    });
}

#[test]
fn a_program_that_a_signal_ended_says_so() {
    let sea = sea().node("solo").start();
    sea.deploy(&manifest("steady", SLEEP, &["restart: { policy: never }"]));
    sea.program("steady", "web/0").signal(Signal::SIGKILL);
    let all = sea.until("steady", "FAILED", |all| all.iter().any(|i| i.state == "FAILED"));
    assert!(all[0].reason.contains("SIGKILL") || all[0].reason.contains("signal 9"), "{all:#?}");
}

#[test]
fn a_node_that_is_removed_ends_its_work_or_its_work_is_told() {
    let mut sea = sea().node("one").node("two").start();
    sea.deploy(&manifest("shop", SLEEP, &[]));
    let first = sea.running("shop", 1)[0].node().to_owned();
    let said = sea.holm(&["node", "remove", &first]).done();
    assert!(said.stdout.contains("leaves") && said.stdout.contains("shop/web/0"), "{said:?}");
    let moved = sea.until("shop", "it runs on the other node", |all| {
        all.len() == 1 && all[0].runs() && all[0].node() != first
    });
    wait_for("its first copy has ended", || (sea.programs().len() == 1).then_some(()));
    // One that cannot be told.
    let second = moved[0].node().to_owned();
    sea.kill(&second);
    wait_for("its link is gone", || sea.log("root").contains("link is closed").then_some(()));
    let said = sea.holm(&["node", "remove", &second]).done();
    assert!(said.stdout.contains("is removed"), "{said:?}");
    assert!(said.stderr.contains("may go on there") && said.stderr.contains("shop/web/0"), "{said:?}");
    assert_eq!(sea.programs().len(), 1, "it does go on");
}
