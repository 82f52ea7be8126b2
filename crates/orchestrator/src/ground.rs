//! What stands before anything runs: the locked store, the keys, the machine in its new reign.

use std::net::IpAddr;
use std::time::Duration;

use holm_core::orchestrator::config::Schedulers;
use holm_core::orchestrator::{self, Orchestrator, Tier};
use holm_link::UnixTime;
use holm_link::authority::{Authority, ServerName};
use holm_link::clock::Clock;
use holm_link::credentials::Credentials;
use holm_link::listen::{Acceptor, HandshakeLimits, ServerCertificate};
use holm_link::proxy::Proxies;
use holm_link::revocation::Revocations;
use holm_link::verify::MemberPolicy;
use holm_model::record::{Table, Write};
use holm_model::view::StatusView;
use holm_store::{Snapshot, Store};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Role};
use crate::effects::add_to;
use crate::keys::{self, ClusterKeys, KeysError, Signer};
use crate::shell::StartError;
use crate::upkeep::Due;

/// The key of the row of [`Table::Meta`] that says which sea the store is of.
const SEA: &str = "sea";

#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) store: Store,
    pub(crate) machine: Orchestrator,
    pub(crate) signer: Signer,
    pub(crate) revocations: Revocations,
    pub(crate) clock: Clock,
    /// None at a root.
    pub(crate) parent: Option<Parent>,
}

/// Whom a cluster calls, and with what.
#[derive(Debug)]
pub(crate) struct Parent {
    /// `host:port`
    pub(crate) address: String,
    pub(crate) credentials: Credentials,
}

/// Our server's certificate under its names, and the acceptor that shows it.
#[derive(Debug)]
pub(crate) struct Face {
    pub(crate) certificate: ServerCertificate,
    pub(crate) names: Vec<ServerName>,
    pub(crate) due: Due,
    /// When the certificate ends.
    pub(crate) expires_at: UnixTime,
    pub(crate) acceptor: Acceptor,
}

// === impl Ground ===

impl Ground {
    /// Joins the parent if that has not happened yet, for as long as it takes.
    pub(crate) async fn prepare(
        config: &Config,
        store: Store,
        snapshot: Snapshot,
        stop: &CancellationToken,
    ) -> Result<Self, StartError> {
        let clock = Clock::open(&config.data_dir, config.clock.clone());
        let fresh = snapshot.get(&Table::Reign).is_none_or(Vec::is_empty);
        let (authority, parent) = tokio::select! {
            keys = keys(config, fresh, &clock) => keys?,
            () = stop.cancelled() => return Err(StartError::Stopped),
        };
        let ours = authority.root().fingerprint().to_string();
        let known = sea_of(&snapshot);
        if let Some(theirs) = known.filter(|known| *known != ours) {
            let dir = config.data_dir.display().to_string();
            return Err(KeysError::OtherSea { dir, theirs, ours }.into());
        }
        let machine = reign(config, &authority, snapshot, &store).await?;
        let revocations = Revocations::default();
        add_to(&revocations, &machine.revoked());
        let signer = Signer::new(authority, clock.clone(), config.certificate_life);
        Ok(Self { store, machine, signer, revocations, clock, parent })
    }

    /// How the port shows itself.
    pub(crate) fn face(&self, config: &Config) -> Result<Face, StartError> {
        let names = names(config);
        let credentials = self.signer.server(&names)?;
        let certificate = ServerCertificate::new(&credentials).map_err(|e| StartError::Tls(e.into()))?;
        let policy = MemberPolicy {
            root: self.signer.root().clone(),
            parent: self.signer.identity().clone(),
            revocations: self.revocations.clone(),
            rejoin_window: config.limits.rejoin_window,
            below: holm_link::verify::Below::Directly,
        };
        let acceptor = Acceptor::new(&certificate, policy, self.clock.clone(), HandshakeLimits::default())?;
        let (due, expires_at) = (Due::of(&credentials), credentials.expires_at());
        Ok(Face { certificate, names, due, expires_at, acceptor })
    }

