//! Tokens, names, certificates.

use holm_core::held::Held;
use holm_core::orchestrator::command::{Command, Refusal};
use holm_core::orchestrator::{Effect, Event, LinkId, Tier};
use holm_core::table::Snapshot;
use holm_model::member::Role;
use holm_model::message::Up;
use holm_model::view::TokenRole;
use serde_bytes::ByteBuf;

use crate::fleet::{app, fleet, name, nodes, steady};
use crate::world::World;

fn refused(fleet: &mut World, token: &str, role: Role, member: &str) -> String {
    fleet.show_token(0, token, role, member, None).unwrap_err().to_string()
}

#[test]
fn a_token_joins_as_many_members_as_it_says() {
    let mut fleet = fleet();
    fleet.create_token(0, "t", TokenRole::Node, 2).unwrap();
    fleet.show_token(0, "t", Role::Node, "fl-1", None).unwrap();
    fleet.show_token(0, "t", Role::Node, "fl-2", None).unwrap();
    assert_eq!(refused(&mut fleet, "t", Role::Node, "fl-3"), "this token is used up; create a new one");
    assert_eq!(fleet.orchestrators[0].up().tokens()[0].uses_left, Some(0));
}

#[test]
fn a_token_that_is_not_for_this_is_refused() {
    let mut fleet = fleet();
    fleet.create_token(0, "node", TokenRole::Node, 9).unwrap();
    fleet.create_token(0, "gone", TokenRole::Node, 9).unwrap();
    fleet.command(0, Command::RevokeToken { id: "gone".to_owned() }).unwrap();
    assert_eq!(
        refused(&mut fleet, "node", Role::Cluster, "vienna"),
        "this token is for another role; `holm token create --role` says which"
    );
    assert_eq!(refused(&mut fleet, "gone", Role::Node, "fl-1"), "this token was revoked");
    let unknown = "this token is not known here; create one with `holm token create`";
    assert_eq!(refused(&mut fleet, "other", Role::Node, "fl-1"), unknown);
    let wrong_secret = Command::Join {
        token: "node".to_owned(),
        secret_hash: "guessed".to_owned(),
        role: Role::Node,
        name: name("fl-1"),
        facts: None,
    };
    assert_eq!(fleet.command(0, wrong_secret).unwrap_err().to_string(), unknown, "nothing helps to guess");
    fleet.run_secs(3601);
    assert_eq!(refused(&mut fleet, "node", Role::Node, "fl-1"), "this token has expired; create a new one");
    assert!(fleet.orchestrators[0].up().members().is_empty());
}

#[test]
fn a_name_belongs_to_one_member() {
    let mut fleet = fleet().node("fl-1");
    fleet.create_token(0, "t", TokenRole::Node, 1).unwrap();
    assert_eq!(
        refused(&mut fleet, "t", Role::Node, "fl-1"),
        "the name `fl-1` belongs to a node already; choose another, or first `holm node remove fl-1`"
    );
    let tokens = fleet.orchestrators[0].up().tokens();
    let left = tokens.iter().find(|token| token.id == "t").unwrap().uses_left;
    assert_eq!(left, Some(1), "it is not used up");
    let member = fleet.member_id("root/fl-1");
    fleet.command(0, Command::RemoveMember { member }).unwrap();
    fleet.show_token(0, "t", Role::Node, "fl-1", None).unwrap();
}

#[test]
fn a_cluster_takes_nodes_only() {
    let mut fleet = fleet();
    let vienna = fleet.add_orchestrator("vienna", Tier::Cluster);
    let refusal = fleet.create_token(vienna, "t", TokenRole::Cluster, 1).unwrap_err();
    assert_eq!(
        refusal,
        Refusal::Invalid("a cluster takes nodes only; create the token at the root".to_owned())
    );
}

#[test]
fn a_revoked_member_is_cut_and_does_not_come_back() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    let member = fleet.member_id("root/fl-1");
    fleet.command(0, Command::RevokeMember { member }).unwrap();
    fleet.run_until("it is replaced", |fleet| fleet.processes("web").contains(&"root/fl-2".to_owned()));
    let dial = fleet.dial_to(0, member).unwrap();
    fleet.run_secs(20);
    assert!(!fleet.dials[dial].is_connected());
    assert_eq!(fleet.orchestrators[0].up().members().len(), 2, "it stays known");
}

#[test]
fn a_revocation_reaches_the_clusters_and_outlives_a_restart() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).node("stolen");
    let member = fleet.member_id("root/stolen");
    fleet.command(0, Command::RevokeMember { member }).unwrap();
    let serial = fleet.dials[fleet.dial_to(0, member).unwrap()].serial.clone();
    let vienna = fleet.orch("vienna");
    fleet.run_until("vienna knows", |fleet| fleet.orchestrators[vienna].revoked.serials.contains(&serial));
    fleet.cut("vienna");
    fleet.crash(fleet.who("vienna"), true);
    fleet.run_secs(10);
    assert!(fleet.orchestrators[vienna].revoked.serials.contains(&serial));
}

#[test]
fn an_expired_certificate_opens_no_session() {
    let mut fleet = fleet().node("fl-1");
    let member = fleet.member_id("root/fl-1");
    let now = fleet.orchestrators[0].clock.at(fleet.now);
    let machine = fleet.orchestrators[0].machine.as_mut().unwrap();
    machine.take_effects();
    let (link, links) = (LinkId(u64::MAX), machine.links());
    let mut say = |event| {
        machine.step(now, event);
        machine.take_effects()
    };
    let serial = "0001".to_owned();
    let opened = Event::LinkOpened { link, member, from: None, serial, renew_only: true };
    assert_eq!(say(opened), []);
    let mut held = Held::load(&mut Snapshot::new()).unwrap();
    let hello = held.connected(Role::Node, name("fl-1"), "0.1.0".to_owned());
    assert_eq!(say(Event::LinkMessage { link, message: hello }), [], "nobody is let in");
    assert_eq!(say(Event::LinkMessage { link, message: Up::Leave }), []);
    let renew = Up::Renew { csr: ByteBuf::from(vec![1]) };
    let sign = Effect::Sign { link, member, csr: vec![1] };
    assert_eq!(say(Event::LinkMessage { link, message: renew }), [sign]);
    assert_eq!(machine.links(), links, "the session that there is goes on");
    assert_eq!(machine.members().len(), 1);
}
