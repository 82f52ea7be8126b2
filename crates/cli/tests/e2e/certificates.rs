//! Certificates over time: renewed while everything runs, and after they have expired.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime};

use crate::harness::{Sea, sea, wait_for, wait_within};

/// Renewed every six seconds; servers' certificates every eighteen.
const LIFE: &str = "--certificate-life=9s";
/// Certain, though certificates count in whole seconds.
const EXPIRED: Duration = Duration::from_secs(11);

fn credentials(sea: &Sea, member: &str) -> Vec<u8> {
    fs::read(sea.data(member).join("credentials.pem")).expect("a member keeps its credentials")
}

fn written(sea: &Sea, member: &str) -> SystemTime {
    let path = sea.data(member).join("credentials.pem");
    fs::metadata(path).and_then(|file| file.modified()).expect("a member keeps its credentials")
}

fn links(sea: &Sea, node: &str) -> usize {
    sea.log(node).matches("Linked to the orchestrator").count()
}

const SLEEPER: &str = "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    \
    command: [sleep, \"100000\"]\n    resources: { cpu: 1m, memory: 1Mi }\n";

#[test]
fn node_and_cluster_renew_theirs_and_nothing_else_changes() {
    let words: &[&str] = &[LIFE];
    let mut sea = sea().cluster("vienna", &["fl-1"]).words("root", words).words("vienna", words).start();
    sea.deploy(SLEEPER);
    let program = sea.program("shop", "web/0");

    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    wait_for("three renewals of both", || {
        for (seen, member) in seen.iter_mut().zip(["vienna", "fl-1"]) {
            seen.insert(credentials(&sea, member));
        }
        seen.iter().all(|all| all.len() > 3).then_some(())
    });
    assert_eq!(links(&sea, "fl-1"), 1, "the link stayed up");
    assert_eq!(sea.program("shop", "web/0"), program);

    // What is on the disk is good for the next start.
    sea.restart("vienna");
    sea.restart("fl-1");
    wait_for("the node is linked again", || (links(&sea, "fl-1") > 1).then_some(()));

    // Both are away for longer than their certificates live.
    sea.stop("fl-1");
    sea.stop("vienna");
    wait_within(EXPIRED * 3, "they have expired", || {
        let old = |member| written(&sea, member).elapsed().is_ok_and(|age| age > EXPIRED);
        (old("vienna") && old("fl-1")).then_some(())
    });
    let old = ["vienna", "fl-1"].map(|member| credentials(&sea, member));
    sea.start("vienna");
    sea.start("fl-1");
    wait_for("both have new ones", || {
        let new = ["vienna", "fl-1"].map(|member| credentials(&sea, member));
        old.iter().zip(&new).all(|(old, new)| old != new).then_some(())
    });
    for orchestrator in ["root", "vienna"] {
        wait_for("its member was let in to renew", || {
            sea.log(orchestrator).contains("let in to renew").then_some(())
        });
    }
    sea.all_connected();
    assert_eq!(sea.program("shop", "web/0"), program);
    assert!(
        sea.data("fl-1").join("platform-time").exists() && sea.data("vienna").join("platform-time").exists()
    );
}
