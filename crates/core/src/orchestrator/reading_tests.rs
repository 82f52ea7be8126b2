use ciborium::Value;
use holm_model::access;
use holm_model::item::{Item, ItemKey};
use holm_model::message::{Down, ListChange, READS, READS_MUSTS};
use holm_model::name::Name;
use holm_model::newer::Newer;
use holm_model::service::{Application, ApplicationService, Replicas, ServiceSpec};

use super::super::testing::Root;
use super::*;
use crate::orchestrator::command::{Command, Expected, PeopleCommand, ProjectCommand};

/// What a made-up later version reads.
const LATER: u32 = u32::MAX;

/// The only key whose kind is later than all that there is.
fn gossip() -> ItemKey {
    ItemKey::Newer(Newer::new(&Value::Text("Gossip".to_owned())).unwrap())
}

impl Root {
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
    assert_eq!(told(&root), (1, String::new()), "what was said before is over");
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

#[test]
fn a_cluster_that_knows_of_no_roles_takes_all_tokens_of_that_person_for_void() {
    let mut root = Root::new();
    let cluster = root.join_as(Role::Cluster);
    let (ada, project): (Name, Name) = ("ada".parse().unwrap(), "default".parse().unwrap());
    let (name, password) = (ada.clone(), "x".to_owned());
    root.command(Command::People(PeopleCommand::Create { name, password, roles: Default::default() }));
    for role in [Some(access::Role::Viewer), None] {
        let (name, project) = (ada.clone(), project.clone());
        root.command(Command::People(PeopleCommand::SetProjectRole { name, project, role }));
    }
    let void = |text: &str| ItemKey::Revocation(text.to_owned());
    assert_eq!(keys(&root.call_as(1, cluster, Role::Cluster, READS_MUSTS)), [void("person:ada:0")]);
    let now = keys(&root.call_as(2, cluster, Role::Cluster, READS));
    assert!(now.contains(&void("role:default:ada:0")) && !now.contains(&void("person:ada:0")), "{now:?}");
}
