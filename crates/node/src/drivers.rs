//! The drivers that this program brings along.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holm_runtime::container::{ContainerConfig, ContainerRuntime, OwnRegistry};
use holm_runtime::process::cgroup::Cgroups;
use holm_runtime::process::{ProcessConfig, ProcessRuntime};
use holm_runtime::{Runtime, RuntimeEvent};
use tokio::sync::mpsc;

use crate::config::RuntimesConfig;
use crate::random;

/// Where Docker's engine listens, if it should come later than we do.
const DOCKER: &str = "/var/run/docker.sock";

/// Starts the drivers; whether each can be used is told by its facts. `label` tells what is this node's
/// from what belongs to others on the same host.
///
/// Must be called inside a tokio runtime.
pub(crate) fn start(
    config: &RuntimesConfig,
    data_dir: &Path,
    label: &str,
    own: Option<Arc<dyn OwnRegistry>>,
    events: mpsc::Sender<RuntimeEvent>,
) -> Vec<Arc<dyn Runtime>> {
    let mut process = ProcessConfig::new(data_dir.join("instances"), config.executable.clone());
    process.users.clone_from(&config.process_users);
    if let Some(supervisor) = &config.supervisor {
        process.supervisor.clone_from(supervisor);
    }
    let process = ProcessRuntime::new(process, Cgroups::detect(label), events.clone());
    let mut container = ContainerConfig::new(engine(config), label.to_owned());
    container.ledger = Some(data_dir.join("engine"));
    container.own = own;
    vec![Arc::new(process), Arc::new(ContainerRuntime::new(container, events))]
}

/// The socket of the container engine, there or not.
pub(crate) fn engine(config: &RuntimesConfig) -> PathBuf {
    let socket = config.engine.clone().or_else(ContainerConfig::usual_socket);
    socket.unwrap_or_else(|| DOCKER.into())
}

/// A random word of this data directory, made at the first start.
///
/// # Errors
/// When the file can be neither read nor written.
pub(crate) fn label(data_dir: &Path) -> io::Result<String> {
    let path = data_dir.join("label");
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match made {
        Ok(mut file) => {
            let label = format!("{:016x}", random());
            file.write_all(label.as_bytes())?;
            file.sync_all()?;
            Ok(label)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let label = fs::read_to_string(&path)?;
            let plain = label.len() == 16 && label.bytes().all(|b| b.is_ascii_hexdigit());
            // Half-written by a crash at the very first start: nothing was launched with it.
            if plain { Ok(label) } else { fs::remove_file(&path).and_then(|()| self::label(data_dir)) }
        }
        Err(error) => Err(error),
    }
}
