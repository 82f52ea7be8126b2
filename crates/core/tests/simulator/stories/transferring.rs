//! Nodes that come from another orchestrator, as the new one sees it.

use std::time::Duration;

use holm_core::orchestrator::command::{Command, Refusal};
use holm_model::member::Role;
use holm_model::name::Name;
use holm_model::time::Time;

use crate::fleet::fleet;
use crate::world::World;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn invite(fleet: &mut World, id: &str, node: &str) -> Result<(), Refusal> {
    let expires = Time(fleet.orchestrators[0].clock.at(fleet.now).wall.0 + 600_000);
    let (id, secret_hash) = (id.to_owned(), "ab".repeat(32));
    fleet.command(0, Command::Invite { id, secret_hash, name: name(node), expires }).map(drop)
}

fn join(fleet: &mut World, id: &str, node: &str) -> Result<(), Refusal> {
    let (token, secret_hash) = (id.to_owned(), "ab".repeat(32));
    let join = Command::Join { token, secret_hash, role: Role::Node, name: name(node), facts: None };
    fleet.command(0, join).map(drop)
}

fn known(fleet: &World, name: &str) -> usize {
    fleet.orchestrators[0].up().members().iter().filter(|member| member.name == name).count()
}

#[test]
fn an_invitation_is_for_one_node() {
    let mut fleet = fleet().node("fl-1");
    invite(&mut fleet, "a", "gr-1").unwrap();
    let refused = join(&mut fleet, "a", "gr-2").unwrap_err();
    assert!(matches!(&refused, Refusal::Forbidden(why) if why.contains("another node")), "{refused:?}");
    join(&mut fleet, "a", "gr-1").unwrap();
    assert!(matches!(join(&mut fleet, "a", "gr-1"), Err(Refusal::Forbidden(_))), "once");
}

#[test]
fn a_name_that_is_taken_is_not_invited() {
    let mut fleet = fleet().node("fl-1");
    let refused = invite(&mut fleet, "a", "fl-1").unwrap_err();
    assert!(matches!(&refused, Refusal::Conflict(why) if why.contains("belongs to a node")), "{refused:?}");
    assert_eq!(known(&fleet, "fl-1"), 1);
}

#[test]
fn who_was_invited_and_does_not_come_is_forgotten() {
    let mut fleet = fleet().node("fl-1");
    invite(&mut fleet, "a", "gr-1").unwrap();
    join(&mut fleet, "a", "gr-1").unwrap();
    // It tries again: the first attempt came to nothing.
    invite(&mut fleet, "b", "gr-1").unwrap();
    assert_eq!(known(&fleet, "gr-1"), 0);
    join(&mut fleet, "b", "gr-1").unwrap();
    fleet.run_for(Duration::from_secs(540));
    assert_eq!(known(&fleet, "gr-1"), 1);
    fleet.run_for(Duration::from_secs(120));
    assert_eq!((known(&fleet, "gr-1"), known(&fleet, "fl-1")), (0, 1));
}
