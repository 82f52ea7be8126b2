//! The supervisor: one small process per instance that outlives the agent.
//!
//! ```text
//! prepare ──failed──→ tell the agent, exit 1
//!    │ tell the agent
//! running ──program ended──→ killing the rest ──nobody left──→ write exit.json, exit 0
//! ```
//!
//! Single-threaded, without tokio. Signals are its only commands: SIGTERM asks the program to end,
//! SIGUSR1 ends it, SIGUSR2 stops and SIGCONT continues it where there is no freezer.

mod copy;
mod enter;
mod exec;
mod prepare;
mod run;
mod shell;

use std::ffi::OsString;
use std::path::PathBuf;

use holm_model::tunnel::CopyWay;
pub(crate) use run::{CONTINUE, KILL, STOP, TERMINATE};

/// The entry point of the hidden subcommand; `args` are those behind its name. Call it before anything
/// that starts a thread.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ! {
    let mut args = args.into_iter();
    let (verb, dir) = (args.next(), args.next().map(PathBuf::from));
    let code = match (verb.as_ref().and_then(|v| v.to_str()), dir) {
        (Some("run"), Some(dir)) => run::supervise(dir),
        (Some("exec"), Some(dir)) => exec::run(dir, exec::Face::Pipes, &args.collect::<Vec<_>>()),
        (Some("pack"), Some(dir)) => copy::run(dir, CopyWay::Read, args.next()),
        (Some("unpack"), Some(dir)) => copy::run(dir, CopyWay::Write, args.next()),
        (Some("shell"), Some(_)) => shell::run(args.next().unwrap_or_default()),
        (Some("terminal"), Some(dir)) => match args.next() {
            Some(kind) => exec::run(dir, exec::Face::Terminal { kind }, &args.collect::<Vec<_>>()),
            None => 2,
        },
        _ => {
            eprintln!("this is a part of the agent and not meant to be called by hand");
            2
        }
    };
    std::process::exit(code)
}
