//! One member that runs nothing.

use std::sync::Arc;
use std::time::Duration;

use holm_link::cbor;
use holm_link::clock::Clock;
use holm_link::dial::Dialer;
use holm_link::join::{self, Joined};
use holm_link::listen::Channel;
use holm_link::revocation::Revocations;
use holm_link::session::{Limits, Session};
use holm_link::token::{self, JoinToken};
use holm_model::fact::Fact;
use holm_model::item::Digest;
use holm_model::member::{Aggregate, NodeClass, NodeFacts, NodeReport, Role, RuntimeFacts, Usage};
use holm_model::message::{Down, Facts, FactsPart, Hello, PROTOCOL, Proposal, READS, Up, Welcome};
use holm_model::name::Name;
use holm_model::resources::Resources;
use holm_model::state::MemberState;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::tally::Tally;

/// A measurement that failed says why and ends.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) struct Member {
    role: Role,
    name: Name,
    session: Session,
    welcome: Welcome,
    /// Of the list that was obeyed last.
    revision: u64,
    /// Of the last facts.
    sequence: u64,
    offered: Resources,
    tally: Arc<Tally>,
}

/// As nodes do it.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const USAGE: Duration = Duration::from_secs(15);
/// Bytes of one message at most.
const MESSAGE: usize = 16 << 20;

impl Member {
    /// Joins, and gets in step with the orchestrator's list.
    pub(crate) async fn join(
        address: &str,
        token: &JoinToken,
        number: u32,
        offered: Resources,
        tally: Arc<Tally>,
    ) -> Result<Self, Failure> {
        let name = Name::new(&format!("m-{number}"))?;
        let role = match token.role {
            token::Role::Node => Role::Node,
            token::Role::Cluster => Role::Cluster,
        };
        let details = Proposal { role, name: name.clone(), facts: None, usage: None };
        let proposal = join::Proposal {
            name: name.to_string(),
            host: String::new(),
            details: serde_json::to_value(details)?,
        };
        let joined = join::join(address, token, proposal, &Clock::default()).await?;
        let mut session = open(address, &joined).await?;
        let (version, digest) = ("fleet".to_owned(), Digest::default());
        let (called, obeyed, reads) = (name.clone(), None, READS);
        let hello = Hello { protocol: PROTOCOL, version, role, name: called, obeyed, digest, reads };
        say(&session, &Up::Hello(hello)).await?;
        let welcome = loop {
            match hear(&mut session).await? {
                Down::Welcome(welcome) => break welcome,
                // Whoever has much to do says first that it is there.
                Down::Alive { .. } => {}
                other => return Err(format!("{name} was not welcomed: {other:?}").into()),
            }
        };
        say(&session, &Up::Sync { obeyed: None, digest }).await?;
        let mut member = Self { role, name, session, welcome, revision: 0, sequence: 0, offered, tally };
        member.tell(FactsPart::Whole).await?;
        Ok(member)
    }

    /// Obeys for ever; ends with the reason why the session ended.
    pub(crate) async fn serve(&mut self) -> Result<(), Failure> {
        self.tally.online();
        let (mut alive, mut usage) = (ticks(KEEP_ALIVE), ticks(USAGE));
        loop {
            tokio::select! {
                message = hear(&mut self.session) => self.obey(message?).await?,
                _ = alive.tick() => self.acknowledge().await?,
                _ = usage.tick(), if self.role == Role::Node => self.tell(FactsPart::Change).await?,
            }
        }
    }

    async fn obey(&mut self, message: Down) -> Result<(), Failure> {
        match message {
            Down::Catalog { entries, .. } => {
                let keys = entries.into_iter().map(|(key, _)| key).collect();
                say(&self.session, &Up::Want { keys }).await
            }
            Down::Change(change) => {
                self.revision = change.to;
                self.tally.change(&change)?;
                self.acknowledge().await
            }
            Down::Refused { reason } => Err(format!("{} was refused: {reason}", self.name).into()),
            Down::Alive { revision, .. } => {
                self.revision = self.revision.max(revision);
                Ok(())
            }
            Down::Welcome(_)
            | Down::Thaw { .. }
            | Down::Lease(_)
            | Down::Certificate { .. }
            | Down::Bulk
            | Down::Pong { .. }
            | Down::Landmarks { .. }
            | Down::Above { .. }
            | Down::Time { .. } => Ok(()),
        }
    }

