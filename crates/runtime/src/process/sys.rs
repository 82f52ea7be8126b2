//! The one place of this crate that needs `unsafe`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::unistd::ForkResult;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Runs `enter` in the child, between fork and exec. Only for the supervisor.
pub(super) fn before_exec(
    command: &mut Command,
    enter: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: after a fork only what is async-signal-safe may be called if another thread could have
    // held a lock. The supervisor is single-threaded from its first line to its last
    // (`supervise::main` is called before any runtime is made), so no lock can be held.
    unsafe { command.pre_exec(enter) };
}

/// Forks the nursery.
///
/// # Errors
/// When the kernel has no room for another process.
pub(super) fn fork() -> nix::Result<ForkResult> {
    // SAFETY: as above: the nursery is single-threaded from its first line to its last, so in the child
    // nothing is missing and no lock is held.
    unsafe { nix::unistd::fork() }
}

/// Lends `fd` to the reactor, which says when it can be read.
///
/// # Errors
/// When the kernel cannot watch it.
pub(super) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor must stay open and the same while it is registered; an `OwnedFd` does.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    registered.map_err(Into::into)
}
