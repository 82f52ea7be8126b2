//! The words of the command line. One variant per command; each only hands over.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::remove::{ClusterAction, NodeAction};
use crate::commands::{
    adopt, apply, audit, backup, build, completions, config, confirm, contents, context, convert, cp, delete,
    deploy, describe, diff, events, exec, explain, get, history, identity, images, login, logout, logs,
    metrics, moving, person, port_forward, project, promote, restart, rollback, run_state, scale, schema,
    shell, status, token, top, version, whoami,
};
use crate::connect::At;
use crate::environment::empty_says_nothing;
use crate::failure::Failure;
use crate::roles::node::NodeDaemon;
use crate::roles::orchestrator::{ClusterDaemon, RootDaemon};
use crate::{demo, doctor, leading, programs, run, uninstall};

/// Holm orchestrates applications at the edge: on factory cells, buildings, vehicles and households.
#[derive(Parser, Debug)]
#[command(name = "holm", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = AFTER)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "\
Exit codes:
  0  it is done
  1  it is not done: refused, not there, not reached, or nobody is logged in
  2  the command makes no sense as it is written; nothing was asked of anybody
  `exec` and `shell` end with the code of what ran there.

Start with `holm demo`. Each command explains itself with --help.";

#[derive(Subcommand, Debug)]
enum Command {
    /// Show a whole sea on this machine: a root, two clusters, four nodes and an application
    Demo(demo::Options),
    /// Run the root orchestrator
    Root(RootDaemon),
    /// Run a cluster orchestrator, or remove a cluster from its root
    Cluster(Box<ClusterCommand>),
    /// Run the agent of a node, or remove a node from its orchestrator
    Node(NodeCommand),

    #[command(flatten)]
    Asking(Asking),
    /// Run a command inside an instance
    Exec(At<exec::Exec>),
    /// Open a shell on a node itself, where its owner agrees
    Shell(At<shell::Shell>),
    /// Copy files into an instance or out of it
    Cp(At<cp::Cp>),
    /// Open ports of this machine that lead to an instance
    PortForward(At<port_forward::PortForward>),

    /// Log in to an orchestrator
    ///
    /// What is needed later is kept as a context: the server, the fingerprint of its sea, which must be the same
    /// ever after, and a token for twelve hours. The first context is the current one; `holm context` changes
    /// that. People log in at the root.
    Login(login::Login),
    /// Choose between the orchestrators that you have logged in to
    Context(context::Contextual),
    Restore(backup::Restore),
    /// Find out why this machine has no link, or runs nothing, and what to do
    Doctor(doctor::Doctor),
    /// Take a node off this machine: its agent, what it runs, and all files
    Uninstall(uninstall::Uninstall),
    /// Print the JSON Schema of manifests, for editors
    Schema(schema::Schema),
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
    /// What the demo runs: the machine's load
    #[command(name = demo::LOGGER, hide = true)]
    LoadLogger,
}

/// `holm cluster` and `holm cluster remove`.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
struct ClusterCommand {
    #[command(subcommand)]
    action: Option<ClusterAction>,
    #[command(flatten)]
    daemon: ClusterDaemon,
}

/// `holm node` and `holm node remove|revoke`.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
struct NodeCommand {
    #[command(subcommand)]
    action: Option<NodeAction>,
    #[command(flatten)]
    daemon: NodeDaemon,
}

