use ciborium::Value;
use holm_model::item::{Item, ItemKey};
use holm_model::message::{Down, Hello, ListChange, PROTOCOL, READS, Up};
use holm_model::newer::Newer;
use holm_model::service::{Application, ApplicationService, Replicas, ServiceSpec};
use holm_model::time::{Now, Time};
use holm_model::view::TokenRole;

use super::*;
use crate::orchestrator::Tier;
use crate::orchestrator::command::{Actor, Command, Expected, ProjectCommand, Reply};
use crate::orchestrator::config::{Config, Deadlines};
use crate::orchestrator::event::{Effect, Event, LinkId, Ticket};
use crate::table::Snapshot;

/// What a made-up later version reads.
const LATER: u32 = u32::MAX;

/// The only key whose kind is later than all that there is.
fn gossip() -> ItemKey {
    ItemKey::Newer(Newer::new(&Value::Text("Gossip".to_owned())).unwrap())
}

struct Root(Orchestrator);

impl Root {
    fn new() -> Self {
        let (sea, name) = ("sea".to_owned(), "root".parse().unwrap());
        let (deadlines, strategy) = (Deadlines::default(), Default::default());
        let config = Config {
            sea,
            name,
            tier: Tier::Root,
            deadlines,
            strategy,
            location: None,
            generations: 10,
            expose: None,
            schedulers: Default::default(),
        };
        Self(Orchestrator::load(Snapshot::new(), config, 1).unwrap())
    }

    fn step(&mut self, event: Event) -> Vec<Effect> {
        self.0.step(Now::default(), event);
        self.0.journal_mut().take_batch();
        self.0.journal_mut().committed();
        self.0.take_effects()
    }

    fn command(&mut self, command: Command) -> Reply {
        let actor = Actor { who: "admin".to_owned(), from: "unix".to_owned() };
        let effects = self.step(Event::Command { ticket: Ticket(1), actor, command });
        let reply = effects.into_iter().find_map(|effect| match effect {
            Effect::Reply { result, .. } => Some(result.unwrap()),
            _ => None,
        });
        reply.unwrap()
    }

    fn join(&mut self) -> MemberId {
        self.join_as(Role::Node)
    }

    fn join_as(&mut self, role: Role) -> MemberId {
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
        let name = "fl-1".parse().unwrap();
        let join = Command::Join { token, secret_hash: hash, role, name, facts: None };
        match self.command(join) {
            Reply::Joined { member, .. } => member,
            other => panic!("{other:?}"),
        }
    }

    /// A member that reads so much calls and holds nothing: what it is sent.
    fn call(&mut self, link: u64, member: MemberId, reads: u32) -> Vec<Down> {
        self.call_as(link, member, Role::Node, reads)
    }

    fn call_as(&mut self, link: u64, member: MemberId, role: Role, reads: u32) -> Vec<Down> {
        let link = LinkId(link);
        self.step(Event::LinkOpened { link, member, serial: "1".to_owned(), renew_only: false });
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

    /// What was told to people of members that are too old.
    fn told(&mut self) -> Vec<String> {
        let changes = self.0.take_behind().changes;
        changes.into_iter().filter(|change| change.to == "too old").map(|change| change.reason).collect()
    }
}

fn keys(down: &[Down]) -> Vec<ItemKey> {
    match down {
        [Down::Change(ListChange { put, .. })] => put.iter().map(|item| item.key.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_is_told_what_it_reads_and_the_rest_once_it_is_upgraded() {
    let (mut root, old) = (Root::new(), ItemKey::Revocation("00".to_owned()));
    let member = root.join();
    assert_eq!(keys(&root.call(1, member, 0)), []);
    for key in [gossip(), old.clone()] {
        root.0.set_item(member, key, Some(&Item::Revocation));
    }
    let told = root.told();
    assert!(told.len() == 1 && told[0].contains("Gossip") && told[0].contains("upgrade"), "{told:?}");
    // It calls again, and is told of nothing that it cannot read; then it is another program.
    assert_eq!(keys(&root.call(2, member, 0)), std::slice::from_ref(&old));
    assert_eq!(root.told().len(), 1);
    assert_eq!(keys(&root.call(3, member, LATER)), [old.clone(), gossip()]);
    assert_eq!(root.told(), Vec::<String>::new());
    // Somebody went back to the older one.
    assert_eq!(keys(&root.call(4, member, 0)), [old]);
    root.0.set_item(member, gossip(), None);
    assert_eq!(keys(&root.call(5, member, 0)).len(), 1);
    assert_eq!(root.told().len(), 1, "nothing is held back any more");
}

fn shop(condition: Option<&str>) -> Command {
    let mut spec = ServiceSpec::new("process".parse().unwrap(), vec!["x".into()]);
    spec.placement.condition = condition.map(|condition| condition.parse().unwrap());
    let service = ApplicationService { spec, replicas: Replicas::PerNode };
    let application =
        Application { name: "shop".parse().unwrap(), services: [("web".parse().unwrap(), service)].into() };
    Command::Apply { project: "default".parse().unwrap(), application, expected: Expected::Anything }
}

#[test]
fn a_cluster_that_is_too_old_gets_no_part_of_what_it_would_pass_over() {
    let mut root = Root::new();
    let cluster = root.join_as(Role::Cluster);
    root.command(shop(Some("labels.zone == 'indoor'")));
    let told = |root: &Root| {
        let reason = root.0.slots.iter().map(|(_, _, slot)| slot.reason.clone()).collect::<String>();
        (root.0.placements.iter().count(), reason)
    };
    assert_eq!(told(&root), (0, "fl-1: is unknown".to_owned()));
    root.call_as(1, cluster, Role::Cluster, 1);
    let old = "fl-1: its program is too old for `where`; upgrade holm there";
    assert_eq!(told(&root), (0, old.to_owned()));
    // Upgraded, it is told.
    root.call_as(2, cluster, Role::Cluster, READS);
    assert_eq!(told(&root).0, 1);
}

#[test]
fn nor_is_what_it_has_updated_to_that() {
    let mut root = Root::new();
    let cluster = root.join_as(Role::Cluster);
    root.call_as(1, cluster, Role::Cluster, 1);
    root.command(shop(None));
    root.command(shop(Some("labels.zone == 'indoor'")));
    let generations: Vec<u64> =
        root.0.placements.values().map(|placement| placement.part.generation).collect();
    assert_eq!(generations, [1]);
}

#[test]
fn clusters_are_told_of_projects_once_they_can_read_them() {
    let mut root = Root::new();
    let cluster = root.join_as(Role::Cluster);
    let project = |name: &str| ItemKey::Project(name.parse().unwrap());
    let create = |name: &str| {
        let (name, quota) = (name.parse().unwrap(), Default::default());
        Command::Project(ProjectCommand::Create { name, quota })
    };
    root.command(create("blue"));
    assert_eq!(keys(&root.call_as(1, cluster, Role::Cluster, 2)), []);
    assert_eq!(keys(&root.call_as(2, cluster, Role::Cluster, 3)), [project("blue"), project("default")]);
}
