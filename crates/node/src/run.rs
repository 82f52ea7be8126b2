//! From a configuration to a running node, and its graceful end.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use holm_core::node::{Farewell, NodeConfig as MachineConfig, NodeEvent, NodeMachine};
use holm_core::table::LoadError;
use holm_link::clock::Clock;
use holm_link::credentials::Credentials;
use holm_link::revocation::Revocations;
use holm_model::member::NodeFacts;
use holm_model::name::Name;
use holm_model::units::{Counted, Units};
use holm_runtime::{Runtime, RuntimeEvent};
use holm_store::{Kind, OpenError, Snapshot, Store};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

pub use crate::agent::Ended;
use crate::agent::{self, Agent, Input, Memory};
use crate::allowed::Owner;
use crate::amendments::Narrator;
use crate::config::NodeConfig;
use crate::connections::Connections;
use crate::directory::Directory;
use crate::facts::Detector;
use crate::facts::tree::Tree;
use crate::guest::Guest;
use crate::health::Checks;
use crate::history::History;
use crate::identity::{Identities, Sockets, Trust};
use crate::launch::NodeSelf;
use crate::link::{Link, Settings, Witness};
use crate::local_api::{self, LocalApi};
use crate::locating::Locating;
use crate::membership::{Applicant, MembershipError};
use crate::memberships::{Memberships, Other};
use crate::note::Note;
use crate::peers::Peers;
use crate::place::Place;
use crate::ports::Ports;
use crate::registry::{self, Door};
use crate::runtimes::Runtimes;
use crate::tmpfs::Tmpfs;
use crate::tunnels::{Host, Machine, Transfer};
use crate::usage::Meter;
use crate::workers::{Tools, Workers};
use crate::{clock, drivers, note, observe, scrape, wipe};

