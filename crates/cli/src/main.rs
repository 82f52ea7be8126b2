//! The binary `holm`: every role as a daemon, and every command for people.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`args`] | the words of the command line |
//! | [`leading`] | flags that stand before the command |
//! | [`agent`] | those of the agent alone, instead: without the feature `full` |
//! | [`roles`] | root, cluster and node as daemons; their configuration |
//! | [`commands`] | one file per command for people |
//! | [`connect`], [`resolve`] | which orchestrator is meant; which instance is meant |
//! | [`completion`] | what a shell offers while somebody types |
//! | [`output`] | tables, JSON, YAML, colours, live views |
//! | [`demo`] | a whole sea on one machine |
//! | [`programs`] | what the demo runs: a sensor collector and the building's page |
//! | [`failure`], [`logging`], [`run`] | errors for people; the log; the async runtime |
//! | [`memory`] | freed memory and unused pages: kept, given back |
//! | [`doctor`] | why a member has no link, or runs nothing |
//! | [`uninstall`], [`holder`] | taking a node off its machine; which process has a directory |
//! | [`secret`], [`prompt`] | secrets that people give; questions on the terminal |
//! | [`contexts`] | the orchestrators that somebody uses, and who they are there |

#[cfg(any(test, not(feature = "full")))]
mod agent;
#[cfg(feature = "full")]
mod args;
#[cfg(feature = "full")]
mod commands;
#[cfg(feature = "full")]
mod completion;
#[cfg(feature = "full")]
mod connect;
#[cfg(feature = "full")]
mod contexts;
#[cfg(feature = "full")]
mod demo;
mod doctor;
mod environment;
mod failure;
mod holder;
#[cfg(feature = "full")]
mod leading;
mod logging;
mod memory;
mod output;
#[cfg(feature = "full")]
mod programs;
#[cfg(feature = "full")]
mod prompt;
#[cfg(feature = "full")]
mod resolve;
mod roles;
mod run;
mod secret;
mod uninstall;

use std::process::ExitCode;

#[cfg(not(feature = "full"))]
use agent as args;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    // Before anything that starts threads or takes memory: one of these lives beside each process.
    if words.next().is_some_and(|word| word == "__supervise") {
        holm_runtime::process::supervise::main(words)
    }
    memory::keep_freed();
    // Fails only when it was installed before, which nothing does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    #[cfg(feature = "full")]
    completion::answer();
    let cli = args::Cli::read();
    args::run(cli).unwrap_or_else(|failure| failure.report())
}
