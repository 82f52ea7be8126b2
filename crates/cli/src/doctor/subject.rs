//! What is looked at.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use holm_link::authority::Authority;
use holm_link::proxy::Proxies;
use holm_link::token::JoinToken;
use holm_model::view::StatusView;
use holm_node::LinkStatus;

use crate::failure::{Failure, chain};
use crate::roles::file::{self, ConfigFile};
use crate::roles::options::ProxyOptions;
use crate::roles::{SOCKET, absolute, directory};
use crate::{holder, secret};

/// Which member is meant; what its daemon was told is told here again, or found in its configuration file.
#[derive(Args, Debug)]
pub(crate) struct Where {
    /// The data directory [default: the usual one of a node, then of a cluster, then of a root]
    #[arg(long, env = "HOLM_DATA_DIR", value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// The configuration file of the daemon
    #[arg(long, env = "HOLM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The orchestrator above, `host:port` [default: what the running daemon or its file says]
    #[arg(long, env = "HOLM_PARENT", value_name = "ADDRESS")]
    parent: Option<String>,
    /// The port of an orchestrator [default: what its file says, or 7700]
    #[arg(long, env = "HOLM_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Socket of the container engine [default: the usual places of Docker and Podman]
    #[arg(long, env = "HOLM_ENGINE", value_name = "SOCKET")]
    engine: Option<PathBuf>,
    /// The join token that a machine has been given, whose orchestrator must answer; nothing of it is sent
    #[arg(long, env = "HOLM_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file that holds it
    #[arg(long, env = "HOLM_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    proxy: ProxyOptions,
}

#[derive(Debug)]
pub(super) struct Subject {
    pub(super) dir: PathBuf,
    pub(super) role: Role,
    pub(super) daemon: Daemon,
    /// `host:port`
    pub(super) parent: Option<String>,
    /// The daemon's own, unless others are told.
    pub(super) proxies: Proxies,
    /// Looked at before the machine has joined; an error in words, if it cannot be read.
    pub(super) token: Option<Result<JoinToken, String>>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) engine: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Root,
    Cluster,
    Node,
}

/// The process that has the directory.
#[derive(Debug)]
pub(super) enum Daemon {
    Absent,
    /// Whether there is one cannot be seen.
    Hidden(String),
    Node {
        holder: String,
        link: LinkStatus,
    },
    Orchestrator {
        holder: String,
        status: Box<StatusView>,
    },
    /// It runs and gives no answer: it is starting, joins, or hangs.
    Mute {
        holder: String,
        reason: String,
    },
}

// === impl Subject ===

impl Subject {
    pub(super) async fn find(place: Where) -> Result<Self, Failure> {
        let file = place.config.as_deref().map_or_else(|| Ok(ConfigFile::default()), file::read)?;
        let told_proxy = place.proxy.or(file.proxy());
        let told = [
            file.node.as_ref().and_then(|node| node.data_dir.clone()),
            file.cluster.as_ref().and_then(|cluster| cluster.data_dir.clone()),
            file.root.as_ref().and_then(|root| root.data_dir.clone()),
        ];
        let dir = place.data_dir.or_else(|| told.into_iter().flatten().next()).unwrap_or_else(usual);
        let dir = absolute(&dir)?;
        let daemon = Daemon::find(&dir).await;
        let role = Role::of(&dir, &daemon);
        let parent = place.parent.or_else(|| daemon.parent()).or_else(|| role.parent(&file));
        let proxies = match daemon.proxies().filter(|_| told_proxy.is_silent()) {
            Some(proxies) => proxies,
            None => told_proxy.rules()?,
        };
        let token = token(place.token, place.token_file.as_deref()).or_else(|| role.token(&file));
        let listen = place.listen.or_else(|| role.listen(&file));
        let engine = place.engine.or_else(|| file.node.and_then(|node| node.engine));
        Ok(Self { dir, role, daemon, parent, proxies, token, listen, engine })
    }
}

/// The token that was given, or else that of the file.
fn token(given: Option<String>, file: Option<&Path>) -> Option<Result<JoinToken, String>> {
    let text = secret::given_or_in(given, file).map_err(|failure| failure.to_string()).transpose()?;
    Some(text.and_then(|text| text.parse().map_err(|error| chain(&error))))
}

