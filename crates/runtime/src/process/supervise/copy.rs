//! The helper that copies files as the instance's user: an archive is its standard output or input.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use holm_model::tunnel::CopyWay;
use nix::sys::signal::{SigmaskHow, Signal, sigprocmask};
use nix::unistd::setsid;

use super::enter;
use crate::archive::{self, Copied, Target};
use crate::process::dir::{InstanceDir, read_json};
use crate::process::plan::Plan;

/// Bytes handed on at once.
const CHUNK: usize = 64 * 1024;

/// 0 when everything was copied.
pub(super) fn run(dir: PathBuf, way: CopyWay, path: Option<OsString>) -> i32 {
    match copy(dir, way, &PathBuf::from(path.unwrap_or_default())) {
        Ok(copied) => {
            // At once: each piece of it would travel alone.
            let refused = copied.refused.to_string();
            eprint!("{refused}");
            i32::from(copied.refused.count > 0)
        }
        Err(reason) => {
            eprintln!("{reason}");
            1
        }
    }
}

fn copy(dir: PathBuf, way: CopyWay, path: &Path) -> Result<Copied, String> {
    let said = |error: io::Error| error.to_string();
    setsid().map_err(|errno| said(errno.into()))?;
    let plan = read_json::<Plan>(&InstanceDir(dir).plan()).map_err(said)?;
    let plan = plan.ok_or("the instance was removed")?;
    enter::enter(&plan.task, &plan.group.entrances()).map_err(|(part, e)| format!("{}: {e}", part.name()))?;
    // When nobody wants it any more its input ends, too: it then takes away what it has begun.
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&Signal::SIGHUP.into()), None).map_err(|e| said(e.into()))?;
    let done = match way {
        CopyWay::Read => {
            let output = io::stdout().as_fd().try_clone_to_owned().map_err(said)?;
            archive::pack(path, BufWriter::with_capacity(CHUNK, File::from(output)))
        }
        CopyWay::Write => {
            let input = io::stdin().as_fd().try_clone_to_owned().map_err(said)?;
            Target::of(path, path.is_dir())
                .and_then(|to| archive::unpack(BufReader::with_capacity(CHUNK, File::from(input)), &to))
        }
    };
    done.map_err(|error| error.to_string())
}
