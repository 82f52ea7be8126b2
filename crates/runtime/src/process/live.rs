//! Instances whose supervisors live, as far as this agent knows.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use holm_model::id::AssignmentId;
use holm_model::service;
use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;

use super::cgroup::Group;
use super::dir::Running;
use super::proc;
use crate::reading::{Moved, Reading};

/// A supervisor that lives, or did a moment ago.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) running: Running,
    pub(crate) group: Group,
    pub(crate) pidfd: OwnedFd,
    /// True when it has ended.
    ended: watch::Sender<bool>,
    /// CPU time at the last measurement.
    sample: Mutex<Option<(Instant, Duration)>>,
}

/// All of them, by instance.
#[derive(Debug, Default)]
pub(crate) struct Table(Mutex<BTreeMap<AssignmentId, Arc<Live>>>);

/// # Errors
/// When there is no such process.
pub(crate) fn open_pidfd(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

// === impl Live ===

impl Live {
    pub(crate) fn new(running: Running, group: Group, pidfd: OwnedFd) -> Self {
        Self { running, group, pidfd, ended: watch::Sender::new(false), sample: Mutex::new(None) }
    }

    /// One of the supervisor's commands; no other process can get it.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let number =
            rustix::process::Signal::from_named_raw(signal as i32).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(pidfd_send_signal(&self.pidfd, number)?)
    }

    /// To the program itself; no other process can get it.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn tell(&self, signal: service::Signal) -> io::Result<()> {
        let Running { program, program_start, .. } = self.running;
        let pidfd = open_pidfd(program)?;
        if proc::start(program) != Some(program_start) {
            return Err(io::Error::from_raw_os_error(nix::errno::Errno::ESRCH as i32));
        }
        let number = match signal {
            service::Signal::Hup => rustix::process::Signal::HUP,
            service::Signal::Int => rustix::process::Signal::INT,
            service::Signal::Quit => rustix::process::Signal::QUIT,
            service::Signal::Term => rustix::process::Signal::TERM,
            service::Signal::Usr1 => rustix::process::Signal::USR1,
            service::Signal::Usr2 => rustix::process::Signal::USR2,
        };
        Ok(pidfd_send_signal(&pidfd, number)?)
    }

    pub(crate) fn paused(&self) -> bool {
        self.group.frozen() || proc::stopped(self.running.program)
    }

    pub(crate) fn say_ended(&self) {
        self.ended.send_replace(true);
    }

    /// Whether it ended within `limit`.
    pub(crate) async fn ends_within(&self, limit: Duration) -> bool {
        let mut ended = self.ended.subscribe();
        tokio::time::timeout(limit, ended.wait_for(|ended| *ended)).await.is_ok()
    }

    pub(crate) fn usage(&self) -> Reading {
        let charge = self.group.charge().unwrap_or_else(|| proc::charge_below(self.running.supervisor));
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (time, cpu) = match *sample {
            Some((at, cpu)) => (now - at, charge.cpu.saturating_sub(cpu)),
            None => (proc::age(self.running.program_start), charge.cpu),
        };
        *sample = Some((now, charge.cpu));
        let cpu_millis = millis_of_core(cpu, time);
        Reading { cpu_millis, memory: charge.memory, disk: self.disk(), network: None }
    }

    /// The network is the machine's, and not told apart by process.
    fn disk(&self) -> Option<Moved> {
        let supervisor = self.running.supervisor;
        let members = self.group.members().unwrap_or_else(|| proc::pids_below(supervisor));
        proc::moved(members.into_iter().filter(|pid| *pid != supervisor))
    }
}

/// Thousandths of a core in use when `cpu` was spent within `time`.
pub(crate) fn millis_of_core(cpu: Duration, time: Duration) -> u64 {
    let used = cpu.as_micros() * 1000 / time.as_micros().max(1);
    u64::try_from(used).unwrap_or(u64::MAX)
}

// === impl Table ===

impl Table {
    pub(crate) fn get(&self, id: AssignmentId) -> Option<Arc<Live>> {
        self.lock().get(&id).cloned()
    }

    pub(crate) fn insert(&self, id: AssignmentId, live: Arc<Live>) {
        self.lock().insert(id, live);
    }

    /// Forgets `live`, not one that replaced it.
    pub(crate) fn remove(&self, id: AssignmentId, live: &Arc<Live>) {
        let mut table = self.lock();
        if table.get(&id).is_some_and(|there| Arc::ptr_eq(there, live)) {
            table.remove(&id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AssignmentId, Arc<Live>>> {
        // Nothing is changed in two steps: a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
