//! The runtime `process`, with real programs and a real supervisor.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use holm_model::service::Volume;
use holm_runtime::process::{LogLimits, ProcessUsers};
use holm_runtime::{Access, End, Launch, LogOptions, Outcome, RunError, Runtime as _, SurvivorState, volume};

use crate::common::{
    self, Home, Processes, alive, exited, first_line, lines, notes, outputs, root, sh, until,
};

const GRACE: Duration = Duration::from_secs(10);

fn json(dir: &std::path::Path, file: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(dir.join(file)).unwrap()).unwrap()
}

#[tokio::test]
async fn environment_is_only_what_was_given() {
    let mut p = Processes::new();
    let mut launch = sh("env | sort | grep -v '^PWD=\\|^SHLVL=\\|^_=\\|^OLDPWD='; pwd; umask");
    launch.env.insert("GREETING".into(), "hello world".into());
    p.runtime.start(&launch).await.unwrap();
    exited(&mut p.events, &launch).await;
    let work = p.home.of(&launch).join("work").display().to_string();
    let seen = lines(&p.runtime, launch.id, LogOptions::default()).await;
    let path = "o PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let home = format!("o HOME={work}");
    assert_eq!(
        seen,
        ["o GREETING=hello world", &home, "o LANG=C.UTF-8", path, &format!("o {work}"), "o 0022"]
    );
}

#[tokio::test]
async fn a_named_volume_is_a_directory_that_outlives_instances_and_is_shared_by_those_of_the_application() {
    let mut p = Processes::new();
    let volume = |source: &str| Volume { source: source.into(), target: "/data".into(), read_only: false };
    let mut write = sh("echo kept > $HOLM_VOLUME_MY_DATA/note");
    write.spec.volumes.push(volume("my-data"));
    p.runtime.start(&write).await.unwrap();
    assert!(exited(&mut p.events, &write).await.succeeded());
    p.runtime.remove(write.id).await.unwrap();
    let mut read = sh("cat $HOLM_VOLUME_MY_DATA/note; cd $HOLM_VOLUME_MY_DATA; pwd");
    (read.wish, read.spec.volumes) = (write.wish, write.spec.volumes.clone());
    p.runtime.start(&read).await.unwrap();
    exited(&mut p.events, &read).await;
    let key = volume::key(read.wish, "my-data");
    let path = p.runtime.volume(key.clone()).await.unwrap();
    let seen = lines(&p.runtime, read.id, LogOptions::default()).await;
    assert_eq!(seen, ["o kept", &format!("o {}", path.display())]);
    p.runtime.discard(key.clone()).await.unwrap();
    assert!(!path.exists());
    p.runtime.discard(key).await.unwrap();
}

#[tokio::test]
async fn a_root_agent_gives_up_its_rights_needs_root() {
    if !root() {
        return println!("skipped: needs root");
    }
    let mut p = Processes::new();
    let nobody = sh(
        "id -u; grep NoNewPrivs /proc/self/status | tr '\\t' ' '; ulimit -c; touch mine; ls /proc/self/fd | wc -l; echo named >/dev/stdout",
    );
    p.runtime.start(&nobody).await.unwrap();
    exited(&mut p.events, &nobody).await;
    let seen = lines(&p.runtime, nobody.id, LogOptions::default()).await;
    let user: u32 = seen[0].strip_prefix("o ").unwrap().parse().unwrap();
    assert!((2_010_000_000..=2_010_065_535).contains(&user), "{user}");
    assert_eq!(seen[1..], ["o NoNewPrivs: 1", "o 0", "o 4", "o named"]);

    let mut red = sh("id -u");
    red.project = holm_model::name::Name::new("red").unwrap();
    p.runtime.start(&red).await.unwrap();
    exited(&mut p.events, &red).await;
    assert_ne!(lines(&p.runtime, red.id, LogOptions::default()).await, [format!("o {user}")]);

    let mut other = sh("id -u; id -g");
    other.spec.user = Some("12345".into());
    p.runtime.start(&other).await.unwrap();
    exited(&mut p.events, &other).await;
    assert_eq!(lines(&p.runtime, other.id, LogOptions::default()).await, ["o 12345", "o 12345"]);

    let mut unknown = sh("true");
    unknown.spec.user = Some("no-such-user".into());
    let error = p.runtime.start(&unknown).await.unwrap_err();
    assert!(matches!(error, RunError::User { .. }) && !error.retry(), "{error}");
}

