//! One daemon of the demo: our own program in a process group of its own, so that Ctrl-C reaches only
//! the demo, which then ends everything in order.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use holm_model::duration::Span;
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{self, ChildStdout, Command};
use tokio::time::{Instant, timeout, timeout_at};

use super::ground::Ground;
use super::process::Process;
use crate::failure::Failure;
use crate::roles::orchestrator::READY;

#[derive(Debug)]
pub(super) struct Child {
    name: String,
    process: Process,
    handle: process::Child,
}

/// What an orchestrator says at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) address: String,
    pub(super) fingerprint: String,
}

/// A daemon that does not end by itself is killed after this.
const GRACE: Duration = Duration::from_secs(10);

// === impl Child ===

impl Child {
    /// `namespace`: a network namespace to run in. `token` is given by the environment: `ps` shows it
    /// to nobody.
    pub(super) fn start(
        ground: &mut Ground,
        name: &str,
        arguments: &[String],
        token: Option<&str>,
        namespace: Option<&Path>,
    ) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure::from_error(format!("{name} cannot be started"), &e);
        let log = File::create(ground.log(name)).map_err(failed)?;
        let mut command = match namespace {
            None => Command::new(ground.program()),
            // Not `ip netns exec`: that one hides the control groups.
            Some(path) => {
                let mut enter = Command::new("nsenter");
                enter.arg(format!("--net={}", path.display())).arg("--").arg(ground.program());
                enter
            }
        };
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("HOLM_")) {
            command.env_remove(key);
        }
        if let Some(token) = token {
            command.env("HOLM_TOKEN", token);
        }
        command.args(arguments).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::from(log));
        let handle = command.spawn().map_err(failed)?;
        let process = handle.id().and_then(|pid| Process::now(i32::try_from(pid).ok()?));
        let process = process.ok_or_else(|| Failure::new(format!("{name} has ended at once")))?;
        let child = Self { name: name.to_owned(), process, handle };
        ground.note(|record| record.children.push(process))?;
        Ok(child)
    }

    /// Reads what an orchestrator says at its start.
    pub(super) async fn ready(&mut self, limit: Duration) -> Result<Ready, Failure> {
        let Some(stdout) = self.handle.stdout.take() else { return Ok(Ready::default()) };
        let mut lines = BufReader::new(stdout).lines();
        let ready = timeout(limit, read(&mut lines)).await;
        // Whatever else it says must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        match ready {
            Ok(Some(ready)) => Ok(ready),
            Ok(None) => Err(Failure::new(format!("{} has ended before it was ready", self.name))),
            Err(_) => Err(Failure::new(format!("{} has not started within {}", self.name, Span(limit)))
                .hint("--timeout gives each step longer")),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has ended by itself, and how.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.handle.try_wait().ok().flatten().map(|status| status.to_string())
    }

    pub(super) async fn end(&mut self) {
        self.process.signal(Signal::SIGTERM);
        let deadline = Instant::now() + GRACE;
        if timeout_at(deadline, self.handle.wait()).await.is_err() {
            self.process.signal(Signal::SIGKILL);
            // Nothing more can be done about a process that the kernel does not end.
            let _ = timeout(GRACE, self.handle.wait()).await;
        }
    }
}

/// None when it ended before it was ready.
async fn read(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<Ready> {
    let mut ready = Ready::default();
    while let Some(line) = lines.next_line().await.ok()? {
        if let Some(address) = line.strip_prefix(READY) {
            ready.address = address.trim_start_matches("https://").to_owned();
        } else if let Some((_, fingerprint)) = line.split_once("fingerprint of the sea ") {
            ready.fingerprint = fingerprint.rsplit(": ").next().unwrap_or_default().to_owned();
            return Some(ready);
        }
    }
    None
}
