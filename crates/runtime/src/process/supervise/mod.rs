//! The supervisor: one small process per instance that outlives the agent. It is forked by the nursery, a
//! process of the agent's that is there for nothing else.
//!
//! ```text
//! nursery ──the agent ended──→ exit 0
//!    │ order: fork
//! prepare ──failed──→ tell the agent, exit 1
//!    │ tell the agent
//! running ──program or lease ended──→ killing the rest ──nobody left──→ write exit.json, exit 0
//! ```
//!
//! Single-threaded, without tokio. Signals are a supervisor's only commands: SIGTERM asks the program to end,
//! SIGUSR1 ends it, SIGUSR2 stops and SIGCONT continues it where there is no freezer.

mod copy;
mod enter;
mod exec;
mod lease;
mod nursery;
mod prepare;
mod run;
mod shell;
mod title;

use std::ffi::OsString;
use std::path::PathBuf;

use holm_model::tunnel::CopyWay;
pub(crate) use run::{CONTINUE, KILL, STOP, TERMINATE};
pub(crate) use title::ROOM;

/// The entry point of the hidden subcommand; `args` are those behind its name. Call it before anything
/// that starts a thread.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ! {
    let mut args = args.into_iter();
    let verb = args.next();
    if verb.as_ref().is_some_and(|verb| verb == "nursery") {
        std::process::exit(nursery::run(args))
    }
    let dir = args.next().map(PathBuf::from);
    let code = match (verb.as_ref().and_then(|v| v.to_str()), dir) {
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
