//! What each role can be told. Every key of the configuration file is also a flag and an environment
//! variable, under the same word; nothing has its default here, so that it shows what was said.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use holm_link::proxy::{ParseProxyError, Proxies, Proxy};
use holm_model::duration::Span;
use holm_model::expose::{PortRange, PortRangeError};
use holm_model::geo::Point;
use holm_model::name::{Name, NameError};
use holm_model::placement::{Strategy, StrategyError};
use holm_model::resources::{Cpu, Memory};
use holm_model::units::Counted;
use holm_node::UserRange;
use serde::{Deserialize, Deserializer};

use crate::failure::{Failure, chain};
use crate::secret;

/// A label of a node, `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// A scheduler of people's own, `name=url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnScheduler {
    pub(crate) name: Name,
    pub(crate) url: String,
}

/// Where an orchestrator is, `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent(pub(crate) String);

/// The strategy of an orchestrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsualStrategy(pub(crate) Strategy);

/// Most of `--keep-generations`.
pub(crate) const MOST_GENERATIONS: u32 = 1_000;
/// Ports that an orchestrator may open for services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExposePorts(pub(crate) PortRange);

/// Says that no proxy is used, whatever the environment says.
const NO_PROXY: &str = "none";

// === impl ProxyOptions ===

impl ProxyOptions {
    /// Nothing was said, but perhaps by the usual variables.
    pub(crate) const fn is_silent(&self) -> bool {
        self.proxy.is_none() && self.proxy_credentials_file.is_none()
    }

    /// Which addresses are called through which proxy. Nothing that is said here is ever repeated: it
    /// may hold a password.
    pub(crate) fn rules(&self) -> Result<Proxies, Failure> {
        let file = self.proxy_credentials_file.as_deref();
        match (self.proxy.as_deref().filter(|proxy| !proxy.is_empty()), file) {
            (Some(NO_PROXY), _) => Ok(Proxies::none()),
            (Some(url), file) => named(url, file).map(Proxies::all),
            (None, Some(_)) => Err(Failure::wrong_use("there are credentials for a proxy, but no proxy")
                .hint("name it with --proxy http://HOST:PORT or HOLM_PROXY")),
            (None, None) => Proxies::from_variables(|name| std::env::var(name).ok()).map_err(|error| {
                Failure::wrong_use(chain(&error)).hint("HOLM_PROXY wins over it; `none` stands for no proxy")
            }),
        }
    }
}

fn named(url: &str, credentials: Option<&Path>) -> Result<Proxy, Failure> {
    let unusable = |error: ParseProxyError| Failure::wrong_use(format!("the proxy cannot be used: {error}"));
    let proxy: Proxy = url.parse().map_err(unusable)?;
    match secret::given_or_in(None, credentials)? {
        Some(credentials) => proxy.with_credentials(&credentials).map_err(unusable),
        None => Ok(proxy),
    }
}

// === impl Label ===

impl std::str::FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err(format!("`{text}` is no label: write `key=value`")),
        }
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

// === impl Parent ===

impl std::str::FromStr for Parent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("`{text}` is no address of an orchestrator, {why}: write `host:port`");
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("a port is missing"))?;
        let whole = host.starts_with('[') == host.ends_with(']');
        if host.is_empty() || text.contains(['/', ' ']) {
            return Err(wrong("it is more or less than a host"));
        }
        if !whole || (host.contains(':') && !host.starts_with('[')) {
            return Err(wrong("IPv6 stands in brackets, as in `[::1]:7700`"));
        }
        match port.parse::<u16>() {
            Ok(1..) => Ok(Self(text.to_owned())),
            _ => Err(wrong("its port is none")),
        }
    }
}

impl<'de> Deserialize<'de> for Parent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

// === impl OwnScheduler ===

impl std::str::FromStr for OwnScheduler {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is no scheduler: write `name=URL`, as in `green=https://scheduler.example/`")
        };
        let (name, url) = text.split_once('=').ok_or_else(wrong)?;
        let name = name.trim().parse().map_err(|error: NameError| error.to_string())?;
        Ok(Self { name, url: url.trim().to_owned() })
    }
}

