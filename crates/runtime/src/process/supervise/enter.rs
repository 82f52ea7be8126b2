//! How a child becomes what the plan says: its groups, limits, user and directory.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::stat::{Mode, SFlag, fstat, umask};
use nix::unistd::{Gid, Uid, chdir, fchown, isatty, setgroups, setresgid, setresuid};

use crate::process::plan::Task;

/// Which part of entering failed; its number travels from the child to the supervisor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Group = 1,
    Rights,
    User,
    WorkDir,
}

/// Everything between fork and exec.
///
/// # Errors
/// The part that failed and the kernel's reason.
pub(super) fn enter(task: &Task, entrances: &[PathBuf]) -> Result<(), (Part, io::Error)> {
    for entrance in entrances {
        fs::write(entrance, "0").map_err(|error| (Part::Group, error))?;
    }
    let at = |part| move |errno: nix::errno::Errno| (part, io::Error::from(errno));
    // What the supervisor blocks for itself is not for the program.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(at(Part::Rights))?;
    umask(Mode::from_bits_truncate(0o022));
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(at(Part::Rights))?;
    prctl::set_no_new_privs().map_err(at(Part::Rights))?;
    if task.own_workdir {
        chdir(&task.workdir).map_err(at(Part::WorkDir))?;
    }
    if let Some(identity) = &task.identity {
        let groups: Vec<Gid> = identity.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
        own_outputs(uid, gid).map_err(at(Part::User))?;
        setgroups(&groups).map_err(at(Part::User))?;
        setresgid(gid, gid, gid).map_err(at(Part::User))?;
        setresuid(uid, uid, uid).map_err(at(Part::User))?;
    }
    if !task.own_workdir {
        chdir(&task.workdir).map_err(at(Part::WorkDir))?;
    }
    Ok(())
}

/// Gives the program's output pipes or terminal to its user, so that it can open them by name
/// (`/dev/stdout`), as nginx and others do. Nothing else: `/dev/null` for one belongs to the machine.
fn own_outputs(uid: Uid, gid: Gid) -> nix::Result<()> {
    for output in [io::stdout().as_fd(), io::stderr().as_fd()] {
        let pipe = SFlag::from_bits_truncate(fstat(output)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFIFO;
        if pipe || isatty(output).unwrap_or(false) {
            fchown(output, Some(uid), Some(gid))?;
        }
    }
    Ok(())
}

/// The command of `task` with a clean environment.
pub(super) fn command(task: &Task) -> Command {
    let mut command = Command::new(&task.program);
    if let Some((word, rest)) = task.command.split_first() {
        command.arg0(word).args(rest);
    }
    command.env_clear().envs(&task.env);
    command
}

// === impl Part ===

impl Part {
    pub(super) fn from_number(number: u8) -> Option<Self> {
        [Self::Group, Self::Rights, Self::User, Self::WorkDir].into_iter().find(|p| *p as u8 == number)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Group => "entering the control group",
            Self::Rights => "giving up rights",
            Self::User => "changing the user",
            Self::WorkDir => "entering the working directory",
        }
    }
}
