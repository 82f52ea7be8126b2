//! Everything before the program runs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{chdir, close, dup2_stdin, dup2_stdout, pipe2, setsid, write};

use super::enter::{self, Part};
use crate::process::order::{Failed, Hope};
use crate::process::plan::Plan;
use crate::process::sys;

/// Closes everything that leaked from the agent; returns what was standard input.
///
/// # Errors
/// Those of the kernel.
pub(super) fn inherit() -> io::Result<OwnedFd> {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for leaked in open.into_iter().filter(|fd| *fd > 2) {
        // The directory's own descriptor is in the list and closed already.
        let _ = close(leaked);
    }
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    Ok(input)
}

/// Leaves the agent's session, directory and service, for the nursery and all that it will fork.
///
/// # Errors
/// Those of the kernel.
pub(super) fn leave_agent(refuges: &[PathBuf]) -> io::Result<()> {
    // Fails only for the leader of a group, which is as good.
    let _ = setsid();
    chdir("/")?;
    prctl::set_name(c"holm-nursery")?;
    for refuge in refuges {
        // Only a service manager that ends the agent's whole group would be noticed.
        let _ = std::fs::write(refuge.join("cgroup.procs"), "0");
    }
    Ok(())
}

/// Becomes independent of the nursery, and the parent of every orphan below.
///
/// # Errors
/// Those of the kernel.
pub(super) fn leave_nursery() -> io::Result<()> {
    setsid()?;
    prctl::set_name(c"holm-supervise")?;
    Ok(prctl::set_child_subreaper(true)?)
}

/// Signals as something to read; none interrupts anything from then on.
///
/// # Errors
/// Those of the kernel.
pub(super) fn signals(handled: &[Signal]) -> io::Result<SignalFd> {
    let mut all = SigSet::all();
    for fault in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGABRT] {
        all.remove(fault);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None)?;
    let handled: SigSet = handled.iter().copied().collect();
    Ok(SignalFd::with_flags(&handled, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

fn hope(error: &io::Error) -> Hope {
    let lasting = matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound)
        || error.raw_os_error() == Some(nix::errno::Errno::ENOEXEC as i32);
    if lasting { Hope::Never } else { Hope::Later }
}

/// Starts the program with `given` besides its environment; its outputs can be read without waiting.
///
/// # Errors
/// What failed, for the agent.
pub(super) fn spawn(plan: &Plan, given: &BTreeMap<String, String>) -> Result<Child, Failed> {
    let failed = |step: &str, error: &io::Error| Failed {
        step: step.to_owned(),
        reason: error.to_string(),
        hope: hope(error),
    };
    let (told, tell) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed("making a pipe", &errno.into()))?;
    let mut command = enter::command(&plan.task);
    command.envs(given);
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (task, entrances) = (plan.task.clone(), plan.group.entrances());
    sys::before_exec(&mut command, move || {
        enter::enter(&task, &entrances).map_err(|(part, error)| {
            // Without it only the step's name is missing.
            let _ = write(&tell, &[part as u8]);
            error
        })
    });
    let spawned = command.spawn();
    // Closes this side's end, so that reading ends.
    drop(command);
    let child = spawned.map_err(|error| {
        let mut part = [0];
        let _ = File::from(told).read(&mut part);
        let program = format!("starting `{}`", plan.task.program.display());
        failed(Part::from_number(part[0]).map_or(&program, |part| part.name()), &error)
    })?;
    let outputs = [child.stdout.as_ref().map(AsFd::as_fd), child.stderr.as_ref().map(AsFd::as_fd)];
    for output in outputs.into_iter().flatten() {
        fcntl(output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(|errno| failed("preparing the log", &errno.into()))?;
    }
    Ok(child)
}
