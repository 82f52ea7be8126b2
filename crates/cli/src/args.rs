//! The words of the command line. One variant per command; each only hands over.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{
    adopt, apply, completions, config, confirm, convert, delete, describe, events, exec, get, logs,
    run_state, scale, schema, status, token, version,
};
use crate::connect::At;
use crate::failure::Failure;
use crate::logging::LogFormat;
use crate::{demo, programs, roles, run};

/// Holm orchestrates applications at the edge: on factory cells, buildings, vehicles and households.
#[derive(Parser, Debug)]
#[command(name = "holm", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = "Start with `holm demo`. Each command explains itself with --help.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: Log,
    #[command(subcommand)]
    command: Command,
}

/// How a daemon logs.
#[derive(clap::Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Log")]
pub(crate) struct Log {
    /// How a daemon writes its log [default: text]
    #[arg(long, value_enum, global = true, env = "HOLM_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show a whole sea on this machine: a root, two clusters, four nodes and an application
    Demo(demo::Options),
    /// Run the root orchestrator
    Root(roles::RootDaemon),
    /// Run a cluster orchestrator, or remove a cluster from its root
    Cluster(roles::ClusterCommand),
    /// Run the agent of a node, or remove a node from its orchestrator
    Node(roles::NodeCommand),

    #[command(flatten)]
    Asking(Asking),
    /// Run a command inside an instance
    Exec(At<exec::Exec>),

    /// Print the JSON Schema of manifests, for editors
    Schema,
    /// Print a manifest in its normal form
    Convert(convert::Convert),
    /// Check configuration files
    Config(config::Config),
    /// Print the version
    Version(version::Version),
    /// Print the completions of a shell
    Completions(completions::Completions),

    /// What the demo runs: a sensor collector
    #[command(name = "__sensor-collector", hide = true)]
    SensorCollector(programs::collector::Options),
    /// What the demo runs: the building's page
    #[command(name = "__building-web", hide = true)]
    BuildingWeb(programs::web::Options),
}

/// Commands that ask an orchestrator.
#[derive(Subcommand, Debug)]
enum Asking {
    /// Make what a manifest says the wish for its application
    Apply(At<apply::Apply>),
    /// List things
    Get(At<get::Get>),
    /// Show one thing in full
    Describe(At<describe::Describe>),
    /// Delete an application
    Delete(At<delete::Delete>),
    /// Change the number of replicas of a service
    Scale(At<scale::Scale>),
    /// Restart every instance once
    Restart(At<run_state::Change>),
    /// Stop instances; they stay where they are placed
    Stop(At<run_state::Change>),
    /// Start what was stopped
    Start(At<run_state::Change>),
    /// Freeze instances
    Pause(At<run_state::Change>),
    /// Let paused instances go on
    Resume(At<run_state::Change>),
    /// Show what instances say
    Logs(At<logs::Logs>),
    /// Show what happened, or happens
    Events(At<events::Events>),
    /// Make, list and revoke tokens
    Token(At<token::Token>),
    /// Believe what a frozen member runs
    Adopt(At<adopt::Adopt>),
    /// Make a frozen member obey what the orchestrator believes
    Discard(At<adopt::Adopt>),
    /// Want an application again that came back with a restored store
    Confirm(At<confirm::Confirm>),
    /// Show which orchestrator answers, and how it is
    Status(At<status::Status>),
}

/// Does what was asked.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let log = cli.log;
    match cli.command {
        Command::Exec(at) => run::single(exec::run(at)),
        Command::Demo(options) => done(run::single(demo::run(options))),
        Command::Root(daemon) => done(daemon.run(log)),
        Command::Cluster(command) => done(command.run(log)),
        Command::Node(command) => done(command.run(log)),
        Command::SensorCollector(options) => done(programs::collector::run(&options)),
        Command::BuildingWeb(options) => done(programs::web::run(&options)),
        Command::Schema => done(schema::run()),
        Command::Convert(convert) => done(convert::run(&convert)),
        Command::Config(config) => done(config::run(&config)),
        Command::Version(version) => done(version::run(&version)),
        Command::Completions(completions) => done(completions::run(&completions)),
        Command::Asking(asking) => done(run::single(ask(asking))),
    }
}

fn done(outcome: Result<(), Failure>) -> Result<ExitCode, Failure> {
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn ask(asking: Asking) -> Result<(), Failure> {
    use run_state::Wish;
    match asking {
        Asking::Apply(at) => apply::run(at).await,
        Asking::Get(at) => get::run(at).await,
        Asking::Describe(at) => describe::run(at).await,
        Asking::Delete(at) => delete::run(at).await,
        Asking::Scale(at) => scale::run(at).await,
        Asking::Restart(at) => run_state::run(at, Wish::Restart).await,
        Asking::Stop(at) => run_state::run(at, Wish::Stop).await,
        Asking::Start(at) => run_state::run(at, Wish::Start).await,
        Asking::Pause(at) => run_state::run(at, Wish::Pause).await,
        Asking::Resume(at) => run_state::run(at, Wish::Resume).await,
        Asking::Logs(at) => logs::run(at).await,
        Asking::Events(at) => events::run(at).await,
        Asking::Token(at) => token::run(at).await,
        Asking::Adopt(at) => adopt::adopt(at).await,
        Asking::Discard(at) => adopt::discard(at).await,
        Asking::Confirm(at) => confirm::run(at).await,
        Asking::Status(at) => status::run(at).await,
    }
}
