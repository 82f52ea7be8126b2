//! A node whose certificate was revoked, against a hand-made orchestrator.

#![allow(clippy::unwrap_used, reason = "a test says where it fails")]

mod support;

use std::path::Path;
use std::time::Duration;

use holm_link::credentials::Credentials;
use holm_model::state::InstanceState;

use support::{Node, Parent, ask, assignment, config, instance, part, shell, soon};

fn runs(report: &holm_model::fact::InstanceReport) -> bool {
    report.status.state == InstanceState::Running
}

fn on_disk(dir: &Path) -> Credentials {
    Credentials::load(dir).unwrap().unwrap()
}

/// Why there is no link, as soon as it is said in these words.
async fn says(dir: &Path, words: &str) -> String {
    let said = async {
        loop {
            if dir.join(holm_node::SOCKET).exists() {
                let status = ask(dir, "/status").await;
                let reason = status["link"]["reason"].as_str().filter(|reason| reason.contains(words));
                if let Some(reason) = reason {
                    return reason.to_owned();
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(said).await
}

/// A node that joined `parent` with `token`, runs instance 9, and was revoked and stopped then.
async fn revoked(parent: &Parent, dir: &Path, token: &str) {
    parent.open();
    parent.list([assignment(9, part("web", &shell("exec sleep 1000")))]);
    let mut config = config(dir, parent);
    config.token = Some(token.to_owned());
    let node = Node::start(config);
    parent.report(instance(9), runs).await;
    parent.revoke(on_disk(dir).serial().clone());
    says(dir, "revoked").await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_it_joined_with_lets_no_revoked_node_in_again() {
    let (parent, dir) = (Parent::start().await, tempfile::tempdir().unwrap());
    let token = parent.token();
    revoked(&parent, dir.path(), &token).await;
    for token in [None, Some(token)] {
        let mut config = config(dir.path(), &parent);
        config.token = token;
        let node = Node::start(config);
        let reason = says(dir.path(), "revoked or removed").await;
        assert!(reason.contains("`holm token create --role node`"), "{reason}");
        assert!(reason.contains("`holm node remove fl-1`"), "its name is taken until then: {reason}");
        assert_eq!(parent.joined(), 1, "only a new token lets it in");
        node.end().await;
    }
    parent.list([]);
    let mut config = config(dir.path(), &parent);
    config.token = Some(parent.token());
    let sessions = parent.sessions();
    let node = Node::start(config);
    parent.session_after(sessions).await;
    parent.gone(instance(9)).await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_node_joins_anew_with_a_new_token_and_what_is_not_listed_ends() {
    let (parent, dir) = (Parent::start().await, tempfile::tempdir().unwrap());
    revoked(&parent, dir.path(), &parent.token()).await;
    let before = on_disk(dir.path()).identity().clone();
    parent.list([assignment(10, part("late", &shell("exec sleep 1000")))]);
    let mut config = config(dir.path(), &parent);
    config.token = Some(parent.token());
    let node = Node::start(config);
    parent.report(instance(10), runs).await;
    parent.gone(instance(9)).await;
    assert_eq!(parent.joined(), 2);
    assert_ne!(*on_disk(dir.path()).identity(), before, "it is another member now");
    parent.list([]);
    parent.gone(instance(10)).await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_token_is_taken_by_a_node_that_is_revoked_while_it_runs() {
    let (parent, dir) = (Parent::start().await, tempfile::tempdir().unwrap());
    parent.open();
    parent.admit(dir.path(), Duration::from_secs(3600));
    parent.list([assignment(9, part("web", &shell("exec sleep 1000")))]);
    let mut config = config(dir.path(), &parent);
    config.token = Some(parent.token());
    let node = Node::start(config);
    parent.report(instance(9), |report| runs(report) && report.status.incarnation == 1).await;
    assert_eq!(parent.joined(), 0, "valid credentials need no token");
    let sessions = parent.sessions();
    parent.revoke(on_disk(dir.path()).serial().clone());
    parent.session_after(sessions).await;
    assert_eq!(parent.joined(), 1);
    parent.report(instance(9), |report| runs(report) && report.status.incarnation == 1).await;
    parent.list([]);
    parent.gone(instance(9)).await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_moved_by_a_token_of_another_orchestrator_only_when_that_is_said() {
    let (old, new, dir) = (Parent::start().await, Parent::start().await, tempfile::tempdir().unwrap());
    old.open();
    new.open();
    old.list([assignment(9, part("web", &shell("exec sleep 1000")))]);
    let mut first = config(dir.path(), &old);
    first.token = Some(old.token());
    let node = Node::start(first);
    old.report(instance(9), runs).await;
    node.end().await;
    let before = on_disk(dir.path()).serial().clone();

    let mut moved = config(dir.path(), &new);
    moved.token = Some(new.token());
    let error = Node::start(moved.clone()).outcome().await.unwrap_err().to_string();
    for words in ["is a member of `holm://", "--rejoin", "`holm node remove fl-1`"] {
        assert!(error.contains(words), "{error}");
    }
    assert_eq!((new.joined(), on_disk(dir.path()).serial()), (0, &before), "nothing has changed");

    moved.rejoin = true;
    let sessions = new.sessions();
    let node = Node::start(moved.clone());
    new.session_after(sessions).await;
    assert_eq!(new.joined(), 1);
    node.end().await;
    // Said once more, it is a member there already.
    let (sessions, node) = (new.sessions(), Node::start(moved));
    new.session_after(sessions).await;
    assert_eq!(new.joined(), 1);
    new.list([]);
    old.list([]);
    node.end().await;
}
