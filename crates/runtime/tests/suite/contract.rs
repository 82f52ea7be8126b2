//! What every runtime must do, checked against each driver. The engines of `container` are named by
//! `HOLM_TEST_DOCKER` and `HOLM_TEST_PODMAN` (`unix:///…`) and must have the image `holm-test:1`, which
//! holds a busybox.

use std::path::PathBuf;
use std::time::Duration;

use futures::TryStreamExt as _;
use holm_model::resources::{Cpu, Memory};
use holm_model::tunnel::{CopyWay, ExecOut, Terminal, WindowSize};
use holm_runtime::container::{ContainerConfig, ContainerRuntime};
use holm_runtime::{
    End, EventKind, Exec, Launch, LogOptions, Outcome, RunError, Runtime, RuntimeEvent, SurvivorState,
};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use crate::common::{
    self, Home, Processes, Shown, exited, first_line, launch, lines, notes, outputs, terminal, until,
};

const GRACE: Duration = Duration::from_secs(10);

/// A driver that can be made anew on the same instances.
struct Subject {
    runtime: Box<dyn Runtime>,
    events: mpsc::Receiver<RuntimeEvent>,
    again: Again,
    /// Podman 4.3 does not say that memory was the reason, at least on control groups 1.
    says_oom: bool,
}

enum Again {
    Process(Home),
    Container(ContainerConfig),
}

fn process() -> Option<Subject> {
    Some(Subject::from(Again::Process(Home::new()), true))
}

fn docker(socket: PathBuf) -> Subject {
    Subject::from(Again::Container(ContainerConfig::new(socket, common::fresh_id().to_string())), true)
}

fn podman(socket: PathBuf) -> Subject {
    Subject { says_oom: false, ..docker(socket) }
}

impl Subject {
    fn from(again: Again, says_oom: bool) -> Self {
        match again {
            Again::Process(home) => {
                let Processes { runtime, events, home } = Processes::on(home, |_| {});
                Self { runtime: Box::new(runtime), events, again: Again::Process(home), says_oom }
            }
            Again::Container(config) => {
                let (send, events) = mpsc::channel(64);
                let runtime = Box::new(ContainerRuntime::new(config.clone(), send));
                Self { runtime, events, again: Again::Container(config), says_oom }
            }
        }
    }

    fn restarted(self) -> Self {
        drop(self.runtime);
        Self::from(self.again, self.says_oom)
    }

    async fn exec(&self, launch: &Launch, script: &str, terminal: Option<Terminal>) -> Exec {
        let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        self.runtime.exec(launch.id, words, terminal).await.unwrap()
    }

    fn sh(&self, script: &str) -> Launch {
        launch(self.runtime.name(), &["/bin/sh", "-c", script])
    }

    async fn start(&self, script: &str) -> Launch {
        let launch = self.sh(script);
        self.runtime.prepare(&launch, &|_| {}).await.unwrap();
        self.runtime.start(&launch).await.unwrap();
        launch
    }

    async fn event(&mut self) -> EventKind {
        tokio::time::timeout(common::SOON, self.events.recv()).await.unwrap().unwrap().kind
    }
}

async fn an_exit_code_and_both_outputs_arrive(mut s: Subject) {
    let launch = s.start("echo one; echo two >&2; exit 3").await;
    assert_eq!(exited(&mut s.events, &launch).await, Outcome::code(3));
    let mut seen = lines(&*s.runtime, launch.id, LogOptions::default()).await;
    seen.sort();
    assert_eq!(seen, ["e two", "o one"]);
    s.runtime.remove(launch.id).await.unwrap();
}

async fn the_environment_arrives(mut s: Subject) {
    let mut launch = s.sh("echo \"$GREETING\"");
    launch.env.insert("GREETING".into(), "hello = \"world\"".into());
    s.runtime.start(&launch).await.unwrap();
    exited(&mut s.events, &launch).await;
    assert_eq!(lines(&*s.runtime, launch.id, LogOptions::default()).await, ["o hello = \"world\""]);
    s.runtime.remove(launch.id).await.unwrap();
}

async fn halting_asks_first(mut s: Subject) {
    let launch = s.start("trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done").await;
    first_line(&*s.runtime, launch.id).await;
    s.runtime.halt(launch.id, GRACE).await.unwrap();
    assert_eq!(exited(&mut s.events, &launch).await, Outcome::code(5));
    s.runtime.halt(launch.id, GRACE).await.unwrap();
    s.runtime.remove(launch.id).await.unwrap();
}

