//! `holm uninstall`: what a node leaves on its machine, which is nothing.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::command::command;
use crate::harness::{Sea, holm, sea, wait_for};

const PROCESS: &str = "holm: v1
application: tick
services:
  clock:
    runtime: process
    command: [/bin/sh, -c, 'while :; do echo tick; sleep 1; done']
    secrets: { word: { file: true } }
    restart: { policy: always }
    stop: { grace: 1s }
";

/// Directories of this label among control groups and in memory.
fn traces(label: &str) -> Vec<PathBuf> {
    let hierarchies =
        fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    let groups = hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]).map(|dir| dir.join("holm").join(label));
    let memory = ["/run", "/dev/shm"].map(|dir| Path::new(dir).join(format!("holm-{label}")));
    groups.chain(memory).filter(|path| path.exists()).collect()
}

fn secret(sea: &Sea) {
    let word = sea.file("word", "hunter2");
    sea.holm(&["secret", "set", "word", "--from-file", &word.display().to_string()]).done();
}

#[test]
fn a_node_is_taken_off_its_machine_with_what_it_runs() {
    let sea = sea().node("fl-1").start();
    secret(&sea);
    let manifest = sea.file("tick.yaml", PROCESS);
    sea.holm(&["apply", "--wait", &manifest.display().to_string()]).done();
    let (program, data) = (sea.program("tick", "clock/0"), sea.data("fl-1").to_owned());
    let label = fs::read_to_string(data.join("label")).unwrap();
    assert!(!traces(&label).is_empty(), "its secret is in memory");
    let here = data.display().to_string();
    let shown: Value = holm(&["uninstall", "--data-dir", &here, "--dry-run", "-o", "json"]).done().json();
    assert_eq!((shown["processes"].as_u64(), shown["package"].as_str()), (Some(1), None), "{shown}");
    holm(&["uninstall", "--data-dir", &here]).refused(1, &["nothing"]);
    assert!(program.lives(), "nobody has agreed");

    holm(&["uninstall", "--data-dir", &here, "--yes", "--keep-data"]).done();
    assert!(!program.lives() && data.join("instances").exists());
    assert_eq!(traces(&label), Vec::<PathBuf>::new());
    holm(&["uninstall", "--data-dir", &here, "--yes"]).done();
    assert!(!data.exists());
    // Once more is no error: who was interrupted says it again.
    assert!(holm(&["uninstall", "--data-dir", &here, "--yes"]).done().stdout.contains("nothing was changed"));
}

#[test]
fn a_machine_that_is_a_node_of_two_orchestrators_is_taken_off_whole() {
    let words = ["--fall-back-after", "1s"];
    let mut sea = sea().impatient().cluster("vienna", &["fl-1"]).words("fl-1", &words).start();
    let manifest = sea.file("tick.yaml", &PROCESS.replace("    secrets: { word: { file: true } }\n", ""));
    let manifest = manifest.display().to_string();
    sea.holm(&["apply", "--wait", &manifest]).done();
    sea.kill("vienna");
    let other = fs::read_to_string(&manifest).unwrap().replace("application: tick", "application: tock");
    let other = sea.file("tock.yaml", &other);
    sea.holm(&["apply", "--wait", &other.display().to_string()]).done();
    assert_eq!(sea.programs().len(), 2);
    let here = sea.data("fl-1").display().to_string();
    let shown: Value = holm(&["uninstall", "--data-dir", &here, "--dry-run", "-o", "json"]).done().json();
    assert_eq!(shown["processes"].as_u64(), Some(2), "{shown}");
    holm(&["uninstall", "--data-dir", &here, "--yes"]).done();
    assert!(sea.programs().is_empty() && !sea.data("fl-1").exists());
}

#[test]
fn nobody_elses_directory_is_taken() {
    let sea = sea().start();
    let root = sea.data("root").display().to_string();
    holm(&["uninstall", "--data-dir", &root, "--yes"])
        .refused(2, &["belongs to an orchestrator", "--data-dir"]);
    let other = sea.path("letters");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("letter"), "dear").unwrap();
    let other = other.display().to_string();
    holm(&["uninstall", "--data-dir", &other, "--yes"]).refused(2, &["belongs to no node"]);
}

#[test]
fn an_engine_that_does_not_answer_keeps_the_node() {
    let mut sea = sea().node("fl-1").start();
    sea.stop("fl-1");
    let data = sea.data("fl-1").to_owned();
    // Of an engine that was killed.
    let socket = sea.path("engine.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let (engine, here) = (socket.display(), data.display());
    let settings = sea.file("node.toml", &format!("[node]\nengine = \"{engine}\"\ndata-dir = \"{here}\"\n"));
    let settings = settings.display().to_string();
    let uninstall = ["uninstall", "--config", &settings, "--yes"];
    holm(&uninstall).refused(1, &["nothing was removed", "`container`", "engine.sock", "--force"]);
    assert!(data.exists());
    let forced = holm(&[&uninstall[..], &["--force"]].concat()).done();
    assert!(forced.stderr.contains("this stays") && !data.exists(), "{forced:?}");
}

#[test]
fn containers_of_a_node_go_with_it_needs_engine() {
    let Ok(engine) = std::env::var("HOLM_TEST_DOCKER") else {
        return println!("skipped: HOLM_TEST_DOCKER names no container engine");
    };
    let socket = engine.trim_start_matches("unix://");
    let sea = sea().node("fl-1").words("fl-1", &[&format!("--engine={socket}")]).start();
    wait_for("the node offers containers", || {
        sea.node("fl-1").runtimes.contains(&"container".to_owned()).then_some(())
    });
    let manifest = "holm: v1\napplication: box\nservices:\n  web:\n    runtime: container\n    image: holm-test:1\n    \
                    command: [/bin/sh, -c, 'while :; do sleep 1; done']\n    stop: { grace: 1s }\n";
    let manifest = sea.file("box.yaml", manifest);
    sea.holm(&["apply", "--wait", &manifest.display().to_string()]).done();
    let data = sea.data("fl-1").to_owned();
    let label = fs::read_to_string(data.join("label")).unwrap();
    let containers = || {
        let mut docker = command("docker");
        docker.args(["-H", &engine, "ps", "-aq", "--filter", &format!("label=holm.node={label}")]);
        String::from_utf8(docker.output().unwrap().stdout).unwrap()
    };
    assert_eq!(containers().lines().count(), 1);
    let settings =
        sea.file("node.toml", &format!("[node]\nengine = \"{socket}\"\ndata-dir = \"{}\"\n", data.display()));
    holm(&["uninstall", "--config", &settings.display().to_string(), "--yes"]).done();
    assert_eq!(containers(), "");
    assert!(!data.exists());
    assert_eq!(traces(&label), Vec::<PathBuf>::new());
}
