//! Member and orchestrator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use holm_link::UnixTime;
use holm_link::authority::{Authority, Leaf};
use holm_link::certificate::Usage;
use holm_link::clock::Clock;
use holm_link::credentials::{CredentialRequest, Credentials};
use holm_link::dial::{Connected, Dialer};
use holm_link::listen::{Accepted, Acceptor, Channel, HandshakeLimits, ServerCertificate};
use holm_link::revocation::Revocations;
use holm_link::session::{Session, Transport};
use holm_link::verify::MemberPolicy;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpListener;

use crate::limits;
use crate::path::Path;

/// Bytes of bulk that have arrived in all.
static RECEIVED: AtomicU64 = AtomicU64::new(0);

pub(crate) fn received() -> u64 {
    RECEIVED.load(Ordering::Relaxed)
}

pub(crate) struct Orchestrator {
    pub(crate) address: SocketAddr,
    member: Credentials,
}

impl Orchestrator {
    pub(crate) async fn start() -> Self {
        let sea = Authority::create_sea("sea", UnixTime::now()).unwrap();
        let certificate = ServerCertificate::new(&sign(&sea, "holm://sea", Usage::Server)).unwrap();
        let policy = MemberPolicy {
            root: sea.root().clone(),
            parent: sea.identity().clone(),
            revocations: Revocations::default(),
            rejoin_window: Duration::ZERO,
            below: holm_link::verify::Below::Directly,
        };
        let acceptor =
            Acceptor::new(&certificate, policy, Clock::default(), HandshakeLimits::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(Arc::new(acceptor).serve(listener, |accepted, _| match accepted {
            Accepted::Member { stream, .. } => drop(tokio::spawn(serve(*stream))),
            Accepted::Http { .. } => {}
        }));
        Self { address, member: sign(&sea, "holm://sea/n1", Usage::Client) }
    }

    pub(crate) async fn connect(
        &self,
        path: &Path,
        channel: Channel,
    ) -> impl AsyncRead + AsyncWrite + Unpin + use<> {
        self.dial(path, channel).await.stream
    }

    pub(crate) async fn call(&self, path: &Path, channel: Channel) -> Session {
        Session::client(self.dial(path, channel).await.stream, &limits())
    }

    async fn dial(&self, path: &Path, channel: Channel) -> Connected {
        let dialer = Dialer::new(&self.member, Revocations::default(), Clock::default()).unwrap();
        dialer.connect(&path.address.to_string(), channel).await.unwrap()
    }
}

/// Echoes control frames and swallows tunnels; what is no session is swallowed as it comes.
async fn serve<IO: Transport>(mut stream: IO) {
    let mut first = [0];
    if stream.read_exact(&mut first).await.is_err() {
        return;
    }
    if first[0] == 1 {
        return swallow(stream).await;
    }
    // yamux begins with its version, 0; it is given back to it.
    let (reader, writer) = tokio::io::split(stream);
    let whole = tokio::io::join(std::io::Cursor::new(first).chain(reader), writer);
    let Session { sender, mut receiver, mut incoming, .. } = Session::server(whole, &limits());
    tokio::spawn(async move {
        while let Some(tunnel) = incoming.accept().await {
            tokio::spawn(swallow(tunnel));
        }
    });
    while let Some(Ok(frame)) = receiver.recv().await {
        if sender.send(frame).await.is_err() {
            return;
        }
    }
}

async fn swallow<R: AsyncRead + Unpin>(mut stream: R) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        RECEIVED.fetch_add(read as u64, Ordering::Relaxed);
    }
}

fn sign(sea: &Authority, who: &str, usage: Usage) -> Credentials {
    let request = CredentialRequest::new().unwrap();
    let validity = Duration::from_secs(3600);
    let leaf = Leaf { identity: who.parse().unwrap(), usage, names: Vec::new(), validity };
    let issued = sea.sign_leaf(request.csr(), &leaf, UnixTime::now()).unwrap();
    request.install(issued.chain, sea.root().clone()).unwrap()
}
