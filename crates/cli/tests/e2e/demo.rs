//! The demo: the first command that anybody runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::command::{PROGRAM, Ran, Running, command, run};
use crate::harness::{proc, wait_for};

fn state_dir() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::Builder::new().prefix("holm-e2e-demo-").tempdir().unwrap();
    // Instances run as another user when the tests run as root.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    dir
}

fn call(dir: &Path, words: &[&str]) -> std::process::Command {
    let mut call = command(PROGRAM);
    call.arg("demo").args(words).arg("--state-dir").arg(dir);
    call
}

fn nothing_is_left(dir: &Path) {
    let left: Vec<_> = fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
    wait_for("every process has ended", || proc::touching(dir).is_empty().then_some(()));
}

fn summary(said: &Ran) {
    for word in ["summary", "floors with readings", "apply to RUNNING", "RUNNING again"] {
        assert!(said.stdout.contains(word), "{word}: {said:?}");
    }
}

#[test]
fn once_checks_the_readings_and_leaves_nothing() {
    let dir = state_dir();
    // Directories that it has to make are gone, too.
    summary(&run(call(&dir.path().join("made/here"), &["--once"]), "").done());
    nothing_is_left(dir.path());
}

#[test]
fn once_isolated_works_where_nobody_can_connect_needs_root() {
    let dir = state_dir();
    summary(&run(call(dir.path(), &["--once", "--isolated"]), "").done());
    nothing_is_left(dir.path());
}

#[test]
fn what_a_killed_demo_left_is_cleaned_up_by_the_next() {
    let dir = state_dir();
    let mut demo = call(dir.path(), &[]).stdout(std::process::Stdio::null()).spawn().unwrap();
    wait_for("its application runs", || {
        proc::programs(dir.path()).iter().any(|program| program.application == "building").then_some(())
    });
    demo.kill().unwrap();
    demo.wait().unwrap();
    assert!(!proc::touching(dir.path()).is_empty(), "a killed demo leaves its daemons");
    summary(&run(call(dir.path(), &["--once"]), "").done());
    nothing_is_left(dir.path());
}

#[test]
fn ctrl_c_ends_everything() {
    let dir = state_dir();
    let demo = Running::start(call(dir.path(), &[]));
    let told = RefCell::new(BTreeMap::<String, u32>::new());
    let note = |line: &str| {
        let mut words = line.split_whitespace();
        if let (Some(slot), Some("RUNNING")) = (words.next(), words.next()) {
            *told.borrow_mut().entry(slot.to_owned()).or_insert(0) += 1;
        }
    };
    demo.line(|line| {
        note(line);
        line.starts_with("node ")
    });
    kill(Pid::from_raw(demo.pid()), Signal::SIGINT).unwrap();
    demo.line(|line| {
        note(line);
        line.starts_with("Cleaning up")
    });
    let told = told.into_inner();
    assert!(told.len() >= 4 && told.values().all(|times| *times == 1), "each is told once: {told:?}");
    tidied_up(dir.path());
}

#[test]
fn a_container_joins_when_an_engine_answers_and_its_image_goes_needs_engine() {
    let Ok(engine) = std::env::var("HOLM_TEST_DOCKER") else {
        println!("skipped: HOLM_TEST_DOCKER names no container engine");
        return;
    };
    let (dir, user) = (state_dir(), state_dir());
    // One of the places where an engine is looked for.
    fs::create_dir(user.path().join("podman")).unwrap();
    let socket = engine.trim_start_matches("unix://");
    std::os::unix::fs::symlink(socket, user.path().join("podman/podman.sock")).unwrap();
    let images = || {
        let mut list = command("docker");
        list.args(["-H", &engine, "images", "-q", "holm-demo"]);
        run(list, "").done().stdout
    };
    let mut usual = call(dir.path(), &[]);
    usual.env("XDG_RUNTIME_DIR", user.path());
    for call in [usual, call(dir.path(), &["--engine", socket])] {
        let demo = Running::start(call);
        demo.line(|line| {
            assert!(!line.starts_with("No container joins"), "{line}");
            line.starts_with("building/load-logger/0  RUNNING")
        });
        demo.line(|line| line.starts_with("node "));
        assert!(!images().is_empty());
        kill(Pid::from_raw(demo.pid()), Signal::SIGINT).unwrap();
        tidied_up(dir.path());
        assert_eq!(images(), "");
    }
}

#[test]
fn a_terminal_that_goes_ends_everything() {
    let dir = state_dir();
    let demo = Running::start(call(dir.path(), &[]));
    demo.line(|line| line.starts_with("node "));
    kill(Pid::from_raw(demo.pid()), Signal::SIGHUP).unwrap();
    tidied_up(dir.path());
}

fn tidied_up(dir: &Path) {
    wait_for("it has tidied up", || fs::read_dir(dir).unwrap().next().is_none().then_some(()));
    nothing_is_left(dir);
}
