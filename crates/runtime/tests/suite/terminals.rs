//! Commands beside a process: what is left when nobody wants them any more, and signals.

use std::time::Duration;

use futures::TryStreamExt as _;
use holm_model::tunnel::ExecOut;
use holm_runtime::{Exec, Launch, Runtime as _};
use tokio::io::AsyncWriteExt as _;

use crate::common::{Processes, Shown, alive, sh, terminal, until};

async fn idle() -> (Processes, Launch) {
    let (p, launch) = (Processes::new(), sh("exec sleep 1000"));
    p.runtime.start(&launch).await.unwrap();
    (p, launch)
}

async fn exec(p: &Processes, launch: &Launch, script: &str, with_terminal: bool) -> Exec {
    let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    p.runtime.exec(launch.id, words, with_terminal.then(|| terminal(80, 24))).await.unwrap()
}

/// The pids that it says in its first line.
async fn pids(exec: &mut Exec) -> Vec<i32> {
    let mut said = String::new();
    while !said.contains('\n') {
        match exec.output.try_next().await.unwrap().unwrap() {
            ExecOut::Stdout(bytes) => said.push_str(&String::from_utf8_lossy(&bytes)),
            // Without a terminal, a shell has no groups for its jobs, and says so.
            ExecOut::Stderr(_) => {}
            other => panic!("{other:?}"),
        }
    }
    said.lines().next().unwrap().split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

#[tokio::test]
async fn everything_of_a_command_ends_with_whoever_wanted_it() {
    let (p, launch) = idle().await;
    for with_terminal in [false, true] {
        // The shell, a child that hears no SIGHUP, and one in another process group.
        let script = "set -m; (trap '' HUP; sleep 1000 & wait) & one=$!; sleep 1000 & echo $$ $one $!; wait";
        let mut exec = exec(&p, &launch, script, with_terminal).await;
        let pids = pids(&mut exec).await;
        assert_eq!(pids.len(), 3);
        assert!(pids.iter().all(|pid| alive(*pid)));
        drop(exec);
        until("all of them end", async || !pids.iter().any(|pid| alive(*pid))).await;
    }
    p.runtime.remove(launch.id).await.unwrap();
}

#[tokio::test]
async fn a_program_hears_that_its_terminal_is_gone() {
    let (p, launch) = idle().await;
    let saved = p.home.of(&launch).join("work/saved");
    let script = "trap 'echo yes > saved; exit' HUP; echo $$; while :; do sleep 0.02; done";
    let mut exec = exec(&p, &launch, script, true).await;
    pids(&mut exec).await;
    drop(exec);
    until("it saves its work", async || saved.exists()).await;
    p.runtime.remove(launch.id).await.unwrap();
}

#[tokio::test]
async fn what_was_left_in_the_background_outlives_its_shell() {
    let (p, launch) = idle().await;
    let mut exec = exec(&p, &launch, "sleep 1000 >/dev/null 2>&1 & echo $!", false).await;
    let pids = pids(&mut exec).await;
    assert_eq!(Shown::new(exec).exit().await, 0);
    assert!(alive(pids[0]));
    p.runtime.remove(launch.id).await.unwrap();
    until("it ends with its instance, where there are groups", async || {
        !alive(pids[0]) || p.runtime.facts().await.enforces.is_empty()
    })
    .await;
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pids[0]), nix::sys::signal::SIGKILL);
}

#[tokio::test]
async fn a_signal_reaches_the_group_and_no_signal_is_an_error() {
    let (p, launch) = idle().await;
    let mut exec =
        exec(&p, &launch, "trap 'exit 7' TERM; echo $$; while :; do sleep 0.02; done", false).await;
    pids(&mut exec).await;
    assert!(exec.control.signal(0).is_err());
    assert!(exec.control.signal(99).is_err());
    exec.control.signal(15).unwrap();
    let mut shown = Shown::new(exec);
    assert_eq!(shown.exit().await, 7);
    shown.exec.control.signal(15).unwrap();
    p.runtime.remove(launch.id).await.unwrap();
}

#[tokio::test]
async fn a_terminal_that_floods_waits_for_its_reader() {
    let (p, launch) = idle().await;
    let mut exec = exec(&p, &launch, "echo $$; exec cat /dev/zero", true).await;
    let pid = pids(&mut exec).await[0];
    let written = || std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let mut before = written();
    until("it waits", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = written();
        std::mem::replace(&mut before, now.clone()) == now
    })
    .await;
    // Still there, and it hears Ctrl-C behind all of it.
    exec.stdin.write_all(b"\x03").await.unwrap();
    assert_eq!(Shown::new(exec).exit().await, 130);
    p.runtime.remove(launch.id).await.unwrap();
}
