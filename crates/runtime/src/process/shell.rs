//! A shell on the machine itself, beside all instances.

use std::io;
use std::path::PathBuf;

use holm_model::tunnel::Terminal;
use nix::unistd::{Uid, User};
use tokio::process::Command;

use super::terminal;
use crate::stream::Exec;

/// The login shell of the agent's own user, in a terminal of its own. `supervisor` is a program that calls
/// [`super::supervise::main`] with the arguments behind it.
///
/// # Errors
/// When it cannot be started.
pub fn shell(supervisor: &(PathBuf, Vec<String>), terminal: &Terminal) -> io::Result<Exec> {
    let (program, arguments) = supervisor;
    let mut helper = Command::new(program);
    helper.args(arguments).arg("shell").arg("/").arg(&terminal.kind);
    terminal::start(helper, terminal.size)
}

/// The agent's own user, for people.
#[must_use]
pub fn own_user() -> String {
    let uid = Uid::effective();
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}
