//! The checked specification of one service: what the manifest says after every rule was applied.
//!
//! It travels as opaque bytes inside items, as it was committed, and is decoded only where it is
//! obeyed; so an orchestrator of an older version hands on what it does not understand.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::before::Step;
use crate::content::{ContentKey, ContentKind};
use crate::expose::Expose;
use crate::healing::Healing;
use crate::health::Check;
use crate::job::Kind;
use crate::message::{READS_BEFORE, READS_HEALING, READS_HEALTH, READS_LATENCY, READS_RETRIES};
use crate::name::Name;
use crate::resources::Resources;
use crate::scale::Scale;
use crate::update::Update;

pub use crate::placement::Placement;
use crate::placement::{Bound, Strategy};
use crate::priority::Priority;

/// What to run, how, and where it may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// A driver's name: `process`, `container`, …
    pub runtime: Name,
    /// Program and arguments; for containers it replaces the image's command when not empty.
    /// May contain `{{…}}` templates, see [`crate::template`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Run to their end, one after the other, before each start on a node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Step>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Environment; values may contain templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Secrets of the project that an instance is given, and how.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<Name, SecretUse>,
    /// Files of the project that an instance is given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<Name, FileUse>,
    /// What happens to an instance when one of them changes.
    #[serde(default, skip_serializing_if = "OnChange::is_default")]
    pub on_change: OnChange,
    /// The secret with which the image is pulled, a [`RegistryLogin`](crate::content::RegistryLogin).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Name>,
    /// An instance may ask its node for a short-lived certificate or token of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub identity: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// A user's name or number; without it a root agent uses the project's own. A process needs its node's owner's
    /// consent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<Name, Port>,
    #[serde(default)]
    pub resources: Resources,
    #[serde(default)]
    pub placement: Placement,
    #[serde(default)]
    pub restart: Restart,
    /// Whoever fails it is started again by `restart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Check>,
    /// Whoever fails it gets no work; without it, whoever is healthy is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Check>,
    /// How long a graceful stop may take before SIGKILL.
    pub grace: Duration,
    /// See [`ServiceSpec::drains_for`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Duration>,
    /// Which of its ports are reached from outside, and where.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expose: BTreeMap<Name, Expose>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connects: Vec<Connect>,
    /// How instances of another specification are replaced by those of this one.
    #[serde(default, skip_serializing_if = "Update::is_default")]
    pub update: Update,
    #[serde(default, skip_serializing_if = "Kind::is_service")]
    pub kind: Kind,
    /// What becomes of it when a node is lost, and when it returns.
    #[serde(default, skip_serializing_if = "Healing::is_default")]
    pub healing: Healing,
    /// How many replicas there are by themselves; the owner of the application alone goes by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// How many of them each cluster has; the root alone goes by it, which chooses among clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_cluster: Option<PerCluster>,
    /// Older programs pass over it: then all are as important.
    #[serde(default, skip_serializing_if = "is_normal")]
    pub priority: Priority,
}

/// How the replicas of a service are shared out among clusters. The root's own nodes count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerCluster {
    /// Nobody gets more than so many before all who can take it have so many.
    pub min: u32,
    /// Nobody gets more.
    pub max: u32,
}

/// How many slots a service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replicas {
    Number(u32),
    /// One on each matching node.
    PerNode,
}

/// How an instance is given a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretUse {
    /// As this variable of its environment.
    Env(String),
    /// As a file of its name in the directory `$HOLM_SECRETS`.
    File,
}

/// How an instance is given a plain file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileUse {
    /// Where a container finds it; everybody finds it by its name in `$HOLM_FILES`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Permissions, the last nine bits.
    pub mode: u32,
}

/// What happens to an instance when a secret or file that it was given changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnChange {
    #[default]
    Restart,
    /// Its files are replaced, and it is told.
    Signal(Signal),
    /// Its files are replaced.
    Nothing,
}

/// A signal that programs take as a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    Hup,
    Int,
    Quit,
    Term,
    Usr1,
    Usr2,
}

/// A directory of the node, or a named volume that the runtime keeps, inside the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// An absolute path of the node or a volume's [`Name`].
    pub source: String,
    /// An absolute path inside the instance.
    pub target: String,
    #[serde(default)]
    pub read_only: bool,
}

/// A TCP port of the node that an instance listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The port on the node; `None` (`auto`): the node picks one that is free.
    pub host: Option<u16>,
    /// The port inside a container; `None`: the same number as on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<u16>,
}

/// What happens after an instance ended without being told to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    pub policy: RestartPolicy,
    /// Attempts on one node before the slot gets its one other assignment.
    pub attempts: u32,
    /// First and longest wait between attempts; it doubles from one to the other.
    pub backoff: (Duration, Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Once it has ended, however, nobody starts it again by itself, here or elsewhere.
    Never,
    OnFailure,
    Always,
}

/// A service of the same application whose addresses an instance is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    pub service: Name,
    /// One of that service's ports.
    pub port: Name,
    /// How far away the nearest of its instances may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
}

/// A whole application as somebody wants it, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    pub name: Name,
    pub services: BTreeMap<Name, ApplicationService>,
}

/// One service of an [`Application`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationService {
    pub spec: ServiceSpec,
    pub replicas: Replicas,
}

// === impl Restart ===

impl Default for Restart {
    fn default() -> Self {
        Self {
            policy: RestartPolicy::OnFailure,
            attempts: 5,
            backoff: (Duration::from_secs(1), Duration::from_secs(60)),
        }
    }
}

