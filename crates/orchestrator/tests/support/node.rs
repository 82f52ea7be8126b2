//! A node made by hand: it says what a test wants it to say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bytes::Bytes;
use holm_link::cbor;
use holm_link::clock::Clock;
use holm_link::credentials::Credentials;
use holm_link::dial::Dialer;
use holm_link::join::{self, JoinError, Joined};
use holm_link::listen::Channel;
use holm_link::revocation::Revocations;
use holm_link::session::{IncomingTunnels, Limits, Session, Tunnels};
use holm_link::token::JoinToken;
use holm_model::fact::{Fact, InstanceReport, InstanceStatus};
use holm_model::id::MemberId;
use holm_model::item::{Assignment, Digest, Item, ItemKey, Items};
use holm_model::member::{NodeFacts, NodeReport, Role, RuntimeFacts, Usage};
use holm_model::message::{Down, Facts, FactsPart, Hello, PROTOCOL, Proposal, READS, Up, Welcome};
use holm_model::resources::{Cpu, Memory, Resources};
use holm_model::state::{InstanceState, MemberState};
use holm_model::time::Time;

use super::name;

pub(crate) struct Node {
    pub(crate) welcome: Welcome,
    pub(crate) member: MemberId,
    pub(crate) items: Items,
    /// It was told to open its second connection.
    pub(crate) asked_for_bulk: bool,
    pub(crate) tunnels: Tunnels,
    pub(crate) incoming: IncomingTunnels,
    wire: Wire,
    revision: u64,
    sequence: u64,
}

/// A session without manners.
pub(crate) struct Wire {
    pub(crate) session_sender: holm_link::session::ControlSender,
    pub(crate) receiver: holm_link::session::ControlReceiver,
}

pub(crate) async fn join(address: SocketAddr, token: &JoinToken, called: &str) -> Result<Joined, JoinError> {
    let details = Proposal { role: Role::Node, name: name(called), facts: Some(facts()), usage: None };
    let details = serde_json::to_value(details).unwrap();
    let proposal = join::Proposal { name: called.to_owned(), host: String::new(), details };
    join::join(&address.to_string(), token, proposal, &Clock::default()).await
}

/// A session of whoever the credentials speak for.
pub(crate) async fn dial(address: SocketAddr, credentials: &Credentials) -> Session {
    dial_by(address, credentials, Channel::Control).await
}

pub(crate) async fn dial_by(address: SocketAddr, credentials: &Credentials, channel: Channel) -> Session {
    let dialer = Dialer::new(credentials, Revocations::default(), Clock::default()).unwrap();
    let connected = dialer.connect(&address.to_string(), channel).await.unwrap();
    Session::client(connected.stream, &Limits::default())
}

pub(crate) fn hello(called: &str, role: Role) -> Up {
    Up::Hello(Hello {
        protocol: PROTOCOL,
        version: "0".to_owned(),
        role,
        name: name(called),
        obeyed: None,
        digest: Digest::default(),
        reads: READS,
    })
}

fn facts() -> NodeFacts {
    let plenty = Resources::new(Cpu(4000), Memory(1 << 30));
    let process = RuntimeFacts {
        name: name("process"),
        version: String::new(),
        unavailable: None,
        enforces: Vec::new(),
        leases: false,
        images: None,
        containers: None,
    };
    NodeFacts {
        arch: "amd64".to_owned(),
        os: "linux".to_owned(),
        total: plenty,
        allocatable: plenty,
        runtimes: vec![process],
        capabilities: BTreeSet::new(),
        ..NodeFacts::default()
    }
}

impl Wire {
    pub(crate) async fn say(&self, message: &Up) {
        self.session_sender.send(cbor::encode(message).unwrap().into()).await.unwrap();
    }

    pub(crate) async fn say_bytes(&self, bytes: &'static [u8]) {
        // The session may be closed already: that is what tests wait for.
        let _ = self.session_sender.send(Bytes::from_static(bytes)).await;
    }

    /// The next message; none at the end of the session.
    pub(crate) async fn hear(&mut self) -> Option<Down> {
        let frame = self.receiver.recv().await?.unwrap();
        Some(cbor::decode(&frame, 16 << 20).unwrap())
    }

