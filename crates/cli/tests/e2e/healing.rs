//! Exclusive services, drains and migrations, with real processes: nothing runs twice, nothing that is reached fails.
//!
//! The test of leases takes about fifty seconds: a lease lasts thirty, and five more until it is surely over.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::exposing::{ask, failed_within, free_port, manifest};
use crate::harness::{Instance, holds_for, sea, wait_for, wait_within};

/// A lease, what passes until it is surely over, and a busy machine.
const LEASE: Duration = Duration::from_secs(70);

/// A program that writes ten times a second when (since boot, in seconds) and where it runs, and that does not listen
/// to whoever asks it to end if it is `deaf`.
fn diary(name: &str, node: &str, file: &Path, deaf: bool) -> String {
    let trap = if deaf { "trap : TERM; " } else { "" };
    format!(
        "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: process\n    command: [sh, -c, \"{trap}while :; do \
         echo $(cut -d' ' -f1 /proc/uptime) $HOLM_NODE >> {}; sleep 0.1; done\"]\n    exclusive: true\n    \
         on-node-loss: {{ replace-after: 10s }}\n    placement: {{ prefer: [{{ where: 'name == \"{node}\"', weight: 10 }}] }}\n    \
         stop: {{ grace: 2s }}\n",
        file.display()
    )
}

/// First and last line of each node, in the order of their begins.
fn stays(file: &Path) -> Vec<(String, f64, f64)> {
    let mut stays: Vec<(String, f64, f64)> = Vec::new();
    for line in fs::read_to_string(file).unwrap().lines() {
        let Some((at, node)) = line.split_once(' ') else { continue };
        let at: f64 = at.parse().unwrap();
        match stays.iter_mut().find(|(name, ..)| name == node) {
            Some((_, _, last)) => *last = last.max(at),
            None => stays.push((node.to_owned(), at, at)),
        }
    }
    stays
}

#[test]
fn what_is_exclusive_ends_with_its_lease_though_its_agent_is_killed_or_stopped_and_starts_elsewhere_after_that()
 {
    let mut sea = sea().node("n1").node("n2").node("n3").start();
    let file = |name: &str| {
        let file = sea.file(name, "");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        file
    };
    let (killed, stopped) = (file("killed.diary"), file("stopped.diary"));
    sea.deploy(&diary("killed", "n1", &killed, false));
    sea.deploy(&diary("stopped", "n2", &stopped, true));
    assert_eq!((sea.instances("killed")[0].node(), sea.instances("stopped")[0].node()), ("n1", "n2"));
    for node in ["n1", "n2"] {
        sea.holm(&["node", "cordon", node]).done();
    }

    let agent = Pid::from_raw(sea.pid("n2"));
    kill(agent, Signal::SIGSTOP).unwrap();
    sea.kill("n1");
    holds_for(Duration::from_secs(5), "they go on without their agents", || {
        sea.programs().iter().filter(|program| program.node != "n3").count() == 2
    });
    for (name, file, node) in [("killed", &killed, "n1"), ("stopped", &stopped, "n2")] {
        wait_within(LEASE, "it runs elsewhere", || {
            stays(file).iter().any(|(at, ..)| at == "n3").then_some(())
        });
        assert!(sea.programs().iter().all(|program| program.node != node), "{name}");
        let stays = stays(file);
        let [(first, begin, end), (second, again, _)] = &stays[..] else { panic!("{stays:?}") };
        assert_eq!((first.as_str(), second.as_str()), (node, "n3"));
        assert!(end < again, "{name} ran twice: {stays:?}");
        println!("{name}: ran for {:.1} s, then nowhere for {:.1} s", end - begin, again - end);
    }

    // What comes back starts nothing.
    kill(agent, Signal::SIGCONT).unwrap();
    sea.start("n1");
    sea.all_connected();
    for name in ["killed", "stopped"] {
        sea.until(name, "one copy", |all| all.len() == 1 && all[0].runs() && all[0].node() == "n3");
    }
    holds_for(Duration::from_secs(2), "nothing runs twice", || sea.programs().len() == 2);
    for file in [&killed, &stopped] {
        assert_eq!(stays(file).len(), 2);
    }
}