// === impl FileUse ===

impl FileUse {
    /// The default of [`FileUse::mode`].
    pub const MODE: u32 = 0o444;
}

// === impl OnChange ===

impl OnChange {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

// === impl Signal ===

impl Signal {
    pub const ALL: [Self; 6] = [Self::Hup, Self::Int, Self::Quit, Self::Term, Self::Usr1, Self::Usr2];

    /// As in a manifest, without `SIG`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Term => "TERM",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_normal(priority: &Priority) -> bool {
    *priority == Priority::Normal
}

// === impl ServiceSpec ===

impl ServiceSpec {
    /// The default of [`ServiceSpec::grace`].
    pub const GRACE: Duration = Duration::from_secs(10);
    /// The default of [`ServiceSpec::drain`], where something is exposed.
    pub const DRAIN: Duration = Duration::from_secs(10);

    /// A specification that only names runtime and command, the rest by default.
    #[must_use]
    pub fn new(runtime: Name, command: Vec<String>) -> Self {
        Self {
            runtime,
            command,
            before: Vec::new(),
            image: None,
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            files: BTreeMap::new(),
            on_change: OnChange::Restart,
            registry: None,
            identity: false,
            workdir: None,
            user: None,
            volumes: Vec::new(),
            ports: BTreeMap::new(),
            resources: Resources::default(),
            placement: Placement::default(),
            restart: Restart::default(),
            health: None,
            ready: None,
            grace: Self::GRACE,
            drain: None,
            expose: BTreeMap::new(),
            connects: Vec::new(),
            update: Update::default(),
            kind: Kind::Service,
            healing: Healing::default(),
            scale: None,
            per_cluster: None,
            priority: Priority::Normal,
        }
    }

    /// Once it has failed on a member, nobody begins it elsewhere.
    #[must_use]
    pub fn fails_once(&self) -> bool {
        let counts = self.kind.job().is_some_and(|job| job.retries.is_some());
        counts || self.restart.policy == RestartPolicy::Never
    }

    /// How long a stop waits at most for connections that are open.
    #[must_use]
    pub fn drains_for(&self) -> Duration {
        self.drain.unwrap_or(if self.expose.is_empty() { Duration::ZERO } else { Self::DRAIN })
    }

    /// Whether a slot may have two copies for a while, so that it stays reached: it is exposed, and there is nothing
    /// that both would write to.
    #[must_use]
    pub fn may_overlap(&self) -> bool {
        !self.expose.is_empty() && self.volumes.iter().all(|volume| volume.read_only)
    }

    /// A key that a node must obey and that a program which [reads](crate::message::READS) so little passes over.
    #[must_use]
    pub fn newer_must(&self, reads: u32) -> Option<&'static str> {
        let musts = [
            ("health", self.health.is_some(), READS_HEALTH),
            ("ready", self.ready.is_some(), READS_HEALTH),
            ("exclusive", self.healing.exclusive, READS_HEALING),
            ("before", !self.before.is_empty(), READS_BEFORE),
            ("retries", self.kind.job().is_some_and(|job| job.retries.is_some()), READS_RETRIES),
            // They could not even read what it says.
            ("strategy: latency", self.placement.strategy == Some(Strategy::Latency), READS_LATENCY),
        ];
        musts.into_iter().find_map(|(key, asked, since)| (asked && reads < since).then_some(key))
    }

    /// As [`ServiceSpec::newer_must`], of a cluster.
    #[must_use]
    pub fn newer_must_of_clusters(&self, reads: u32) -> Option<&'static str> {
        let exposes = !self.expose.is_empty() && reads < READS_HEALTH;
        let placement = || self.placement.newer_must(reads);
        let healing = || self.healing.must().filter(|_| reads < READS_HEALING);
        let bound = |connect: &Connect| connect.bound.is_some_and(|bound| bound.weight.is_none());
        let latency = reads < READS_LATENCY && self.connects.iter().any(bound);
        let must = self.newer_must(reads).or_else(|| exposes.then_some("expose")).or_else(placement);
        must.or_else(healing).or_else(|| latency.then_some("connects.latency"))
    }

    /// Whether it must not be farther than so much from something.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        let connects = self.connects.iter().filter_map(|connect| connect.bound);
        connects.chain(self.placement.near.map(|near| near.bound)).any(|bound| bound.weight.is_none())
    }

    /// Secrets and files that an instance is given: a change of one concerns it.
    pub fn given(&self, project: &Name) -> impl Iterator<Item = ContentKey> {
        let secrets = self.secrets.keys().map(|name| (ContentKind::Secret, name));
        let files = self.files.keys().map(|name| (ContentKind::File, name));
        let key =
            |(kind, name): (_, &Name)| ContentKey { kind, project: project.clone(), name: name.clone() };
        secrets.chain(files).map(key)
    }

    /// The secret with which the image is pulled.
    #[must_use]
    pub fn registry_key(&self, project: &Name) -> Option<ContentKey> {
        let name = self.registry.clone()?;
        Some(ContentKey { kind: ContentKind::Secret, project: project.clone(), name })
    }

    /// Everything of the project that a node must have to launch an instance.
    pub fn needs(&self, project: &Name) -> impl Iterator<Item = ContentKey> {
        let registry = self.registry_key(project);
        let also = registry.filter(|key| !self.secrets.contains_key(&key.name));
        self.given(project).chain(also)
    }
}
