//! Starting a supervisor.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holm_model::tunnel::{LogLine, LogStream};

use super::Shared;
use super::dir::{self, InstanceDir};
use super::given;
use super::handover;
use super::lease;
use super::live::Live;
use super::nursery::OrderError;
use super::order::{Answer, Failed, Hope, Order};
use super::plan::{self, Plan, Task};
use super::watch;
use crate::error::{RunError, Step};
use crate::launch::Launch;
use crate::volume;

/// A lock may be held for this time by a nursery that has just forked a supervisor, though that has ended.
const LOCK_LIMIT: Duration = Duration::from_secs(1);

/// A nursery that dies takes its orders along: each is given once more, to the next.
const ATTEMPTS: usize = 2;

/// Returns when the program runs. Must be called inside a tokio runtime; blocks.
///
/// # Errors
/// What could not be done; nothing runs then.
pub(super) fn start(shared: &Arc<Shared>, launch: &Launch) -> Result<(), RunError> {
    let dir = shared.dir(launch.id);
    let task = plan::task(shared, launch, &dir.work())?;
    make_dirs(&dir, &task)?;
    for key in volume::keys(launch.wish, &launch.spec) {
        let path = shared.config.volume(&key);
        let own = |user| handover::give(&path, user);
        make_volume(&path)
            .and_then(|()| task.identity.as_ref().map_or(Ok(()), own))
            .map_err(RunError::file(Step::Start, &path))?;
    }
    let lock = take_lock(&dir)?;
    for old in [dir.running(), dir.exit(), dir.lease()] {
        dir::forget(&old).map_err(RunError::file(Step::Start, &old))?;
    }
    if let Some(until) = launch.lease {
        lease::write(&dir, until).map_err(RunError::file(Step::Start, &dir.lease()))?;
    }
    let plan = write_plan(shared, launch, &dir, task)?;
    match spawn(shared, &dir, &lock, launch, &plan) {
        Ok(live) => {
            let live = Arc::new(live);
            shared.live.insert(launch.id, Arc::clone(&live));
            watch::watch(shared, launch.id, live);
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

/// The agent's own files are for nobody else; the working directory is the user's, and nobody else gets there.
fn make_dirs(dir: &InstanceDir, task: &Task) -> Result<(), RunError> {
    let failed = |path: &Path| RunError::file(Step::Start, path);
    if let Some(all) = dir.0.parent() {
        make(all, 0o711, None).map_err(failed(all))?;
    }
    let work = dir.work();
    match &task.identity {
        None => {
            make(&dir.0, 0o700, None).map_err(failed(&dir.0))?;
            make(&work, 0o700, None).map_err(failed(&work))
        }
        Some(user) => {
            make(&dir.0, 0o710, Some(user.gid)).map_err(failed(&dir.0))?;
            if !work.exists() {
                make(&work, 0o700, None).map_err(failed(&work))?;
            }
            handover::give(&work, user).map_err(failed(&work))?;
            let closed = fs::Permissions::from_mode(0o700);
            fs::set_permissions(&work, closed).map_err(failed(&work))
        }
    }
}

/// A named volume, if it is not there yet: nobody's but the agent's.
pub(super) fn make_volume(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    if let Some(all) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o711).create(all)?;
        fs::set_permissions(all, fs::Permissions::from_mode(0o711))?;
    }
    make(path, 0o700, None)
}

/// A directory of the agent's, with these rights whatever its umask is.
fn make(path: &Path, mode: u32, group: Option<u32>) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if group.is_some() {
        chown(path, None, group)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Held until the supervisor holds it, too, so there is no moment in which a second one could start.
fn take_lock(dir: &InstanceDir) -> Result<File, RunError> {
    let path = dir.lock();
    let open = || -> io::Result<File> {
        let lock = File::options().create(true).truncate(false).write(true).open(&path)?;
        let give_up = Instant::now() + LOCK_LIMIT;
        while let Err(error) = lock.try_lock() {
            if Instant::now() >= give_up {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, error));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(lock)
    };
    open().map_err(RunError::file(Step::Start, &path))
}

/// The first note of an incarnation.
fn beginning(launch: &Launch) -> String {
    format!("starting {} (start {})", launch.name, launch.incarnation)
}

/// What is said of `launch` itself: an incarnation begins with its first step, if it has any.
fn notes(launch: &Launch) -> impl Iterator<Item = String> {
    let first = !launch.after_steps && launch.step.is_none_or(|number| number == 1);
    let step = launch
        .step
        .map(|number| format!("step {number} before the start: {}", launch.spec.command.join(" ")));
    first.then(|| beginning(launch)).into_iter().chain(step)
}

/// The incarnation that begins with this line, if one does.
pub(super) fn incarnation(line: &LogLine) -> Option<u32> {
    if line.stream != LogStream::Node {
        return None;
    }
    let text = std::str::from_utf8(&line.text).ok()?.strip_prefix("starting ")?;
    // The second is what agents before 0.4 wrote.
    let number = text.rsplit_once(" (start ").or_else(|| text.rsplit_once(" (attempt "))?.1;
    number.strip_suffix(')')?.parse().ok()
}

fn write_plan(shared: &Shared, launch: &Launch, dir: &InstanceDir, task: Task) -> Result<Plan, RunError> {
    let limits = plan::limits(&shared.config, launch);
    let (group, warnings) =
        shared.cgroups.create(&launch.id.to_string(), limits).map_err(RunError::system(Step::Start))?;
    let plan = Plan {
        id: launch.id,
        incarnation: launch.incarnation,
        step: launch.step,
        boot_id: procfs::sys::kernel::random::boot_id().unwrap_or_default(),
        ports: launch.ports.clone(),
        task,
        group,
        refuges: Vec::new(),
        logs: shared.config.logs,
        notes: notes(launch).chain(warnings).collect(),
    };
    dir::write_json(&dir.plan(), &plan).map_err(RunError::file(Step::Start, &dir.plan()))?;
    Ok(plan)
}

/// Has a supervisor forked and waits until it says that the program runs.
fn spawn(
    shared: &Shared,
    dir: &InstanceDir,
    lock: &File,
    launch: &Launch,
    plan: &Plan,
) -> Result<Live, RunError> {
    let given = given::file(&launch.given.env).map_err(RunError::system(Step::Start))?;
    let order = Order { dir: &dir.0, lock: lock.as_fd(), given: given.as_fd() };
    for _ in 0..ATTEMPTS {
        let answer = shared.nursery.ask(&order).map_err(|error| match error {
            OrderError::Program(source) => RunError::file(Step::Start, &shared.config.supervisor.0)(source),
            OrderError::Send(source) => RunError::system(Step::Start)(source),
        })?;
        if let Some(answer) = answer {
            return meet(answer, plan);
        }
        // A supervisor that was killed before it answered may have started the program.
        watch::end_rest(dir, &plan.group).map_err(RunError::file(Step::Start, &dir.running()))?;
    }
    let (step, reason) = ("the supervisor".into(), "it ended before it could say why".into());
    Err(RunError::Spawn { step, reason, lasting: false })
}

fn meet(answer: Answer, plan: &Plan) -> Result<Live, RunError> {
    match answer {
        Ok((running, pidfd)) => Ok(Live::new(running, plan.group.clone(), pidfd)),
        Err(Failed { hope: Hope::Lease, .. }) => Err(RunError::LeaseOver { id: plan.id }),
        Err(Failed { step, reason, hope }) => {
            Err(RunError::Spawn { step, reason, lasting: hope == Hope::Never })
        }
    }
}
