//! Where an orchestrator is, and how to get a byte stream to it.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::error::{Error, LookError, SetupError};
use crate::pin::Fingerprint;
use crate::{pin, token};

/// Where an orchestrator listens if nobody says otherwise.
const DEFAULT_PORT: u16 = 7700;
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// An orchestrator's address and what is needed to be let in. Its text is the address.
#[derive(Debug)]
pub(crate) enum Server {
    Unix { path: PathBuf },
    Https { authority: Authority, token: Option<Secret>, tls: Arc<ClientConfig> },
    Http { address: SocketAddr, token: Option<Secret> },
}

/// `host:port`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    /// Without brackets.
    host: String,
    port: u16,
}

/// A token; shown by no Debug.
#[derive(Clone)]
pub(crate) struct Secret(String);

/// A byte stream to an orchestrator.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

// === impl Server ===

impl Server {
    pub(crate) fn unix(path: PathBuf) -> Self {
        Self::Unix { path }
    }

    pub(crate) fn https(server: &str, token: &str) -> Result<Self, SetupError> {
        Self::pinned(server, token::fingerprint(token.trim())?, Some(token))
    }

    pub(crate) fn pinned(server: &str, root: Fingerprint, token: Option<&str>) -> Result<Self, SetupError> {
        Self::tls(server, pin::config(root), token)
    }

    /// Which sea answers at `server`; nothing is said to it.
    pub(crate) async fn look(server: &str) -> Result<Fingerprint, LookError> {
        let (tls, seen) = pin::look();
        let server = Self::tls(server, tls, None)?;
        server.connect().await?;
        let seen = *seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(seen.ok_or_else(|| server.protocol("it shows no certificate"))?)
    }

    fn tls(server: &str, tls: ClientConfig, token: Option<&str>) -> Result<Self, SetupError> {
        let authority = Authority::parse(server).ok_or_else(|| SetupError::Server(server.to_owned()))?;
        let token = token.map(|token| Secret(token.trim().to_owned()));
        Ok(Self::Https { authority, token, tls: Arc::new(tls) })
    }

    /// Another orchestrator of the same sea, as ours names it: it must prove that it is one, as ours had to, before it
    /// is told the token.
    ///
    /// # Errors
    /// When there is nothing that it could be asked with.
    pub(crate) fn sibling(&self, authority: &str) -> Result<Self, SetupError> {
        match self {
            Self::Unix { .. } | Self::Http { token: None, .. } => Err(SetupError::NoTokenForSibling),
            Self::Http { token: Some(token), .. } => Self::https(authority, &token.0),
            Self::Https { token, tls, .. } => {
                let known =
                    Authority::parse(authority).ok_or_else(|| SetupError::Server(authority.to_owned()))?;
                Ok(Self::Https { authority: known, token: token.clone(), tls: Arc::clone(tls) })
            }
        }
    }

    pub(crate) fn http(address: SocketAddr, token: Option<&str>) -> Result<Self, SetupError> {
        if !address.ip().is_loopback() {
            return Err(SetupError::NotLoopback(address));
        }
        Ok(Self::Http { address, token: token.map(|token| Secret(token.trim().to_owned())) })
    }