async fn halting_insists(mut s: Subject) {
    let launch = s.start("trap '' TERM; echo ready; while :; do sleep 0.02; done").await;
    first_line(&*s.runtime, launch.id).await;
    s.runtime.halt(launch.id, Duration::from_millis(200)).await.unwrap();
    let end = exited(&mut s.events, &launch).await.end;
    assert!(matches!(end, End::Signal(9) | End::Code(137)), "{end:?}");
    s.runtime.remove(launch.id).await.unwrap();
}

async fn pausing_stops_the_work(mut s: Subject) {
    let launch = s.start("echo up; while :; do :; done").await;
    first_line(&*s.runtime, launch.id).await;
    s.runtime.pause(launch.id).await.unwrap();
    s.runtime.pause(launch.id).await.unwrap();
    assert_eq!(s.event().await, EventKind::Paused);
    let mut s = s.restarted();
    assert_eq!(s.runtime.survivors().await.unwrap()[0].state, SurvivorState::Paused);
    s.runtime.resume(launch.id).await.unwrap();
    s.runtime.resume(launch.id).await.unwrap();
    assert_eq!(s.event().await, EventKind::Resumed);
    until("it works again", async || s.runtime.usage(launch.id).await.unwrap().cpu_millis > 0).await;
    assert!(s.runtime.usage(launch.id).await.unwrap().memory > 0);
    s.runtime.remove(launch.id).await.unwrap();
}

async fn survivors_are_found_and_watched(s: Subject) {
    let running = s.start("trap 'exit 4' TERM; echo ready; while :; do sleep 0.02; done").await;
    let ended = s.start("exit 3").await;
    first_line(&*s.runtime, running.id).await;
    let mut events = s.events;
    exited(&mut events, &ended).await;
    let mut s = Subject { events, ..s }.restarted();
    let mut survivors = s.runtime.survivors().await.unwrap();
    survivors.sort_by_key(|survivor| survivor.id);
    let seen: Vec<_> = survivors.into_iter().map(|s| (s.id, s.incarnation, s.state)).collect();
    assert_eq!(
        seen,
        [(running.id, 1, SurvivorState::Running), (ended.id, 1, SurvivorState::Exited(Outcome::code(3)))]
    );
    s.runtime.start(&running).await.unwrap();
    s.runtime.halt(running.id, GRACE).await.unwrap();
    assert_eq!(exited(&mut s.events, &running).await, Outcome::code(4));
    for launch in [&running, &ended] {
        s.runtime.remove(launch.id).await.unwrap();
    }
    assert_eq!(s.runtime.survivors().await.unwrap(), []);
}

async fn another_incarnation_replaces_the_last(mut s: Subject) {
    let mut launch = s.start("exit 1").await;
    exited(&mut s.events, &launch).await;
    launch.incarnation = 2;
    launch.spec.command[2] = "exit 2".into();
    s.runtime.start(&launch).await.unwrap();
    assert_eq!(exited(&mut s.events, &launch).await, Outcome::code(2));
    let survivors = s.runtime.survivors().await.unwrap();
    assert_eq!((survivors.len(), survivors[0].incarnation), (1, 2));
    s.runtime.remove(launch.id).await.unwrap();
}

async fn exec_runs_beside_the_instance(s: Subject) {
    let mut launch = s.sh("echo ready; while :; do sleep 0.02; done");
    launch.env.insert("GREETING".into(), "hello".into());
    s.runtime.start(&launch).await.unwrap();
    first_line(&*s.runtime, launch.id).await;
    let command = |script: &str| ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let exec = s.runtime.exec(launch.id, command("echo $GREETING; echo no >&2; exit 9"), None).await.unwrap();
    assert_eq!(outputs(exec).await, ("hello\n".into(), "no\n".into(), Some(9)));
    let mut exec = s.runtime.exec(launch.id, command("read line; echo \"<$line>\""), None).await.unwrap();
    exec.stdin.write_all(b"typed\n").await.unwrap();
    exec.stdin.flush().await.unwrap();
    assert_eq!(outputs(exec).await.0, "<typed>\n");
    s.runtime.remove(launch.id).await.unwrap();
}

async fn exec_has_a_real_terminal(s: Subject) {
    let launch = s.start("echo ready; while :; do sleep 0.02; done").await;
    first_line(&*s.runtime, launch.id).await;
    let script = "trap 'echo interrupted; exit 3' INT; trap 'stty size' WINCH; echo $TERM; tty; stty size
        while :; do sleep 0.02; done";
    let mut shell = Shown::new(s.exec(&launch, script, Some(terminal(100, 40))).await);
    shell.until("vt100").await;
    shell.until("/dev/").await;
    shell.until("40 100").await;
    shell.exec.control.resize(WindowSize { columns: 120, rows: 50 }).await.unwrap();
    shell.until("50 120").await;
    shell.exec.stdin.write_all(b"\x03").await.unwrap();
    shell.exec.stdin.flush().await.unwrap();
    shell.until("interrupted").await;
    assert_eq!(shell.exit().await, 3);
    s.runtime.remove(launch.id).await.unwrap();
}

