//! Starting a supervisor.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use holm_model::tunnel::{LogLine, LogStream};

use super::Shared;
use super::dir::{self, Handshake, InstanceDir, Running};
use super::given;
use super::live::{Live, open_pidfd};
use super::plan::{self, Plan, Task};
use super::user::Identity;
use super::watch;
use crate::error::{RunError, Step};
use crate::launch::Launch;

/// Returns when the program runs. Must be called inside a tokio runtime; blocks.
///
/// # Errors
/// What could not be done; nothing runs then.
pub(super) fn start(shared: &Arc<Shared>, launch: &Launch) -> Result<(), RunError> {
    let dir = shared.dir(launch.id);
    let task = plan::task(&shared.config, launch, &dir.work())?;
    make_dirs(&dir, &task)?;
    let lock = take_lock(&dir)?;
    for old in [dir.running(), dir.exit()] {
        dir::forget(&old).map_err(RunError::file(Step::Start, &old))?;
    }
    let plan = write_plan(shared, launch, &dir, task)?;
    let started = spawn(shared, &dir, lock, launch).and_then(|mut child| {
        let live = meet(&mut child, &dir, &plan)?;
        Ok((child, live))
    });
    match started {
        Ok((child, live)) => {
            let live = Arc::new(live);
            shared.live.insert(launch.id, Arc::clone(&live));
            watch::watch(shared, launch.id, live, Some(child));
            Ok(())
        }
        Err(error) => {
            watch::kill_all(&plan.group);
            if let Err(error) = plan.group.remove() {
                tracing::warn!(instance = %launch.id, %error, "a control group was left behind");
            }
            Err(error)
        }
    }
}

/// The agent's own files are for nobody else; the working directory is the user's.
fn make_dirs(dir: &InstanceDir, task: &Task) -> Result<(), RunError> {
    let make = |path: &Path| DirBuilder::new().recursive(true).mode(0o711).create(path);
    make(&dir.0).map_err(RunError::file(Step::Start, &dir.0))?;
    let work = dir.work();
    let own = || -> io::Result<()> {
        make(&work)?;
        let Some(Identity { uid, gid, .. }) = &task.identity else { return Ok(()) };
        if fs::metadata(&work)?.uid() != *uid {
            chown(&work, Some(*uid), Some(*gid))?;
            fs::set_permissions(&work, fs::Permissions::from_mode(0o750))?;
        }
        Ok(())
    };
    own().map_err(RunError::file(Step::Start, &work))
}

/// Held from now on by the supervisor, so there is no moment in which a second one could start.
fn take_lock(dir: &InstanceDir) -> Result<File, RunError> {
    let path = dir.lock();
    let open = || -> io::Result<File> {
        let lock = File::options().create(true).truncate(false).write(true).open(&path)?;
        lock.try_lock().map_err(|error| io::Error::new(io::ErrorKind::ResourceBusy, error))?;
        Ok(lock)
    };
    open().map_err(RunError::file(Step::Start, &path))
}

/// The first note of an incarnation.
fn beginning(launch: &Launch) -> String {
    format!("starting {} (attempt {})", launch.name, launch.incarnation)
}

/// The incarnation that begins with this line, if one does.
pub(super) fn incarnation(line: &LogLine) -> Option<u32> {
    if line.stream != LogStream::Node {
        return None;
    }
    let text = std::str::from_utf8(&line.text).ok()?.strip_prefix("starting ")?;
    text.rsplit_once(" (attempt ")?.1.strip_suffix(')')?.parse().ok()
}

fn write_plan(shared: &Shared, launch: &Launch, dir: &InstanceDir, task: Task) -> Result<Plan, RunError> {
    let limits = plan::limits(&shared.config, launch);
    let (group, mut notes) =
        shared.cgroups.create(&launch.id.to_string(), limits).map_err(RunError::system(Step::Start))?;
    notes.insert(0, beginning(launch));
    let plan = Plan {
        id: launch.id,
        incarnation: launch.incarnation,
        boot_id: procfs::sys::kernel::random::boot_id().unwrap_or_default(),
        ports: launch.ports.clone(),
        task,
        group,
        refuges: shared.cgroups.refuges().to_vec(),
        logs: shared.config.logs,
        notes,
    };
    dir::write_json(&dir.plan(), &plan).map_err(RunError::file(Step::Start, &dir.plan()))?;
    Ok(plan)
}

fn spawn(shared: &Shared, dir: &InstanceDir, lock: File, launch: &Launch) -> Result<Child, RunError> {
    let (program, arguments) = &shared.config.supervisor;
    let mut command = Command::new(program);
    command.args(arguments).arg("run").arg(&dir.0).env_clear();
    command.envs(given::wrap(&launch.given.env));
    command.stdin(lock).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().map_err(RunError::file(Step::Start, program))
}

/// Waits until the supervisor says that the program runs.
fn meet(child: &mut Child, dir: &InstanceDir, plan: &Plan) -> Result<Live, RunError> {
    let mut said = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut said).map_err(RunError::system(Step::Start))?;
    }
    let failed = match serde_json::from_slice(&said) {
        Ok(Handshake::Started) => None,
        Ok(Handshake::Failed { step, reason, lasting }) => Some((step, reason, lasting)),
        Err(_) => Some(("the supervisor".into(), "it ended before it could say why".into(), false)),
    };
    if let Some((step, reason, lasting)) = failed {
        // It is ending by itself.
        let _ = child.wait();
        return Err(RunError::Spawn { step, reason, lasting });
    }
    let file = dir.running();
    let running: Running = dir::read_json(&file)
        .and_then(|running| running.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(RunError::file(Step::Start, &file))?;
    let pidfd = open_pidfd(running.supervisor).map_err(RunError::system(Step::Start))?;
    Ok(Live::new(running, plan.group.clone(), pidfd))
}
