//! The orchestrator's side of a link, made by hand: it keeps one member's list and hears its facts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use holm_link::UnixTime;
use holm_link::ahead::ReadAhead;
use holm_link::authority::Authority;
use holm_link::cbor;
use holm_link::certificate::{Serial, Usage};
use holm_link::clock::Clock;
use holm_link::frame::{read_header, write_header};
use holm_link::join::{Der, JoinAnswer, JoinRequest};
use holm_link::listen::{Accepted, Acceptor, Channel, HandshakeLimits, ServerCertificate};
use holm_link::revocation::Revocations;
use holm_link::session::{ControlSender, IncomingTunnels, Limits, Session, Tunnel, Tunnels};
use holm_link::token::{JoinToken, Role};
use holm_link::verify::{MemberPolicy, PeerIdentity, REJOIN_WINDOW};
use holm_model::fact::{Fact, FactKey, InstanceReport};
use holm_model::id::{AssignmentId, Epoch, MemberId, StoreId};
use holm_model::item::{Digest, Items, PackedItem};
use holm_model::message::{
    Down, FactsPart, LeaseGrant, LeaseRequest, ListChange, PROTOCOL, READS, Up, Welcome,
};
use holm_model::tunnel::{Answer, Purpose, Request};
use holm_model::wipe::WipeReport;
use serde_bytes::ByteBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;

use super::signing::{leaf, node_identity, sign, sign_at};
use super::{name, soon, uid};

