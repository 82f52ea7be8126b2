//! The orchestrator's side of a link, made by hand: it keeps one member's list and hears its facts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use holm_link::UnixTime;
use holm_link::authority::{Authority, Leaf};
use holm_link::cbor;
use holm_link::certificate::Usage;
use holm_link::clock::Clock;
use holm_link::credentials::{CredentialRequest, Credentials};
use holm_link::frame::{read_header, write_header};
use holm_link::listen::{Accepted, Acceptor, HandshakeLimits, ServerCertificate};
use holm_link::revocation::Revocations;
use holm_link::session::{ControlSender, Limits, Session, Tunnel, Tunnels};
use holm_link::token::{JoinToken, Role};
use holm_link::verify::{MemberPolicy, REJOIN_WINDOW};
use holm_model::fact::{Fact, FactKey, InstanceReport};
use holm_model::id::{AssignmentId, Epoch, MemberId, StoreId};
use holm_model::item::{Digest, Items, PackedItem};
use holm_model::message::{Down, FactsPart, ListChange, PROTOCOL, Up, Welcome};
use holm_model::tunnel::{Answer, Purpose, Request};
use serde_bytes::ByteBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{name, soon, uid};

/// The root of the sea, as far as a node can tell.
pub(crate) struct Parent {
    pub(crate) address: SocketAddr,
    authority: Authority,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Raised with every change of `state`.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    items: Items,
    revision: u64,
    facts: BTreeMap<FactKey, Fact>,
    link: Option<(ControlSender, Tunnels)>,
    sessions: u64,
    /// Refuse whoever calls.
    cut: bool,
    renewals: u32,
}

const EPOCH: Epoch = Epoch::new(1, 7);

impl Parent {
    pub(crate) async fn start() -> Self {
        let authority = Authority::create_sea("sea", UnixTime::now()).unwrap();
        let own = sign(&authority, "holm://sea", Usage::Server, Duration::from_secs(3600));
        let certificate = ServerCertificate::new(&own).unwrap();
        let policy = MemberPolicy {
            root: authority.root().clone(),
            parent: authority.identity().clone(),
            revocations: Revocations::default(),
            rejoin_window: REJOIN_WINDOW,
        };
        let acceptor =
            Acceptor::new(&certificate, policy, Clock::default(), HandshakeLimits::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { state: Mutex::default(), changed: watch::channel(0).0 });
        let accepting = Arc::clone(&shared);
        tokio::spawn(Arc::new(acceptor).serve(listener, move |accepted, _| match accepted {
            Accepted::Member { stream, .. } => {
                tokio::spawn(Arc::clone(&accepting).talk(Session::server(*stream, &Limits::default())));
            }
            Accepted::Http { stream } => drop(tokio::spawn(refuse(*stream))),
        }));
        Self { address, authority, shared }
    }

    /// Puts valid credentials into the data directory, as joining would.
    pub(crate) fn admit(&self, dir: &Path, validity: Duration) {
        let identity = format!("holm://sea/{}", uid(5));
        sign(&self.authority, &identity, Usage::Client, validity).save(dir).unwrap();
    }

    pub(crate) fn token(&self) -> String {
        let fingerprint = self.authority.fingerprint();
        JoinToken::generate(Role::Node, fingerprint, self.authority.identity().clone()).unwrap().to_text()
    }

    /// The whole list from now on.
    pub(crate) fn list(&self, items: impl IntoIterator<Item = PackedItem>) {
        self.shared.change(|state| {
            state.items = items.into_iter().map(|item| (item.key.clone(), item)).collect();
            state.revision += 1;
            state.alive();
        });
    }

    pub(crate) fn cut(&self) {
        self.shared.change(|state| {
            state.cut = true;
            if let Some((sender, _)) = state.link.take() {
                sender.close();
            }
        });
    }

    pub(crate) fn mend(&self) {
        self.shared.change(|state| state.cut = false);
    }

