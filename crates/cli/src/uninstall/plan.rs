//! What is there, and so what goes.

use std::fs;
use std::path::{Path, PathBuf};

use holm_node::RuntimesConfig;
use serde::Serialize;

use super::installed::{self, Installed, quiet};
use super::orchestrators;
use crate::failure::Failure;
use crate::holder;
use crate::roles::file::{self, ConfigFile};
use crate::roles::{absolute, directory, home};

/// What `holm uninstall` does here.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    pub(super) extent: Extent,
    pub(super) data_dir: PathBuf,
    /// The agent that runs: `123 (holm node)`.
    pub(super) agent: Option<String>,
    /// A service manager starts it.
    pub(super) unit: bool,
    /// Instances that are processes, running or not; only an engine knows how many containers there are.
    pub(super) processes: usize,
    #[serde(flatten)]
    pub(super) installed: Installed,
    /// The package that has the program, and takes it away.
    pub(super) package: Option<String>,
    /// Data directories of orchestrators, which need the program.
    pub(super) keeps: Vec<PathBuf>,
    #[serde(skip)]
    pub(super) runtimes: RuntimesConfig,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Extent {
    /// The agent and what it runs.
    Instances,
    All,
}

pub(super) const UNIT: &str = "holm-node.service";
const SETTINGS: &str = "/etc/holm/node.toml";

// === impl Plan ===

impl Plan {
    pub(super) fn find(said: Option<&Path>, config: Option<&Path>, extent: Extent) -> Result<Self, Failure> {
        let config = config.unwrap_or(Path::new(SETTINGS));
        let settings = settings(config)?;
        let told = settings.node.as_ref().and_then(|node| node.data_dir.clone());
        let usual = absolute(&told.unwrap_or_else(|| directory("node")))?;
        let data_dir = said.map_or_else(|| Ok(usual.clone()), absolute)?;
        let there = is_of_a_node(&data_dir)?;
        // Others may be anybody's: the machine's installation is not about them.
        let whole = data_dir == usual && config == Path::new(SETTINGS);
        let all = whole && extent == Extent::All;
        let (installed, package, keeps) = if all { program()? } else { Default::default() };
        let agent = holder::of(&data_dir)
            .map_err(|e| Failure::from_error(data_dir.display(), &e).hint("run this as root"))?;
        let instances = |dir: PathBuf| fs::read_dir(dir.join("instances")).map_or(0, Iterator::count);
        let processes = holm_node::data_dirs(&data_dir).map(instances).sum();
        let own = std::env::current_exe();
        let own = own.map_err(|e| Failure::from_error("our own program cannot be found", &e))?;
        let mut runtimes = RuntimesConfig::new(own);
        runtimes.engine = settings.node.and_then(|node| node.engine);
        Ok(Self {
            extent,
            agent,
            unit: whole && there && has_unit(),
            processes,
            installed,
            package,
            keeps,
            runtimes,
            data_dir,
        })
    }

    /// Nothing is here that could go.
    pub(super) fn is_empty(&self) -> bool {
        !self.data_dir.exists() && self.agent.is_none() && self.installed.is_empty() && self.package.is_none()
    }

    /// For people, before it is done.
    pub(super) fn text(&self) -> String {
        let mut lines = Vec::new();
        if let Some(agent) = &self.agent {
            lines.push(format!("stops    process {agent}"));
        }
        if self.unit {
            lines.push(format!("stops    {UNIT}, if it runs"));
        }
        lines.push(format!("ends     {} processes and all containers of this node", self.processes));
        if self.extent == Extent::All {
            let files = [&self.data_dir].into_iter().chain(&self.installed.files);
            lines.extend(files.map(|file| format!("removes  {}", file.display())));
        }
        lines.extend(self.installed.user.iter().map(|user| format!("removes  the user {user}")));
        lines.extend(
            self.keeps.iter().map(|dir| format!("keeps    {}, and the program for it", dir.display())),
        );
        lines.extend(self.package.iter().map(|name| format!("keeps    the package {name}, for apt-get")));
        lines.join("\n") + "\n"
    }

    /// For people, when it is done.
    pub(super) fn farewell(&self) -> String {
        match (self.extent, &self.package) {
            (Extent::Instances, _) => "the agent is stopped, and nothing of it runs".to_owned(),
            (Extent::All, Some(package)) => {
                format!("the node is gone; `apt-get purge {package}` removes the program and its settings")
            }
            (Extent::All, None) => {
                "the node is gone from this machine; its orchestrator forgets it with `holm node remove`"
                    .to_owned()
            }
        }
    }
}

/// The usual ones need not be there.
fn settings(config: &Path) -> Result<ConfigFile, Failure> {
    if config == Path::new(SETTINGS) && !config.exists() {
        return Ok(ConfigFile::default());
    }
    file::read(config)
}

/// Whether a node was ever started there; nobody else's directory is ever touched.
fn is_of_a_node(dir: &Path) -> Result<bool, Failure> {
    let refuse = |what: &str| {
        Err(Failure::wrong_use(format!("{} {what}; nothing was changed", dir.display()))
            .hint("name the data directory of a node with --data-dir"))
    };
    let inside = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Failure::from_error(dir.display(), &error).hint("run this as root")),
        Ok(mut inside) => inside.next().is_some(),
    };
    if dir.join("ca.key").exists() {
        return refuse("belongs to an orchestrator");
    }
    if inside && !dir.join("label").exists() {
        return refuse("belongs to no node");
    }
    Ok(inside)
}

/// What this machine has of the program, unless orchestrators need it, whose directories are last.
fn program() -> Result<(Installed, Option<String>, Vec<PathBuf>), Failure> {
    let (installed, package) = (Installed::read()?, installed::package());
    if installed.is_empty() && package.is_none() {
        return Ok(Default::default());
    }
    let keeps = orchestrators::directories(&home())?;
    Ok(if keeps.is_empty() { (installed, package, keeps) } else { (Installed::default(), None, keeps) })
}

fn has_unit() -> bool {
    Path::new("/run/systemd/system").exists() && quiet("systemctl", &["cat", UNIT])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_nodes_directory_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_of_a_node(&dir.path().join("absent")).unwrap());
        fs::write(dir.path().join("letter"), "dear").unwrap();
        assert!(is_of_a_node(dir.path()).unwrap_err().to_string().contains("belongs to no node"));
        fs::write(dir.path().join("label"), "0123456789abcdef").unwrap();
        assert!(is_of_a_node(dir.path()).unwrap());
        fs::write(dir.path().join("ca.key"), "secret").unwrap();
        assert!(is_of_a_node(dir.path()).unwrap_err().to_string().contains("orchestrator"));
    }
}