/// The root of the sea, as far as a node can tell.
pub(crate) struct Parent {
    pub(crate) address: SocketAddr,
    authority: Arc<Authority>,
    revocations: Revocations,
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
    /// The session's second connection.
    second: Option<Tunnels>,
    sessions: u64,
    /// Refuse whoever calls.
    cut: bool,
    /// Of each certificate that was signed for the node on a link, in order.
    renewals: Vec<Serial>,
    /// Of the certificate by which the node was let in last.
    shown: Option<Serial>,
    /// Let in whoever shows a token, whichever it is.
    open: bool,
    /// How many were let in by a token.
    joined: u64,
    /// What the node told that it wiped.
    wiped: Option<WipeReport>,
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// The life of a certificate that was renewed here.
pub(crate) const SHORT: Duration = Duration::from_secs(3);

const EPOCH: Epoch = Epoch::new(1, 7);

impl Parent {
    pub(crate) async fn start() -> Self {
        let founded = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) - YEAR);
        let authority = Authority::create_sea("sea", founded).unwrap();
        let own = sign(&authority, "holm://sea", Usage::Server, Duration::from_secs(3600));
        let certificate = ServerCertificate::new(&own).unwrap();
        let revocations = Revocations::default();
        let policy = MemberPolicy {
            root: authority.root().clone(),
            parent: authority.identity().clone(),
            revocations: revocations.clone(),
            rejoin_window: REJOIN_WINDOW,
            below: holm_link::verify::Below::Directly,
        };
        let acceptor =
            Acceptor::new(&certificate, policy, Clock::default(), HandshakeLimits::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { state: Mutex::default(), changed: watch::channel(0).0 });
        let authority = Arc::new(authority);
        let (accepting, signer) = (Arc::clone(&shared), Arc::clone(&authority));
        tokio::spawn(Arc::new(acceptor).serve(listener, move |accepted, _| match accepted {
            Accepted::Member { channel: Channel::Bulk, stream, .. } => {
                tokio::spawn(Arc::clone(&accepting).second(Session::server(*stream, &Limits::default())));
            }
            Accepted::Member { peer, stream, .. } => {
                let session = Session::server(*stream, &Limits::default());
                tokio::spawn(Arc::clone(&accepting).talk(session, peer, Arc::clone(&signer)));
            }
            Accepted::Http { stream } => {
                tokio::spawn(Arc::clone(&accepting).join(*stream, Arc::clone(&signer)));
            }
        }));
        Self { address, authority, revocations, shared }
    }

    /// From now on every token lets somebody in.
    pub(crate) fn open(&self) {
        self.shared.change(|state| state.open = true);
    }

    /// The certificate is void, and whoever showed it is cut off.
    pub(crate) fn revoke(&self, serial: Serial) {
        self.revocations.revoke([serial]);
        self.cut();
        self.mend();
    }

    /// How many were let in by a token.
    pub(crate) fn joined(&self) -> u64 {
        self.shared.state.lock().unwrap().joined
    }

    /// Puts valid credentials into the data directory, as joining would.
    pub(crate) fn admit(&self, dir: &Path, validity: Duration) {
        self.admit_since(dir, validity, UnixTime::now());
    }

    /// As if it had been admitted earlier.
    pub(crate) fn admit_since(&self, dir: &Path, validity: Duration, since: UnixTime) {
        sign_at(&self.authority, &node_identity(), Usage::Client, validity, since).save(dir).unwrap();
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

    pub(crate) async fn wiped(&self) -> WipeReport {
        self.wait(|state| state.wiped.clone()).await
    }

    pub(crate) async fn linked(&self, up: bool) {
        self.wait(|state| (state.link.is_some() == up).then_some(())).await;
    }

    /// The serial numbers of all certificates that were signed on links, once there are so many.
    pub(crate) async fn renewed(&self, times: usize) -> Vec<Serial> {
        self.wait(|state| (state.renewals.len() >= times).then(|| state.renewals.clone())).await
    }

    /// Of the certificate by which the node was let in last.
    pub(crate) fn shown(&self) -> Option<Serial> {
        self.shared.state.lock().unwrap().shown.clone()
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

    /// Asks for the second connection, and opens a tunnel on it.
    pub(crate) async fn tunnel_by_second(&self, purpose: Purpose) -> (Tunnel, Answer) {
        let (sender, _) = self.wait(|state| state.link.clone()).await;
        sender.send(encode(&Down::Bulk)).await.unwrap();
        let tunnels = self.wait(|state| state.second.clone()).await;
        open(&tunnels, purpose).await
    }

    /// Whether the second connection is there.
    pub(crate) async fn second(&self, there: bool) {
        self.wait(|state| (state.second.is_some() == there).then_some(())).await;
    }

    pub(crate) async fn tunnel(&self, purpose: Purpose) -> (Tunnel, Answer) {
        let tunnels = self.wait(|state| state.link.as_ref().map(|(_, tunnels)| tunnels.clone())).await;
        open(&tunnels, purpose).await
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

    async fn second(self: Arc<Self>, session: Session) {
        let Session { tunnels, incoming, .. } = session;
        self.change(|state| state.second = Some(tunnels.clone()));
        tokio::spawn(echo_all(incoming));
        tunnels.ended().await;
        self.change(|state| state.second = None);
    }

    async fn talk(self: Arc<Self>, session: Session, peer: PeerIdentity, authority: Arc<Authority>) {
        let Session { sender, mut receiver, tunnels, incoming } = session;
        if self.change(|state| state.cut) {
            return sender.close();
        }
        tokio::spawn(echo_all(incoming));
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
            if let Up::Renew { csr } = &up {
                let down = self.renew(csr, &authority);
                let _ = sender.send(encode(&down)).await;
            }
            // Nothing else is heard of a member whose certificate has expired.
            if peer.expired {
                continue;
            }
            self.change(|state| state.shown = peer.serials.first().cloned());
            let link = (sender.clone(), tunnels.clone());
            for down in self.change(|state| state.answer(up, link)) {
                let _ = sender.send(encode(&down)).await;
            }
        }
        beat.abort();
        self.change(|state| state.link = None);
    }
}

impl Shared {
    /// For three seconds: whoever lives longer renews it again and again.
    fn renew(&self, csr: &[u8], authority: &Authority) -> Down {
        let leaf = leaf(&node_identity(), Usage::Client, SHORT);
        let issued = authority.sign_leaf(csr, &leaf, UnixTime::now()).unwrap();
        self.change(|state| state.renewals.push(issued.serial));
        Down::Certificate { chain: issued.chain.iter().map(|der| ByteBuf::from(der.to_vec())).collect() }
    }
}

impl Shared {
    /// Answers a join request: with a certificate, or as a real orchestrator would answer a used token.
    async fn join(self: Arc<Self>, mut stream: TlsStream<ReadAhead<TcpStream>>, authority: Arc<Authority>) {
        // An answer before the whole request would be another kind of failure.
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let Ok(1..) = stream.read_buf(&mut request).await else { return };
        }
        let body = request.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let joined = self.change(|state| {
            state.joined += u64::from(state.open);
            state.open.then_some(state.joined)
        });
        let answer = match joined {
            None => {
                let body = r#"{"title":"Forbidden","detail":"the token was used already"}"#;
                let head = "HTTP/1.1 403 Forbidden\r\ncontent-type: application/problem+json";
                format!("{head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }
            Some(count) => {
                let request: JoinRequest = serde_json::from_slice(&request[body..]).unwrap();
                let body = serde_json::to_string(&admitted(&authority, &request.csr.0, 5 + count)).unwrap();
                let head = "HTTP/1.1 201 Created\r\ncontent-type: application/json";
                format!("{head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }
        };
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
        // What the client still sends must find a reader, or its side is reset.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
}

fn admitted(authority: &Authority, csr: &[u8], member: u64) -> JoinAnswer {
    let who = format!("holm://sea/{}", uid(member));
    let leaf = leaf(&who, Usage::Client, Duration::from_secs(3600));
    let issued = authority.sign_leaf(csr, &leaf, UnixTime::now()).unwrap();
    JoinAnswer {
        member: uid(member).to_string(),
        identity: who.parse().unwrap(),
        chain: issued.chain.iter().map(|der| Der(der.to_vec())).collect(),
        authority_chain: None,
        root: Der(authority.root().der().to_vec()),
        orchestrator: authority.identity().clone(),
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
            // Whatever it wants to run may run.
            Up::Lease(LeaseRequest { sent, held, wanted }) => {
                let leases = held.into_iter().chain(wanted).map(|id| (id, 30_000)).collect();
                vec![Down::Lease(LeaseGrant { sent, leases })]
            }
            Up::Hello(hello) => {
                self.link = Some(link);
                self.sessions += 1;
                vec![Down::Welcome(Welcome {
                    protocol: PROTOCOL.1,
                    version: hello.version,
                    session: self.sessions,
                    member: MemberId(uid(5 + self.joined)),
                    name: hello.name,
                    path: vec![name("vienna")],
                    store: StoreId(uid(2)),
                    epoch: EPOCH,
                    revision: self.revision,
                    reigns: Vec::new(),
                    reads: READS,
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
            Up::Wiped(report) => {
                self.wiped = Some(report);
                Vec::new()
            }
            Up::Renew { .. } | Up::Holding { .. } | Up::Alive { .. } | Up::Ping { .. } | Up::Leave => {
                Vec::new()
            }
        }
    }
}

async fn open(tunnels: &Tunnels, purpose: Purpose) -> (Tunnel, Answer) {
    let mut tunnel = tunnels.open().await.unwrap();
    write_header(&mut tunnel, &Request { path: Vec::new(), purpose }).await.unwrap();
    let answer = soon(read_header(&mut tunnel)).await.unwrap();
    (tunnel, answer)
}

fn encode(down: &Down) -> Bytes {
    Bytes::from(cbor::encode(down).unwrap())
}

/// Upward tunnels.
async fn echo_all(mut incoming: IncomingTunnels) {
    while let Some(tunnel) = incoming.accept().await {
        tokio::spawn(echo(tunnel));
    }
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
