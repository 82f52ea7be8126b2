//! From an [`Application`] back to native YAML; what is a default is left out.

use super::native::{
    At, Auto, ChangeWord, Connect, Expose, ExposeFull, File, Format, FullPort, FullVolume, Health, Host,
    Kind, LossWord, Manifest, OnChange, OnNodeLoss, PerCluster, PerNode, Port, ReplaceAfter, Replicas,
    Restart, Scale, Secret, SecretEnv, SecretFile, Service, Shared, SignalForm, Step, Stop, Update, Volume,
};
use super::service::MOST_REPLICAS;
use std::time::Duration;

use crate::duration::Span;
use crate::expose::{self, ExposedAt};
use crate::healing;
use crate::health::{Check, Probe};
use crate::service::{self, Application, ApplicationService, ServiceSpec};

/// The manifest of `application`: [`parse`](super::parse) of it gives the same application.
#[must_use]
pub fn show(application: &Application) -> String {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(&Manifest::from(application), options)
        // The parts of a manifest are texts, numbers and mappings of these, which YAML can always say.
        .expect("a manifest can be written as YAML")
}

/// The entry of a service in a manifest, as JSON: the words that people write, for the API to show.
#[must_use]
pub fn show_service(service: &ApplicationService) -> serde_json::Value {
    // As above: texts, numbers and mappings of these.
    serde_json::to_value(Service::from(service)).expect("a service can be written as JSON")
}

// === impl From ===

impl From<&Application> for Manifest {
    fn from(application: &Application) -> Self {
        let services = application.services.iter();
        Self {
            holm: Format::V1,
            application: application.name.clone(),
            services: services.map(|(name, service)| (name.clone(), service.into())).collect(),
        }
    }
}

impl From<&ApplicationService> for Service {
    fn from(ApplicationService { spec, replicas }: &ApplicationService) -> Self {
        let spec = spec.clone();
        Self {
            runtime: spec.runtime,
            command: spec.command,
            before: spec.before.into_iter().map(Step::from).collect(),
            image: spec.image,
            env: spec.env,
            priority: spec.priority,
            secrets: spec.secrets.into_iter().map(|(name, usage)| (name, usage.into())).collect(),
            files: spec.files.into_iter().map(|(name, usage)| (name, usage.into())).collect(),
            on_change: unless_default(spec.on_change),
            registry: spec.registry,
            identity: spec.identity,
            workdir: spec.workdir,
            user: spec.user,
            volumes: spec.volumes.into_iter().map(Volume::from).collect(),
            kind: Kind::of(spec.kind),
            replicas: shared(*replicas, spec.per_cluster),
            scale: spec.scale.map(Scale::from),
            ports: spec.ports.into_iter().map(|(name, port)| (name, port.into())).collect(),
            resources: spec.resources,
            placement: unless_default(spec.placement),
            restart: unless_default(spec.restart),
            health: spec.health.map(Health::from),
            ready: spec.ready.map(Health::from),
            stop: stop(spec.grace, spec.drain),
            expose: spec.expose.into_iter().map(|(name, expose)| (name, expose.into())).collect(),
            connects: spec.connects.into_iter().map(Connect::from).collect(),
            update: unless_default::<_, Update>(spec.update),
            on_node_loss: OnNodeLoss::of(spec.healing.on_node_loss),
            reconcile: unless_default(spec.healing.reconcile),
            exclusive: spec.healing.exclusive,
        }
    }
}

fn stop(grace: Duration, drain: Option<Duration>) -> Option<Stop> {
    let stop = Stop { grace: unless(grace, ServiceSpec::GRACE), drain: drain.map(Span) };
    (stop.grace.is_some() || stop.drain.is_some()).then_some(stop)
}

fn unless(span: Duration, usual: Duration) -> Option<Span> {
    (span != usual).then_some(Span(span))
}

fn unless_default<T: Default + PartialEq, U: From<T>>(value: T) -> Option<U> {
    (value != T::default()).then(|| value.into())
}

impl OnNodeLoss {
    /// `None`: as its orchestrator is used to.
    fn of(loss: healing::OnNodeLoss) -> Option<Self> {
        match loss {
            healing::OnNodeLoss::Replace => None,
            healing::OnNodeLoss::WaitForReturn => Some(Self::Word(LossWord::WaitForReturn)),
            healing::OnNodeLoss::ReplaceAfter(after) => {
                Some(Self::After(ReplaceAfter { replace_after: Span(after) }))
            }
        }
    }
}