/// As agents of before ran it, and as this one does from its next start on.
#[tokio::test]
async fn what_nobody_ran_is_handed_over_at_the_next_start_needs_root() {
    if !root() {
        return println!("skipped: needs root");
    }
    let p = Processes::configured(|config| config.users = ProcessUsers::One("nobody".into()));
    let mut launch = sh("mkdir -p kept/deep; echo old >kept/deep/file; sleep 1000");
    p.runtime.start(&launch).await.unwrap();
    let file = p.home.of(&launch).join("work/kept/deep/file");
    until("it has written", async || file.exists()).await;
    let mut p = p.restarted();
    p.runtime.survivors().await.unwrap();
    let before = p.runtime.access_now(launch.id).unwrap();
    assert_eq!(before, Access::Shared { owner: Some((65534, 65534)) }, "what runs goes on as whom it was");
    p.runtime.halt(launch.id, GRACE).await.unwrap();
    exited(&mut p.events, &launch).await;
    launch.incarnation = 2;
    launch.spec.command =
        ["/bin/sh", "-c", "cat kept/deep/file; echo new >kept/deep/file"].map(str::to_owned).into();
    p.runtime.start(&launch).await.unwrap();
    exited(&mut p.events, &launch).await;
    let text = std::fs::read_to_string(&file).unwrap();
    let owner = std::fs::metadata(&file).unwrap().uid();
    assert_eq!(text, "new\n");
    assert_eq!(p.runtime.access_now(launch.id).unwrap(), Access::Shared { owner: Some((owner, owner)) });
    assert_ne!(owner, 65534);
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let p = Processes::new();
    let launch = common::launch("process", &["no-such-program"]);
    let prepared = p.runtime.prepare(&launch, &|_| {}).await.unwrap_err();
    let started = p.runtime.start(&launch).await.unwrap_err();
    for error in [prepared, started] {
        assert!(error.to_string().contains("`no-such-program` was not found in /usr/local/sbin:"), "{error}");
    }
    let script = p.home.root.with_file_name("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let launch = common::launch("process", &[script.to_str().unwrap()]);
    let error = p.runtime.start(&launch).await.unwrap_err();
    assert!(error.to_string().contains("No such file or directory"), "{error}");
    assert!(!error.retry());
    assert!(p.runtime.survivors().await.unwrap().len() == 1, "and its end is on record");
}

#[tokio::test]
async fn the_whole_group_ends_with_the_program() {
    let mut p = Processes::new();
    // One child in the group, one that left it.
    let launch = sh("sleep 1000 & echo $!; setsid sleep 1000 & echo $!; exit 7");
    p.runtime.start(&launch).await.unwrap();
    assert_eq!(exited(&mut p.events, &launch).await, Outcome::code(7));
    let pids = lines(&p.runtime, launch.id, LogOptions::default()).await;
    assert_eq!(pids.len(), 2);
    for pid in pids {
        assert!(!alive(pid[2..].parse().unwrap()), "{pid}");
    }
}

#[tokio::test]
async fn sigkill_comes_after_the_grace() {
    let mut p = Processes::new();
    let launch = sh("trap '' TERM; echo ready; while :; do sleep 1000; done");
    p.runtime.start(&launch).await.unwrap();
    assert_eq!(first_line(&p.runtime, launch.id).await, "ready");
    let begun = Instant::now();
    p.runtime.halt(launch.id, Duration::from_millis(300)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(exited(&mut p.events, &launch).await.end, End::Signal(9));
}

#[tokio::test]
async fn a_paused_program_can_be_halted() {
    let mut p = Processes::new();
    let launch = sh("trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done");
    p.runtime.start(&launch).await.unwrap();
    first_line(&p.runtime, launch.id).await;
    p.runtime.pause(launch.id).await.unwrap();
    p.runtime.halt(launch.id, GRACE).await.unwrap();
    assert_eq!(exited(&mut p.events, &launch).await, Outcome::code(5));
}

#[tokio::test]
async fn without_a_freezer_pausing_stops_the_group() {
    let Processes { runtime, home, .. } = Processes::on(Home::without_cgroups(), |_| {});
    // Closed for other users, as a careless data directory is: a program gets along with it.
    let above = home.root.parent().unwrap();
    std::fs::set_permissions(above, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let launch = sh("echo $$; while :; do :; done");
    runtime.start(&launch).await.unwrap();
    let pid: i32 = first_line(&runtime, launch.id).await.parse().unwrap();
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(") ").next().unwrap().chars().next().unwrap()
    };
    runtime.pause(launch.id).await.unwrap();
    until("it stops", async || state() == 'T').await;
    let seen = runtime.survivors().await.unwrap();
    assert_eq!(seen[0].state, SurvivorState::Paused);
    runtime.resume(launch.id).await.unwrap();
    until("it continues", async || state() == 'R').await;
    until("it is measured", async || runtime.usage(launch.id).await.unwrap().cpu_millis > 0).await;
    runtime.remove(launch.id).await.unwrap();
    assert!(!alive(pid));
}

#[tokio::test]
async fn logs_are_bounded_and_the_newest_stay() {
    let mut p = Processes::configured(|config| {
        config.logs = LogLimits { bytes: 100_000, age: Duration::from_secs(3600) };
    });
    let launch = sh("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done");
    p.runtime.start(&launch).await.unwrap();
    exited(&mut p.events, &launch).await;
    let dir = p.home.of(&launch);
    let size: u64 = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("log."))
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    // One read of a pipe (16 KiB and its time stamps) may go beyond.
    assert!(size < 400_000, "{size}");
    let tail = LogOptions { tail: Some(3), ..LogOptions::default() };
    let seen = lines(&p.runtime, launch.id, tail).await;
    assert_eq!(seen, ["o line 19998", "o line 19999"], "and the node's note of the end");
}

#[tokio::test]
async fn following_crosses_segments_and_ends_with_the_instance() {
    let p = Processes::configured(|config| config.logs.bytes = 40_000_000);
    let launch = sh("i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; exec sleep 1000");
    p.runtime.start(&launch).await.unwrap();
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    let mut stream = p.runtime.logs(launch.id, follow).await.unwrap();
    let mut next = 0;
    while next < 3000 {
        let line = tokio::time::timeout(common::SOON, stream.next()).await.unwrap().unwrap().unwrap();
        if line.stream == holm_model::tunnel::LogStream::Stdout {
            assert_eq!(line.text, next.to_string().as_bytes());
            next += 1;
        }
    }
    p.runtime.remove(launch.id).await.unwrap();
    let rest: Vec<_> = tokio::time::timeout(common::SOON, stream.try_collect()).await.unwrap().unwrap();
    assert!(rest.len() <= 1, "{rest:?}");
}

#[tokio::test]
async fn a_full_disk_stops_no_program_needs_root() {
    if !root() {
        return println!("skipped: needs root");
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = nix::mount::mount(
        Some("tmpfs"),
        dir.path(),
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        Some("size=256k,mode=755"),
    );
    if let Err(error) = mount {
        return println!("skipped: tmpfs cannot be mounted: {error}");
    }
    let mut p = Processes::on(Home::at(dir.path().join("process")), |_| {});
    let launch = sh("i=0; while [ $i -lt 100 ]; do printf '%08000d\\n' $i; i=$((i+1)); done; exit 3");
    p.runtime.start(&launch).await.unwrap();
    let outcome = exited(&mut p.events, &launch).await;
    let kept = lines(&p.runtime, launch.id, LogOptions::default()).await.len();
    let p = p.restarted();
    let survivors = p.runtime.survivors().await.unwrap();
    nix::mount::umount2(dir.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    assert_eq!(outcome, Outcome::code(3));
    assert!(kept < 100, "the disk was not full");
    assert_eq!(survivors[0].state, SurvivorState::Exited(Outcome::code(3)));
}

#[tokio::test]
async fn the_end_is_known_after_a_restart_of_the_agent() {
    let p = Processes::new();
    let gate = tempfile::NamedTempFile::new().unwrap();
    let path = gate.path().display().to_string();
    let running = sh("echo up; exec sleep 1000");
    let ended = sh(&format!("echo up; while [ -e {path} ]; do sleep 0.01; done; exit 3"));
    for launch in [&running, &ended] {
        p.runtime.start(launch).await.unwrap();
        first_line(&p.runtime, launch.id).await;
    }
    let program = json(&p.home.of(&ended), "running.json")["supervisor"].as_i64().unwrap();
    // The agent is away while it ends.
    let Processes { mut events, runtime, home } = p;
    drop(runtime);
    drop(gate);
    let exit = home.of(&ended).join("exit.json");
    until("it ends", async || exit.exists() && !alive(program.try_into().unwrap())).await;
    assert!(events.try_recv().is_err());
    let mut p = Processes::on(home, |_| {});
    let mut survivors = p.runtime.survivors().await.unwrap();
    survivors.sort_by_key(|survivor| survivor.id);
    let states: Vec<_> = survivors.iter().map(|s| (s.id, s.state.clone())).collect();
    assert_eq!(
        states,
        [(running.id, SurvivorState::Running), (ended.id, SurvivorState::Exited(Outcome::code(3)))]
    );
    p.runtime.start(&running).await.unwrap();
    p.runtime.halt(running.id, GRACE).await.unwrap();
    assert_eq!(exited(&mut p.events, &running).await.end, End::Signal(15));
}

#[tokio::test]
async fn steps_share_the_log_of_the_incarnation() {
    let mut p = Processes::new();
    let mut launch = sh("echo served");
    let mut step = sh("echo migrated");
    (step.id, step.step) = (launch.id, Some(1));
    p.runtime.start(&step).await.unwrap();
    assert_eq!(exited(&mut p.events, &step).await, Outcome::code(0));
    launch.after_steps = true;
    p.runtime.start(&launch).await.unwrap();
    exited(&mut p.events, &launch).await;
    let options = LogOptions::default();
    assert_eq!(lines(&p.runtime, launch.id, options).await, ["o migrated", "o served"]);
    let notes = notes(&p.runtime, launch.id).await;
    let begun = |note: &&String| note.starts_with("starting ");
    assert_eq!(notes.iter().filter(begun).count(), 1, "{notes:?}");
    assert_eq!(notes[1], "step 1 before the start: /bin/sh -c echo migrated");
}

#[tokio::test]
async fn a_step_is_ended_by_the_next_agent() {
    for script in ["exit 0", "echo $$; exec sleep 1000"] {
        let mut p = Processes::new();
        let mut step = sh(script);
        step.step = Some(1);
        p.runtime.start(&step).await.unwrap();
        let supervisor = json(&p.home.of(&step), "running.json")["supervisor"].as_i64().unwrap();
        if script == "exit 0" {
            exited(&mut p.events, &step).await;
        } else {
            assert_eq!(p.runtime.survivors().await.unwrap(), [], "it is this agent's own");
        }
        let mut p = p.restarted();
        let survivors = p.runtime.survivors().await.unwrap();
        let SurvivorState::Exited(Outcome { end: End::Lost(reason), .. }) = &survivors[0].state else {
            panic!("{survivors:?}")
        };
        assert_eq!(reason, "the agent ended during the steps before its start");
        until("it ends", async || !alive(supervisor.try_into().unwrap())).await;
        // Nothing of the step is in the way.
        let launch = Launch { incarnation: 2, step: None, ..step };
        p.runtime.start(&launch).await.unwrap();
        p.runtime.halt(launch.id, GRACE).await.unwrap();
        exited(&mut p.events, &launch).await;
    }
}

#[tokio::test]
async fn a_reused_pid_fools_nobody() {
    let mut p = Processes::new();
    let launch = sh("exit 0");
    p.runtime.start(&launch).await.unwrap();
    exited(&mut p.events, &launch).await;
    // As after a power cut: no exit file, and the pids now belong to somebody else — to this test.
    let dir = p.home.of(&launch);
    std::fs::remove_file(dir.join("exit.json")).unwrap();
    let mut running = json(&dir, "running.json");
    running["supervisor"] = std::process::id().into();
    running["program"] = std::process::id().into();
    std::fs::write(dir.join("running.json"), running.to_string()).unwrap();
    let p = p.restarted();
    let survivors = p.runtime.survivors().await.unwrap();
    let SurvivorState::Exited(Outcome { end: End::Lost(reason), .. }) = &survivors[0].state else {
        panic!("{survivors:?}")
    };
    assert_eq!(reason, "its supervisor was killed");
}

#[tokio::test]
async fn a_killed_supervisor_leaves_nothing_running() {
    let mut p = Processes::new();
    let launch = sh("echo $$; exec sleep 1000");
    p.runtime.start(&launch).await.unwrap();
    let pid: i32 = first_line(&p.runtime, launch.id).await.parse().unwrap();
    let supervisor = json(&p.home.of(&launch), "running.json")["supervisor"].as_i64().unwrap();
    let supervisor = nix::unistd::Pid::from_raw(supervisor.try_into().unwrap());
    nix::sys::signal::kill(supervisor, nix::sys::signal::Signal::SIGKILL).unwrap();
    let outcome = exited(&mut p.events, &launch).await;
    assert_eq!(outcome.to_string(), "ended unseen: its supervisor was killed");
    until("the program ends", async || !alive(pid)).await;
    p.runtime.remove(launch.id).await.unwrap();
}

#[tokio::test]
async fn the_number_of_processes_is_limited_or_it_is_said() {
    let mut p = Processes::configured(|config| config.pids_max = 5);
    let launch = sh("for i in 1 2 3 4 5 6; do sleep 1000 & echo started; done");
    p.runtime.start(&launch).await.unwrap();
    exited(&mut p.events, &launch).await;
    let started = lines(&p.runtime, launch.id, LogOptions::default()).await;
    let started = started.iter().filter(|line| *line == "o started").count();
    let held = p.runtime.facts().await.enforces.iter().any(|limit| limit == "pids");
    let notes = notes(&p.runtime, launch.id).await;
    let said = notes.iter().any(|note| note.starts_with("the limit of number of processes is not enforced"));
    assert_eq!((held, started < 6), (!said, held), "{started} {notes:?}");
}

#[test]
fn an_ordinary_user_hears_which_limits_do_not_hold_needs_root() {
    let suite = std::env::current_exe().unwrap();
    let as_nobody = |words: &[&str]| {
        let mut test = std::process::Command::new(&suite);
        test.args(words).arg("--nocapture").current_dir("/").uid(65534).gid(65534).output()
    };
    if !root() || as_nobody(&["--list"]).is_err() {
        return println!("skipped: needs root, and a checkout that others can read");
    }
    let filters = ["process_keeps::a_memory_limit", "process_keeps::a_cpu_limit", "or_it_is_said"];
    let said = as_nobody(&filters).unwrap();
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("test result: ok. 3 passed"), "{said}");
    assert!(said.contains("enforces []"), "{said}");
}

#[tokio::test]
async fn exec_finds_no_program() {
    let p = Processes::new();
    let launch = sh("exec sleep 1000");
    p.runtime.start(&launch).await.unwrap();
    let exec = p.runtime.exec(launch.id, vec!["no-such-program".into()], None).await.unwrap();
    let (_, err, code) = outputs(exec).await;
    assert_eq!(code, Some(127));
    assert!(err.contains("`no-such-program` was not found"), "{err}");
    p.runtime.remove(launch.id).await.unwrap();
}

#[test]
fn a_command_that_was_paused_holds_no_agent_up() {
    let (done, finished) = std::sync::mpsc::channel();
    let agent = std::thread::spawn(move || {
        let tokio = tokio::runtime::Runtime::new().unwrap();
        let home = tokio.block_on(async {
            let p = Processes::new();
            let launch = sh("echo up; exec sleep 1000");
            p.runtime.start(&launch).await.unwrap();
            first_line(&p.runtime, launch.id).await;
            let words = ["/bin/sh", "-c", "echo in; sleep 1000"].map(str::to_owned).to_vec();
            let mut exec = p.runtime.exec(launch.id, words, None).await.unwrap();
            exec.output.try_next().await.unwrap().unwrap();
            p.runtime.pause(launch.id).await.unwrap();
            // As a tunnel does that is waiting for the command when the agent is asked to end.
            let waiting = tokio::time::timeout(Duration::from_millis(100), exec.output.try_next());
            assert!(waiting.await.is_err(), "it is frozen with its instance");
            p.home
        });
        drop(tokio);
        done.send(()).unwrap();
        drop(home);
    });
    finished.recv_timeout(common::SOON).unwrap();
    agent.join().unwrap();
}

#[tokio::test]
async fn volumes_that_a_process_cannot_have_are_refused() {
    let p = Processes::new();
    let mut launch = sh("true");
    let (source, target) = ("/srv".into(), "/data".into());
    launch.spec.volumes.push(holm_model::service::Volume { source, target, read_only: false });
    let error = p.runtime.start(&launch).await.unwrap_err();
    assert!(error.to_string().starts_with("runtime `process` cannot show `/srv` at `/data`"), "{error}");
}

#[tokio::test]
async fn the_life_before_is_found_in_the_log() {
    let mut p = Processes::new();
    let mut launch = sh("echo first; echo again >&2");
    let previous = || LogOptions { previous: true, ..LogOptions::default() };
    p.runtime.start(&launch).await.unwrap();
    exited(&mut p.events, &launch).await;
    assert_eq!(lines(&p.runtime, launch.id, previous()).await, [""; 0], "there was none before");
    for (incarnation, word) in [(2, "second"), (3, "third")] {
        launch.incarnation = incarnation;
        launch.spec.command[2] = format!("echo {word}");
        p.runtime.start(&launch).await.unwrap();
        exited(&mut p.events, &launch).await;
    }
    assert_eq!(lines(&p.runtime, launch.id, previous()).await, ["o second"]);
    let pattern = Some(holm_runtime::pattern("^(fir|thi)").unwrap());
    let found = LogOptions { pattern, ..LogOptions::default() };
    assert_eq!(lines(&p.runtime, launch.id, found).await, ["o first", "o third"]);
    p.runtime.remove(launch.id).await.unwrap();
}

/// Since the machine was started.
fn boot_time() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap().into()
}

#[tokio::test]
async fn what_is_leased_ends_with_its_lease_though_nobody_says_so() {
    let mut p = Processes::new();
    let mut launch = sh("trap 'echo asked' TERM; while :; do sleep 0.1; done");
    let began = Instant::now();
    launch.lease = Some(boot_time() + Duration::from_secs(4));
    p.runtime.start(&launch).await.unwrap();
    // Renewed once; then its agent says nothing any more.
    p.runtime.lease(launch.id, boot_time() + Duration::from_secs(6)).await.unwrap();
    let outcome = exited(&mut p.events, &launch).await;
    let ran = began.elapsed();
    assert_eq!(outcome.end, End::Signal(9), "it did not listen");
    assert!(outcome.lease, "{outcome}");
    assert!((Duration::from_secs(5)..Duration::from_secs(10)).contains(&ran), "{ran:?}");
    let said = lines(&p.runtime, launch.id, LogOptions::default()).await;
    assert!(said.contains(&"o asked".to_owned()), "{said:?}");
}

#[tokio::test]
async fn a_lease_of_an_earlier_start_is_none() {
    let mut p = Processes::new();
    let mut launch = sh("sleep 30");
    launch.lease = Some(boot_time() + Duration::from_secs(6));
    p.runtime.start(&launch).await.unwrap();
    assert!(exited(&mut p.events, &launch).await.lease);
    (launch.incarnation, launch.lease) = (2, None);
    launch.spec.command = vec!["/bin/sh".into(), "-c".into(), "sleep 0.3".into()];
    p.runtime.start(&launch).await.unwrap();
    assert_eq!(exited(&mut p.events, &launch).await.end, End::Code(0));
}

#[tokio::test]
async fn whoever_listens_to_the_end_of_its_lease_has_not_ended_by_itself() {
    let mut p = Processes::new();
    let mut launch = sh("trap 'exit 0' TERM; while :; do sleep 0.05; done");
    launch.lease = Some(boot_time() + Duration::from_secs(6));
    p.runtime.start(&launch).await.unwrap();
    let outcome = exited(&mut p.events, &launch).await;
    assert_eq!((outcome.end, outcome.lease), (End::Code(0), true));
    // What ended before anybody asked has.
    let mut launch = sh("exit 0");
    launch.lease = Some(boot_time() + Duration::from_secs(30));
    p.runtime.start(&launch).await.unwrap();
    let outcome = exited(&mut p.events, &launch).await;
    assert_eq!((outcome.end, outcome.lease), (End::Code(0), false));
}

#[tokio::test]
async fn what_could_not_run_for_long_enough_is_not_started() {
    let p = Processes::new();
    let mut launch = sh("touch ran; sleep 30");
    launch.lease = Some(boot_time() + Duration::from_secs(1));
    let error = p.runtime.start(&launch).await.unwrap_err();
    assert!(matches!(error, RunError::LeaseOver { .. }) && error.retry(), "{error}");
    let survivors = p.runtime.survivors().await.unwrap();
    assert!(survivors.iter().all(|survivor| survivor.state != SurvivorState::Running), "{survivors:?}");
    launch.lease = Some(boot_time() + Duration::from_secs(30));
    p.runtime.start(&launch).await.unwrap();
    p.runtime.remove(launch.id).await.unwrap();
}
