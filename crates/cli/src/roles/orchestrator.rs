//! Running a root or a cluster orchestrator: shell, API, signals.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use holm_api::{Api, Limits, on_http};
use holm_core::orchestrator::config::Deadlines;
use holm_link::authority::ServerName;
use holm_link::places::Share;
use holm_link::token::JoinToken;
use holm_model::duration::Span;
use holm_model::geo::Point;
use holm_model::name::Name;
use holm_orchestrator::scheduler::{self, EndpointError, Schedulers};
use holm_orchestrator::{Config, Role, Shell};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::options::{
    ClusterOptions, ExposePorts, LimitOptions, MOST_GENERATIONS, OwnScheduler, RootOptions, UsualStrategy,
};
use super::{SOCKET, Setup, data_dir, notify, registry, setup_link, stopped_by_signal};
use crate::failure::Failure;
use crate::output::say;
use crate::{run, secret};

/// More than members and people ever are.
const DESCRIPTORS: u64 = 65_536;
/// Where an orchestrator listens if nobody says otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 7700);
/// How often a member says that it is alive.
const BEAT: Duration = Duration::from_secs(5);
/// Before the address in the line that says that everything is ready; the demo reads it.
pub(crate) const READY: &str = "listening on ";

/// `holm root`.
#[derive(Args, Debug)]
pub(crate) struct RootDaemon {
    #[command(flatten)]
    options: RootOptions,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    setup: Setup,
}

/// `holm cluster`.
#[derive(Args, Debug)]
pub(crate) struct ClusterDaemon {
    #[command(flatten)]
    options: ClusterOptions,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    setup: Setup,
}

// === impl the daemons ===

impl RootDaemon {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let file = self.setup.begin()?;
        let limits = limits(&self.limits.or(file.limits.unwrap_or_default()));
        run::several(serve(root(self.options.or(file.root.unwrap_or_default()))?, limits))
    }
}

impl ClusterDaemon {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let file = self.setup.begin()?;
        let limits = limits(&self.limits.or(file.limits.unwrap_or_default()));
        run::several(serve(cluster(self.options.or(file.cluster.unwrap_or_default()))?, limits))
    }
}

fn limits(said: &LimitOptions) -> Limits {
    let or = Limits::default();
    let share = |each: Option<usize>, all: Option<usize>, or: Share| Share {
        each: each.unwrap_or(or.each),
        all: all.unwrap_or(or.all),
    };
    Limits {
        requests: said.request_rate.unwrap_or(or.requests),
        strangers: said.stranger_rate.unwrap_or(or.strangers),
        streams: share(said.streams_each, said.streams, or.streams),
        connections: share(said.connections_each, said.connections, or.connections),
    }
}

fn root(options: RootOptions) -> Result<Config, Failure> {
    let name = options.name.map_or_else(|| name("root"), Ok)?;
    let data_dir = data_dir(options.data_dir, "root")?;
    let config = Config::new(data_dir, name, Role::Root { sea: options.sea });
    let fall_back = options.fall_back.unwrap_or(config.fall_back);
    let config = Config { fall_back, ..config };
    let config = lasting(config, options.certificate_life, options.rejoin_window);
    let config = keeping(config, options.keep_generations)?;
    let config = placing(config, options.strategy, options.location);
    let config = exposing(config, options.expose_ports, options.expose_address);
    let asking = (options.scheduler_ca, options.scheduler_timeout, options.scheduler_required);
    let config = consulting(config, options.scheduler.unwrap_or_default(), asking)?;
    let silence = [options.unknown_after, options.offline_after, options.replace_after];
    finish(config, options.listen, options.http, options.host.unwrap_or_default(), silence)
}

fn cluster(options: ClusterOptions) -> Result<Config, Failure> {
    let missing = |what: &str, flag: &str| {
        Failure::wrong_use(format!("a cluster needs {what}")).hint(format!("give it with {flag}"))
    };
    let name = options.name.ok_or_else(|| missing("a name", "--name, as in `--name vienna`"))?;
    let parent = options.parent.ok_or_else(|| missing("a parent", "--parent HOST:PORT"))?;
    let token = secret::given_or_in(options.token, options.token_file.as_deref())?;
    let token = token.as_deref().map(join_token).transpose()?;
    let data_dir = data_dir(options.data_dir, "cluster")?;
    let config = Config::new(data_dir, name, Role::Cluster { parent: parent.0, token });
    let fall_back = options.fall_back.unwrap_or(config.fall_back);
    let config = Config { advertise: options.advertise, fall_back, ..config };
    let config = lasting(config, options.certificate_life, options.rejoin_window);
    let config = keeping(config, options.keep_generations)?;
    let config = placing(config, options.strategy, options.location);
    let config = exposing(config, options.expose_ports, options.expose_address);
    let asking = (options.scheduler_ca, options.scheduler_timeout, options.scheduler_required);
    let config = consulting(config, options.scheduler.unwrap_or_default(), asking)?;
    let silence = [options.unknown_after, options.offline_after, options.replace_after];
    finish(config, options.listen, options.http, options.host.unwrap_or_default(), silence)
}

/// How long certificates last, and are missed afterwards.
fn lasting(mut config: Config, life: Option<Span>, rejoin: Option<Span>) -> Config {
    if let Some(Span(life)) = life {
        config.certificate_life = life;
    }
    if let Some(Span(rejoin)) = rejoin {
        config.limits.rejoin_window = rejoin;
    }
    config
}

