//! A root that is killed without warning: what it had acknowledged is there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command as Process, Stdio};

use holm_core::orchestrator::command::{Command, Expected};
use holm_model::service::{Application, ApplicationService, Replicas, ServiceSpec};
use holm_orchestrator::{Config, Role, Shell, StartError};
use support::{admin, name, root_config, run};
use tokio_util::sync::CancellationToken;

/// Tells the child, which is this very program, where to work.
const DIR: &str = "HOLM_TEST_CRASH_DIR";
const ACKNOWLEDGED: &str = "acknowledged app-";

fn apply(number: usize) -> Command {
    let spec = ServiceSpec::new(name("process"), vec!["true".to_owned()]);
    let service = ApplicationService { spec, replicas: Replicas::Number(1) };
    let services = [(name("web"), service)].into();
    let application = Application { name: name(&format!("app-{number}")), services };
    Command::Apply { project: name("default"), application, expected: Expected::Anything }
}

/// Applies one application after the other until it is killed.
async fn child(dir: &Path) {
    let root = run(root_config(dir)).await;
    for number in 0.. {
        root.handle.command(admin(), apply(number)).await.unwrap();
        println!("{ACKNOWLEDGED}{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_root_keeps_what_it_acknowledged() {
    if let Some(dir) = std::env::var_os(DIR) {
        return child(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut child = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_root_keeps_what_it_acknowledged", "--nocapture"])
        .env(DIR, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let acknowledged = lines.by_ref().find(|line| line.contains("acknowledged app-25"));
    assert!(acknowledged.is_some());
    // Two roots on one directory: the second is refused.
    let second = Shell::start(root_config(dir.path()), CancellationToken::new()).await;
    assert!(matches!(second, Err(StartError::Open(holm_store::OpenError::Held { .. }))), "{second:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    let last =
        lines.filter_map(|line| line.split_once(ACKNOWLEDGED)?.1.parse().ok()).max().unwrap_or(25_usize);

    let root = run(root_config(dir.path())).await;
    let applications = root.handle.query(|m| m.applications()).await.unwrap();
    assert!(applications.len() > last, "{} of {last} and more", applications.len());
    root.stop().await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let start = |config: Config| Shell::start(config, CancellationToken::new());
    let dir = tempfile::tempdir().unwrap();
    let role = Role::Cluster { parent: "127.0.0.1:1".to_owned(), token: None };
    let error = start(Config::new(dir.path().to_owned(), name("vienna"), role)).await.unwrap_err();
    assert!(error.to_string().contains("holm token create --role cluster"), "{error}");

    let public = Config { http: Some(([0, 0, 0, 0], 0).into()), ..root_config(dir.path()) };
    let error = start(public).await.unwrap_err();
    assert!(error.to_string().contains("loopback only"), "{error}");

    // The directory is free again after each failure, but its CA is part of it.
    for file in ["ca.key", "ca.pem"] {
        std::fs::remove_file(dir.path().join(file)).unwrap();
    }
    let error = start(root_config(dir.path())).await.unwrap_err();
    assert!(error.to_string().contains("restore a backup"), "{error}");
}
