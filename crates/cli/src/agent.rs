//! The words of a program that holds the agent alone: those of `holm node`, so that what starts an agent
//! starts either program.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::doctor::{self, Doctor};
use crate::environment::empty_says_nothing;
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
    /// Find out why this machine has no link, or runs nothing, and what to do
    Doctor(Doctor),
    /// Take the node off this machine: its agent, what it runs, and all files
    Uninstall(Uninstall),
}

// === impl Cli ===

impl Cli {
    /// The words on the command line; ends the program when they make no sense.
    #[cfg_attr(feature = "full", expect(dead_code, reason = "only tested there"))]
    pub(crate) fn read() -> Self {
        let read = empty_says_nothing(Self::command()).try_get_matches();
        read.and_then(|matches| Self::from_arg_matches(&matches)).unwrap_or_else(|error| error.exit())
    }
}

/// Does what was asked.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let done = |outcome: Result<(), Failure>| outcome.map(|()| ExitCode::SUCCESS);
    match cli.command {
        Command::Node(daemon) => done(daemon.run()),
        Command::Doctor(doctor) => run::single(doctor::run(doctor)),
        Command::Uninstall(uninstall) => done(run::single(uninstall::run(uninstall))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_alone_finds_out_why_it_has_no_link() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("credentials.pem"), "damaged").unwrap();
        let dir = dir.path().display().to_string();
        let words = ["holm", "doctor", "-o", "json", "--data-dir", &dir];
        let unhealthy = run(Cli::try_parse_from(words).unwrap()).unwrap();
        assert_eq!(
            format!("{unhealthy:?}"),
            format!("{:?}", ExitCode::FAILURE),
            "its certificate cannot be read"
        );
    }
}