/// Commands that ask an orchestrator.
#[derive(Subcommand, Debug)]
enum Asking {
    /// Apply manifests: what they say is what shall run
    Apply(At<apply::Apply>),
    /// List things
    Get(At<get::Get>),
    /// Show one thing in full
    Describe(At<describe::Describe>),
    /// Show why an instance is where it is, and what other members are worth to it
    Explain(At<explain::Explain>),
    /// Show what an application said before, and how that went
    History(At<history::History>),
    /// Show what differs between two generations of an application, or between it and a manifest
    Diff(At<diff::Diff>),
    /// Make an application what it was in an earlier generation
    Rollback(At<rollback::Rollback>),
    /// Let an update go on whose canary runs well
    Promote(At<promote::Promote>),
    /// Delete an application
    Delete(At<delete::Delete>),
    /// Change the number of replicas of a service
    Scale(At<scale::Scale>),
    /// Move an instance to another node or cluster; the new copy runs before the old one goes
    Migrate(At<moving::Migrate>),
    /// Restart every instance once, or one alone
    Restart(At<restart::Restart>),
    /// Stop instances; they stay where they are placed
    Stop(At<run_state::Change>),
    /// Start what was stopped, or paused
    Start(At<run_state::Change>),
    /// Freeze instances
    Pause(At<run_state::Change>),
    /// Let paused instances go on; what was stopped stays so
    Resume(At<run_state::Change>),
    /// Show what instances say
    Logs(At<logs::Logs>),
    /// Show who uses how much, and how that went in the last hour
    Top(At<top::Top>),
    /// Show what happened, or happens
    Events(At<events::Events>),
    /// Make an image of a program, script, JAR or archive, without a container engine
    Build(At<build::Build>),
    /// Make an image of a file and run it: on the nodes that are named, or wherever there is room
    Deploy(At<deploy::Deploy>),
    /// List the images that nodes have; remove those that nothing uses
    Images(At<images::Images>),
    /// Log out: the token of the context is void, and forgotten
    ///
    /// The server is still known, so that `holm login` needs only a password; `holm context rm` forgets it, too.
    Logout(At<logout::Logout>),
    /// Show who you are there, and what you may do
    Whoami(At<whoami::Whoami>),
    /// Show who an instance is that shows a token
    Identity(At<identity::Identity>),
    /// Make projects and say how much each may have
    Project(At<project::Projects>),
    /// Set, list and remove secrets that instances are given
    Secret(At<contents::Secrets>),
    /// Set, list and remove plain files that instances are given
    File(At<contents::Files>),
    /// Say who may log in, and as what
    Person(At<person::People>),
    /// Make, list and revoke tokens
    Token(At<token::Token>),
    /// Show who did what, the newest last; check and export the record of it
    Audit(At<audit::Audit>),
    /// Believe what a frozen member runs
    Adopt(At<adopt::Adopt>),
    /// Make a frozen member obey what the orchestrator believes
    Discard(At<adopt::Discard>),
    /// Start an application that came back with a restored store
    Confirm(At<confirm::Confirm>),
    /// Back the orchestrator up: its store, its CA key and its certificates, encrypted
    ///
    /// It goes on running meanwhile. Keep the file and what opens it at different places.
    Backup(At<backup::Backup>),
    /// Show which orchestrator answers, and how it is
    Status(At<status::Status>),
    /// Print what Prometheus is told of the orchestrator, in its text format
    Metrics(At<metrics::Metrics>),
}

// === impl Cli ===

impl Cli {
    /// The words on the command line; ends the program when they make no sense.
    pub(crate) fn read() -> Self {
        let commands = words();
        let mut said = std::env::args_os();
        let program = said.next();
        let said = program.into_iter().chain(leading::moved(&said.collect::<Vec<_>>(), &commands));
        let read = commands.try_get_matches_from(said).and_then(|matches| Self::from_arg_matches(&matches));
        read.unwrap_or_else(|error| error.exit())
    }
}

/// All commands. Help tells which variables there are, not what they are set to here.
pub(crate) fn words() -> clap::Command {
    fn quiet(command: clap::Command) -> clap::Command {
        command.mut_args(|arg| arg.hide_env_values(true)).mut_subcommands(quiet)
    }
    quiet(empty_says_nothing(Cli::command()))
}