    /// The status before anything has happened.
    pub(crate) fn status(&self, config: &Config) -> StatusView {
        let (role, parent) = match &config.role {
            Role::Root { .. } => ("root", None),
            Role::Cluster { parent, .. } => ("cluster", Some(parent.clone())),
        };
        let proxies = Proxies::of_process();
        let proxy = parent.as_ref().and_then(|address| proxies.for_address(address)).map(ToString::to_string);
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: role.to_owned(),
            name: config.name.to_string(),
            sea: self.signer.identity().sea().to_owned(),
            epoch: self.machine.epoch().to_string(),
            revision: self.machine.revision(),
            read_only: None,
            parent: self.machine.parent_state().to_owned(),
            parent_address: parent,
            proxy,
            fingerprint: self.signer.fingerprint().to_string(),
        }
    }
}

/// Who we are: by files, by making a sea, or by joining.
async fn keys(config: &Config, fresh: bool, clock: &Clock) -> Result<(Authority, Option<Parent>), KeysError> {
    let dir = config.data_dir.as_path();
    match &config.role {
        Role::Root { sea } => Ok((keys::root(dir, fresh, sea.as_deref(), clock)?, None)),
        Role::Cluster { parent, token } => {
            let ClusterKeys { authority, credentials } = match (keys::cluster(dir)?, token) {
                (Some(keys), _) => keys,
                (None, _) if !fresh => return Err(KeysError::Lost(dir.display().to_string())),
                (None, None) => return Err(KeysError::NoToken),
                (None, Some(token)) => keys::join(dir, parent, token, &config.name, clock).await?,
            };
            Ok((authority, Some(Parent { address: parent.clone(), credentials })))
        }
    }
}

/// The machine in a new reign, which is committed before anything can be sent.
async fn reign(
    config: &Config,
    authority: &Authority,
    snapshot: Snapshot,
    store: &Store,
) -> Result<Orchestrator, StartError> {
    let tier = match config.role {
        Role::Root { .. } => Tier::Root,
        Role::Cluster { .. } => Tier::Cluster,
    };
    let sea = authority.identity().sea().to_owned();
    let machine = orchestrator::Config {
        sea,
        name: config.name.clone(),
        tier,
        deadlines: config.deadlines,
        strategy: config.strategy.clone(),
        location: config.location,
        advertise: config.advertise(),
        generations: config.limits.generations,
        expose: config.expose,
        schedulers: Schedulers {
            names: config.schedulers.endpoints.keys().cloned().collect(),
            // The shell's answer comes first.
            patience: config.schedulers.timeout + Duration::from_secs(1),
            required: config.schedulers.required,
        },
    };
    let mut machine = Orchestrator::load(snapshot, machine, getrandom::u64()?)?;
    machine.begins_after(store.last_change());
    let mut batch = machine.journal_mut().take_batch();
    let fingerprint = authority.root().fingerprint().to_string();
    batch.writes.push(Write {
        table: Table::Meta,
        key: SEA.to_owned(),
        value: Some(fingerprint.into_bytes()),
    });
    store.commit(&batch).await?;
    machine.journal_mut().committed();
    Ok(machine)
}

/// The fingerprint of the sea's root that the store was last used with; one of an earlier version does not know it.
fn sea_of(snapshot: &Snapshot) -> Option<String> {
    let (_, value) = snapshot.get(&Table::Meta)?.iter().find(|(key, _)| key == SEA)?;
    String::from_utf8(value.clone()).ok()
}

/// Under which names browsers may find us.
fn names(config: &Config) -> Vec<ServerName> {
    let dns = ["localhost", "holm.localhost"].map(|name| ServerName::Dns(name.to_owned()));
    let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
    let own = Some(config.listen.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback());
    let addresses = loopback.into_iter().chain(own).map(ServerName::Ip);
    dns.into_iter().chain(addresses).chain(config.names.iter().cloned()).collect()
}
