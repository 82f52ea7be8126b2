//! The helper that becomes a command beside an instance.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::setsid;
use rustix::process::ioctl_tiocsctty;

use super::enter;
use crate::process::dir::{InstanceDir, Running, read_json};
use crate::process::given;
use crate::process::plan::{Plan, Task};
use crate::process::program;

/// What the command's standard input and outputs are.
#[derive(Debug)]
pub(super) enum Face {
    Pipes,
    Terminal {
        /// `TERM`.
        kind: OsString,
    },
}

/// Becomes `words`, run beside the instance of `dir`; it ends with the agent, however that ends. Returns only
/// when that fails.
pub(super) fn run(dir: PathBuf, face: Face, words: &[OsString]) -> i32 {
    if let Err(error) = lead(&face) {
        return refuse(&format!("taking the terminal: {error}"), 126);
    }
    let task = match task(dir, face, words) {
        Ok((task, entrances)) => {
            if let Err((part, error)) = enter::enter(&task, &entrances) {
                return refuse(&format!("{}: {error}", part.name()), 126);
            }
            task
        }
        Err((reason, code)) => return refuse(&reason, code),
    };
    if let Err(errno) = prctl::set_pdeathsig(Signal::SIGKILL) {
        return refuse(&format!("binding it to the agent: {errno}"), 126);
    }
    refuse(&enter::command(&task).exec().to_string(), 126)
}

/// A session of its own: what is started there is found again when nobody wants it any more.
pub(super) fn lead(face: &Face) -> io::Result<()> {
    setsid()?;
    match face {
        Face::Pipes => Ok(()),
        Face::Terminal { .. } => Ok(ioctl_tiocsctty(io::stdin())?),
    }
}

/// The command, and the groups that it goes into.
fn task(dir: PathBuf, face: Face, words: &[OsString]) -> Result<(Task, Vec<PathBuf>), (String, i32)> {
    let dir = InstanceDir(dir);
    let plan = read_json::<Plan>(&dir.plan()).map_err(|error| (error.to_string(), 126))?;
    let mut plan = plan.ok_or_else(|| ("the instance was removed".to_owned(), 126))?;
    if let Ok(Some(running)) = read_json::<Running>(&dir.running()) {
        plan.task.env.extend(given::of(running.supervisor));
    }
    if let Face::Terminal { kind } = face {
        plan.task.env.insert("TERM".to_owned(), kind.to_string_lossy().into_owned());
    }
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let word = words.first().ok_or_else(|| ("no command".to_owned(), 126))?;
    let path = plan.task.env.get("PATH").map_or("", String::as_str);
    let own = std::env::current_exe().unwrap_or_default();
    let program = program::find(word, &own, path, &plan.task.workdir).map_err(|e| (e.to_string(), 127))?;
    Ok((Task { program, command: words, ..plan.task }, plan.group.entrances()))
}

/// Shells' codes: 126 cannot be run, 127 not found.
fn refuse(reason: &str, code: i32) -> i32 {
    eprintln!("exec: {reason}");
    code
}
