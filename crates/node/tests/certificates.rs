//! A node's certificate over time, against a hand-made orchestrator.

#![allow(clippy::unwrap_used, reason = "a test says where it fails")]

mod support;

use std::path::Path;
use std::time::Duration;

use holm_link::UnixTime;
use holm_link::certificate::Serial;
use holm_link::clock::LocalClock;
use holm_link::credentials::Credentials;
use holm_model::state::InstanceState;

use support::parent::SHORT;
use support::{Node, Parent, assignment, config, instance, part, shell, soon};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn on_disk(dir: &Path) -> Serial {
    Credentials::load(dir).unwrap().unwrap().serial().clone()
}

fn ago(span: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) - span)
}

/// Returns once the file holds it: the node writes before it uses.
async fn kept(dir: &Path, serial: &Serial) {
    let kept = async {
        while on_disk(dir) != *serial {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(kept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_renewed_again_and_again_and_nothing_else_notices() {
    let dir = tempfile::tempdir().unwrap();
    let parent = Parent::start().await;
    parent.admit(dir.path(), SHORT);
    let joined = on_disk(dir.path());
    let pids = dir.path().join("pids");
    let script = format!("echo $$ >> {}; exec sleep 1000", pids.display());
    parent.list([assignment(9, part("web", &shell(&script)))]);
    let node = Node::start(config(dir.path(), &parent));
    parent.report(instance(9), |report| report.status.state == InstanceState::Running).await;

    let renewed = parent.renewed(3).await;
    assert_eq!((parent.sessions(), parent.shown()), (1, Some(joined)), "the link stays up");
    let last = renewed.last().unwrap();
    kept(dir.path(), last).await;
    parent.cut();
    parent.linked(false).await;
    parent.mend();
    parent.linked(true).await;
    let shown = parent.shown().unwrap();
    assert!(renewed[2..].contains(&shown) || parent.renewed(3).await.contains(&shown), "the next uses it");
    assert_eq!(std::fs::read_to_string(&pids).unwrap().lines().count(), 1, "started once");
    parent.list([]);
    parent.gone(instance(9)).await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_has_expired_is_renewed_first_whatever_the_local_clock_says() {
    for clock in [LocalClock::default(), LocalClock::told(|| UnixTime::since_unix_epoch(DAY))] {
        let dir = tempfile::tempdir().unwrap();
        let parent = Parent::start().await;
        parent.admit_since(dir.path(), DAY, ago(DAY * 90));
        let mut config = config(dir.path(), &parent);
        config.clock = clock;
        let node = Node::start(config);
        parent.linked(true).await;
        let renewed = parent.renewed(1).await;
        assert!(renewed.contains(&parent.shown().unwrap()));
        node.end().await;
    }
}
