//! The binary `holm`: every role as a daemon, and every command for people.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`args`] | the words of the command line |
//! | [`roles`] | root, cluster and node as daemons; their configuration |
//! | [`commands`] | one file per command for people |
//! | [`connect`], [`resolve`] | which orchestrator is meant; which instance is meant |
//! | [`output`] | tables, JSON, YAML, colours, live views |
//! | [`demo`] | a whole sea on one machine |
//! | [`programs`] | what the demo runs: a sensor collector and the building's page |
//! | [`failure`], [`logging`], [`run`] | errors for people; the log; the async runtime |

mod args;
mod commands;
mod connect;
mod demo;
mod failure;
mod logging;
mod output;
mod programs;
mod resolve;
mod roles;
mod run;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    // Before anything that starts threads or takes memory: one of these lives beside each process.
    if words.next().is_some_and(|word| word == "__supervise") {
        holm_runtime::process::supervise::main(words)
    }
    // Fails only when it was installed before, which nothing does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = args::Cli::parse();
    args::run(cli).unwrap_or_else(|failure| failure.report())
}
