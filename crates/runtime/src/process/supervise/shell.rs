//! The helper that becomes a login shell on the machine.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{Uid, User};

use super::exec::{self, Face};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns only when it fails.
pub(super) fn run(kind: OsString) -> i32 {
    let failed = become_shell(kind);
    eprintln!("shell: {failed}");
    126
}

fn become_shell(kind: OsString) -> io::Error {
    if let Err(error) = exec::lead(&Face::Terminal { kind: kind.clone() }) {
        return error;
    }
    if let Err(errno) = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None) {
        return errno.into();
    }
    let user = User::from_uid(Uid::effective()).ok().flatten();
    let (name, home, shell) = user.map_or_else(
        || (Uid::effective().to_string(), PathBuf::from("/"), PathBuf::new()),
        |user| (user.name, user.dir, user.shell),
    );
    // Users of services often have none that could be used.
    let usable =
        shell.is_absolute() && shell.is_file() && !shell.ends_with("nologin") && !shell.ends_with("false");
    let shell = if usable { shell } else { PathBuf::from("/bin/sh") };
    let home = if home.is_dir() { home } else { PathBuf::from("/") };
    let word = shell.file_name().unwrap_or_default().to_string_lossy();
    let mut command = Command::new(&shell);
    // A dash before its name tells a shell that somebody has logged in.
    command.arg0(format!("-{word}")).env_clear().current_dir(&home);
    command.env("HOME", &home).env("SHELL", &shell).env("USER", &name).env("LOGNAME", &name);
    if let Err(errno) = prctl::set_pdeathsig(Signal::SIGKILL) {
        return errno.into();
    }
    command.env("PATH", PATH).env("LANG", "C.UTF-8").env("TERM", kind);
    command.exec()
}
