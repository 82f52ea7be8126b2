//! What the suites share: launches to try, and waiting for what must come.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use holm_model::id::{AssignmentId, Epoch, Uid, WishId};
use holm_model::name::Name;
use holm_model::service::ServiceSpec;
use holm_model::tunnel::{ExecOut, LogStream, Terminal, WindowSize};
use holm_runtime::process::cgroup::Cgroups;
use holm_runtime::process::{ProcessConfig, ProcessRuntime};
use holm_runtime::{EventKind, Exec, Launch, LogOptions, Outcome, Runtime, RuntimeEvent};
use tokio::sync::mpsc;

/// Longer than anything here takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) fn root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// The sockets of the engines that the tests may use.
pub(crate) fn docker() -> Option<PathBuf> {
    engine("HOLM_TEST_DOCKER")
}

pub(crate) fn podman() -> Option<PathBuf> {
    engine("HOLM_TEST_PODMAN")
}

fn engine(variable: &str) -> Option<PathBuf> {
    let Ok(socket) = std::env::var(variable) else {
        println!("skipped: {variable} names no container engine");
        return None;
    };
    Some(socket.trim_start_matches("unix://").into())
}

/// An id that no other test, in this process or another, uses at the same time.
pub(crate) fn fresh_id() -> AssignmentId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let epoch = Epoch::new(1, u64::from(std::process::id()));
    AssignmentId(Uid { epoch, counter: NEXT.fetch_add(1, Ordering::Relaxed) })
}

pub(crate) fn launch(runtime: &str, command: &[&str]) -> Launch {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    let mut spec = ServiceSpec::new(Name::new(runtime).unwrap(), command);
    if runtime == "container" {
        spec.image = Some("holm-test:1".into());
    }
    Launch {
        id: fresh_id(),
        incarnation: 1,
        project: Name::new("default").unwrap(),
        name: "building/web/1".into(),
        wish: WishId(fresh_id().0),
        spec,
        env: BTreeMap::new(),
        ports: BTreeMap::new(),
        given: holm_runtime::Given::default(),
        files: None,
        lease: None,
        step: None,
        after_steps: false,
    }
}

pub(crate) fn sh(script: &str) -> Launch {
    launch("process", &["/bin/sh", "-c", script])
}

/// Where a process driver keeps its instances; they are ended with it.
pub(crate) struct Home {
    pub(crate) root: PathBuf,
    cgroups: Cgroups,
    /// Removed behind the rest.
    dir: Option<tempfile::TempDir>,
}

pub(crate) struct Processes {
    pub(crate) runtime: ProcessRuntime,
    pub(crate) events: mpsc::Receiver<RuntimeEvent>,
    pub(crate) home: Home,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The programs' user must pass through.
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut home = Self::at(dir.path().join("process"));
        home.dir = Some(dir);
        home
    }

    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root, cgroups: Cgroups::detect(&format!("test-{}", fresh_id())), dir: None }
    }

    pub(crate) fn without_cgroups() -> Self {
        let mut home = Self::new();
        home.cgroups.retire();
        home.cgroups = Cgroups::none();
        home
    }

    pub(crate) fn of(&self, launch: &Launch) -> PathBuf {
        self.root.join(launch.id.to_string())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let text = std::fs::read(entry.path().join("running.json")).unwrap_or_default();
            let Ok(running) = serde_json::from_slice::<serde_json::Value>(&text) else { continue };
            let pid = running["supervisor"].as_i64().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let give_up = Instant::now() + Duration::from_secs(5);
            if name.starts_with("holm-supervise") {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGUSR1);
                while alive(pid) && Instant::now() < give_up {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        self.cgroups.retire();
    }
}

impl Processes {
    pub(crate) fn new() -> Self {
        Self::on(Home::new(), |_| {})
    }

    pub(crate) fn configured(change: impl Fn(&mut ProcessConfig)) -> Self {
        Self::on(Home::new(), change)
    }

    pub(crate) fn on(home: Home, change: impl Fn(&mut ProcessConfig)) -> Self {
        let mut config = config(&home.root);
        change(&mut config);
        let (send, events) = mpsc::channel(64);
        let runtime = ProcessRuntime::new(config, home.cgroups.clone(), send);
        Self { runtime, events, home }
    }

    /// As after a restart of the agent.
    pub(crate) fn restarted(self) -> Self {
        drop(self.runtime);
        Self::on(self.home, |_| {})
    }
}

