//! A node that is decommissioned, against a hand-made orchestrator.

#![allow(clippy::unwrap_used, reason = "a test says where it fails")]

mod support;

use std::path::Path;
use std::time::Duration;

use holm_link::credentials::Credentials;
use holm_model::item::{Item, ItemKey};
use holm_model::state::InstanceState;
use holm_node::{Ended, NodeError};

use support::{Node, Parent, assignment, config, instance, part, shell};

const HOUR: Duration = Duration::from_secs(3600);

fn names(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Instances first, then files, then, once its certificate is void, keys and store; an interruption before changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_wipes_itself_tells_so_and_ends_for_good_when_its_certificate_is_void() {
    let (parent, dir) = (Parent::start().await, tempfile::tempdir().unwrap());
    parent.admit(dir.path(), HOUR);
    parent.list([assignment(9, part("web", &shell("exec sleep 1000")))]);
    let node = Node::start(config(dir.path(), &parent));
    parent.report(instance(9), |report| report.status.state == InstanceState::Running).await;
    std::fs::write(dir.path().join("amendments.json"), "{}").unwrap();

    parent.list([Item::Decommission.pack(ItemKey::Decommission)]);
    let report = parent.wiped().await;
    assert!(report.left.is_empty() && report.files >= 1, "{report:?}");
    assert!(!parent.knows(instance(9)), "the instance was ended before");
    let left = names(dir.path());
    let is_there = |name: &str| left.iter().any(|left| left == name);
    assert!(
        is_there("credentials.pem") && !is_there("instances") && !is_there("amendments.json"),
        "{left:?}"
    );
    // Stopped before anybody answered, it tells it again.
    node.end().await;
    let node = Node::start(config(dir.path(), &parent));
    parent.linked(true).await;

    let credentials = Credentials::load(dir.path()).unwrap().unwrap();
    parent.revoke(credentials.serial().clone());
    assert_eq!(node.outcome().await.unwrap(), Ended::Decommissioned);
    assert_eq!(names(dir.path()), ["decommissioned"]);

    // A token in its configuration lets it in no more, unless people say so.
    parent.open();
    let mut again = config(dir.path(), &parent);
    again.token = Some(parent.token());
    let error = Node::start(again.clone()).outcome().await.unwrap_err();
    assert!(matches!(&error, NodeError::Decommissioned { since } if since.starts_with("decommissioned at")));
    assert_eq!(parent.joined(), 0);
    again.rejoin = true;
    parent.list([]);
    let node = Node::start(again);
    parent.linked(true).await;
    assert_eq!(parent.joined(), 1);
    node.end().await;
}
