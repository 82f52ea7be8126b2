//! The roles as daemons.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`options`] | what each role can be told: the same words as flag, environment variable and key |
//! | [`file`] | the configuration file |
//! | [`orchestrator`] | running a root or a cluster orchestrator |
//! | [`node`] | running the agent of a node |

pub(crate) mod file;
pub(crate) mod node;
pub(crate) mod options;
pub(crate) mod orchestrator;

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::Log;
use crate::commands::remove::{ClusterAction, NodeAction};
use crate::failure::Failure;
use crate::{logging, run};
use file::ConfigFile;
use options::{ClusterOptions, NodeOptions, RootOptions};

/// `holm root`.
#[derive(Args, Debug)]
pub(crate) struct RootDaemon {
    #[command(flatten)]
    options: RootOptions,
    #[command(flatten)]
    config: ConfigPath,
}

/// `holm cluster` and `holm cluster remove`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ClusterCommand {
    #[command(subcommand)]
    action: Option<ClusterAction>,
    #[command(flatten)]
    options: ClusterOptions,
    #[command(flatten)]
    config: ConfigPath,
}

/// `holm node` and `holm node remove|revoke`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct NodeCommand {
    #[command(subcommand)]
    action: Option<NodeAction>,
    #[command(flatten)]
    options: NodeOptions,
    #[command(flatten)]
    config: ConfigPath,
}

#[derive(Args, Debug)]
struct ConfigPath {
    /// A file with all of this; flags and environment variables win over it
    #[arg(long, env = "HOLM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

// === impl the roles ===

impl RootDaemon {
    pub(crate) fn run(self, log: Log) -> Result<(), Failure> {
        let file = self.config.read()?;
        start_log(log, &file);
        let config = orchestrator::root(self.options.or(file.root.unwrap_or_default()))?;
        run::several(orchestrator::run(config))
    }
}

impl ClusterCommand {
    pub(crate) fn run(self, log: Log) -> Result<(), Failure> {
        if let Some(action) = self.action {
            return run::single(action.run());
        }
        let file = self.config.read()?;
        start_log(log, &file);
        let config = orchestrator::cluster(self.options.or(file.cluster.unwrap_or_default()))?;
        run::several(orchestrator::run(config))
    }
}

impl NodeCommand {
    pub(crate) fn run(self, log: Log) -> Result<(), Failure> {
        if let Some(action) = self.action {
            return run::single(action.run());
        }
        let file = self.config.read()?;
        start_log(log, &file);
        let config = node::config(self.options.or(file.node.unwrap_or_default()))?;
        run::single(node::run(config))
    }
}

impl ConfigPath {
    fn read(&self) -> Result<ConfigFile, Failure> {
        self.config.as_deref().map_or_else(|| Ok(ConfigFile::default()), file::read)
    }
}

fn start_log(flags: Log, file: &ConfigFile) {
    let format = flags.log_format.or(file.log_format).unwrap_or_default();
    logging::start(format, flags.verbose.max(file.verbose.unwrap_or_default()));
}

/// The default data directory of a role: below `/var/lib/holm` for the system's administrator.
pub(crate) fn directory(role: &str) -> PathBuf {
    home().join(role)
}

/// Where data directories are.
pub(crate) fn home() -> PathBuf {
    let user = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share/holm"));
    match nix::unistd::geteuid().is_root() {
        true => None,
        false => user(),
    }
    .unwrap_or_else(|| PathBuf::from("/var/lib/holm"))
}

/// Cancelled by SIGTERM and Ctrl-C.
fn stopped_by_signal() -> Result<CancellationToken, Failure> {
    let listen = |kind| signal(kind).map_err(|e| Failure::from_error("signals cannot be received", &e));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("Stopping; nothing that runs on nodes is touched.");
        cancel.cancel();
    });
    Ok(stop)
}