    async fn acknowledge(&self) -> Result<(), Failure> {
        say(&self.session, &Up::Alive { revision: self.revision }).await
    }

    async fn tell(&mut self, part: FactsPart) -> Result<(), Failure> {
        self.sequence += 1;
        let fact = match self.role {
            Role::Node => self.node(),
            Role::Cluster => Fact::Aggregate(aggregate(self.offered)),
        };
        let facts = Facts {
            session: self.welcome.session,
            sequence: self.sequence,
            part,
            revision: self.revision,
            put: vec![fact],
            gone: Vec::new(),
        };
        say(&self.session, &Up::Facts(facts)).await
    }

    fn node(&self) -> Fact {
        // Changing a little each time, as it does on a machine.
        let usage = Usage { cpu_millis: 40 + self.sequence % 9, memory: 300 << 20 };
        Fact::Node(Box::new(NodeReport {
            path: vec![self.welcome.member],
            name: self.name.clone(),
            state: MemberState::Online,
            facts: facts(self.name.as_str(), self.offered),
            usage,
            frozen: false,
            revoked: false,
            cordoned: false,
            free: None,
            heard: None,
        }))
    }
}

async fn open(address: &str, joined: &Joined) -> Result<Session, Failure> {
    let dialer = Dialer::new(&joined.credentials, Revocations::default(), Clock::default())?;
    let connected = dialer.connect(address, Channel::Control).await?;
    Ok(Session::client(connected.stream, &Limits { max_frame: MESSAGE, ..Limits::default() }))
}

async fn say(session: &Session, message: &Up) -> Result<(), Failure> {
    Ok(session.sender.send(cbor::encode(message)?.into()).await?)
}

async fn hear(session: &mut Session) -> Result<Down, Failure> {
    match session.receiver.recv().await {
        Some(frame) => Ok(cbor::decode(&frame?, MESSAGE)?),
        None => Err(session.receiver.ended().await.into()),
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// As much as a small machine has to say.
fn facts(host: &str, offered: Resources) -> NodeFacts {
    NodeFacts {
        hostname: host.to_owned(),
        addresses: vec![[192, 168, 1, 20].into()],
        arch: "arm64".to_owned(),
        os: "linux".to_owned(),
        os_version: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        kernel: "6.1.0-18-arm64".to_owned(),
        cpu_model: "Cortex-A72".to_owned(),
        total: offered,
        allocatable: offered,
        devices: vec!["/dev/ttyUSB0".to_owned()],
        runtimes: vec![process()],
        version: "0.1.0".to_owned(),
        boot_id: "5f0c6c1e-3f0f-4a55-8f0e-000000000000".to_owned(),
        ..NodeFacts::default()
    }
}

#[expect(clippy::expect_used, reason = "the constant is a name")]
fn process() -> RuntimeFacts {
    RuntimeFacts {
        name: Name::new("process").expect("a name"),
        version: "1".to_owned(),
        unavailable: None,
        enforces: vec!["cpu".to_owned(), "memory".to_owned()],
        leases: false,
        images: None,
        containers: None,
    }
}

fn aggregate(offered: Resources) -> Aggregate {
    let facts = facts("node", offered);
    let class = NodeClass {
        capabilities: facts.all_capabilities(),
        labels: facts.labels,
        nodes: 1,
        total: offered,
        free: offered,
        largest: offered,
        ..NodeClass::default()
    };
    Aggregate { nodes: 1, online: 1, classes: vec![class], landmark: None }
}