pub(crate) fn config(root: &Path) -> ProcessConfig {
    let supervisor = PathBuf::from(env!("CARGO_BIN_EXE_holm-supervise-test"));
    let mut config = ProcessConfig::new(root.to_owned(), supervisor.clone());
    config.supervisor = (supervisor, Vec::new());
    config
}

pub(crate) async fn exited(events: &mut mpsc::Receiver<RuntimeEvent>, launch: &Launch) -> Outcome {
    let wait = async {
        loop {
            let event = events.recv().await.expect("the driver lives");
            if let EventKind::Exited(outcome) = event.kind {
                assert_eq!((event.id, event.incarnation), (launch.id, launch.incarnation));
                return outcome;
            }
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("it ends soon")
}

/// Lines as `o text`, `e text`; the node's own are left out.
pub(crate) async fn lines(runtime: &dyn Runtime, id: AssignmentId, options: LogOptions) -> Vec<String> {
    let lines = runtime.logs(id, options).await.unwrap();
    lines
        .try_filter_map(|line| async move {
            let stream = match line.stream {
                LogStream::Stdout => "o",
                LogStream::Stderr => "e",
                LogStream::Node => return Ok(None),
            };
            Ok(Some(format!("{stream} {}", String::from_utf8_lossy(&line.text))))
        })
        .try_collect()
        .await
        .unwrap()
}

pub(crate) async fn notes(runtime: &dyn Runtime, id: AssignmentId) -> Vec<String> {
    let lines = runtime.logs(id, LogOptions::default()).await.unwrap();
    let notes = lines.try_filter(|line| std::future::ready(line.stream == LogStream::Node));
    notes.map_ok(|line| String::from_utf8_lossy(&line.text).into_owned()).try_collect().await.unwrap()
}

/// The first line that is written.
pub(crate) async fn first_line(runtime: &dyn Runtime, id: AssignmentId) -> String {
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    let lines = runtime.logs(id, follow).await.unwrap();
    let mut lines = std::pin::pin!(lines.try_filter(|l| std::future::ready(l.stream == LogStream::Stdout)));
    let line = tokio::time::timeout(SOON, lines.next()).await.expect("a line soon").unwrap().unwrap();
    String::from_utf8_lossy(&line.text).into_owned()
}

/// Standard output, standard error and exit code.
pub(crate) async fn outputs(mut exec: Exec) -> (String, String, Option<i32>) {
    drop(std::mem::replace(&mut exec.stdin, Box::new(tokio::io::sink())));
    let (mut out, mut err, mut code) = (Vec::new(), Vec::new(), None);
    let collect = async {
        while let Some(item) = exec.output.try_next().await.unwrap() {
            match item {
                ExecOut::Stdout(bytes) => out.extend(bytes),
                ExecOut::Stderr(bytes) => err.extend(bytes),
                ExecOut::Exit(exit) => code = Some(exit),
            }
        }
    };
    tokio::time::timeout(SOON, collect).await.expect("the command ends soon");
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), code)
}

pub(crate) fn terminal(columns: u16, rows: u16) -> Terminal {
    Terminal::new("vt100", WindowSize { columns, rows }).unwrap()
}

/// A command in a terminal, and what it has shown.
pub(crate) struct Shown {
    pub(crate) exec: Exec,
    seen: String,
}

impl Shown {
    pub(crate) fn new(exec: Exec) -> Self {
        Self { exec, seen: String::new() }
    }

    /// Waits for `text`, and forgets what came before it.
    pub(crate) async fn until(&mut self, text: &str) {
        self.before(text).await;
    }

    /// What comes before `text`; both are forgotten.
    pub(crate) async fn before(&mut self, text: &str) -> String {
        let wait = async {
            loop {
                if let Some(at) = self.seen.find(text) {
                    let before = self.seen[..at].to_owned();
                    self.seen.drain(..at + text.len());
                    return before;
                }
                match self.exec.output.try_next().await.unwrap() {
                    Some(ExecOut::Stdout(bytes)) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                    other => panic!("{other:?} instead of {text:?} behind {:?}", self.seen),
                }
            }
        };
        tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("no {text:?}"))
    }

    pub(crate) async fn exit(&mut self) -> i32 {
        let wait = async {
            loop {
                if let ExecOut::Exit(code) = self.exec.output.try_next().await.unwrap().expect("an exit code")
                {
                    return code;
                }
            }
        };
        tokio::time::timeout(SOON, wait).await.expect("it ends soon")
    }
}

pub(crate) fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Waits for a condition that no event announces.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let give_up = Instant::now() + SOON;
    while !condition().await {
        assert!(Instant::now() < give_up, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