    /// What goes into the `Host` header.
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Unix { .. } => "localhost".to_owned(),
            Self::Https { authority, .. } => authority.to_string(),
            Self::Http { address, .. } => address.to_string(),
        }
    }

    /// What goes into the `Authorization` header.
    pub(crate) fn authorization(&self) -> Option<String> {
        match self {
            Self::Unix { .. } => None,
            Self::Https { token, .. } | Self::Http { token, .. } => token.as_ref().map(Secret::bearer),
        }
    }

    pub(crate) async fn connect(&self) -> Result<Box<dyn Stream>, Error> {
        let stream = timeout(CONNECT_TIME, self.dial()).await;
        stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|e| self.unreachable(&e))
    }

    /// The error for people: what the system said and what to do about it.
    pub(crate) fn unreachable(&self, error: &io::Error) -> Error {
        let reason = match error.kind() {
            io::ErrorKind::TimedOut => format!("no answer within {} s", CONNECT_TIME.as_secs()),
            _ => error.to_string(),
        };
        Error::Unreachable { server: self.to_string(), reason, hint: self.hint(error.kind()) }
    }

    pub(crate) fn protocol(&self, reason: impl fmt::Display) -> Error {
        Error::Protocol { server: self.to_string(), reason: reason.to_string() }
    }

    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix { path } => Box::new(UnixStream::connect(path).await?),
            Self::Http { address, .. } => Box::new(tcp(TcpStream::connect(address).await?)?),
            Self::Https { authority, tls, .. } => {
                let tcp = tcp(TcpStream::connect((authority.host.as_str(), authority.port)).await?)?;
                let connector = TlsConnector::from(Arc::clone(tls));
                Box::new(connector.connect(authority.server_name()?, tcp).await?)
            }
        })
    }

    fn hint(&self, kind: io::ErrorKind) -> &'static str {
        use io::ErrorKind as K;
        match (self, kind) {
            (Self::Unix { .. }, K::NotFound | K::ConnectionRefused) => {
                "start an orchestrator with `holm root`, or name its socket with `--socket` or its address with `--server`"
            }
            (Self::Unix { .. }, K::PermissionDenied) => {
                "only the user who runs the orchestrator may open it; others use `--server` with a token"
            }
            (Self::Https { .. }, K::InvalidData) => {
                "check the address: whoever answers there is not of the sea that was pinned, or that made the token"
            }
            (_, K::ConnectionRefused) => "check that the orchestrator runs and listens on this port",
            (Self::Https { .. } | Self::Http { .. }, K::ConnectionReset) => {
                "it was started anew just now, or has as many connections of this address as it may have (its `--connections-each`): try again"
            }
            (_, K::TimedOut | K::HostUnreachable | K::NetworkUnreachable) => {
                "check the address, the network and firewalls between"
            }
            _ => "check the address, and that the orchestrator runs",
        }
    }
}

/// Small requests must not wait for each other's acknowledgements.
fn tcp(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { path } => write!(f, "the orchestrator at {}", path.display()),
            Self::Https { authority, .. } => write!(f, "https://{authority}"),
            Self::Http { address, .. } => write!(f, "http://{address}"),
        }
    }
}

// === impl Authority ===

impl Authority {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
        let (host, port) = match text.rsplit_once(':') {
            // A bare IPv6 address has colons, but no port.
            _ if text.parse::<Ipv6Addr>().is_ok() => (text, DEFAULT_PORT),
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|p| *p != 0)?),
            _ => (text, DEFAULT_PORT),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        ServerName::try_from(host).ok()?;
        Some(Self { host: host.to_owned(), port })
    }

    fn server_name(&self) -> io::Result<ServerName<'static>> {
        ServerName::try_from(self.host.clone()).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

// === impl Secret ===

impl Secret {
    fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, shown) in [
            ("root.example", "root.example:7700"),
            ("root.example:443", "root.example:443"),
            ("https://root.example:443/", "root.example:443"),
            ("192.0.2.7", "192.0.2.7:7700"),
            ("::1", "[::1]:7700"),
            ("[::1]:7701", "[::1]:7701"),
            ("[::1]", "[::1]:7700"),
        ] {
            assert_eq!(Authority::parse(text).map(|a| a.to_string()).as_deref(), Some(shown), "{text}");
        }
        for bad in ["", ":7700", "host:0", "host:70000", "host:x", "a b", "http://host", "host/path"] {
            assert_eq!(Authority::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn tokens_never_leave_the_machine_in_the_clear() {
        let far = "192.0.2.7:80".parse().unwrap();
        assert!(matches!(Server::http(far, Some("t")), Err(SetupError::NotLoopback(_))));
        let near = Server::http("127.0.0.1:80".parse().unwrap(), Some("secret")).unwrap();
        assert!(!format!("{near:?}").contains("secret"));
    }

    #[test]
    fn a_sibling_has_to_prove_the_same_as_we_had_to() {
        let ours = Server::pinned("root", "ab".repeat(32).parse().unwrap(), Some("t")).unwrap();
        let theirs = ours.sibling("192.0.2.7:7701").unwrap();
        let (Server::Https { tls, .. }, Server::Https { tls: same, .. }) = (&ours, &theirs) else {
            panic!("TLS")
        };
        assert!(Arc::ptr_eq(tls, same));
        assert_eq!(
            (theirs.host(), theirs.authorization()),
            ("192.0.2.7:7701".to_owned(), ours.authorization())
        );
        let socket = Server::unix(PathBuf::from("api.sock")).sibling("192.0.2.7:7701");
        assert!(matches!(socket, Err(SetupError::NoTokenForSibling)));
    }

    #[tokio::test]
    async fn an_orchestrator_that_is_not_there_gives_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let Err(error) = Server::unix(dir.path().join("api.sock")).connect().await else { panic!("there") };
        assert!(error.to_string().contains("holm root"), "{error}");
    }
}