impl<'de> Deserialize<'de> for OwnScheduler {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

// === impl UsualStrategy ===

impl std::str::FromStr for UsualStrategy {
    type Err = StrategyError;

    fn from_str(text: &str) -> Result<Self, StrategyError> {
        text.parse().map(Self)
    }
}

impl<'de> Deserialize<'de> for UsualStrategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

// === impl ExposePorts ===

impl std::str::FromStr for ExposePorts {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        text.parse().map(Self)
    }
}

impl<'de> Deserialize<'de> for ExposePorts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Flags, environment and keys from one table.
macro_rules! options {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty = ($($arg:tt)*);)* }) => {
        $(#[$doc])*
        #[derive(Args, Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
        pub(crate) struct $name { $($(#[$fdoc])* #[arg(long, $($arg)*)] pub(crate) $field: Option<$type>,)* }

        impl $name {
            /// What is said here; `other` says the rest.
            pub(crate) fn or(self, other: Self) -> Self {
                Self { $($field: self.$field.or(other.$field),)* }
            }
        }
    };
}

options!(
    /// How a member calls the orchestrator above.
    ProxyOptions {
        /// An HTTP proxy, `http://host:port`, or `none` [default: as HTTPS_PROXY, ALL_PROXY and NO_PROXY say]
        proxy: String = (env = "HOLM_PROXY", hide_env_values = true, value_name = "URL");
        /// A file that holds `user:password` for that proxy
        proxy_credentials_file: PathBuf = (env = "HOLM_PROXY_CREDENTIALS_FILE", value_name = "FILE");
    }
);

options!(
    /// Of a root orchestrator.
    RootOptions {
        /// Where everything is kept [default: ~/.local/share/holm/root, or /var/lib/holm/root for root]
        data_dir: PathBuf = (env = "HOLM_DATA_DIR", value_name = "DIRECTORY");
        /// The port for members, browsers and the CLI [default: 0.0.0.0:7700]
        listen: SocketAddr = (env = "HOLM_LISTEN", value_name = "ADDRESS");
        /// Also plain HTTP, on a loopback address only
        http: SocketAddr = (env = "HOLM_HTTP", value_name = "ADDRESS");
        /// Host names or addresses for the server certificate, beside the usual ones
        host: Vec<String> = (env = "HOLM_HOST", value_name = "HOST", value_delimiter = ',');
        /// Its name [default: root]
        name: Name = (env = "HOLM_NAME");
        /// Name of a new sea [default: random]
        sea: String = (env = "HOLM_SEA", value_name = "NAME");
        /// A silent member is `unknown` after this [default: 15s]
        unknown_after: Span = (env = "HOLM_UNKNOWN_AFTER", value_name = "DURATION");
        /// A silent member is `offline` after this [default: 30s]
        offline_after: Span = (env = "HOLM_OFFLINE_AFTER", value_name = "DURATION");
        /// What a silent member runs is replaced after this [default: 60s]
        replace_after: Span = (env = "HOLM_REPLACE_AFTER", value_name = "DURATION");
        /// Which of the members that fit a service takes that names no strategy: first-fit, best-fit, spread,
        /// spread:cluster, spread:<label>, latency or random [default: first-fit]
        strategy: UsualStrategy = (env = "HOLM_STRATEGY", value_name = "STRATEGY");
        /// Where its nodes are that name no place of their own, latitude and longitude in degrees
        location: Point = (env = "HOLM_LOCATION", value_name = "LAT,LON", allow_hyphen_values = true);
        /// Generations of an application that are kept for `holm history` and `holm rollback` [default: 10]
        keep_generations: u32 = (env = "HOLM_KEEP_GENERATIONS", value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_GENERATIONS)));
        /// Whether machines whose cluster is silent become nodes here, too, until it is back [default: true]
        fall_back: bool = (env = "HOLM_FALL_BACK", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL");
        /// Ports that services may be exposed at here, first and last, as in 20000-20100 [default: none]
        expose_ports: ExposePorts = (env = "HOLM_EXPOSE_PORTS", value_name = "RANGE");
        /// The address at which they are opened [default: 0.0.0.0]
        expose_address: IpAddr = (env = "HOLM_EXPOSE_ADDRESS", value_name = "ADDRESS");
        /// Schedulers of your own, for services with `strategy: { external: NAME }`; TLS, or on this machine
        scheduler: Vec<OwnScheduler> = (env = "HOLM_SCHEDULER", value_name = "NAME=URL", value_delimiter = ',');
        /// The PEM file of the CA by which they are known
        scheduler_ca: PathBuf = (env = "HOLM_SCHEDULER_CA", value_name = "FILE");
        /// How long one is given for an answer [default: 2s]
        scheduler_timeout: Span = (env = "HOLM_SCHEDULER_TIMEOUT", value_name = "DURATION");
        /// Without an answer take nothing, instead of whom the usual strategy takes
        scheduler_required: bool = (env = "HOLM_SCHEDULER_REQUIRED", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL");
        /// A member whose certificate has expired may renew it for so long [default: 400d]
        rejoin_window: Span = (env = "HOLM_REJOIN_WINDOW", value_name = "DURATION");
        /// How long members' certificates are valid [default: 30d]
        certificate_life: Span = (env = "HOLM_CERTIFICATE_LIFE", value_name = "DURATION", hide = true);
    }
);

options!(
    /// Of a cluster orchestrator.
    ClusterOptions {
        /// The orchestrator above, `host:port`
        parent: Parent = (env = "HOLM_PARENT", value_name = "ADDRESS");
        /// A join token, for the first start; better by the environment or a file, which `ps` does not show
        token: String = (env = "HOLM_TOKEN", hide_env_values = true);
        /// A file that holds the join token
        token_file: PathBuf = (env = "HOLM_TOKEN_FILE", value_name = "FILE");
        /// Its name
        name: Name = (env = "HOLM_NAME");
        /// Where everything is kept [default: ~/.local/share/holm/cluster, or /var/lib/holm/cluster for root]
        data_dir: PathBuf = (env = "HOLM_DATA_DIR", value_name = "DIRECTORY");
        /// The port for members, browsers and the CLI [default: 0.0.0.0:7700]
        listen: SocketAddr = (env = "HOLM_LISTEN", value_name = "ADDRESS");
        /// Also plain HTTP, on a loopback address only
        http: SocketAddr = (env = "HOLM_HTTP", value_name = "ADDRESS");
        /// Host names or addresses for the server certificate, beside the usual ones
        host: Vec<String> = (env = "HOLM_HOST", value_name = "HOST", value_delimiter = ',');
        /// A silent member is `unknown` after this [default: 15s]
        unknown_after: Span = (env = "HOLM_UNKNOWN_AFTER", value_name = "DURATION");
        /// A silent member is `offline` after this [default: 30s]
        offline_after: Span = (env = "HOLM_OFFLINE_AFTER", value_name = "DURATION");
        /// What a silent member runs is replaced after this [default: 60s]
        replace_after: Span = (env = "HOLM_REPLACE_AFTER", value_name = "DURATION");
        /// Which of the members that fit a service takes that names no strategy: first-fit, best-fit, spread,
        /// spread:cluster, spread:<label>, latency or random [default: first-fit]
        strategy: UsualStrategy = (env = "HOLM_STRATEGY", value_name = "STRATEGY");
        /// Where its nodes are that name no place of their own, latitude and longitude in degrees
        location: Point = (env = "HOLM_LOCATION", value_name = "LAT,LON", allow_hyphen_values = true);
        /// Where members of the sea may dial it to measure their way to it, an address and a port; they do if its link to
        /// its parent comes from there [default: `--listen`, if that names an address]
        advertise: SocketAddr = (env = "HOLM_ADVERTISE", value_name = "ADDRESS");
        /// Generations of an application that are kept for `holm history` and `holm rollback` [default: 10]
        keep_generations: u32 = (env = "HOLM_KEEP_GENERATIONS", value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_GENERATIONS)));
        /// Whether nodes that do not hear this cluster tell its parent what they run, so that it is not replaced [default: true]
        fall_back: bool = (env = "HOLM_FALL_BACK", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL");
        /// Ports that services may be exposed at here, first and last, as in 20000-20100 [default: none]
        expose_ports: ExposePorts = (env = "HOLM_EXPOSE_PORTS", value_name = "RANGE");
        /// The address at which they are opened [default: 0.0.0.0]
        expose_address: IpAddr = (env = "HOLM_EXPOSE_ADDRESS", value_name = "ADDRESS");
        /// Schedulers of your own, for services with `strategy: { external: NAME }`; TLS, or on this machine
        scheduler: Vec<OwnScheduler> = (env = "HOLM_SCHEDULER", value_name = "NAME=URL", value_delimiter = ',');
        /// The PEM file of the CA by which they are known
        scheduler_ca: PathBuf = (env = "HOLM_SCHEDULER_CA", value_name = "FILE");
        /// How long one is given for an answer [default: 2s]
        scheduler_timeout: Span = (env = "HOLM_SCHEDULER_TIMEOUT", value_name = "DURATION");
        /// Without an answer take nothing, instead of whom the usual strategy takes
        scheduler_required: bool = (env = "HOLM_SCHEDULER_REQUIRED", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL");
        /// A member whose certificate has expired may renew it for so long [default: 400d]
        rejoin_window: Span = (env = "HOLM_REJOIN_WINDOW", value_name = "DURATION");
        /// How long members' certificates are valid [default: 30d]
        certificate_life: Span = (env = "HOLM_CERTIFICATE_LIFE", value_name = "DURATION", hide = true);
    }
);

options!(
    /// How much of an orchestrator's API one caller may take.
    LimitOptions {
        /// Requests per second of one person, on average [default: 200]
        request_rate: u32 = (env = "HOLM_REQUEST_RATE", value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..));
        /// Requests per second of one address without proof, on average [default: 50]
        stranger_rate: u32 = (env = "HOLM_STRANGER_RATE", value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..));
        /// Logs, events, execs and ports that are open at once [default: 512]
        streams: usize = (env = "HOLM_STREAMS", value_name = "NUMBER");
        /// Those of one person [default: 128]
        streams_each: usize = (env = "HOLM_STREAMS_EACH", value_name = "NUMBER");
        /// Connections of people and programs at once [default: 640]
        connections: usize = (env = "HOLM_CONNECTIONS", value_name = "NUMBER");
        /// Those of one address [default: 160]
        connections_each: usize = (env = "HOLM_CONNECTIONS_EACH", value_name = "NUMBER");
    }
);

options!(
    /// Of a node.
    NodeOptions {
        /// The orchestrator above, `host:port`
        parent: Parent = (env = "HOLM_PARENT", value_name = "ADDRESS");
        /// A join token, for the first start; better by the environment or a file, which `ps` does not show
        token: String = (env = "HOLM_TOKEN", hide_env_values = true);
        /// A file that holds the join token
        token_file: PathBuf = (env = "HOLM_TOKEN_FILE", value_name = "FILE");
        /// Join with a token that was not used yet although this machine is a member: to move it. What it runs
        /// goes on; the new orchestrator asks people about it
        rejoin: bool = (env = "HOLM_REJOIN", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL");
        /// Its name [default: the host name]
        name: Name = (env = "HOLM_NAME");
        /// What people call the node's properties; may be given several times
        label: Vec<Label> = (env = "HOLM_LABEL", value_name = "KEY=VALUE", value_delimiter = ',');
        /// What the node can do, beside what is detected, as in hardware/ble; or how many units of it there are to
        /// take, as in hardware/gpu=2
        capability: Vec<Counted> = (env = "HOLM_CAPABILITY", value_name = "TYPE/NAME[=UNITS]", value_delimiter = ',');
        /// Where it stands, latitude and longitude in degrees
        location: Point = (env = "HOLM_LOCATION", value_name = "LAT,LON", allow_hyphen_values = true);
        /// Where everything is kept [default: ~/.local/share/holm/node, or /var/lib/holm/node for root]
        data_dir: PathBuf = (env = "HOLM_DATA_DIR", value_name = "DIRECTORY");
        /// How often usage is reported [default: 15s]
        interval: Span = (env = "HOLM_INTERVAL", value_name = "DURATION");
        /// How long its cluster is silent before the node tells the root what it runs, and after as long again asks to be a
        /// node there, too [default: 30s]
        fall_back_after: Span = (env = "HOLM_FALL_BACK_AFTER", value_name = "DURATION");
        /// CPU that is kept for the machine itself [default: 0]
        reserve_cpu: Cpu = (env = "HOLM_RESERVE_CPU", value_name = "CORES");
        /// Memory that is kept for the machine itself [default: 0]
        reserve_memory: Memory = (env = "HOLM_RESERVE_MEMORY", value_name = "BYTES");
        /// Users that a node that runs as root gives to projects, one to each, for processes that name no user
        /// [default: 2010000000-2010065535]
        process_users: UserRange = (env = "HOLM_PROCESS_USERS", value_name = "FIRST-LAST");
        /// One user instead for the processes of all projects, which nothing keeps apart then
        process_user: String = (env = "HOLM_PROCESS_USER", value_name = "USER");
        /// Socket of the container engine [default: the usual places of Docker and Podman]
        engine: PathBuf = (env = "HOLM_ENGINE", value_name = "SOCKET");
        /// Less free than this part of the disk: images that nothing uses go [default: 15, and less than 10 GiB]
        disk_tight: u8 = (env = "HOLM_DISK_TIGHT", value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=90));
        /// Less free than this part of it: nothing new comes [default: 5, and less than 2 GiB]
        disk_full: u8 = (env = "HOLM_DISK_FULL", value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=90));
        /// How long it is that full before the least important of what runs here may go elsewhere [default: 2m]
        disk_patience: Span = (env = "HOLM_DISK_PATIENCE", value_name = "DURATION");
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    fn said(proxy: &str, file: Option<PathBuf>) -> Result<Proxies, Failure> {
        ProxyOptions { proxy: Some(proxy.to_owned()), proxy_credentials_file: file }.rules()
    }

    #[test]
    fn a_proxy_is_named_with_credentials_in_a_file_or_none_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "me:secret\n").unwrap();
        let rules = said("http://proxy:3128", Some(file.path().to_owned())).unwrap();
        assert_eq!(rules.for_address("127.0.0.1:7700").map(Proxy::address), Some("proxy:3128"));
        assert!(said(NO_PROXY, None).unwrap().for_address("root.example:7700").is_none());
        std::fs::write(file.path(), "secret").unwrap();
        let error = said("http://proxy:3128", Some(file.path().to_owned())).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_without_its_password() {
        for url in ["https://me:secret@proxy:1", "http://me:secret@proxy", "http://me:secret@:1"] {
            let error = said(url, None).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let options = ProxyOptions { proxy: None, proxy_credentials_file: Some("file".into()) };
        assert!(options.rules().unwrap_err().to_string().contains("no proxy"));
    }

    #[test]
    fn a_parent_is_a_host_and_a_port() {
        for good in ["root.example:7700", "127.0.0.1:1", "[::1]:7700", "[fe80::1%eth0]:7700"] {
            assert_eq!(good.parse(), Ok(Parent(good.to_owned())));
        }
        for (bad, why) in [
            ("127.0.0.1", "a port is missing"),
            ("root:", "its port is none"),
            ("root:0", "its port is none"),
            ("root:70000", "its port is none"),
            (":7700", "more or less than a host"),
            ("https://root:7700", "more or less than a host"),
            ("::1:7700", "brackets"),
        ] {
            let said = bad.parse::<Parent>().unwrap_err();
            assert!(said.contains(why) && said.contains("`host:port`"), "{said}");
        }
    }
}