async fn a_command_ends_with_whoever_wanted_it(s: Subject) {
    let launch = s.start("echo ready; while :; do sleep 0.02; done").await;
    first_line(&*s.runtime, launch.id).await;
    for with_terminal in [false, true] {
        let script = "trap '' HUP; echo pid $$ is; while :; do sleep 0.02; done";
        let mut shown = Shown::new(s.exec(&launch, script, with_terminal.then(|| terminal(80, 24))).await);
        shown.until("pid ").await;
        let pid = shown.before(" is").await;
        let there = format!("kill -0 {pid} 2>/dev/null");
        assert_eq!(outputs(s.exec(&launch, &there, None).await).await.2, Some(0));
        drop(shown);
        until("it ends", async || outputs(s.exec(&launch, &there, None).await).await.2 != Some(0)).await;
    }
    s.runtime.remove(launch.id).await.unwrap();
}

async fn files_go_in_and_out(s: Subject) {
    let launch = s.start("mkdir -p /tmp/$$; cd /tmp/$$; pwd; while :; do sleep 0.02; done").await;
    let dir = first_line(&*s.runtime, launch.id).await;
    let from = tempfile::tempdir().unwrap();
    std::fs::create_dir(from.path().join("tree")).unwrap();
    std::fs::write(from.path().join("tree/big"), vec![b'x'; 300_000]).unwrap();
    let mut sent = Vec::new();
    holm_runtime::archive::pack(&from.path().join("tree"), &mut sent).unwrap();
    // Under its own name into a directory, and under a new one.
    for (to, named) in [(dir.clone(), "tree"), (format!("{dir}/new"), "new")] {
        let mut copy = s.runtime.copy(launch.id, to, CopyWay::Write).await.unwrap();
        let mut stdin = std::mem::replace(&mut copy.stdin, Box::new(tokio::io::sink()));
        let bytes = sent.clone();
        let typing = tokio::spawn(async move {
            stdin.write_all(&bytes).await.unwrap();
            stdin.shutdown().await.unwrap();
        });
        assert_eq!(outputs(copy).await, (String::new(), String::new(), Some(0)));
        typing.await.unwrap();
        let look = format!("wc -c < {dir}/{named}/big; test -O {dir}/{named}/big && echo mine");
        let seen = outputs(s.exec(&launch, &look, None).await).await;
        assert_eq!(seen.0.split_whitespace().collect::<Vec<_>>(), ["300000", "mine"], "{seen:?}");
    }
    let mut copy = s.runtime.copy(launch.id, format!("{dir}/tree"), CopyWay::Read).await.unwrap();
    let mut got = Vec::new();
    let code = loop {
        match copy.output.try_next().await.unwrap().unwrap() {
            ExecOut::Stdout(bytes) => got.extend(bytes),
            ExecOut::Exit(code) => break code,
            ExecOut::Stderr(said) => panic!("{}", String::from_utf8_lossy(&said)),
        }
    };
    assert_eq!(code, 0);
    let back = tempfile::tempdir().unwrap();
    let target = holm_runtime::archive::Target::of(back.path(), true).unwrap();
    holm_runtime::archive::unpack(&got[..], &target).unwrap();
    assert_eq!(std::fs::read(back.path().join("tree/big")).unwrap(), vec![b'x'; 300_000]);
    let missing = s.runtime.copy(launch.id, format!("{dir}/none"), CopyWay::Read).await;
    let refused = match missing {
        Err(_) => true,
        Ok(copy) => outputs(copy).await.2 == Some(1),
    };
    assert!(refused);
    outputs(s.exec(&launch, &format!("rm -r {dir}"), None).await).await;
    s.runtime.remove(launch.id).await.unwrap();
}

async fn exec_is_refused_while_paused(s: Subject) {
    let launch = s.start("echo ready; while :; do sleep 0.02; done").await;
    first_line(&*s.runtime, launch.id).await;
    let hello = || vec!["/bin/echo".to_owned(), "hello".to_owned()];
    // Several times: what a driver heard of the pause may come later than the answer to `resume`.
    for _ in 0..5 {
        s.runtime.pause(launch.id).await.unwrap();
        let refused =
            tokio::time::timeout(common::SOON, s.runtime.exec(launch.id, hello(), None)).await.unwrap();
        assert!(matches!(refused, Err(RunError::Paused { id }) if id == launch.id), "{refused:?}");
        s.runtime.resume(launch.id).await.unwrap();
        assert_eq!(outputs(s.runtime.exec(launch.id, hello(), None).await.unwrap()).await.0, "hello\n");
    }
    s.runtime.remove(launch.id).await.unwrap();
}

