//! An image is built by the engine of this machine, and pushed to the platform's registry.
//!
//! ```text
//! bases ──pulled by a pass of this build──► context ──► the engine's builder ──what it says──► pushed by the same pass
//! ```
//!
//! The classic build endpoint is what Docker and Podman (Buildah) both have.

use std::sync::Arc;

use bollard::Docker;
use bollard::query_parameters::{
    BuildImageOptions, BuildImageOptionsBuilder, PushImageOptionsBuilder, TagImageOptionsBuilder,
};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use holm_model::build::BuildWant;
use holm_model::image::BUILT;
use holm_model::name::Name;
use holm_model::tunnel::{ExecOut, WindowSize};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use super::base::{self, Base};
use super::engine::PATIENCE;
use super::image::{AtOurs, Claim, split};
use super::ledger::{Shelf, Thing};
use super::own::{self, BuildPass};
use super::{Shared, image};
use crate::error::{RunError, Step};
use crate::stream::{Control, Exec};

/// Bytes of the context on their way to the engine.
const CONTEXT: usize = 256 * 1024;
/// Words of the engine that nobody has taken yet.
const SAID: usize = 256;

/// One build: says what happens.
struct Build {
    shared: Arc<Shared>,
    want: BuildWant,
    said: mpsc::Sender<ExecOut>,
}

/// Nobody may tell a build anything but to end.
struct Deaf;

impl Shared {
    /// Begins when the output is read; ends when that is dropped.
    pub(super) fn build(self: &Arc<Self>, want: BuildWant) -> Result<Exec, RunError> {
        let Some(own) = self.config.own.clone() else {
            let what = "reach the platform's registry, to which images are pushed".to_owned();
            return Err(RunError::Unsupported { runtime: "container", what });
        };
        let (stdin, context) = tokio::io::duplex(CONTEXT);
        let (said, heard) = mpsc::channel(SAID);
        let build = Build { shared: Arc::clone(self), want, said };
        // Not cut off wherever it is: what it has moved on the engine is put back.
        let gone = CancellationToken::new();
        let listens = gone.clone().drop_guard();
        tokio::spawn(async move {
            let pass = own.admit_build(&build.want.token);
            let code = match build.run(context, &pass, &gone).await {
                Ok(()) => 0,
                Err(error) => {
                    build.say(ExecOut::Stderr(describe(&error).into_bytes())).await;
                    1
                }
            };
            build.say(ExecOut::Exit(code)).await;
        });
        let output = stream::unfold((heard, listens), |(mut heard, listens)| async move {
            heard.recv().await.map(|out| (Ok(out), (heard, listens)))
        });
        Ok(Exec { stdin: Box::new(stdin), control: Box::new(Deaf), output: output.boxed() })
    }
}

// === impl Build ===

impl Build {
    async fn run(
        &self,
        context: DuplexStream,
        pass: &BuildPass,
        gone: &CancellationToken,
    ) -> Result<(), RunError> {
        let (repository, _) = split(&self.want.image);
        let project = Name::new(repository.split('/').next().unwrap_or_default()).map_err(|error| {
            RunError::NotBuilt { answer: format!("{repository} has no project before it: {error}") }
        })?;
        let mut bases = Vec::new();
        let made = tokio::select! {
            made = self.make(context, pass, &project, &mut bases) => made,
            () = gone.cancelled() => Err(RunError::NotBuilt { answer: "nobody waits for it any more".to_owned() }),
        };
        base::put_back(&self.shared, &bases).await?;
        made
    }

