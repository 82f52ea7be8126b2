//! `holm demo`: a whole sea on one machine, of real processes, and nothing of it left behind.
//!
//! ```text
//! sweep what a killed demo left → sea: root, clusters, nodes → apply → show, or check → end
//! ```
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`plan`] | which clusters, nodes and services there are (pure) |
//! | [`ground`] | the directory of a demo, and the record of what must be cleaned up |
//! | [`sea`] | starting, joining and ending everything |
//! | [`child`], [`process`] | one daemon of ours; processes told apart for sure |
//! | [`network`] | a network namespace for each node (`--isolated`) |
//! | [`sweep`] | what a demo that was killed has left |
//! | [`engine`] | whether a container engine is there, and lending it an image |
//! | [`image`] | what is in that image |
//! | [`forward`] | the address under which the readings are seen |
//! | [`show`] | the live table |
//! | [`check`] | `--once` |

mod check;
mod child;
mod engine;
mod forward;
mod ground;
mod image;
mod network;
mod plan;
mod process;
mod sea;
mod show;
mod sweep;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use holm_client::{Client, Condition, Manifest};
use holm_model::duration::Span;
use holm_model::manifest;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::commands::wait::{self, Patience, Seen, Wanted};
use crate::failure::Failure;
use crate::output::say;
use crate::roles;
use forward::Forward;
use ground::Ground;
pub(crate) use plan::LOGGER;
use sea::Sea;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Check that everything works, kill a collector, wait for its replacement, and end
    #[arg(long)]
    once: bool,
    /// Give each node a network namespace that drops incoming connections (as root)
    #[arg(long)]
    isolated: bool,
    /// Where the demo's directory is made [default: ~/.local/share/holm, or /var/lib/holm for root]. What a demo
    /// leaves that is killed, the next one with the same directory cleans up
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// The container engine's socket [default: the usual places of Docker and Podman]
    #[arg(long, env = "HOLM_ENGINE", value_name = "SOCKET")]
    engine: Option<PathBuf>,
    /// How long a step may take
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    timeout: Span,
}

/// The demo's application runs.
#[derive(Debug)]
struct Stage {
    client: Client,
    forward: Forward,
    /// From the request to RUNNING.
    took: Duration,
    /// What was told of it already.
    seen: Seen,
}

const PROJECT: &str = "default";

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let home = roles::absolute(&options.state_dir.clone().unwrap_or_else(roles::home))?;
    let engine = options.engine.as_deref().map(roles::absolute).transpose()?;
    sweep::leftovers(&home).await?;
    let mut sea = Sea::new(Ground::create(&home, engine)?, options.isolated)?;
    let played = tokio::select! {
        played = play(&mut sea, &options) => played,
        interrupted = interrupted() => interrupted,
    };
    if let Some(failure) = played.as_ref().err().filter(|failure| failure.matters()) {
        // Now, before the logs are gone.
        check::explain(&sea, failure).await;
    }
    // It is cleaned up whether somebody reads that or not.
    let _ = say("Cleaning up …");
    let ended = tokio::select! {
        ended = sea.end() => ended,
        interrupted = interrupted_again() => interrupted.and(Err(Failure::new("interrupted while cleaning up")
            .hint("the next `holm demo` cleans up the rest"))),
    };
    played.and(ended)
}

/// By Ctrl-C, by whoever ends processes, or by the terminal that has gone.
async fn interrupted() -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|e| Failure::from_error("signals cannot be received", &e));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// A signal is often sent twice, to the process and to its group: only a later one is meant so.
async fn interrupted_again() -> Result<(), Failure> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    interrupted().await
}

async fn play(sea: &mut Sea, options: &Options) -> Result<(), Failure> {
    let Span(limit) = options.timeout;
    say("Starting a root, two clusters and four nodes …")?;
    let client = sea.start(limit).await?;
    let stage = stage(sea, client, limit).await?;
    tell(sea, &stage)?;
    if options.once { check::run(sea, &stage, limit).await } else { show::run(stage).await }
}

/// Applies the demo's application.
async fn stage(sea: &mut Sea, client: Client, limit: Duration) -> Result<Stage, Failure> {
    let lent = sea.lend().await?;
    if let Err(why) = &lent {
        say(&format!("No container joins: {why}."))?;
    }
    let application = plan::application(lent.ok().as_ref())?;
    let name = application.name.clone();
    let body = Manifest::Yaml(manifest::show(&application));
    let begun = Instant::now();
    // Before the request: whatever becomes of it, it is deleted at the end.
    sea.applied(client.clone(), name.as_str());
    let applied = client.apply(PROJECT, name.as_str(), &body, Condition::Any).await?;
    let wanted = Wanted { project: PROJECT, name: name.as_str(), generation: applied.generation };
    // Its time to RUNNING is told: no stable time is waited for.
    let (patience, mut seen) = (Patience { limit, stable: Duration::ZERO }, Seen::default());
    wait::until_running(&client, wanted, patience, &mut seen).await?;
    let took = begun.elapsed();
    let forward = Forward::start(client.clone(), name.as_str()).await?;
    Ok(Stage { client, forward, took, seen })
}

fn tell(sea: &Sea, stage: &Stage) -> Result<(), Failure> {
    let root = sea.root();
    say(&format!(
        "\nIt runs, {} ms after it was applied.\n\n  readings       http://{}/\n  API            https://{}/api/v1\n  \
         fingerprint    {}\n  from another shell:\n    export HOLM_SOCKET={}\n    holm get instances\n",
        stage.took.as_millis(),
        stage.forward.address(),
        root.address,
        root.fingerprint,
        root.socket.display(),
    ))
}