/// How much of the past it keeps. A file says any number, flags only those that they take.
fn keeping(mut config: Config, generations: Option<u32>) -> Result<Config, Failure> {
    match generations {
        None => {}
        Some(number @ 1..=MOST_GENERATIONS) => config.limits.generations = number as usize,
        Some(number) => {
            return Err(Failure::wrong_use(format!("{number} generations cannot be kept"))
                .hint(format!("`keep-generations` is 1 to {MOST_GENERATIONS}")));
        }
    }
    Ok(config)
}

/// How it places, and where.
fn placing(config: Config, strategy: Option<UsualStrategy>, location: Option<Point>) -> Config {
    let strategy = strategy.map(|UsualStrategy(strategy)| strategy).unwrap_or_default();
    Config { strategy, location, ..config }
}

/// Which ports services may have here.
fn exposing(config: Config, ports: Option<ExposePorts>, address: Option<IpAddr>) -> Config {
    let expose_address = address.unwrap_or(config.expose_address);
    Config { expose: ports.map(|ExposePorts(ports)| ports), expose_address, ..config }
}

/// Whom it asks before it places.
fn consulting(
    config: Config,
    own: Vec<OwnScheduler>,
    (ca, timeout, required): (Option<PathBuf>, Option<Span>, Option<bool>),
) -> Result<Config, Failure> {
    let endpoint = |OwnScheduler { name, url }| {
        let endpoint = url.parse().map_err(|error: EndpointError| Failure::wrong_use(error))?;
        Ok((name, endpoint))
    };
    let schedulers = Schedulers {
        endpoints: own.into_iter().map(endpoint).collect::<Result<_, Failure>>()?,
        ca,
        timeout: timeout.map_or(scheduler::TIMEOUT, |Span(timeout)| timeout),
        required: required.unwrap_or(false),
    };
    Ok(Config { schedulers, ..config })
}

fn join_token(text: &str) -> Result<JoinToken, Failure> {
    text.parse().map_err(|e: holm_link::token::ParseTokenError| Failure::wrong_use(e))
}

fn name(text: &str) -> Result<Name, Failure> {
    text.parse().map_err(|e: holm_model::name::NameError| Failure::wrong_use(e))
}

fn finish(
    config: Config,
    listen: Option<SocketAddr>,
    http: Option<SocketAddr>,
    hosts: Vec<String>,
    [unknown, offline, replace]: [Option<Span>; 3],
) -> Result<Config, Failure> {
    let default = Deadlines::default();
    let or = |span: Option<Span>, default| span.map_or(default, |Span(span)| span);
    let deadlines = Deadlines {
        unknown: or(unknown, default.unknown),
        offline: or(offline, default.offline),
        replace: or(replace, default.replace),
        ..default
    };
    if deadlines.unknown > deadlines.offline || deadlines.offline > deadlines.replace {
        return Err(Failure::wrong_use(
            "a member must be unknown before it is offline, and offline before it is replaced",
        )
        .hint("check --unknown-after <= --offline-after <= --replace-after"));
    }
    if deadlines.unknown <= BEAT {
        let beat = Span(BEAT);
        return Err(Failure::wrong_use(format!(
            "a healthy member says every {beat} that it is alive: after {} it cannot count as unknown",
            Span(deadlines.unknown)
        ))
        .hint(format!("make --unknown-after longer than {beat}")));
    }
    let server_name = |host: String| host.parse().map_or_else(|_| ServerName::Dns(host), ServerName::Ip);
    let names = hosts.into_iter().map(server_name).collect();
    Ok(Config { listen: listen.unwrap_or(LISTEN), http, names, deadlines, ..config })
}

/// Until a signal says stop.
/// Members and people take a descriptor each, and the usual soft limit is 1024. (A node keeps it: its instances
/// inherit the limit.)
fn allow_descriptors() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Refused: it stays as it is.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(DESCRIPTORS).max(soft), hard);
    }
}

async fn serve(config: Config, limits: Limits) -> Result<(), Failure> {
    allow_descriptors();
    let stop = stopped_by_signal()?;
    crate::memory::keep_small();
    let hosts = config.names.iter().filter_map(|name| match name {
        ServerName::Dns(host) => Some(host.clone()),
        ServerName::Ip(_) => None,
    });
    let (hosts, data_dir, names) = (hosts.collect::<Vec<_>>(), config.data_dir.clone(), config.names.clone());
    let is_root = matches!(config.role, Role::Root { .. });
    let what = format!("{} cannot start", config.name);
    let shell = Shell::start(config, stop).await.map_err(|e| Failure::from_error(&what, &e))?;
    let setup = setup_link::offer(&shell, &data_dir, &names).await?;
    announce(&shell, &data_dir.join(SOCKET), &setup)?;
    notify::ready();
    let registry = registry::open(&data_dir, shell.handle(), is_root).await?;
    let api = Api::new(shell.handle().clone(), &hosts, limits, Some(registry));
    shell.serve(on_http(api)).await.map_err(|e| Failure::from_error("the orchestrator had to stop", &e))
}

/// Says where it can be reached, for people and for those who started it.
fn announce(shell: &Shell, socket: &std::path::Path, setup: &str) -> Result<(), Failure> {
    let unknown = |e| Failure::from_error("the system does not tell our address", &e);
    let mut lines = format!("{READY}https://{}\n", shell.address().map_err(unknown)?);
    if let Some(http) = shell.http_address().map_err(unknown)? {
        lines.push_str(&format!("and http://{http}\n"));
    }
    let handle = shell.handle();
    lines.push_str(&format!("fingerprint of the sea {}: {}\n", handle.sea(), handle.fingerprint()));
    lines.push_str(&format!("export HOLM_SOCKET={}\n", socket.display()));
    lines.push_str(setup);
    // Whoever started us need not listen.
    let _ = say(&lines);
    Ok(())
}