fn shared(replicas: service::Replicas, per_cluster: Option<service::PerCluster>) -> Replicas {
    match (replicas, per_cluster) {
        (service::Replicas::Number(total), Some(service::PerCluster { min, max })) => {
            let max = (max != MOST_REPLICAS).then_some(max);
            Replicas::Shared(Shared { total, per_cluster: PerCluster { min, max } })
        }
        (replicas, _) => replicas.into(),
    }
}

impl From<service::Replicas> for Replicas {
    fn from(replicas: service::Replicas) -> Self {
        match replicas {
            service::Replicas::Number(number) => Self::Number(number),
            service::Replicas::PerNode => Self::PerNode(PerNode::PerNode),
        }
    }
}

impl From<service::SecretUse> for Secret {
    fn from(usage: service::SecretUse) -> Self {
        match usage {
            service::SecretUse::Env(env) => Self::Env(SecretEnv { env }),
            service::SecretUse::File => Self::File(SecretFile { file: true }),
        }
    }
}

impl From<service::FileUse> for File {
    fn from(usage: service::FileUse) -> Self {
        let service::FileUse { path, mode } = usage;
        Self { path, mode: (mode != service::FileUse::MODE).then(|| format!("0{mode:03o}")) }
    }
}

impl From<service::OnChange> for OnChange {
    fn from(on_change: service::OnChange) -> Self {
        match on_change {
            service::OnChange::Restart => Self::Word(ChangeWord::Restart),
            service::OnChange::Nothing => Self::Word(ChangeWord::Nothing),
            service::OnChange::Signal(signal) => Self::Signal(SignalForm { signal }),
        }
    }
}

impl From<service::Volume> for Volume {
    fn from(volume: service::Volume) -> Self {
        let service::Volume { source, target, read_only } = volume;
        if source.contains(':') || target.contains(':') {
            return Self::Full(FullVolume { source, target, read_only });
        }
        Self::Short(format!("{source}:{target}{}", if read_only { ":ro" } else { "" }))
    }
}

impl From<service::Port> for Port {
    fn from(port: service::Port) -> Self {
        let host = port.host.map_or(Host::Auto(Auto::Auto), Host::Number);
        match port.container {
            None => Self::Host(host),
            container => Self::Full(FullPort { host, container }),
        }
    }
}

impl From<service::Restart> for Restart {
    fn from(restart: service::Restart) -> Self {
        let (first, longest) = restart.backoff;
        Self {
            policy: restart.policy,
            attempts: restart.attempts,
            backoff: format!("{}..{}", Span(first), Span(longest)),
        }
    }
}

impl From<service::Connect> for Connect {
    fn from(connect: service::Connect) -> Self {
        Self {
            service: connect.service,
            port: connect.port,
            latency: connect.bound.map(|bound| bound.latency.into()),
            preferred: connect.bound.and_then(|bound| bound.weight),
        }
    }
}

impl From<Check> for Health {
    fn from(check: Check) -> Self {
        let Check { probe, every, timeout, failures, start } = check;
        let (mut http, mut tcp, mut exec, mut port) = (None, None, None, None);
        match probe {
            Probe::Http { port: of, path } => (http, port) = (Some(path), Some(of)),
            Probe::Tcp { port: of } => tcp = Some(of),
            Probe::Exec(command) => exec = Some(command),
        }
        Self {
            http,
            tcp,
            exec,
            port,
            every: unless(every, Check::EVERY),
            timeout: unless(timeout, Check::TIMEOUT),
            failures: (failures != Check::FAILURES).then_some(failures),
            start: unless(start, Check::START),
        }
    }
}

impl From<expose::Expose> for Expose {
    fn from(expose: expose::Expose) -> Self {
        if expose.is_usual() {
            return Self::Port(expose.port);
        }
        let at = |at| match at {
            ExposedAt::Cluster => At::Cluster,
            ExposedAt::Root => At::Root,
        };
        Self::Full(ExposeFull { port: expose.port, at: expose.at.into_iter().map(at).collect() })
    }
}
