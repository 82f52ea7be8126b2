//! The order of starting and stopping.
//!
//! ```text
//! start:  store (locks the directory) → keys (made, loaded, or got by joining) → machine, reign
//!         committed → doors open → owner runs
//! serve:  port, Unix socket, plain HTTP, uplink … until the stop
//! stop:   doors shut → links told why → owner done → store written and closed
//! ```
//!
//! Nothing on any node is touched by stopping.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holm_core::table::LoadError;
use holm_link::listen::AcceptorError;
use holm_store::{CommitError, Kind, OpenError, Snapshot, Store};
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Role};
use crate::describe::describe;
use crate::expose::Balancer;
use crate::expose::rooms::Rooms;
use crate::ground::{Face, Ground};
use crate::handle::{Handle, Inputs, Shared};
use crate::health::Health;
use crate::identity::Notary;
use crate::keys::{KeysError, ServerCertificateError, Signer};
use crate::links::Links;
use crate::locating::Locating;
use crate::meter::Meter;
use crate::owner::{Owner, Waiters, World};
use crate::people::login::Desk;
use crate::people::token::TokenSigner;
use crate::renewals::Renewals;
use crate::scheduler::{Consultants, TrustError};
use crate::serve::{self, BindError, Doors, OnHttp};
use crate::transfers::Transfers;
use crate::tunnels::Router;
use crate::upkeep;
use crate::uplink::Uplink;
use crate::watch;
use crate::witnesses::Witnesses;

/// An orchestrator that has started; it serves once [`Shell::serve`] is called.
#[derive(Debug)]
pub struct Shell {
    config: Config,
    handle: Handle,
    doors: Doors,
    face: Face,
    signer: Arc<Signer>,
    links: Arc<Links>,
    uplink: Option<Arc<Uplink>>,
    router: Router,
    inputs: Inputs,
    owner: JoinHandle<()>,
    meter: Arc<Meter>,
    stop: Stop,
}

/// In the order in which they are cancelled.
#[derive(Clone, Debug)]
struct Stop {
    /// Asked for from outside.
    asked: CancellationToken,
    /// No links any more.
    owner: CancellationToken,
}

/// The orchestrator has not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the new reign could not be committed")]
    Commit(#[from] CommitError),
    #[error("the certificate for our own server cannot be made")]
    Certificate(#[from] ServerCertificateError),
    #[error("the certificate for our own server cannot be used (a bug)")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Acceptor(#[from] AcceptorError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Schedulers(#[from] TrustError),
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
    #[error("stopped before it had joined its parent")]
    Stopped,
}

/// The task that owns the machine ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("the orchestrator's owner task has failed (a bug); start again: what was acknowledged is kept")]
pub struct Broken(#[source] Option<tokio::task::JoinError>);

/// Inputs that may wait for the owner; beyond it whoever sends waits.
const INPUTS: usize = 1024;
/// For saying good-bye to members.
const CLOSING: Duration = Duration::from_secs(5);

// === impl Shell: start ===

impl Shell {
    /// Opens the store, gets the keys, starts a new reign and opens the doors.
    ///
    /// # Errors
    /// See [`StartError`]; whatever was begun is closed again.
    pub async fn start(config: Config, stop: CancellationToken) -> Result<Self, StartError> {
        let (store, snapshot) = Store::succeed(&config.data_dir, Kind::Orchestrator).await?;
        let begun = Self::begin(config, store.clone(), snapshot, stop).await;
        if begun.is_err() {
            // The directory is free again before anybody reads the error.
            store.close().await;
        }
        begun
    }

    async fn begin(
        config: Config,
        store: Store,
        snapshot: Snapshot,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        let ground = Ground::prepare(&config, store, snapshot, &stop).await?;
        let face = ground.face(&config)?;
        let tls = config.schedulers.tls()?;
        let doors = Doors::open(&config).await?;
        Ok(Self::assemble(config, (ground, face, doors), tls, stop))
    }

    /// Nothing can fail any more.
    fn assemble(
        config: Config,
        (ground, face, doors): (Ground, Face, Doors),
        tls: Option<Arc<ClientConfig>>,
        asked: CancellationToken,
    ) -> Self {
        let (publisher, watch) = watch::channel(ground.status(&config), ground.store.last_change());
        let (sender, receiver) = mpsc::channel(INPUTS);
        let inputs = Inputs::new(sender);
        let meter = Arc::new(Meter::default());
        meter.server_expires_at(face.expires_at);
        let locating = match config.role {
            Role::Root { .. } => Locating::root(),
            Role::Cluster { .. } => Locating::cluster(config.name.as_str()),
        };
        let above = config.above();
        let links = Arc::new(Links::new(ground.clock.clone(), Arc::clone(&meter), locating.clone(), above));
        let (store, signer) = (ground.store, Arc::new(ground.signer));
        let uplink = ground.parent.map(|parent| {
            let (dir, revocations) = (config.data_dir.clone(), ground.revocations.clone());
            Arc::new(Uplink::new(
                parent,
                dir,
                revocations,
                ground.clock,
                config.limits,
                Arc::clone(&meter),
                locating,
            ))
        });
        let notary = Arc::new(Notary::new(Arc::clone(&signer), ground.revocations.clone()));
        let rooms = Rooms::new(config.limits.tunnels);
        let router = Router::new(
            Arc::clone(&links),
            uplink.clone(),
            inputs.clone(),
            Arc::clone(&notary),
            Transfers::new(inputs.clone(), Arc::clone(&signer), config.fall_back),
            rooms.clone(),
            Witnesses::default(),
        );
        let balancer = Balancer::new(config.expose_address, inputs.clone(), router.clone(), rooms);
        let (voided, hears) = tokio::sync::watch::channel(());
        let world = World {
            links: Arc::clone(&links),
            uplink: uplink.clone(),
            balancer: balancer.clone(),
            signer: Arc::clone(&signer),
            renewals: Mutex::new(Renewals::of(config.certificate_life)),
            revocations: ground.revocations,
            consultants: Arc::new(Consultants::new(&config.schedulers, tls, inputs.clone())),
            voided,
        };
        let handle = Handle::new(Shared {
            inputs: inputs.clone(),
            store: store.clone(),
            watch,
            signer: Arc::clone(&signer),
            desk: Desk::new(TokenSigner::new(Arc::clone(&signer))),
            router: router.clone(),
            balancer,
            notary,
            links: Arc::clone(&links),
            uplink: uplink.clone(),
            meter: Arc::clone(&meter),
            data_dir: config.data_dir.clone(),
            stopping: asked.clone(),
            voided: hears,
        });
        let owner = Owner {
            machine: ground.machine,
            inputs: receiver,
            world,
            store,
            publisher,
            health: Health::new(),
            meter: Arc::clone(&meter),
            waiters: Waiters::default(),
            alive_at: Duration::ZERO,
        };
        let stop = Stop { asked, owner: CancellationToken::new() };
        let owner = tokio::spawn(owner.run(stop.owner.clone()));
        Self { config, handle, doors, face, signer, links, uplink, router, inputs, owner, meter, stop }
    }

    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Where the port really is.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.doors.port.local_addr()
    }

    /// Where plain HTTP really is, if it is served.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn http_address(&self) -> std::io::Result<Option<SocketAddr>> {
        self.doors.plain.as_ref().map(tokio::net::TcpListener::local_addr).transpose()
    }
}

