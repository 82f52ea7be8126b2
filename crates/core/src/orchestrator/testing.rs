//! A root by itself, for tests of what it says and keeps.

use holm_model::id::MemberId;
use holm_model::member::Role;
use holm_model::message::{Down, Hello, PROTOCOL, Up};
use holm_model::time::{Now, Time};
use holm_model::view::TokenRole;

use super::Orchestrator;
use super::command::{Actor, Command, Reply};
use super::config::{Config, Deadlines, Tier};
use super::event::{Effect, Event, LinkId, Ticket};
use crate::table::Snapshot;

pub(super) struct Root(pub(super) Orchestrator);

impl Root {
    pub(super) fn new() -> Self {
        let (sea, name) = ("sea".to_owned(), "root".parse().unwrap());
        let (deadlines, strategy) = (Deadlines::default(), Default::default());
        let config = Config {
            sea,
            name,
            tier: Tier::Root,
            deadlines,
            strategy,
            location: None,
            advertise: None,
            generations: 10,
            expose: None,
            schedulers: Default::default(),
        };
        Self(Orchestrator::load(Snapshot::new(), config, 1).unwrap())
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<Effect> {
        self.0.step(Now::default(), event);
        self.0.journal_mut().take_batch();
        self.0.journal_mut().committed();
        self.0.take_effects()
    }

    pub(super) fn command(&mut self, command: Command) -> Reply {
        let actor = Actor { who: "admin".to_owned(), from: "unix".to_owned() };
        let effects = self.step(Event::Command { ticket: Ticket(1), actor, command });
        let reply = effects.into_iter().find_map(|effect| match effect {
            Effect::Reply { result, .. } => Some(result.unwrap()),
            _ => None,
        });
        reply.unwrap()
    }

    pub(super) fn join(&mut self) -> MemberId {
        self.join_as(Role::Node)
    }

    pub(super) fn join_as(&mut self, role: Role) -> MemberId {
        self.join_named(role, "fl-1")
    }

    pub(super) fn join_named(&mut self, role: Role, name: &str) -> MemberId {
        let (id, secret_hash) = ("t".to_owned(), "secret".to_owned());
        let of_token = if role == Role::Node { TokenRole::Node } else { TokenRole::Cluster };
        let (token, expires) = (id.clone(), Time(i64::MAX));
        let hash = secret_hash.clone();
        self.command(Command::CreateToken {
            id,
            role: of_token,
            secret_hash,
            expires,
            uses: None,
            grants: None,
        });
        let name = name.parse().unwrap();
        let join = Command::Join { token, secret_hash: hash, role, name, facts: None };
        match self.command(join) {
            Reply::Joined { member, .. } => member,
            other => panic!("{other:?}"),
        }
    }

    /// A member that reads so much calls and holds nothing: what it is sent.
    pub(super) fn call(&mut self, link: u64, member: MemberId, reads: u32) -> Vec<Down> {
        self.call_as(link, member, Role::Node, reads)
    }

    pub(super) fn call_as(&mut self, link: u64, member: MemberId, role: Role, reads: u32) -> Vec<Down> {
        let link = LinkId(link);
        self.step(Event::LinkOpened { link, member, from: None, serial: "1".to_owned(), renew_only: false });
        let (version, name, digest) = ("0".to_owned(), "fl-1".parse().unwrap(), Default::default());
        let hello = Hello { protocol: PROTOCOL, version, role, name, obeyed: None, digest, reads };
        self.step(Event::LinkMessage { link, message: Up::Hello(hello) });
        let mut sent = self.step(Event::LinkMessage { link, message: Up::Sync { obeyed: None, digest } });
        if let [Effect::Send { message: Down::Catalog { entries, .. }, .. }] = &sent[..] {
            let keys = entries.iter().map(|(key, _)| key.clone()).collect();
            sent = self.step(Event::LinkMessage { link, message: Up::Want { keys } });
        }
        let messages = sent.into_iter().filter_map(|effect| match effect {
            Effect::Send { message, .. } => Some(message),
            _ => None,
        });
        messages.collect()
    }
}