/// The first usual directory that is there.
fn usual() -> PathBuf {
    let usual = ["node", "cluster", "root"].map(directory);
    usual.iter().find(|dir| dir.exists()).unwrap_or(&usual[0]).clone()
}

// === impl Role ===

impl Role {
    /// By its keys; before it has joined, by what its daemon is called.
    fn of(dir: &Path, daemon: &Daemon) -> Self {
        match Authority::load(dir) {
            Ok(Some(authority)) if authority.identity().parent().is_none() => Self::Root,
            Ok(Some(_)) => Self::Cluster,
            _ if daemon.holder().is_some_and(|holder| holder.contains("holm cluster")) => Self::Cluster,
            _ if daemon.holder().is_some_and(|holder| holder.contains("holm root")) => Self::Root,
            _ => Self::Node,
        }
    }

    fn parent(self, file: &ConfigFile) -> Option<String> {
        match self {
            Self::Root => None,
            Self::Cluster => file.cluster.as_ref()?.parent.clone().map(|parent| parent.0),
            Self::Node => file.node.as_ref()?.parent.clone().map(|parent| parent.0),
        }
    }

    fn token(self, file: &ConfigFile) -> Option<Result<JoinToken, String>> {
        match self {
            Self::Root => None,
            Self::Cluster => {
                file.cluster.clone().and_then(|cluster| token(cluster.token, cluster.token_file.as_deref()))
            }
            Self::Node => file.node.clone().and_then(|node| token(node.token, node.token_file.as_deref())),
        }
    }

    fn listen(self, file: &ConfigFile) -> Option<SocketAddr> {
        match self {
            Self::Root => file.root.as_ref()?.listen,
            Self::Cluster => file.cluster.as_ref()?.listen,
            Self::Node => None,
        }
    }
}

/// What an orchestrator says of itself.
#[cfg(feature = "full")]
async fn status(socket: PathBuf) -> Result<StatusView, String> {
    holm_client::Client::unix(socket).status().await.map_err(|error| chain(&error))
}

#[cfg(not(feature = "full"))]
async fn status(_: PathBuf) -> Result<StatusView, String> {
    Err("this program is the agent of a node alone, and asks no orchestrator".to_owned())
}

// === impl Daemon ===

impl Daemon {
    async fn find(dir: &Path) -> Self {
        let holder = match holder::of(dir) {
            Ok(None) => return Self::Absent,
            Err(error) => return Self::Hidden(error.to_string()),
            Ok(Some(holder)) => holder,
        };
        if dir.join(SOCKET).exists() {
            return match status(dir.join(SOCKET)).await {
                Ok(status) => Self::Orchestrator { holder, status: Box::new(status) },
                Err(reason) => Self::Mute { holder, reason },
            };
        }
        match holm_node::ask(dir).await {
            Ok(link) => Self::Node { holder, link },
            Err(error) => Self::Mute { holder, reason: chain(&error) },
        }
    }

    pub(super) fn holder(&self) -> Option<&str> {
        match self {
            Self::Node { holder, .. } | Self::Orchestrator { holder, .. } | Self::Mute { holder, .. } => {
                Some(holder)
            }
            Self::Absent | Self::Hidden(_) => None,
        }
    }

    fn parent(&self) -> Option<String> {
        match self {
            Self::Node { link, .. } => Some(link.orchestrator.clone()),
            Self::Orchestrator { status, .. } => status.parent_address.clone(),
            _ => None,
        }
    }

    /// The way that it goes itself, of which it tells all but the credentials.
    fn proxies(&self) -> Option<Proxies> {
        match self.proxy()? {
            None => Some(Proxies::none()),
            Some(proxy) => proxy.parse().ok().map(Proxies::all),
        }
    }

    /// The proxy by which it calls the orchestrator above; none of none is told.
    pub(super) fn proxy(&self) -> Option<Option<&str>> {
        match self {
            Self::Node { link, .. } => Some(link.proxy.as_deref()),
            Self::Orchestrator { status, .. } if status.parent_address.is_some() => {
                Some(status.proxy.as_deref())
            }
            _ => None,
        }
    }

    /// Its session with the orchestrator above is open.
    pub(super) fn is_linked(&self) -> bool {
        match self {
            Self::Node { link, .. } => link.up,
            Self::Orchestrator { status, .. } => matches!(status.parent.as_str(), "connected" | "behind"),
            _ => false,
        }
    }
}