// === impl Shell: serve and stop ===

impl Shell {
    /// Serves until the stop is asked for, then closes everything in order.
    ///
    /// # Errors
    /// When the orchestrator ended without being asked to.
    pub async fn serve(mut self, on_http: OnHttp) -> Result<(), Broken> {
        let asked = self.stop.asked.clone();
        let up = self
            .uplink
            .take()
            .map(|uplink| tokio::spawn(uplink.run(self.inputs.clone(), self.router.clone(), asked.clone())));
        self.router.serve_http(Arc::clone(&on_http));
        let Face { certificate, names, due, acceptor, .. } = self.face;
        let (acceptor, links, clock) = (Arc::new(acceptor), Arc::clone(&self.links), self.signer.clock());
        let is_root = matches!(self.config.role, Role::Root { .. });
        let members =
            serve::Members { links, inputs: self.inputs, router: self.router, limits: self.config.limits };
        let work = async {
            tokio::join!(
                serve::port(self.doors.port, acceptor, members, Arc::clone(&on_http)),
                serve::unix(self.doors.unix, Arc::clone(&on_http)),
                serve::plain(self.doors.plain, on_http),
                upkeep::renew_certificate(&self.signer, &certificate, &names, &self.meter, due),
                upkeep::tell_time(clock, is_root, &self.links),
                clock.keep(&self.config.data_dir),
                upkeep::prune(self.handle.store(), self.config.limits.history),
            )
        };
        tokio::select! {
            () = asked.cancelled() => {}
            // Nothing that was acknowledged is lost: whoever starts it again finds all of it.
            ended = &mut self.owner => { asked.cancel(); return Err(Broken(ended.err())) }
            _ = work => {}
        }
        self.handle.shut_doors();
        say_good_bye(&self.links, up).await;
        self.stop.owner.cancel();
        let ended = self.owner.await;
        close(self.handle.store()).await;
        // Left over, it would only be in the way of somebody who looks for a running orchestrator.
        let _ = std::fs::remove_file(self.config.data_dir.join(serve::SOCKET));
        ended.map_err(|error| Broken(Some(error)))
    }
}

async fn say_good_bye(links: &Links, up: Option<JoinHandle<()>>) {
    let told = tokio::time::timeout(CLOSING, links.close_all()).await;
    if told.is_err() {
        tracing::info!("Some members did not hear that the orchestrator is stopping.");
    }
    if let Some(up) = up {
        // It has heard of the stop by the same token.
        let _ = tokio::time::timeout(CLOSING, up).await;
    }
}

async fn close(store: &Store) {
    if let Err(error) = store.flush().await {
        tracing::warn!(reason = describe(&error), "The last facts could not be written.");
    }
    store.close().await;
}
