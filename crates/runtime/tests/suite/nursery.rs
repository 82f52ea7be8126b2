//! The process that supervisors are forked from: what it holds, and what its death means.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use holm_model::id::AssignmentId;
use holm_runtime::{End, EventKind, Launch, LogOptions, Outcome, RunError, Runtime as _};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Processes, SOON, alive, exited, first_line, lines, outputs, root, sh, until};

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_holm-supervise-test");

fn supervisor(p: &Processes, launch: &Launch) -> i32 {
    let text = fs::read(p.home.of(launch).join("running.json")).unwrap();
    let running: serde_json::Value = serde_json::from_slice(&text).unwrap();
    running["supervisor"].as_i64().unwrap().try_into().unwrap()
}

/// The parent of a supervisor that it forked.
fn nursery(p: &Processes, launch: &Launch) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", supervisor(p, launch))).unwrap();
    let parent = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(fs::read_to_string(format!("/proc/{parent}/comm")).unwrap(), "holm-nursery\n");
    parent
}

/// What the process has open.
fn open(pid: i32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    // One that is closed meanwhile is none.
    entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).collect()
}

/// How many locks of instances it has open.
fn locks(pid: i32) -> usize {
    open(pid).iter().filter(|file| file.ends_with("lock")).count()
}

fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn words(pid: i32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let line = String::from_utf8(line).unwrap();
    line.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

#[tokio::test]
async fn its_death_touches_no_instance_and_the_next_launch_has_another() {
    let mut p = Processes::new();
    let (before, after) = (sh("exec sleep 1000"), sh("exec sleep 1000"));
    p.runtime.start(&before).await.unwrap();
    let old = nursery(&p, &before);
    kill(Pid::from_raw(old), Signal::SIGKILL).unwrap();
    until("it dies", async || !alive(old)).await;
    p.runtime.start(&after).await.unwrap();
    assert_ne!(nursery(&p, &after), old);
    assert!(alive(supervisor(&p, &before)));
    for launch in [&before, &after] {
        p.runtime.halt(launch.id, Duration::from_secs(10)).await.unwrap();
        assert_eq!(exited(&mut p.events, launch).await.end, End::Signal(15));
    }
}

#[tokio::test]
async fn an_order_that_dies_with_it_is_given_to_the_next() {
    // Whoever makes the directory takes the order along into its death.
    let script = format!("mkdir \"$0\" && exec head -c 1; exec {SUPERVISOR} \"$@\"");
    let dir = tempfile::tempdir().unwrap();
    let died = dir.path().join("died");
    let mut p = Processes::configured(|config| {
        config.supervisor = ("/bin/sh".into(), vec!["-c".into(), script.clone(), died.display().to_string()]);
    });
    let launch = sh("exit 7");
    p.runtime.start(&launch).await.unwrap();
    assert!(died.exists());
    assert_eq!(exited(&mut p.events, &launch).await, Outcome::code(7));
}

#[tokio::test]
async fn one_that_always_dies_is_an_error_with_place_and_reason() {
    let launch = sh("exit 0");
    // At once; with the order; and one that lives on, of which every supervisor dies.
    for script in ["exit 1", "exec head -c 1", "exec cat"] {
        let p = Processes::configured(|config| {
            config.supervisor = ("/bin/sh".into(), vec!["-c".into(), script.into()]);
        });
        let error = p.runtime.start(&launch).await.unwrap_err();
        assert_eq!(error.to_string(), "the supervisor failed: it ended before it could say why");
        assert!(error.retry());
        let error = p.runtime.start(&launch).await.unwrap_err();
        assert!(matches!(error, RunError::Spawn { .. }), "and nobody holds the lock: {error}");
    }
    let p = Processes::configured(|config| config.supervisor = ("/no/such".into(), Vec::new()));
    let error = p.runtime.start(&launch).await.unwrap_err();
    assert!(error.to_string().starts_with("starting: `/no/such`: No such file"), "{error}");
}

#[tokio::test]
async fn one_that_was_stopped_holds_up_no_launch() {
    let mut p = Processes::new();
    let (before, after) = (sh("exec sleep 1000"), sh("exit 7"));
    p.runtime.start(&before).await.unwrap();
    let old = nursery(&p, &before);
    kill(Pid::from_raw(old), Signal::SIGSTOP).unwrap();
    tokio::time::timeout(SOON, p.runtime.start(&after)).await.expect("it is ended").unwrap();
    assert_eq!(exited(&mut p.events, &after).await, Outcome::code(7));
    assert!(!Path::new(&format!("/proc/{old}")).exists());
    p.runtime.remove(before.id).await.unwrap();
}

#[tokio::test]
async fn one_that_does_not_end_holds_up_no_launch() {
    // It takes an order and loses it, and does not hear that there come no more.
    let script = format!("mkdir \"$0\" && head -c 1 && exec sleep 1000; exec {SUPERVISOR} \"$@\"");
    let dir = tempfile::tempdir().unwrap();
    let lost = dir.path().join("lost");
    let mut p = Processes::configured(|config| {
        config.supervisor = ("/bin/sh".into(), vec!["-c".into(), script.clone(), lost.display().to_string()]);
    });
    let launch = sh("exit 7");
    tokio::time::timeout(SOON, p.runtime.start(&launch)).await.expect("it is killed").unwrap();
    assert_eq!(exited(&mut p.events, &launch).await, Outcome::code(7));
}

#[tokio::test]
async fn one_that_died_before_an_order_was_no_attempt() {
    // The second one takes the order along into its death.
    let script = format!(
        "mkdir \"$0/1\" && exec {SUPERVISOR} \"$@\"; mkdir \"$0/2\" && exec head -c 1; exec {SUPERVISOR} \"$@\""
    );
    let dir = tempfile::tempdir().unwrap();
    let mut p = Processes::configured(|config| {
        let home = dir.path().display().to_string();
        config.supervisor = ("/bin/sh".into(), vec!["-c".into(), script.clone(), home]);
    });
    let (before, after) = (sh("exec sleep 1000"), sh("exit 7"));
    p.runtime.start(&before).await.unwrap();
    let first = nursery(&p, &before);
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    until("it dies", async || !alive(first)).await;
    p.runtime.start(&after).await.unwrap();
    assert!(dir.path().join("2").exists());
    assert_eq!(exited(&mut p.events, &after).await, Outcome::code(7));
    p.runtime.remove(before.id).await.unwrap();
}

#[tokio::test]
async fn where_the_agent_inherits_a_supervisor_it_leaves_no_zombie() {
    // As the first process of a container does.
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    let mut p = Processes::new();
    let launch = sh("exec sleep 1000");
    p.runtime.start(&launch).await.unwrap();
    let (nursery, supervisor) = (nursery(&p, &launch), supervisor(&p, &launch));
    kill(Pid::from_raw(nursery), Signal::SIGKILL).unwrap();
    until("it is inherited", async || children(std::process::id().cast_signed()).contains(&supervisor)).await;
    p.runtime.halt(launch.id, Duration::from_secs(10)).await.unwrap();
    exited(&mut p.events, &launch).await;
    assert!(!Path::new(&format!("/proc/{supervisor}")).exists());
}

#[tokio::test]
async fn a_thousand_launches_leave_nothing_in_it() {
    let Processes { runtime, mut events, home } = Processes::new();
    let stays = sh("exec sleep 1000");
    runtime.start(&stays).await.unwrap();
    let p = Processes { runtime, events: tokio::sync::mpsc::channel(1).1, home };
    let nursery = nursery(&p, &stays);
    until("it has closed what it handed on", async || locks(nursery) == 0).await;
    let before = open(nursery).len();
    let launches: Vec<Launch> = (0..1000).map(|_| sh("exit 3")).collect();
    let starts = stream::iter(&launches).map(|launch| p.runtime.start(launch)).buffer_unordered(8);
    let ends = async {
        let mut ended = BTreeSet::<AssignmentId>::new();
        while ended.len() < launches.len() {
            let event = events.recv().await.unwrap();
            assert_eq!(event.kind, EventKind::Exited(Outcome::code(3)), "{}", event.id);
            p.runtime.remove(event.id).await.unwrap();
            ended.insert(event.id);
        }
    };
    let (started, ()) = tokio::join!(starts.try_collect::<Vec<()>>(), ends);
    started.unwrap();
    until("it reaps", async || children(nursery) == [supervisor(&p, &stays)]).await;
    assert_eq!(open(nursery).len(), before);
}

#[tokio::test]
async fn a_supervisor_keeps_nothing_of_it() {
    let p = Processes::new();
    let launch = sh("grep -E 'SigBlk|SigIgn' /proc/self/status | tr '\\t' ' '; echo; exec sleep 1000");
    p.runtime.start(&launch).await.unwrap();
    let (supervisor, nursery) = (supervisor(&p, &launch), nursery(&p, &launch));
    until("it has told the agent", async || {
        !open(supervisor).iter().any(|file| file.to_string_lossy().starts_with("socket:"))
    })
    .await;
    until("the nursery has closed it", async || locks(nursery) == 0).await;
    assert_eq!(locks(supervisor), 1);
    let dir = p.home.of(&launch).display().to_string();
    assert_eq!(words(supervisor), [SUPERVISOR, &dir], "what it is can be seen from outside");
    assert_eq!(words(nursery), [SUPERVISOR, "nursery"]);
    first_line(&p.runtime, launch.id).await;
    let seen = lines(&p.runtime, launch.id, LogOptions::default()).await;
    assert_eq!(seen[0], "o SigBlk: 0000000000000000");
    p.runtime.remove(launch.id).await.unwrap();
}

#[tokio::test]
async fn what_is_given_reaches_program_and_commands_and_no_disk() {
    let p = Processes::new();
    let mut launch = sh("echo $TOKEN; exec sleep 1000");
    launch.given.env.insert("TOKEN".into(), "a secret".into());
    p.runtime.start(&launch).await.unwrap();
    assert_eq!(first_line(&p.runtime, launch.id).await, "a secret");
    let words = ["/bin/sh", "-c", "echo $TOKEN"].map(str::to_owned).to_vec();
    let exec = p.runtime.exec(launch.id, words, None).await.unwrap();
    assert_eq!(outputs(exec).await.0, "a secret\n");
    for file in ["plan.json", "running.json"] {
        assert!(!fs::read_to_string(p.home.of(&launch).join(file)).unwrap().contains("secret"));
    }
    let supervisor = supervisor(&p, &launch);
    if root() {
        let spy = ["-c", &format!("cat /proc/{supervisor}/fd/0")].map(str::to_owned);
        let spied =
            std::os::unix::process::CommandExt::uid(Command::new("/bin/sh").args(spy), 65534).output();
        assert!(!spied.unwrap().status.success(), "for the agent's user only");
    }
    p.runtime.remove(launch.id).await.unwrap();
}

#[tokio::test]
async fn it_ends_with_the_driver() {
    let p = Processes::new();
    let launch = sh("exec sleep 1000");
    p.runtime.start(&launch).await.unwrap();
    let (nursery, supervisor) = (nursery(&p, &launch), supervisor(&p, &launch));
    let Processes { runtime, home: _home, .. } = p;
    drop(runtime);
    assert!(!Path::new(&format!("/proc/{nursery}")).exists());
    assert!(alive(supervisor));
}

#[tokio::test]
async fn it_ends_when_the_agent_was_killed_and_waits_in_the_refuge() {
    let (agent, far) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let refuge = tempfile::tempdir().unwrap();
    let mut nursery = tokio::process::Command::new(SUPERVISOR);
    nursery.arg("nursery").arg(refuge.path()).arg(" ").stdin(Stdio::from(far)).kill_on_drop(true);
    let mut child = nursery.spawn().unwrap();
    drop((nursery, agent));
    let ended = tokio::time::timeout(SOON, child.wait()).await.expect("it ends soon").unwrap();
    assert_eq!(ended.code(), Some(0));
    let entered = fs::read_to_string(refuge.path().join("cgroup.procs")).unwrap();
    assert_eq!(entered, "0", "and so is every supervisor where a service manager spares it");
}
