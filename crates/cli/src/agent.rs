//! The words of a program that holds the agent alone: those of `holm node`, so that what starts an agent
//! starts either program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::roles::node::NodeDaemon;
use crate::run;
use crate::uninstall::{self, Uninstall};

/// The agent of a node of Holm. This program holds nothing else.
#[derive(Parser, Debug)]
#[command(name = "holm", version, propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the agent of a node
    Node(Box<NodeDaemon>),
    /// Take the node off this machine: its agent, what it runs, and all files
    Uninstall(Uninstall),
}

// === impl Cli ===

impl Cli {
    /// The words on the command line; ends the program when they make no sense.
    pub(crate) fn read() -> Self {
        Self::parse()
    }
}

/// Does what was asked.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Node(daemon) => daemon.run(),
        Command::Uninstall(uninstall) => run::single(uninstall::run(uninstall)),
    }
    .map(|()| ExitCode::SUCCESS)
}
