//! Waiting for the end of a supervisor, and reading how its program ended.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holm_model::id::AssignmentId;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::Shared;
use super::cgroup::Group;
use super::dir::{self, Ended, InstanceDir, Running};
use super::live::Live;
use super::proc;
use super::sys;
use crate::event::{EventKind, Outcome, RuntimeEvent};

/// Sends the event when `live` ends.
pub(super) fn watch(shared: &Arc<Shared>, id: AssignmentId, live: Arc<Live>) {
    let (dropped, shared) = (shared.dropped.clone(), Arc::clone(shared));
    tokio::spawn(dropped.run_until_cancelled_owned(async move {
        if let Err(error) = ended(&live).await {
            tracing::error!(instance = %id, %error, "its end will not be seen");
            return;
        }
        let (dir, seen) = (shared.dir(id), Arc::clone(&live));
        let outcome = tokio::task::spawn_blocking(move || outcome(&dir, &seen))
            .await
            .unwrap_or_else(|panic| Outcome::lost(panic.to_string()));
        shared.live.remove(id, &live);
        let incarnation = live.running.incarnation;
        let event = RuntimeEvent { id, incarnation, kind: EventKind::Exited(outcome) };
        // Nobody listens: the agent is going down, and the next one reads the exit file.
        let _ = shared.events.send(event).await;
        live.say_ended();
    }));
}

async fn ended(live: &Live) -> io::Result<()> {
    sys::readable(live.pidfd.try_clone()?)?.readable().await.map(drop)?;
    // Ours only where the agent is the first process of a container, and its nursery is dead.
    let _ = waitid(WaitId::PidFd(live.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    Ok(())
}

/// How the incarnation ended whose supervisor has just ended.
fn outcome(dir: &InstanceDir, live: &Live) -> Outcome {
    let incarnation = live.running.incarnation;
    match dir::read_json::<Ended>(&dir.exit()) {
        Ok(Some(ended)) if ended.incarnation == incarnation => ended.outcome,
        Err(error) => lost(live, &format!("its exit file cannot be read: {error}")),
        Ok(_) => lost(live, "its supervisor was killed"),
    }
}

/// Nothing of a program may run without a supervisor: its end would not be seen.
fn lost(live: &Live, reason: &str) -> Outcome {
    end_orphans(&live.running, &live.group);
    Outcome::lost(reason)
}

/// Ends what the supervisor of `dir` left behind when it was killed, perhaps before it said its pid.
///
/// # Errors
/// When its pids cannot be read; its group is ended all the same.
pub(super) fn end_rest(dir: &InstanceDir, group: &Group) -> io::Result<()> {
    let running = dir::read_json::<Running>(&dir.running());
    match &running {
        Ok(Some(running)) => end_orphans(running, group),
        _ => kill_all(group),
    }
    running.map(drop)
}

/// Ends what a killed supervisor left behind.
pub(super) fn end_orphans(running: &Running, group: &Group) {
    if proc::start(running.program) == Some(running.program_start) {
        // It may end by itself at this moment.
        let _ = killpg(Pid::from_raw(running.program), Signal::SIGKILL);
    }
    kill_all(group);
}

/// Kills until the group is empty, for at most a second: whoever resists waits inside the kernel.
pub(super) fn kill_all(group: &Group) {
    let give_up = Instant::now() + Duration::from_secs(1);
    while !group.kill() && Instant::now() < give_up {
        // A group tells nobody that it became empty (version 1), and this happens only after a crash.
        std::thread::sleep(Duration::from_millis(1));
    }
}
