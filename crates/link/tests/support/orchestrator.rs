//! An orchestrator's port on loopback, and members that call it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holm_link::authority::Authority;
use holm_link::certificate::Usage;
use holm_link::clock::Clock;
use holm_link::credentials::Credentials;
use holm_link::dial::Dialer;
use holm_link::listen::{Accepted, Acceptor, Channel, HandshakeLimits, ServerCertificate};
use holm_link::revocation::Revocations;
use holm_link::session::{Limits, Session};
use holm_link::verify::PeerIdentity;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{credentials, day, members_of, sea};

/// Nothing here takes seconds; a test that waits longer hangs.
pub async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(20), future).await.expect("takes too long")
}

pub fn clock() -> Clock {
    Clock::told(|| day(1))
}

/// The orchestrator of `holm://sea` or below, listening on a free port.
pub struct Orchestrator {
    pub authority: Arc<Authority>,
    pub address: SocketAddr,
    pub revocations: Revocations,
    pub certificate: ServerCertificate,
    pub accepted: mpsc::UnboundedReceiver<Accepted<TcpStream>>,
}

impl Orchestrator {
    pub async fn root() -> Self {
        Self::start(sea()).await
    }

    pub async fn start(authority: Authority) -> Self {
        let who = authority.identity().to_string();
        let credentials = credentials(&authority, &who, Usage::Server, day(0));
        let certificate = ServerCertificate::new(&credentials).unwrap();
        let revocations = Revocations::default();
        let policy = members_of(&authority, &who, &revocations);
        let acceptor = Acceptor::new(&certificate, policy, clock(), HandshakeLimits::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, accepted) = mpsc::unbounded_channel();
        tokio::spawn(Arc::new(acceptor).serve(listener, move |accepted, _| {
            let _ = sender.send(accepted);
        }));
        Self { authority: Arc::new(authority), address, revocations, certificate, accepted }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn member(&self, name: &str) -> Credentials {
        let who = format!("{}/{name}", self.authority.identity());
        credentials(&self.authority, &who, Usage::Client, day(0))
    }

    pub async fn next_member(&mut self) -> (PeerIdentity, Channel, Session) {
        match soon(self.accepted.recv()).await.unwrap() {
            Accepted::Member { peer, channel, stream } => {
                (peer, channel, Session::server(*stream, &Limits::default()))
            }
            Accepted::Http { .. } => panic!("took a member for a browser"),
        }
    }
}

pub fn dialer(credentials: &Credentials) -> Dialer {
    Dialer::new(credentials, Revocations::default(), clock()).unwrap()
}

pub async fn member_session(credentials: &Credentials, address: &str) -> Session {
    let connected = soon(dialer(credentials).connect(address, Channel::Control)).await.unwrap();
    Session::client(connected.stream, &Limits::default())
}
