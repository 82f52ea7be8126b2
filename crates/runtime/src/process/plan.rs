//! What the supervisor of an instance does, decided by the agent from what the service asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use holm_model::id::AssignmentId;
use holm_model::name::Name;
use serde::{Deserialize, Serialize};

use super::cgroup::{Group, Limits};
use super::segments::LogLimits;
use super::user::{self, Identity};
use super::{ProcessConfig, Shared};
use crate::error::RunError;
use crate::launch::{Launch, PortMap};
use crate::volume::{self, is_named};

/// `plan.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) id: AssignmentId,
    pub(crate) incarnation: u32,
    /// See [`Launch::step`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<u32>,
    /// Of the machine, so that a reboot is told from a killed supervisor.
    pub(crate) boot_id: String,
    pub(crate) ports: BTreeMap<Name, PortMap>,
    pub(crate) task: Task,
    pub(crate) group: Group,
    /// Always empty: agents of before there was a nursery cannot read a plan without it, and would not find
    /// their instances after a way back.
    #[serde(default)]
    pub(crate) refuges: Vec<PathBuf>,
    pub(crate) logs: LogLimits,
    /// Said in the log before the program starts.
    pub(crate) notes: Vec<String>,
}

/// A program and what it runs as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) program: PathBuf,
    pub(crate) command: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) workdir: PathBuf,
    /// The working directory lies in the agent's own directories, which the user may not be able to
    /// pass through: it is entered before the user is left.
    pub(crate) own_workdir: bool,
    pub(crate) identity: Option<Identity>,
}

/// Where programs are looked for when the environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is to be run; looks at users and files, and changes nothing but that a project gets its user.
///
/// # Errors
/// What the service asks for and this node does not have.
pub(super) fn task(shared: &Shared, launch: &Launch, work: &Path) -> Result<Task, RunError> {
    let spec = &launch.spec;
    let word = spec.command.first().ok_or(RunError::NoCommand)?;
    if let Some(volume) =
        spec.volumes.iter().find(|volume| !is_named(volume) && volume.source != volume.target)
    {
        let what = format!(
            "show `{}` at `{}`: a process sees the node's own files; use the same path, or a container",
            volume.source, volume.target
        );
        return Err(RunError::Unsupported { runtime: "process", what });
    }
    let workdir = spec.workdir.as_ref().map_or_else(|| work.to_owned(), PathBuf::from);
    if spec.workdir.is_some() && !workdir.is_dir() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(RunError::WorkDir { path: workdir, source });
    }
    let env = environment(&shared.config, launch, &workdir);
    let program = super::program::find(word, &shared.config.executable, &env["PATH"], &workdir)?;
    Ok(Task {
        program,
        command: spec.command.clone(),
        env,
        own_workdir: spec.workdir.is_none(),
        workdir,
        identity: user::identity(&launch.project, spec.user.as_deref(), &shared.users)?,
    })
}

pub(crate) fn limits(config: &ProcessConfig, launch: &Launch) -> Limits {
    let asked = &launch.spec.resources;
    Limits { cpu_millis: asked.cpu.0, memory: asked.memory.0, pids: config.pids_max }
}

/// Nothing of the agent's own environment, which may hold its secrets.
fn environment(config: &ProcessConfig, launch: &Launch, home: &Path) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), PATH.to_owned()),
        ("HOME".to_owned(), home.display().to_string()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
    ]);
    for volume in launch.spec.volumes.iter().filter(|volume| is_named(volume)) {
        let path = config.volume(&volume::key(launch.wish, &volume.source));
        env.insert(volume::variable(&volume.source), path.display().to_string());
    }
    env.extend(launch.env.clone());
    env
}
