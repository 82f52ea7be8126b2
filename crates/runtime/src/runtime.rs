//! What a node asks of every runtime.

use std::fmt::Debug;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use holm_model::build::BuildWant;
use holm_model::id::AssignmentId;
use holm_model::image::ImageView;
use holm_model::member::RuntimeFacts;
use holm_model::name::Name;
use holm_model::service::{ServiceSpec, Signal};
use holm_model::tunnel::{CopyWay, Terminal};
use holm_model::wipe::WipeReport;

use crate::error::RunError;
use crate::event::Survivor;
use crate::given::Access;
use crate::launch::{Launch, Progress};
use crate::reading::Reading;
use crate::stream::{Exec, LogLines, LogOptions};

/// Called with every step forward of a preparation.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// A driver that runs instances.
///
/// Every operation is idempotent: what is already so is no error. The end of an instance comes as
/// a [`crate::RuntimeEvent`] on the channel that the driver was made with, never by asking.
/// Dropping a driver ends no instance.
pub trait Runtime: Debug + Send + Sync {
    /// The word in `runtime:` of a manifest.
    fn name(&self) -> &'static str;

    /// Whether it can be used, and which limits it can really enforce on this host.
    fn facts(&self) -> BoxFuture<'_, RuntimeFacts>;

    /// Returns when [`Runtime::facts`] may tell something new about whether it can be used; a change that
    /// came between two calls is not missed. One that is always ready never returns.
    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Everything that may take long before a start: an image is pulled, a program looked up.
    fn prepare<'a>(
        &'a self,
        launch: &'a Launch,
        progress: OnProgress<'a>,
    ) -> BoxFuture<'a, Result<(), RunError>>;

    /// Returns as soon as the program runs. What an earlier incarnation left is replaced.
    fn start<'a>(&'a self, launch: &'a Launch) -> BoxFuture<'a, Result<(), RunError>>;

    /// SIGTERM, after `grace` SIGKILL to everything of the instance. Returns when it has ended.
    fn halt(&self, id: AssignmentId, grace: Duration) -> BoxFuture<'_, Result<(), RunError>>;

    /// How an instance of the project's service would get at files that the node keeps in memory, if it were started
    /// now.
    ///
    /// # Errors
    /// When its user is not known here.
    fn access(&self, _project: &Name, _spec: &ServiceSpec) -> Result<Access, RunError> {
        Ok(Access::Shared { owner: None })
    }

    /// How the instance that was started last under this id gets at them; `None`: as one that were started now.
    fn access_now(&self, _id: AssignmentId) -> Option<Access> {
        None
    }

    /// The instance may run until then (boot time); it is ended at that moment, by somebody who outlives the agent.
    ///
    /// # Errors
    /// [`RunError::Unsupported`] where only the agent could end it.
    fn lease(&self, _id: AssignmentId, _until: Duration) -> BoxFuture<'_, Result<(), RunError>> {
        let (runtime, what) = (self.name(), "end an instance at the end of its lease".to_owned());
        Box::pin(std::future::ready(Err(RunError::Unsupported { runtime, what })))
    }

    /// Tells the program something, as its service asks for. It goes on.
    fn signal(&self, id: AssignmentId, signal: Signal) -> BoxFuture<'_, Result<(), RunError>>;

    /// Keeps the instance in memory without a turn on a CPU.
    fn pause(&self, id: AssignmentId) -> BoxFuture<'_, Result<(), RunError>>;

    /// Undoes [`Runtime::pause`].
    fn resume(&self, id: AssignmentId) -> BoxFuture<'_, Result<(), RunError>>;

    /// Ends the instance at once if it runs, and removes all its traces, logs included.
    fn remove(&self, id: AssignmentId) -> BoxFuture<'_, Result<(), RunError>>;

    /// Everything of this node that runs or ended and was not removed. Call it once, before the first
    /// start: those that run are watched from then on.
    fn survivors(&self) -> BoxFuture<'_, Result<Vec<Survivor>, RunError>>;

    /// CPU since the last call and memory now. The first call tells CPU since the start, or 0 where
    /// only the engine knows the start.
    fn usage(&self, id: AssignmentId) -> BoxFuture<'_, Result<Reading, RunError>>;

    /// Lines that the instance wrote, oldest first.
    fn logs(&self, id: AssignmentId, options: LogOptions) -> BoxFuture<'_, Result<LogLines, RunError>>;

    /// Starts a command beside the instance: its user, environment, limits and file system; with a
    /// `terminal` of its own, or with three pipes. Refused while the instance is paused, as the command
    /// would be, too.
    fn exec(
        &self,
        id: AssignmentId,
        command: Vec<String>,
        terminal: Option<Terminal>,
    ) -> BoxFuture<'_, Result<Exec, RunError>>;

    /// Files of a running instance, with the rights of its user: a tar stream is the output or the input of
    /// what is returned, and its exit code is 0 when all of it was copied. Names are those that the instance
    /// sees; relative ones begin at its working directory (`container`: at its root).
    fn copy(&self, id: AssignmentId, path: String, way: CopyWay) -> BoxFuture<'_, Result<Exec, RunError>>;

    /// The directory on this machine where the files of a named volume ([`crate::volume::key`]) are; made if there is
    /// none.
    ///
    /// # Errors
    /// Where the agent may not look into the runtime's volumes.
    fn volume(&self, _key: String) -> BoxFuture<'_, Result<PathBuf, RunError>> {
        let (runtime, what) = (self.name(), "move volumes".to_owned());
        Box::pin(std::future::ready(Err(RunError::Unsupported { runtime, what })))
    }

    /// Removes a named volume, which no instance uses any more.
    fn discard(&self, _key: String) -> BoxFuture<'_, Result<(), RunError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Removes what it has brought to this machine beside instances, of which none is left: images that it pulled,
    /// volumes that it made. What others use stays, and is told.
    fn wipe(&self) -> BoxFuture<'_, WipeReport> {
        Box::pin(std::future::ready(WipeReport::default()))
    }

    /// Removes what it has brought and nothing uses now: images, but for the `keep` newest of each repository. Returns
    /// their names.
    fn clean(&self, _keep: usize) -> BoxFuture<'_, Result<Vec<String>, RunError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Those that are here; none where a runtime has no images.
    fn images(&self) -> BoxFuture<'_, Result<Vec<ImageView>, RunError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Takes a name from an image, and with its last one the image.
    ///
    /// # Errors
    /// When there is none of this name, or something uses it.
    fn remove_image(&self, name: String) -> BoxFuture<'_, Result<(), RunError>> {
        let answer = format!("the runtime `{}` has no images", self.name());
        Box::pin(std::future::ready(Err(RunError::ImageMissing { image: name, answer })))
    }

    /// Builds an image and pushes it to the platform's registry.
    ///
    /// # Errors
    /// When this runtime builds none.
    fn build(&self, _want: BuildWant) -> Result<Exec, RunError> {
        Err(RunError::Unsupported { runtime: self.name(), what: "build images".to_owned() })
    }

    /// The address under which instances of this runtime reach listeners of the node.
    fn local_address(&self) -> BoxFuture<'_, Result<IpAddr, RunError>>;

    /// Where an instance finds the directory [`Launch::files`], for its environment.
    fn files_path(&self, files: &Path) -> PathBuf;
}