/// Does what was asked.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Exec(at) => run::single(exec::run(at)),
        Command::Shell(at) => run::single(shell::run(at)),
        Command::Cp(at) => run::single(cp::run(at)),
        Command::PortForward(at) => done(run::single(port_forward::run(at))),
        Command::Demo(options) => done(run::single(demo::run(options))),
        Command::Root(daemon) => done(daemon.run()),
        Command::Cluster(command) => {
            let ClusterCommand { action, daemon } = *command;
            done(action.map_or_else(|| daemon.run(), |action| run::single(action.run())))
        }
        Command::Node(NodeCommand { action, daemon }) => {
            done(action.map_or_else(|| daemon.run(), |action| run::single(action.run())))
        }
        Command::SensorCollector(options) => done(programs::collector::run(&options)),
        Command::BuildingWeb(options) => done(programs::web::run(&options)),
        Command::LoadLogger => done(run::single(programs::logger::run())),
        Command::Login(login) => done(run::single(login::run(login))),
        Command::Context(context) => done(context::run(context)),
        Command::Restore(restore) => done(run::single(backup::restore(restore))),
        Command::Doctor(doctor) => run::single(doctor::run(doctor)),
        Command::Uninstall(uninstall) => done(run::single(uninstall::run(uninstall))),
        Command::Schema(schema) => done(schema::run(&schema)),
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
        Asking::Explain(at) => explain::run(at).await,
        Asking::History(at) => history::run(at).await,
        Asking::Diff(at) => diff::run(at).await,
        Asking::Rollback(at) => rollback::run(at).await,
        Asking::Promote(at) => promote::run(at).await,
        Asking::Delete(at) => delete::run(at).await,
        Asking::Scale(at) => scale::run(at).await,
        Asking::Migrate(at) => moving::migrate(at).await,
        Asking::Restart(at) => restart::run(at).await,
        Asking::Stop(at) => run_state::run(at, Wish::Stop).await,
        Asking::Start(at) => run_state::run(at, Wish::Start).await,
        Asking::Pause(at) => run_state::run(at, Wish::Pause).await,
        Asking::Resume(at) => run_state::run(at, Wish::Resume).await,
        Asking::Logs(at) => logs::run(at).await,
        Asking::Top(at) => top::run(at).await,
        Asking::Events(at) => events::run(at).await,
        Asking::Build(at) => build::run(at).await,
        Asking::Deploy(at) => deploy::run(at).await,
        Asking::Images(at) => images::run(at).await,
        Asking::Logout(at) => logout::run(at).await,
        Asking::Whoami(at) => whoami::run(at).await,
        Asking::Identity(at) => identity::run(at).await,
        Asking::Project(at) => project::run(at).await,
        Asking::Secret(at) => contents::secret(at).await,
        Asking::File(at) => contents::file(at).await,
        Asking::Person(at) => person::run(at).await,
        Asking::Audit(at) => audit::run(at).await,
        Asking::Token(at) => token::run(at).await,
        Asking::Adopt(at) => adopt::adopt(at).await,
        Asking::Discard(at) => adopt::discard(at).await,
        Asking::Confirm(at) => confirm::run(at).await,
        Asking::Backup(at) => backup::back_up(at).await,
        Asking::Status(at) => status::run(at).await,
        Asking::Metrics(at) => metrics::run(at).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commands without `-o`, each with its reason.
    const WITHOUT: [(&str, &str); 8] = [
        ("root", "a daemon"),
        ("demo", "runs until it is ended"),
        ("exec", "its output is the command's own"),
        ("shell", "its output is the shell's own"),
        ("cp", "its output is a tar stream, if there is any"),
        ("port-forward", "runs until it is ended"),
        ("completions", "a script for the shell"),
        ("metrics", "Prometheus' own format"),
    ];

    /// Commands that have no subcommands, below `command`; a daemon with subcommands is none of them.
    fn leaves(command: &clap::Command) -> Vec<&clap::Command> {
        let visible = || command.get_subcommands().filter(|command| !command.is_hide_set());
        if visible().next().is_none() { vec![command] } else { visible().flat_map(leaves).collect() }
    }

    #[test]
    fn every_command_that_answers_something_takes_o() {
        let words = words();
        let leaves = leaves(&words);
        assert!(leaves.len() > 30, "{leaves:?}");
        for command in leaves {
            let name = command.get_name();
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.contains("its connection"), "{name} says nothing of itself");
            let takes = command.get_arguments().any(|arg| arg.get_short() == Some('o'));
            let without = WITHOUT.iter().any(|(word, _)| *word == name);
            assert_ne!(takes, without, "{name}");
        }
    }
}
