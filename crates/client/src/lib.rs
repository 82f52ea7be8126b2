//! The typed client of `/api/v1`, for the CLI, for programs and for tests.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`error`] | what can go wrong, for people |
//! | [`server`] | where an orchestrator is, and how to get a byte stream to it |
//! | [`backup`] | a backup, as it comes |
//! | [`contents`] | the methods about secrets and plain files |
//! | [`nodes`] | the methods about usage, and about what operators say about nodes |
//! | [`people`] | the methods about people, projects and log-ins |
//! | [`token`] | what an API token says about its sea |
//! | [`pin`] | the rule by which a server is believed: the fingerprint of the sea's root |
//! | [`http`] | one request and its answer |
//! | [`redirect`] | from the root to a cluster's own orchestrator |
//! | [`routes`] | a method for each route |
//! | [`stream`] | answers that go on: logs and events |
//! | [`sse`] | server-sent events, from bytes (pure) |
//! | [`socket`] | WebSockets: exec and ports |

mod backup;
mod builds;
mod contents;
mod error;
mod http;
mod nodes;
mod people;
mod pin;
mod redirect;
mod routes;
mod server;
mod socket;
mod sse;
mod stream;
mod token;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use builds::{BuildEvents, OnSent};
pub use error::{Error, LookError, RedirectError, SetupError};
pub use pin::Fingerprint;
pub use routes::{Condition, Manifest};
pub use socket::{Exec, ExecReceiver, ExecSender, PortStream};
pub use stream::{Events, Logs, Notice};

use crate::server::Server;

/// Which sea answers at `server`, for people to compare before they tell it a secret.
///
/// # Errors
/// When nobody does, or not by TLS.
pub async fn look(server: &str) -> Result<Fingerprint, LookError> {
    Server::look(server).await
}

/// `server` as `host:port`, so that the same one is always called the same.
///
/// # Errors
/// When it is none.
pub fn address(server: &str) -> Result<String, SetupError> {
    server::Authority::parse(server)
        .map(|a| a.to_string())
        .ok_or_else(|| SetupError::Server(server.to_owned()))
}

/// The fingerprint of the sea that signed a token.
///
/// # Errors
/// When the text is no token.
pub fn fingerprint_of(token: &str) -> Result<Fingerprint, SetupError> {
    token::fingerprint(token.trim())
}

/// Talks to one orchestrator; clones share what is open.
#[derive(Clone, Debug)]
pub struct Client {
    http: http::Http,
}

impl Client {
    /// By the Unix socket in the orchestrator's data directory, as administrator.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::to(Server::unix(path.into()))
    }

    /// By TLS to `host`, `host:port` or `https://host:port` (7700 if no port is given). The
    /// orchestrator must prove that it belongs to the sea that signed `token`; its name is of no
    /// matter.
    ///
    /// # Errors
    /// When `server` or `token` is none.
    pub fn https(server: &str, token: &str) -> Result<Self, SetupError> {
        Ok(Self::to(Server::https(server, token)?))
    }

    /// As [`Client::https`], where the sea's fingerprint is known already; without a token for logging in.
    ///
    /// # Errors
    /// When `server` is none.
    pub fn pinned(server: &str, root: Fingerprint, token: Option<&str>) -> Result<Self, SetupError> {
        Ok(Self::to(Server::pinned(server, root, token)?))
    }

    /// By plain HTTP, which orchestrators offer on loopback only.
    ///
    /// # Errors
    /// When `address` is not on loopback: the token would be readable on the way.
    pub fn http(address: SocketAddr, token: Option<&str>) -> Result<Self, SetupError> {
        Ok(Self::to(Server::http(address, token)?))
    }

    /// For people: where requests go.
    #[must_use]
    pub fn server(&self) -> String {
        self.http.server().to_string()
    }

    fn to(server: Server) -> Self {
        Self { http: http::Http::new(server) }
    }
}
