//! Commands that nobody wants any more. An engine ends none of them, not even when their input and output are
//! closed; the kernel does, where the agent sees the engine's processes and may signal them.

use std::fs;
use std::time::Duration;

use bollard::Docker;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::process::proc;

/// A command of the engine; ended when it is dropped before it has ended by itself.
#[derive(Debug)]
pub(super) struct Attended {
    client: Docker,
    exec: String,
    ended: bool,
}

/// For programs that save something when their terminal goes away.
const FAREWELL: Duration = Duration::from_secs(1);

// === impl Attended ===

impl Attended {
    pub(super) const fn new(client: Docker, exec: String) -> Self {
        Self { client, exec, ended: false }
    }

    /// It has told its exit code.
    pub(super) const fn ended(&mut self) {
        self.ended = true;
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        if let (false, Ok(handle)) = (self.ended, Handle::try_current()) {
            handle.spawn(end(self.client.clone(), std::mem::take(&mut self.exec)));
        }
    }
}

async fn end(client: Docker, exec: String) {
    signal(&client, &exec, Signal::SIGHUP).await;
    sleep(FAREWELL).await;
    // One that was only about to begin runs by now.
    signal(&client, &exec, Signal::SIGKILL).await;
}

/// Signals the command's session, if it runs.
async fn signal(client: &Docker, exec: &str, signal: Signal) {
    let Ok(command) = client.inspect_exec(exec).await else { return };
    let pid = command.pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 1);
    let (Some(true), Some(pid), Some(container)) = (command.running, pid, command.container_id) else {
        return;
    };
    // The engine may count from another start than we do: only the container's own processes are meant.
    let own = |pid: i32| {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"));
        !container.is_empty() && groups.is_ok_and(|groups| groups.contains(&container))
    };
    let members = if own(pid) { proc::session(pid) } else { Vec::new() };
    for member in members.into_iter().chain([pid]).filter(|pid| own(*pid)) {
        // It may end by itself at this moment.
        let _ = kill(Pid::from_raw(member), signal);
    }
}