/// The node cannot run, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("the data directory {} cannot be made or written; check its path and owner", path.display())]
    DataDir { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("the store's content cannot be used")]
    Load(#[from] LoadError),
    #[error(transparent)]
    Membership(#[from] MembershipError),
    #[error("the socket {} cannot be opened; is the path longer than 100 bytes?", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("no port of loopback can be opened for the container engine")]
    Door(#[source] io::Error),
    #[error("the host name `{0}` is no name for a node; give it one with --name")]
    NoName(String),
    #[error("this machine was {since}, and shall not join again by itself")]
    Decommissioned { since: String },
    #[error("all is wiped but what could not be removed from {}; remove it by hand", path.display())]
    Finish { path: PathBuf, source: io::Error },
    #[error("a task of the node broke; report this as a bug")]
    Task(#[source] Box<dyn Error + Send + Sync>),
}

/// Inputs that wait for the agent; then their senders wait.
const INPUTS: usize = 1024;
/// Events of runtimes that wait.
const EVENTS: usize = 256;

/// Runs a node until `stop` is cancelled. Ends no instance: the next start adopts them.
///
/// # Errors
/// See [`NodeError`]. An orchestrator that cannot be reached is none.
pub async fn run(config: NodeConfig, stop: CancellationToken) -> Result<Ended, NodeError> {
    let runtimes = config.runtimes.clone();
    let data_dir = config.data_dir.clone();
    create_data_dir(&data_dir)?;
    let label = drivers::label(&data_dir);
    let label = label.map_err(|source| NodeError::DataDir { path: data_dir.clone(), source })?;
    let (door, listener) = Door::open().map_err(NodeError::Door)?;
    let own = Arc::clone(&door);
    let drivers = move |events| drivers::start(&runtimes, &data_dir, &label, Some(own), events);
    run_through(config, drivers, Some((door, listener)), stop).await
}

/// [`run`] with drivers of the caller's choice, which send their events into the given channel.
///
/// # Errors
/// As for [`run`].
pub async fn run_with<F>(config: NodeConfig, drivers: F, stop: CancellationToken) -> Result<Ended, NodeError>
where
    F: FnOnce(mpsc::Sender<RuntimeEvent>) -> Vec<Arc<dyn Runtime>>,
{
    run_through(config, drivers, None, stop).await
}

/// The way of the engine to the registry, before it is served.
type Opened = (Arc<Door>, std::net::TcpListener);

async fn run_through<F>(
    config: NodeConfig,
    drivers: F,
    door: Option<Opened>,
    stop: CancellationToken,
) -> Result<Ended, NodeError>
where
    F: FnOnce(mpsc::Sender<RuntimeEvent>) -> Vec<Arc<dyn Runtime>>,
{
    let data_dir = config.data_dir.clone();
    create_data_dir(&data_dir)?;
    revive(&config)?;
    let (store, snapshot) = Store::succeed(&data_dir, Kind::Node).await?;
    let ran = match prepare(config, drivers, store.clone(), snapshot, &stop).await {
        Ok(Some((parts, credentials, clock))) => parts.run(credentials, clock, door, stop).await,
        Ok(None) => Ok(Ended::Stopped),
        Err(error) => Err(error),
    };
    // Written and unlocked before anybody is told that it is over.
    store.close().await;
    if matches!(ran, Ok(Ended::Decommissioned)) {
        let failed = |source| NodeError::Finish { path: data_dir.clone(), source };
        let label = drivers::label(&data_dir).map_err(failed)?;
        wipe::finish(&data_dir, &label).map_err(failed)?;
    }
    ran
}

/// A machine that was decommissioned joins again only if people say so.
fn revive(config: &NodeConfig) -> Result<(), NodeError> {
    let Some(since) = wipe::tombstone(&config.data_dir) else { return Ok(()) };
    if !config.rejoin {
        return Err(NodeError::Decommissioned { since });
    }
    let failed = |source| NodeError::DataDir { path: config.data_dir.clone(), source };
    wipe::forget_tombstone(&config.data_dir).map_err(failed)
}

/// Everything up to a member with its machine; none when it was stopped before.
async fn prepare<F>(
    config: NodeConfig,
    drivers: F,
    store: Store,
    mut snapshot: Snapshot,
    stop: &CancellationToken,
) -> Result<Option<(Parts, Credentials, Clock)>, NodeError>
where
    F: FnOnce(mpsc::Sender<RuntimeEvent>) -> Vec<Arc<dyn Runtime>>,
{
    let (events, events_seen) = mpsc::channel(EVENTS);
    let runtimes = Runtimes::new(drivers(events));
    let detector = Arc::new(detector(&config));
    let Some(facts) = observe::detect(&detector, runtimes.facts().await).await else { return Ok(None) };
    let (narrator, facts) = Narrator::load(&config.data_dir, facts);
    let name = name(&config, &facts)?;
    let applicant = applicant(&config, &name, &facts);
    let clock = Clock::open(&config.data_dir, config.clock.clone());
    let memberships = Memberships::new(config.data_dir.clone(), config.orchestrator.clone());
    let credentials = tokio::select! {
        () = stop.cancelled() => return Ok(None),
        credentials = applicant.credentials(&clock) => credentials?,
    };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let machine =
        MachineConfig { name: name.clone(), version, boot_id: facts.boot_id.clone(), disk: config.disk };
    let mut machine = NodeMachine::load(&mut snapshot, machine)?;
    let note = open_note(&config.data_dir, &mut machine);
    let other = memberships.other_if_sound();
    if other.is_some() {
        // Which of both was obeyed is not known: whoever is called sends his whole list.
        machine.step(clock::now(), NodeEvent::Resettled);
    }
    let label = drivers::label(&config.data_dir);
    let label = label.map_err(|source| NodeError::DataDir { path: config.data_dir.clone(), source })?;
    let (tmpfs, sockets, events) = (Tmpfs::new(&label), Sockets::new(&label), events_seen);
    let parts = Parts {
        config,
        store,
        machine,
        note,
        memberships,
        other,
        runtimes,
        tmpfs,
        sockets,
        events,
        detector,
        narrator,
        facts,
        name,
    };
    Ok(Some((parts, credentials, clock)))
}

/// What an earlier run was told to end and could not write down is not started.
fn open_note(data_dir: &Path, machine: &mut NodeMachine) -> Option<Note> {
    match Note::open(data_dir) {
        Ok((note, withdrawn)) => {
            machine.step(clock::now(), NodeEvent::Withdrawn(withdrawn));
            Some(note)
        }
        Err(error) => {
            tracing::warn!(%error, file = note::FILE, "Cannot make the file that remembers deletes on a full disk.");
            None
        }
    }
}

/// Everything that was opened before the node starts to work.
struct Parts {
    config: NodeConfig,
    store: Store,
    machine: NodeMachine,
    note: Option<Note>,
    memberships: Memberships,
    other: Option<Arc<Other>>,
    runtimes: Runtimes,
    tmpfs: Tmpfs,
    sockets: Sockets,
    events: mpsc::Receiver<RuntimeEvent>,
    detector: Arc<Detector>,
    narrator: Narrator,
    facts: NodeFacts,
    name: Name,
}

/// What several parts of a running node use.
struct Shared {
    inputs: mpsc::Sender<Input>,
    directory: Directory,
    connections: Connections,
    history: History,
    revocations: Revocations,
}

/// What the agent tells the others.
struct Published {
    node: watch::Sender<NodeSelf>,
    revision: watch::Sender<u64>,
    farewell: watch::Sender<Farewell>,
}

// === impl Parts ===

impl Parts {
    async fn run(
        mut self,
        credentials: Credentials,
        clock: Clock,
        door: Option<Opened>,
        stop: CancellationToken,
    ) -> Result<Ended, NodeError> {
        let data_dir = self.config.data_dir.clone();
        let (socket, path) = local_api::bind(&data_dir)
            .map_err(|source| NodeError::Socket { path: data_dir.join(local_api::SOCKET), source })?;
        (self.config.ready)();
        let (inputs, inbox) = mpsc::channel(INPUTS);
        let published = Published {
            node: watch::Sender::new(self.node_self(&credentials)),
            revision: watch::Sender::new(self.machine.held().revision()),
            farewell: watch::Sender::new(self.machine.farewell()),
        };
        let shared = Shared {
            inputs,
            directory: Directory::default(),
            connections: Connections::default(),
            history: History::default(),
            revocations: Revocations::default(),
        };
        agent::revoke(&shared.revocations, &self.machine.revoked());
        let settings = self.link_settings(credentials, clock.clone(), &shared, &published);
        let host = Arc::clone(&settings.host);
        let (link, calling) = Link::start(settings, stop.clone());
        let revocations = shared.revocations.clone();
        let trust = Trust { root: link.root(), revocations, clock: clock.clone() };
        let peers = self.peers(&link).await;
        let api = LocalApi {
            node: published.node.subscribe(),
            link: link.clone(),
            inputs: shared.inputs.clone(),
            history: shared.history.clone(),
            data_dir: data_dir.clone(),
        };
        let guest = Guest::new(&self.config, shared.inputs.clone(), &stop);
        let witness = Witness {
            guest: guest.clone(),
            name: self.name.clone(),
            host,
            data_dir: data_dir.clone(),
            status: link.watch(),
            revocations: shared.revocations.clone(),
            clock: clock.clone(),
            inputs: shared.inputs.clone(),
            after: self.config.fall_back_after,
            pace: self.config.link.keep_alive,
        };
        let mut helpers = self.helpers(&shared, &peers);
        helpers.spawn(api.serve(socket));
        if let Some((door, listener)) = door {
            helpers.spawn(registry::serve(door, listener, Arc::new(link.clone())));
        }
        helpers.spawn(witness.run());
        helpers.spawn(guest.clone().resume());
        helpers.spawn(async move { clock.keep(&data_dir).await });
        let agent = self.agent(inbox, shared, published, link, peers, trust);
        let ended = supervise(agent, (helpers, calling), stop).await;
        guest.ended().await;
        let _ = std::fs::remove_file(path);
        ended
    }

    fn link_settings(
        &mut self,
        credentials: Credentials,
        clock: Clock,
        shared: &Shared,
        published: &Published,
    ) -> Settings {
        let memberships = self.memberships.clone();
        let orders = mpsc::unbounded_channel();
        let applicant = applicant(&self.config, &self.name, &self.facts);
        let transfer =
            Transfer { applicant: applicant.clone(), clock: clock.clone(), link: orders.0.clone() };
        Settings {
            orchestrator: memberships.address(&credentials),
            memberships,
            other: self.other.take(),
            orders,
            data_dir: self.config.data_dir.clone(),
            credentials,
            applicant,
            revocations: shared.revocations.clone(),
            clock,
            times: self.config.link.clone(),
            revision: published.revision.subscribe(),
            inputs: shared.inputs.clone(),
            locating: Locating::new(self.name.as_str(), self.narrator.clone(), shared.inputs.clone()),
            farewell: published.farewell.subscribe(),
            host: Arc::new(Host {
                directory: shared.directory.clone(),
                connections: shared.connections.clone(),
                history: shared.history.clone(),
                runtimes: self.runtimes.clone(),
                narrator: self.narrator.clone(),
                machine: Machine::of(&self.config),
                transfer,
                agent: shared.inputs.clone(),
            }),
        }
    }

    async fn peers(&self, link: &Link) -> Peers {
        let peers = Peers::start(self.config.data_dir.join("peers"), Arc::new(link.clone()));
        let own = self.facts.addresses.iter().copied();
        peers.local(self.runtimes.local_addresses().await, own);
        peers
    }

    fn agent(
        mut self,
        inbox: mpsc::Receiver<Input>,
        shared: Shared,
        published: Published,
        link: Link,
        peers: Peers,
        trust: Trust,
    ) -> Agent {
        let (notary, upward) = (Arc::new(link.clone()), Arc::new(link.clone()));
        let identities = Identities::new(self.sockets, self.runtimes.clone(), trust, notary);
        let checks = Checks::new(shared.directory.clone(), shared.inputs.clone());
        let tools = Tools {
            runtimes: self.runtimes,
            directory: shared.directory,
            connections: shared.connections,
            ports: Mutex::new(Ports::default()),
            peers: peers.clone(),
            upward,
            tmpfs: self.tmpfs,
            identities: identities.clone(),
            owner: Owner::of(&self.config.data_dir),
            node: published.node.subscribe(),
            inputs: shared.inputs,
        };
        self.machine.step(clock::now(), NodeEvent::Facts(Box::new(self.facts)));
        Agent {
            machine: self.machine,
            store: self.store,
            note: self.note,
            data_dir: self.config.data_dir,
            inputs: inbox,
            workers: Workers::new(Arc::new(tools)),
            checks,
            peers,
            identities,
            link,
            revocations: shared.revocations,
            node: published.node,
            revision: published.revision,
            farewell: published.farewell,
            memory: Memory::default(),
        }
    }

    fn node_self(&self, credentials: &Credentials) -> NodeSelf {
        let alone = NodeSelf {
            name: self.name.to_string(),
            id: credentials.identity().name().to_owned(),
            cluster: String::new(),
            arch: self.facts.arch.clone(),
            labels: self.facts.labels.clone(),
        };
        match Place::load(&self.config.data_dir) {
            Some(place) => alone.at(&place),
            None => alone,
        }
    }

    /// Tasks that only look and tell.
    fn helpers(&mut self, shared: &Shared, peers: &Peers) -> JoinSet<()> {
        let Shared { inputs, directory, history, .. } = shared;
        let mut helpers = JoinSet::new();
        let meter = Meter::new(self.detector.tree.clone(), self.config.data_dir.clone());
        let (config, runtimes) = (&self.config, self.runtimes.clone());
        let measured = (directory.clone(), history.clone());
        helpers.spawn(observe::usage(meter, measured, config.interval, inputs.clone()));
        helpers.spawn(scrape::metrics(config.interval, inputs.clone()));
        let (detector, told) = (Arc::clone(&self.detector), (self.narrator.clone(), peers.clone()));
        helpers.spawn(observe::facts(detector, runtimes, told, config.rescan, inputs.clone()));
        helpers.spawn(observe::history(self.store.clone()));
        let (_, none) = mpsc::channel(1);
        let mut events = std::mem::replace(&mut self.events, none);
        let inputs = inputs.clone();
        helpers.spawn(async move {
            while let Some(event) = events.recv().await {
                if inputs.send(Input::Driver(event)).await.is_err() {
                    return;
                }
            }
        });
        helpers
    }
}

/// Runs the agent to its end; whatever ended it ends the rest.
async fn supervise(
    agent: Agent,
    (mut helpers, calling): (JoinSet<()>, JoinHandle<()>),
    stop: CancellationToken,
) -> Result<Ended, NodeError> {
    let broken = |error: JoinError| NodeError::Task(error.into());
    let ran = tokio::spawn(agent.run(stop.clone())).await;
    stop.cancel();
    helpers.shutdown().await;
    calling.await.map_err(broken)?;
    Ok(ran.map_err(broken)??)
}

/// Others may pass through, to reach what belongs to their instances; secrets are in files of their own.
fn create_data_dir(path: &Path) -> Result<(), NodeError> {
    let failed = |source| NodeError::DataDir { path: path.to_owned(), source };
    holm_store::make_passable(path).map_err(failed)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o711)).map_err(failed)
}

fn detector(config: &NodeConfig) -> Detector {
    Detector {
        tree: Tree::new(&config.root),
        data_dir: config.data_dir.clone(),
        capabilities: config.capabilities.iter().map(|counted| counted.capability.clone()).collect(),
        units: units(&config.capabilities),
        labels: config.labels.clone(),
        location: config.location,
        reserve: config.reserve,
    }
}

fn units(capabilities: &BTreeSet<Counted>) -> Units {
    let counted = |counted: &Counted| Some((counted.capability.clone(), counted.units?));
    capabilities.iter().filter_map(counted).collect()
}

fn applicant(config: &NodeConfig, name: &Name, facts: &NodeFacts) -> Applicant {
    Applicant {
        data_dir: config.data_dir.clone(),
        orchestrator: config.orchestrator.clone(),
        token: config.token.clone(),
        rejoin: config.rejoin,
        name: name.clone(),
        facts: facts.clone(),
    }
}

/// The name that was given, or the first part of the host name.
fn name(config: &NodeConfig, facts: &NodeFacts) -> Result<Name, NodeError> {
    if let Some(name) = &config.name {
        return Ok(name.clone());
    }
    let host = facts.hostname.split('.').next().unwrap_or_default().to_ascii_lowercase().replace('_', "-");
    Name::new(&host).map_err(|_| NodeError::NoName(facts.hostname.clone()))
}