async fn the_last_lines_are_found(mut s: Subject) {
    let launch = s.start("for i in 1 2 3 4 5; do echo $i; done").await;
    exited(&mut s.events, &launch).await;
    // Drivers that keep notes of their own count them, too.
    let tail = LogOptions { tail: Some(3), ..LogOptions::default() };
    let seen = lines(&*s.runtime, launch.id, tail).await;
    assert!(seen.ends_with(&["o 4".into(), "o 5".into()]) && seen.len() <= 3, "{seen:?}");
    let later = LogOptions { since: Some(holm_model::time::Time(i64::MAX / 2000)), ..LogOptions::default() };
    assert!(lines(&*s.runtime, launch.id, later).await.is_empty());
    s.runtime.remove(launch.id).await.unwrap();
}

/// Whether the host can hold this limit; what it says of those that it cannot is in `notes`.
async fn holds(s: &Subject, limit: &str, launch: &Launch) -> bool {
    let enforces = s.runtime.facts().await.enforces;
    println!("enforces {enforces:?}");
    if enforces.iter().any(|held| held == limit) {
        return true;
    }
    until("it is said", async || {
        notes(&*s.runtime, launch.id).await.iter().any(|note| note.contains("not enforced"))
    })
    .await;
    false
}

async fn a_memory_limit_kills_or_is_said(mut s: Subject) {
    let mut launch = s.sh("i=0; x=xxxxxxxxxxxxxxxx; while [ $i -lt 22 ]; do x=$x$x; i=$((i+1)); done");
    launch.spec.resources.memory = Memory(16 << 20);
    s.runtime.start(&launch).await.unwrap();
    let outcome = exited(&mut s.events, &launch).await;
    if holds(&s, "memory", &launch).await {
        assert!(matches!(outcome.end, End::Signal(9) | End::Code(137)), "{outcome:?}");
        let said = outcome.to_string().ends_with("(out of memory: its limit was reached)");
        assert_eq!((outcome.oom, said), (s.says_oom, s.says_oom), "{outcome}");
    }
    launch.incarnation = 2;
    launch.spec.command[2] = "true".into();
    s.runtime.start(&launch).await.unwrap();
    assert_eq!(exited(&mut s.events, &launch).await, Outcome::code(0), "what fits lives");
    s.runtime.remove(launch.id).await.unwrap();
}

async fn a_cpu_limit_slows_down_or_is_said(s: Subject) {
    let mut launch = s.sh("echo up; while :; do :; done");
    launch.spec.resources.cpu = Cpu(100);
    s.runtime.start(&launch).await.unwrap();
    first_line(&*s.runtime, launch.id).await;
    if holds(&s, "cpu", &launch).await {
        s.runtime.usage(launch.id).await.unwrap();
        // Long enough for ten turns.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let used = s.runtime.usage(launch.id).await.unwrap().cpu_millis;
        assert!((20..200).contains(&used), "{used} thousandths of a core");
    }
    s.runtime.remove(launch.id).await.unwrap();
}

async fn nothing_is_done_to_strangers(s: Subject) {
    let id = common::fresh_id();
    s.runtime.halt(id, GRACE).await.unwrap();
    s.runtime.remove(id).await.unwrap();
    assert!(matches!(s.runtime.pause(id).await, Err(RunError::NotRunning { .. })));
    assert!(s.runtime.usage(id).await.is_err());
    assert!(s.runtime.exec(id, vec!["true".into()], None).await.is_err());
    assert_eq!(s.runtime.facts().await.unavailable, None);
    s.runtime.local_address().await.unwrap();
}

macro_rules! contract {
    ($($check:ident)*) => {
        checks! { process_keeps, super::process(), $($check)* }
        checks! { docker_keeps_needs_engine, crate::common::docker().map(super::docker), $($check)* }
        checks! { podman_keeps_needs_podman, crate::common::podman().map(super::podman), $($check)* }
    };
}

contract! {
    an_exit_code_and_both_outputs_arrive
    the_environment_arrives
    halting_asks_first
    halting_insists
    pausing_stops_the_work
    survivors_are_found_and_watched
    another_incarnation_replaces_the_last
    exec_runs_beside_the_instance
        exec_has_a_real_terminal
        files_go_in_and_out
        a_command_ends_with_whoever_wanted_it
    exec_is_refused_while_paused
    the_last_lines_are_found
    a_memory_limit_kills_or_is_said
    a_cpu_limit_slows_down_or_is_said
    nothing_is_done_to_strangers
}