    /// The report of `id` as soon as it satisfies `condition`.
    pub(crate) async fn report(
        &self,
        id: AssignmentId,
        condition: impl Fn(&InstanceReport) -> bool,
    ) -> InstanceReport {
        self.wait(|state| match state.facts.get(&FactKey::Instance(id)) {
            Some(Fact::Instance(report)) if condition(report) => Some((**report).clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn gone(&self, id: AssignmentId) {
        self.wait(|state| (!state.facts.contains_key(&FactKey::Instance(id))).then_some(())).await;
    }

    pub(crate) async fn linked(&self, up: bool) {
        self.wait(|state| (state.link.is_some() == up).then_some(())).await;
    }

    pub(crate) async fn renewed(&self) {
        self.wait(|state| (state.renewals > 0).then_some(())).await;
    }

    pub(crate) fn sessions(&self) -> u64 {
        self.shared.state.lock().unwrap().sessions
    }

    pub(crate) async fn session_after(&self, sessions: u64) {
        self.wait(|state| (state.sessions > sessions).then_some(())).await;
    }

    pub(crate) fn knows(&self, id: AssignmentId) -> bool {
        self.shared.state.lock().unwrap().facts.contains_key(&FactKey::Instance(id))
    }

    pub(crate) async fn fact(&self, wanted: impl Fn(&Fact) -> bool) -> Fact {
        self.wait(|state| state.facts.values().find(|fact| wanted(fact)).cloned()).await
    }

    pub(crate) async fn tunnel(&self, purpose: Purpose) -> (Tunnel, Answer) {
        let tunnels = self.wait(|state| state.link.as_ref().map(|(_, tunnels)| tunnels.clone())).await;
        let mut tunnel = tunnels.open().await.unwrap();
        write_header(&mut tunnel, &Request { path: Vec::new(), purpose }).await.unwrap();
        let answer = soon(read_header(&mut tunnel)).await.unwrap();
        (tunnel, answer)
    }

    async fn wait<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        let mut changed = self.shared.changed.subscribe();
        let found = async {
            loop {
                if let Some(found) = look(&self.shared.state.lock().unwrap()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(super::LONG, found).await {
            Ok(found) => found,
            Err(_) => {
                let state = self.shared.state.lock().unwrap();
                let facts: Vec<_> = state.facts.values().filter(|f| !matches!(f, Fact::Node(_))).collect();
                panic!("never came true; facts: {facts:#?}");
            }
        }
    }
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state.lock().unwrap());
        self.changed.send_modify(|count| *count += 1);
        changed
    }

    async fn talk(self: Arc<Self>, session: Session) {
        let Session { sender, mut receiver, tunnels, mut incoming } = session;
        if self.change(|state| state.cut) {
            return sender.close();
        }
        // Upward tunnels are echoed.
        tokio::spawn(async move {
            while let Some(tunnel) = incoming.accept().await {
                tokio::spawn(echo(tunnel));
            }
        });
        let beats = sender.clone();
        let beating = Arc::clone(&self);
        let beat = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let alive = beating.change(|state| state.alive_message());
                if beats.send(encode(&alive)).await.is_err() {
                    return;
                }
            }
        });
        while let Some(Ok(frame)) = receiver.recv().await {
            let up: Up = cbor::decode(&frame, usize::MAX).unwrap();
            let link = (sender.clone(), tunnels.clone());
            for down in self.change(|state| state.answer(up, link)) {
                let _ = sender.send(encode(&down)).await;
            }
        }
        beat.abort();
        self.change(|state| state.link = None);
    }
}

impl State {
    fn digest(&self) -> Digest {
        Digest::of(&self.items)
    }

    fn alive_message(&self) -> Down {
        Down::Alive { revision: self.revision, digest: self.digest() }
    }

    fn alive(&self) {
        if let Some((sender, _)) = &self.link {
            let _ = sender.try_send(encode(&self.alive_message()));
        }
    }

    fn answer(&mut self, up: Up, link: (ControlSender, Tunnels)) -> Vec<Down> {
        match up {
            Up::Hello(hello) => {
                self.link = Some(link);
                self.sessions += 1;
                vec![Down::Welcome(Welcome {
                    protocol: PROTOCOL.1,
                    version: hello.version,
                    session: self.sessions,
                    member: MemberId(uid(5)),
                    name: hello.name,
                    path: vec![name("vienna")],
                    store: StoreId(uid(2)),
                    epoch: EPOCH,
                    revision: self.revision,
                    reigns: Vec::new(),
                })]
            }
            Up::Sync { .. } => {
                let entries = self.items.values();
                let entries = entries.map(|item| (item.key.clone(), ByteBuf::from(item.hash()))).collect();
                vec![Down::Catalog { revision: self.revision, entries }]
            }
            Up::Want { keys } => vec![Down::Change(ListChange {
                store: StoreId(uid(2)),
                epoch: EPOCH,
                from: None,
                to: self.revision,
                put: keys.iter().filter_map(|key| self.items.get(key).cloned()).collect(),
                removed: Vec::new(),
                digest: self.digest(),
            })],
            Up::Facts(facts) => {
                if matches!(facts.part, FactsPart::Whole | FactsPart::Begin) {
                    self.facts.clear();
                }
                self.facts.extend(facts.put.into_iter().map(|fact| (fact.key(), fact)));
                for key in facts.gone {
                    self.facts.remove(&key);
                }
                Vec::new()
            }
            Up::Renew { .. } => {
                self.renewals += 1;
                Vec::new()
            }
            Up::Holding { .. } | Up::Alive { .. } | Up::Leave => Vec::new(),
        }
    }
}

fn encode(down: &Down) -> Bytes {
    Bytes::from(cbor::encode(down).unwrap())
}

fn sign(authority: &Authority, who: &str, usage: Usage, validity: Duration) -> Credentials {
    let request = CredentialRequest::new().unwrap();
    let leaf = Leaf { identity: who.parse().unwrap(), usage, names: Vec::new(), validity };
    let issued = authority.sign_leaf(request.csr(), &leaf, UnixTime::now()).unwrap();
    request.install(issued.chain, authority.root().clone()).unwrap()
}

async fn echo(mut tunnel: Tunnel) {
    let request: Request = read_header(&mut tunnel).await.unwrap();
    let Purpose::Connect { port, .. } = request.purpose else { panic!("{request:?}") };
    write_header(&mut tunnel, &Answer::Granted).await.unwrap();
    let (mut read, mut write) = tokio::io::split(tunnel);
    write.write_all(format!("{port}:").as_bytes()).await.unwrap();
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

/// Answers a join request as a real orchestrator would answer a used token.
async fn refuse(mut stream: tokio_rustls::server::TlsStream<TcpStream>) {
    let body = r#"{"title":"Forbidden","detail":"the token was used already"}"#;
    let head = "HTTP/1.1 403 Forbidden\r\ncontent-type: application/problem+json\r\nconnection: close";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    // An answer before the whole request would be another kind of failure.
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        let Ok(1..) = stream.read_buf(&mut request).await else { return };
    }
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    // What the client still sends must find a reader, or its side is reset.
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}
