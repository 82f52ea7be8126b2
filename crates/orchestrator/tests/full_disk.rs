//! The disk takes nothing: read-only, and writable again without a restart. Alone in its program:
//! the limit is the process's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code")]

mod support;

use holm_core::orchestrator::command::{Command, Expected, Refusal};
use holm_model::service::{Application, ApplicationService, Replicas, ServiceSpec};
use holm_model::view::TokenRole;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::node::{self, Node};
use support::{admin, eventually, name, root_config, run};
use tokio::signal::unix::{SignalKind, signal};

/// Sent when a file would grow beyond the limit.
const SIGXFSZ: i32 = 25;

fn limit_files(bytes: Option<u64>) {
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, bytes.unwrap_or(hard), hard).unwrap();
}

fn apply(called: &str) -> Command {
    let spec = ServiceSpec::new(name("process"), vec!["true".to_owned()]);
    let service = ApplicationService { spec, replicas: Replicas::Number(1) };
    let services = [(name("web"), service)].into();
    Command::Apply {
        project: name("default"),
        application: Application { name: name(called), services },
        expected: Expected::Anything,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_commands_and_recovers_by_itself() {
    // With a handler, the write fails instead of ending the process.
    let _handled = signal(SignalKind::from_raw(SIGXFSZ)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let root = run(root_config(dir.path())).await;
    let joined = node::join(root.address, &root.token(TokenRole::Node).await, "fl-1").await.unwrap();
    let node = Node::connect(root.address, &joined.credentials, "fl-1").await;
    root.handle.command(admin(), apply("one")).await.unwrap();

    limit_files(Some(1));
    let refused = root.handle.command(admin(), apply("two")).await;
    assert!(matches!(refused, Err(Refusal::ReadOnly(_))), "{refused:?}");
    let refused = root.handle.command(admin(), apply("three")).await;
    assert!(matches!(refused, Err(Refusal::ReadOnly(_))), "{refused:?}");
    assert!(root.handle.status().read_only.is_some());
    let names = root.handle.query(|m| m.applications()).await.unwrap();
    assert_eq!(names.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["one"]);
    // What was promised on links may not have happened: they begin anew.
    node.tunnels.ended().await;

    limit_files(None);
    eventually("it is writable again", async || root.handle.status().read_only.is_none().then_some(())).await;
    root.handle.command(admin(), apply("two")).await.unwrap();
    let node = Node::connect(root.address, &joined.credentials, "fl-1").await;
    drop(node);
    root.stop().await;

    let root = run(root_config(dir.path())).await;
    let names = root.handle.query(|m| m.applications()).await.unwrap();
    assert_eq!(names.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    root.stop().await;
}