    async fn make(
        &self,
        context: DuplexStream,
        pass: &BuildPass,
        project: &Name,
        bases: &mut Vec<Base>,
    ) -> Result<(), RunError> {
        let engine = &self.shared.engine;
        let (repository, _) = split(&self.want.image);
        for base in &self.want.bases {
            self.line(&format!("looking for {base}")).await;
            let platform = Some(self.want.platform.as_str());
            let claim = Claim { project, login: None, at_ours: AtOurs::By(pass), platform };
            bases.push(base::provide(&self.shared, base, claim).await?);
        }
        let local = format!("{BUILT}/{repository}:latest");
        self.note(&local)?;
        let client = engine.client(Step::Build).await?.clone().with_timeout(PATIENCE);
        self.build(&client, context, &local).await?;
        // Without a step, it is its base, which others may have, too.
        if let Some(built) =
            image::id(&client, &local).await?.filter(|built| bases.iter().all(|base| base.id != *built))
        {
            image::keep_for(&self.shared.ledger, &built, project)?;
        }
        self.line("pushing it to the registry").await;
        let to = format!("{}/{}", pass.address, self.want.image);
        let (remote, tag) = split(&to);
        let named = TagImageOptionsBuilder::new().repo(remote).tag(tag).build();
        client.tag_image(&local, Some(named)).await.map_err(|error| engine.failed(Step::Build, error))?;
        let pushed = self.push(&client, &to, pass).await;
        own::forget(&client, &to).await;
        pushed
    }

    fn options(&self, local: &str) -> BuildImageOptions {
        let options = BuildImageOptionsBuilder::new().dockerfile(&self.want.dockerfile).t(local);
        options.rm(true).forcerm(true).nocache(self.want.fresh).platform(&self.want.platform).build()
    }

    async fn build(&self, client: &Docker, context: DuplexStream, local: &str) -> Result<(), RunError> {
        let body = bollard::body_try_stream(ReaderStream::with_capacity(context, CONTEXT));
        let mut steps = Box::pin(client.build_image(self.options(local), None, Some(body)));
        while let Some(step) = steps.try_next().await.map_err(refused)? {
            if let Some(answer) = step.error_detail.and_then(|detail| detail.message) {
                return Err(RunError::NotBuilt { answer });
            }
            if let Some(text) = step.stream.filter(|text| !text.is_empty()) {
                self.say(ExecOut::Stdout(text.into_bytes())).await;
            }
        }
        Ok(())
    }

    async fn push(&self, client: &Docker, to: &str, pass: &BuildPass) -> Result<(), RunError> {
        if own::push_by_podman(&self.shared.engine, to, &pass.login).await? {
            return Ok(());
        }
        let (name, tag) = split(to);
        let options = PushImageOptionsBuilder::new().tag(tag).build();
        let mut steps =
            Box::pin(client.push_image(name, Some(options), Some(image::credentials(&pass.login))));
        while let Some(step) = steps.try_next().await.map_err(refused)? {
            if let Some(answer) = step.error_detail.and_then(|detail| detail.message) {
                return Err(RunError::NotBuilt { answer });
            }
        }
        Ok(())
    }

    /// Before the engine has it, so that cleaning finds it after a crash, too.
    fn note(&self, name: &str) -> Result<(), RunError> {
        let noted = self.shared.ledger.note(Shelf::from(Thing::Image), name);
        noted.map_err(|source| RunError::System { step: Step::Build, source })
    }

    async fn line(&self, text: &str) {
        self.say(ExecOut::Stdout(format!("{text}\n").into_bytes())).await;
    }

    /// Waits while nobody reads; whoever has gone needs no words.
    async fn say(&self, out: ExecOut) {
        let _ = self.said.send(out).await;
    }
}

fn refused(error: bollard::errors::Error) -> RunError {
    let answer = match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => message,
        bollard::errors::Error::DockerStreamError { error } => error,
        error => error.to_string(),
    };
    RunError::NotBuilt { answer }
}

fn describe(error: &RunError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

// === impl Deaf ===

impl Control for Deaf {
    fn resize(&self, _size: WindowSize) -> BoxFuture<'_, std::io::Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn signal(&self, _number: i32) -> std::io::Result<()> {
        Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "a build takes no signals"))
    }
}
