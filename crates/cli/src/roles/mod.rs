//! The roles as daemons.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`options`] | what each role can be told: the same words as flag, environment variable and key |
//! | [`file`] | the configuration file |
//! | [`orchestrator`] | running a root or a cluster orchestrator |
//! | [`setup_link`] | how the first administrator comes in |
//! | [`node`] | running the agent of a node |
//! | [`notify`] | what a service manager is told |

pub(crate) mod file;
pub(crate) mod node;
mod notify;
#[cfg_attr(not(feature = "full"), expect(dead_code, reason = "one file configures every role"))]
pub(crate) mod options;
#[cfg(feature = "full")]
pub(crate) mod orchestrator;
#[cfg(feature = "full")]
mod registry;
#[cfg(feature = "full")]
mod setup_link;

use std::path::{Path, PathBuf};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::logging::{self, Log};
use file::ConfigFile;
use options::ProxyOptions;

/// The socket of an orchestrator's API, in its data directory.
pub(crate) const SOCKET: &str = "api.sock";

/// What every daemon can be told beside its own options.
#[derive(Args, Debug)]
pub(crate) struct Setup {
    /// A file with all of this; flags and environment variables win over it
    #[arg(long, env = "HOLM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    proxy: ProxyOptions,
    #[command(flatten)]
    log: Log,
}

// === impl Setup ===

impl Setup {
    /// Starts the log and sets the way out of this network; returns what the file says.
    fn begin(self) -> Result<ConfigFile, Failure> {
        let file = self.config.as_deref().map_or_else(|| Ok(ConfigFile::default()), file::read)?;
        let format = self.log.log_format.or(file.log_format).unwrap_or_default();
        logging::start(format, self.log.verbose.max(file.verbose.unwrap_or_default()));
        self.proxy.or(file.proxy()).rules()?.install();
        Ok(file)
    }
}

/// The default data directory of a role: below `/var/lib/holm` for the system's administrator.
pub(crate) fn directory(role: &str) -> PathBuf {
    home().join(role)
}

/// The data directory of a role: what was said, as it is called from everywhere.
fn data_dir(said: Option<PathBuf>, role: &str) -> Result<PathBuf, Failure> {
    absolute(&said.unwrap_or_else(|| directory(role)))
}

pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|e| Failure::from_error(format!("`{}` is no path of a directory", path.display()), &e))
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
        notify::stopping();
        tracing::info!("Stopping; nothing that runs on nodes is touched.");
        cancel.cancel();
    });
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_is_called_the_same_from_everywhere() {
        let said = data_dir(Some("relative/root".into()), "root").unwrap();
        assert_eq!(said, std::env::current_dir().unwrap().join("relative/root"));
        assert!(data_dir(None, "root").unwrap().ends_with("holm/root"));
    }
}