    /// Why the session was refused; waits for its end.
    pub(crate) async fn refusal(&mut self) -> Option<String> {
        let mut reason = None;
        while let Some(message) = self.hear().await {
            if let Down::Refused { reason: said } = message {
                reason = Some(said);
            }
        }
        reason
    }
}

impl Node {
    /// Greets, syncs and tells its facts.
    pub(crate) async fn connect(address: SocketAddr, credentials: &Credentials, called: &str) -> Self {
        let session = dial(address, credentials).await;
        let mut wire = Wire { session_sender: session.sender, receiver: session.receiver };
        wire.say(&hello(called, Role::Node)).await;
        let welcome = loop {
            match wire.hear().await {
                Some(Down::Welcome(welcome)) => break welcome,
                // The link's own business.
                Some(Down::Above { .. }) => {}
                other => panic!("no welcome, but {other:?}"),
            }
        };
        wire.say(&Up::Sync { obeyed: None, digest: Digest::default() }).await;
        let (member, items) = (welcome.member, BTreeMap::new());
        let (tunnels, incoming) = (session.tunnels, session.incoming);
        let mut node = Self {
            welcome,
            member,
            items,
            tunnels,
            incoming,
            wire,
            revision: 0,
            sequence: 0,
            asked_for_bulk: false,
        };
        let report = NodeReport {
            path: vec![member],
            name: name(called),
            state: MemberState::Online,
            facts: facts(),
            usage: Usage::default(),
            frozen: false,
            revoked: false,
            cordoned: false,
            free: None,
            heard: None,
        };
        node.tell(FactsPart::Whole, vec![Fact::Node(Box::new(report))]).await;
        node
    }

    /// Handles messages until `wanted` finds something.
    pub(crate) async fn until<T>(&mut self, wanted: impl Fn(&Self) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self) {
                return found;
            }
            let message = self.wire.hear().await.expect("the session goes on");
            self.obey(message).await;
        }
    }

    /// The assignment of a slot of the service, once it is in the list.
    pub(crate) async fn assignment(&mut self, service: &str) -> Assignment {
        self.until(|node| {
            let assignments = node.items.values().filter_map(|item| match item.unpack() {
                Ok(Item::Assignment(assignment)) => Some(assignment),
                _ => None,
            });
            assignments.into_iter().find(|a| a.part.service == *service)
        })
        .await
    }

    /// Says that the instance runs.
    pub(crate) async fn runs(&mut self, assignment: &Assignment, ports: &[(&str, u16)]) {
        let status = InstanceStatus {
            state: InstanceState::Running,
            incarnation: 1,
            sequence: 1,
            reason: String::new(),
            since: Time(0),
            restarts: 0,
            exhausted: false,
            ports: ports.iter().map(|(port, number)| (name(port), *number)).collect(),
            readiness: None,
            metric: None,
            copied: None,
            fetched: false,
            usage: None,
        };
        let report = InstanceReport {
            id: assignment.id,
            app: assignment.part.app.clone(),
            wish: assignment.part.wish,
            service: assignment.part.service.clone(),
            slot: assignment.slot.clone(),
            generation: assignment.part.generation,
            runtime: name("process"),
            node: vec![self.member],
            share: None,
            held: false,
            status,
        };
        self.tell(FactsPart::Change, vec![Fact::Instance(Box::new(report))]).await;
    }

    async fn tell(&mut self, part: FactsPart, put: Vec<Fact>) {
        self.sequence += 1;
        let (session, sequence, revision) = (self.welcome.session, self.sequence, self.revision);
        let facts = Facts { session, sequence, part, revision, put, gone: Vec::new() };
        self.wire.say(&Up::Facts(facts)).await;
    }

    async fn obey(&mut self, message: Down) {
        match message {
            Down::Catalog { entries, .. } => {
                let keys: Vec<ItemKey> = entries.into_iter().map(|(key, _)| key).collect();
                self.wire.say(&Up::Want { keys }).await;
            }
            Down::Change(change) => {
                for item in change.put {
                    self.items.insert(item.key.clone(), item);
                }
                for key in &change.removed {
                    self.items.remove(key);
                }
                self.revision = change.to;
                self.wire.say(&Up::Alive { revision: change.to }).await;
            }
            Down::Bulk => self.asked_for_bulk = true,
            Down::Refused { reason } => panic!("refused: {reason}"),
            _ => {}
        }
    }
}