fn reached(port: u16, all: &[Instance], node: &str) -> bool {
    all.len() == 1 && all[0].runs() && all[0].ready && all[0].node() == node && ask(port).is_ok()
}

#[test]
fn what_is_reached_moves_without_a_failed_request() {
    let port = free_port();
    let words = [&format!("--expose-ports={port}"), "--expose-address=127.0.0.1"];
    let sea = sea().words("root", &words).node("n1").node("n2").start();
    sea.deploy(&manifest(&sea, "shop", "one", 1, &format!("{{ http: {{ port: {port}, at: [root] }} }}")));
    wait_for("it is reached", || ask(port).ok());
    let other = |node: &str| if node == "n1" { "n2" } else { "n1" };

    let failed = failed_within(port, "migration", || {
        let to = other(sea.instances("shop")[0].node()).to_owned();
        let said = sea.holm(&["migrate", "shop/web/0", "--to", &to]).done();
        assert!(said.stdout.contains("without a break"), "{}", said.stdout);
        sea.until("shop", "it is there alone", |all| reached(port, all, &to));
    });
    assert_eq!(failed, [""; 0]);
    let moved = sea.history("application=default/shop&kind=instance");
    assert!(
        moved.iter().any(|event| event.to == "moved" && event.reason.contains("without a break")),
        "{moved:#?}"
    );

    let failed = failed_within(port, "drain", || {
        let from = sea.instances("shop")[0].node().to_owned();
        sea.holm(&["node", "drain", &from, "--deadline", "60s"]).done();
        sea.until("shop", "it is elsewhere", |all| reached(port, all, other(&from)));
        sea.holm(&["node", "uncordon", &from]).done();
    });
    assert_eq!(failed, [""; 0]);
}

#[test]
fn a_drain_says_what_stays_and_why_and_ends_with_uncordon() {
    let sea = sea().node("n1").start();
    sea.deploy(
        "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"100000\"]\n    \
         stop: { grace: 1s }\n",
    );
    let said = sea.holm(&["node", "drain", "n1", "--deadline", "3s"]);
    said.refused(1, &["n1 is not empty yet", "default/shop/web/0", "cannot go anywhere else"]);
    let node: Value = sea.holm(&["describe", "node", "n1", "-o", "json"]).done().json();
    let stays =
        node.pointer("/draining/stays/0/reason").or_else(|| node.pointer("/node/draining/stays/0/reason"));
    assert!(stays.is_some_and(|why| why.as_str().unwrap().contains("cannot go anywhere else")), "{node:#}");
    sea.holm(&["node", "uncordon", "n1"]).done();
    sea.running("shop", 1);
    sea.holm(&["migrate", "shop/web/0", "--to", "n1"]).refused(1, &["is on `n1` already"]);
}

#[test]
fn a_service_says_after_which_silence_it_is_replaced_and_which_copy_stays() {
    let mut sea = sea().node("n1").node("n2").start();
    let text = |name: &str, rule: &str| {
        format!(
            "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"100000\"]\n    \
             placement: {{ prefer: [{{ where: 'name == \"n1\"', weight: 10 }}] }}\n    stop: {{ grace: 1s }}\n{rule}"
        )
    };
    sea.deploy(&text("quick", "    on-node-loss: { replace-after: 10s }\n    reconcile: keep-original\n"));
    sea.deploy(&text("loyal", "    on-node-loss: wait-for-return\n"));
    assert!(["quick", "loyal"].iter().all(|name| sea.instances(name)[0].node() == "n1"));
    let before = sea.program("quick", "web/0");
    sea.kill("n1");
    // Long before the sixty seconds of others.
    wait_within(Duration::from_secs(25), "it is replaced", || {
        sea.programs()
            .iter()
            .any(|program| program.application == "quick" && program.node == "n2")
            .then_some(())
    });
    assert!(sea.programs().iter().all(|program| program.application != "loyal" || program.node == "n1"));
    sea.start("n1");
    sea.until("quick", "the first one is back alone", |all| {
        all.len() == 1 && all[0].runs() && all[0].node() == "n1"
    });
    wait_for("two programs", || (sea.programs().len() == 2).then_some(()));
    assert!(before.lives(), "nobody has touched it");
}
