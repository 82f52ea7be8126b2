//! Why a runtime could not do what it was asked, and whether to ask again.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use holm_model::id::AssignmentId;

/// What was being done, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Look,
    Prepare,
    Build,
    Start,
    Halt,
    Signal,
    Lease,
    Pause,
    Resume,
    Remove,
    Wipe,
    Survivors,
    Usage,
    Logs,
    Exec,
    Copy,
    Volume,
    Address,
}

/// An operation of a [`crate::Runtime`] failed. [`RunError::retry`] says whether trying again later
/// can help.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("image `{image}` cannot be had: {answer}")]
    ImageMissing { image: String, answer: String },

    /// In the engine's words.
    #[error("{answer}")]
    NotBuilt { answer: String },

    #[error("the service names no image; a container needs `image:`")]
    NoImage,

    #[error("the service names no command; a process needs `command:`")]
    NoCommand,

    #[error("program `{program}` was not found in {path}; install it on the node or correct `command:`")]
    ProgramMissing { program: String, path: String },

    #[error("`{program}` cannot be executed: it is {what}; correct `command:`")]
    NoProgram { program: String, what: &'static str },

    #[error("working directory `{path}` cannot be used: {source}", path = path.display())]
    WorkDir { path: PathBuf, source: io::Error },

    #[error("user `{user}` {reason}")]
    User { user: String, reason: String },

    /// Of the users that are for projects.
    #[error("the users {range} (`--process-users`) cannot be used: {reason}")]
    UserRange { range: String, reason: String },

    /// Somebody has closed a directory above those of instances.
    #[error("users of instances cannot pass through `{dir}`: `chmod o+x {dir}` lets them", dir = dir.display())]
    Closed { dir: PathBuf },

    #[error("which user each project has is not known: `{path}`: {source}", path = path.display())]
    UserFile { path: PathBuf, source: io::Error },

    /// The runtime cannot do this at all.
    #[error("runtime `{runtime}` cannot {what}")]
    Unsupported { runtime: &'static str, what: String },

    #[error("port {port} of the node cannot be used: {answer}")]
    PortTaken { port: u16, answer: String },

    /// The program could not be started; `step` names what its supervisor was doing.
    #[error("{step} failed: {reason}")]
    Spawn { step: String, reason: String, lasting: bool },

    /// Nothing was started; no attempt has failed.
    #[error("instance {id} was not started: its lease ends before that")]
    LeaseOver { id: AssignmentId },

    #[error("`{pattern}` cannot be searched for: {reason}")]
    Pattern { pattern: String, reason: String },

    #[error("instance {id} has had one incarnation only, or nothing is kept of the one before")]
    NoPrevious { id: AssignmentId },

    #[error("instance {id} does not run")]
    NotRunning { id: AssignmentId },

    #[error("instance {id} is paused; resume it first")]
    Paused { id: AssignmentId },

    #[error("instance {id} did not end after SIGKILL; the kernel may wait for a device")]
    WillNotEnd { id: AssignmentId },

    #[error("{step}: `{path}`: {source}", path = path.display())]
    File { step: Step, path: PathBuf, source: io::Error },

    #[error("{step}: {source}")]
    System { step: Step, source: io::Error },

    /// It is not removed.
    #[error("image `{image}` is used by a container; end that first")]
    ImageUsed { image: String },

    /// The container engine answered with an error.
    #[error("{step}: the container engine answered {status}: {answer}")]
    Engine { step: Step, status: u16, answer: String },

    /// Nobody is there.
    #[error("{step}: no container engine at {address}: {reason}")]
    NoEngine { step: Step, address: String, reason: String },

    /// The container engine takes connections, and says nothing: it hangs, or is only about to start.
    #[error("{step}: the container engine at {address} does not answer")]
    MuteEngine { step: Step, address: String },
}

// === impl RunError ===

impl RunError {
    /// Whether the same request may succeed later without anybody changing it.
    #[must_use]
    pub const fn retry(&self) -> bool {
        match self {
            Self::NoImage
            | Self::NoCommand
            | Self::Pattern { .. }
            | Self::User { .. }
            | Self::Unsupported { .. } => false,
            Self::Spawn { lasting, .. } => !*lasting,
            Self::Engine { status, .. } => *status != 400,
            _ => true,
        }
    }

    pub(crate) fn file(step: Step, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { step, path, source }
    }

    pub(crate) const fn system(step: Step) -> impl FnOnce(io::Error) -> Self + Copy {
        move |source| Self::System { step, source }
    }
}

// === impl Step ===

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Look => "looking for the engine",
            Self::Prepare => "preparing",
            Self::Build => "building",
            Self::Start => "starting",
            Self::Halt => "halting",
            Self::Signal => "signalling",
            Self::Lease => "renewing its lease",
            Self::Pause => "pausing",
            Self::Resume => "resuming",
            Self::Remove => "removing",
            Self::Wipe => "wiping",
            Self::Survivors => "looking for survivors",
            Self::Usage => "measuring",
            Self::Logs => "reading logs",
            Self::Exec => "exec",
            Self::Copy => "copying",
            Self::Volume => "finding or removing a volume",
            Self::Address => "finding the bridge's address",
        })
    }
}
