//! Finding again what an earlier agent on this data directory started.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::dir::{self, Ended, InstanceDir, Running};
use super::lease;
use super::live::{Live, open_pidfd};
use super::plan::Plan;
use super::supervise::KILL;
use super::watch;
use crate::error::{RunError, Step};
use crate::event::{Outcome, Survivor, SurvivorState};

/// A supervisor that was started by an agent that died at that moment says its pid within this time.
const START_LIMIT: Duration = Duration::from_secs(2);

const STEP_LOST: &str = "the agent ended during the steps before its start";

/// Blocks; must be called inside a tokio runtime.
///
/// # Errors
/// When the directory cannot be listed. A single instance that cannot be read is logged and left
/// alone.
pub(super) fn survivors(shared: &Arc<Shared>) -> Result<Vec<Survivor>, RunError> {
    let root = &shared.config.root;
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(RunError::file(Step::Survivors, root))?,
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let dir = InstanceDir(entry.path());
        match find(shared, &dir) {
            Ok(survivor) => found.extend(survivor),
            Err(error) => tracing::error!(dir = %dir.0.display(), %error, "an instance cannot be adopted"),
        }
    }
    Ok(found)
}

/// `None` when nothing was ever started there, or a step of this agent's own runs.
fn find(shared: &Arc<Shared>, dir: &InstanceDir) -> io::Result<Option<Survivor>> {
    let Some(plan) = dir::read_json::<Plan>(&dir.plan())? else { return Ok(None) };
    if plan.step.is_some() && shared.live.get(plan.id).is_some() {
        return Ok(None);
    }
    let state = match supervisor(dir)? {
        // Nobody is left who would start the program behind it.
        Some(step) if plan.step.is_some() => {
            // It may end by itself at this moment.
            let _ = step.with_group(&plan).signal(KILL);
            SurvivorState::Exited(Outcome::lost(STEP_LOST))
        }
        Some(live) => {
            let live = Arc::new(live.with_group(&plan));
            let state = if live.paused() { SurvivorState::Paused } else { SurvivorState::Running };
            if shared.live.get(plan.id).is_none() {
                shared.live.insert(plan.id, Arc::clone(&live));
                watch::watch(shared, plan.id, live);
            }
            state
        }
        // However the step ended, the program was not started.
        None if plan.step.is_some() => {
            outcome(dir, &plan)?;
            SurvivorState::Exited(Outcome::lost(STEP_LOST))
        }
        None => SurvivorState::Exited(outcome(dir, &plan)?),
    };
    // One that cannot be read is asked for anew.
    let lease = lease::read(dir).ok().flatten();
    Ok(Some(Survivor { id: plan.id, incarnation: plan.incarnation, state, ports: plan.ports, lease }))
}

/// A supervisor that was seen to hold the lock while its pidfd was open.
#[derive(Debug)]
struct Found {
    running: Running,
    pidfd: std::os::fd::OwnedFd,
}

/// The supervisor of `dir` if it lives. Its pid alone would prove nothing, the lock does: who held it
/// after the pidfd was opened was alive then, so the pid had not been given to another process.
fn supervisor(dir: &InstanceDir) -> io::Result<Option<Found>> {
    let give_up = Instant::now() + START_LIMIT;
    while locked(&dir.lock())? {
        if let Some(running) = dir::read_json::<Running>(&dir.running())?
            && let Ok(pidfd) = open_pidfd(running.supervisor)
            && locked(&dir.lock())?
        {
            return Ok(Some(Found { running, pidfd }));
        }
        if Instant::now() >= give_up {
            return Err(io::Error::other("its supervisor lives but does not say its pid"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(None)
}

fn locked(path: &Path) -> io::Result<bool> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        file => match file?.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        },
    }
}

fn outcome(dir: &InstanceDir, plan: &Plan) -> io::Result<Outcome> {
    if let Some(ended) = dir::read_json::<Ended>(&dir.exit())?
        && ended.incarnation == plan.incarnation
    {
        return Ok(ended.outcome);
    }
    let boot_id = procfs::sys::kernel::random::boot_id().unwrap_or_default();
    if boot_id != plan.boot_id {
        return Ok(Outcome::lost("the machine was restarted"));
    }
    watch::end_rest(dir, &plan.group)?;
    Ok(Outcome::lost("its supervisor was killed"))
}

// === impl Found ===

impl Found {
    fn with_group(self, plan: &Plan) -> Live {
        Live::new(self.running, plan.group.clone(), self.pidfd)
    }
}
