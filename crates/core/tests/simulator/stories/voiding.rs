//! Who hears that certificates and members are void, whose word counts for it, and what a member may do of whom
//! nobody knows whether it is.

use std::collections::BTreeSet;

use holm_core::node::NodeMachine;
use holm_core::orchestrator::command::Command;
use holm_core::orchestrator::{Effect, Event, Orchestrator};
use holm_core::revocation::Void;
use holm_model::access::Grants;
use holm_model::id::MemberId;
use holm_model::message::Up;
use holm_model::record::Table;
use holm_model::time::Time;
use serde_bytes::ByteBuf;

use super::forgetting::replace;
use crate::fleet::{app, fleet, nodes, steady};
use crate::member::facts;
use crate::world::{Who, World};

const PORT: u16 = 8080;

fn node<'a>(fleet: &'a World, path: &str) -> &'a NodeMachine {
    fleet.nodes[fleet.node_at(path)].machine.as_ref().unwrap()
}

fn only(member: MemberId) -> Void {
    Void { serials: BTreeSet::new(), members: BTreeSet::from([member]) }
}

/// What its authority signs bears serial numbers that no store has any more.
#[test]
fn a_cluster_that_joined_after_the_backup_is_void_everywhere_by_its_id() {
    let mut fleet = fleet().cluster("paris", nodes(1));
    fleet.run_secs(5);
    let mut copy = fleet.orchestrators[0].disk.clone();
    let mut fleet = fleet.cluster("vienna", nodes(1));
    fleet.run_secs(5);
    let member = fleet.member_id("vienna");
    copy.distrust();
    replace(&mut fleet, copy);
    let paris = fleet.member_id("paris");
    fleet.command(0, Command::Adopt { member: paris }).unwrap();
    fleet.command(0, Command::RevokeMember { member }).unwrap();
    for orchestrator in [0, fleet.orch("paris")] {
        fleet.run_until("it is refused by its id", |fleet| {
            fleet.orchestrators[orchestrator].revoked.members.contains(&member)
        });
    }
    fleet.run_until("nodes refuse it, too", |fleet| node(fleet, "paris/fl-1").revoked() == only(member));
}

/// Nodes come and go for years; their lists do not grow by it.
#[test]
fn nodes_hear_of_revoked_clusters_alone_and_remember_them() {
    let mut fleet =
        fleet().cluster("paris", nodes(1)).cluster("vienna", nodes(1)).node("edge").node("stolen");
    fleet.run_secs(5);
    let (vienna, stolen) = (fleet.member_id("vienna"), fleet.member_id("root/stolen"));
    let online = |fleet: &World| {
        let clusters = fleet.orchestrators[0].up().clusters();
        clusters.into_iter().map(|cluster| (cluster.name, cluster.nodes, cluster.online)).collect::<Vec<_>>()
    };
    let counts = |vienna| [("paris".to_owned(), 1, 1), ("vienna".to_owned(), 1, vienna)];
    assert_eq!(online(&fleet), counts(1));
    for member in [stolen, vienna] {
        fleet.command(0, Command::RevokeMember { member }).unwrap();
    }
    assert_eq!(online(&fleet), counts(0), "nobody hears of them");
    for path in ["root/edge", "paris/fl-1"] {
        fleet.run_until("the node knows", |fleet| node(fleet, path).revoked() == only(vienna));
        fleet.cut(path);
        fleet.crash(fleet.who(path), true);
    }
    fleet.run_secs(10);
    for path in ["root/edge", "paris/fl-1"] {
        assert_eq!(node(&fleet, path).revoked(), only(vienna), "{path} after a restart without a link");
    }
    fleet.join_node("root", "late", facts(256)).unwrap();
    fleet.run_until("who comes later knows", |fleet| node(fleet, "root/late").revoked() == only(vienna));
    assert_eq!(fleet.orchestrators[0].revoked.members, BTreeSet::from([vienna, stolen]));
}

/// An earlier version wrote down `revoke:<id>` alone.
#[test]
fn nodes_hear_of_clusters_that_an_earlier_version_revoked() {
    let mut fleet = fleet().cluster("paris", nodes(1)).cluster("vienna", nodes(1));
    fleet.run_secs(5);
    let (vienna, node_of_paris) = (fleet.member_id("vienna"), fleet.who("paris/fl-1"));
    fleet.stop(node_of_paris);
    fleet.stop(fleet.who("paris"));
    fleet.command(0, Command::RevokeMember { member: vienna }).unwrap();
    fleet.run_secs(5);
    let mut earlier = fleet.orchestrators[0].disk.clone();
    earlier.rows.remove(&(Table::Revocation, format!("signer:{vienna}"))).unwrap();
    replace(&mut fleet, earlier);
    fleet.start(fleet.who("paris"));
    fleet.start(node_of_paris);
    fleet.join_node("root", "late", facts(256)).unwrap();
    for path in ["root/late", "paris/fl-1"] {
        fleet.run_until("the node knows", |fleet| node(fleet, path).revoked() == only(vienna));
    }
}

/// Puts entries into the list that the member believes to have been given.
fn pretend(fleet: &mut World, who: &str, entries: &[String]) {
    let disk = match fleet.who(who) {
        Who::Orchestrator(orch) => &mut fleet.orchestrators[orch].disk,
        Who::Node(node) => &mut fleet.nodes[node].disk,
    };
    let like =
        disk.rows.iter().find(|((table, key), _)| *table == Table::Item && key.starts_with("revocation/"));
    let ((_, key), row) =
        like.map(|(key, row)| (key.clone(), String::from_utf8(row.clone()).unwrap())).unwrap();
    let known = key.strip_prefix("revocation/").unwrap();
    for entry in entries {
        let row = row.replace(known, entry).into_bytes();
        disk.rows.insert((Table::Item, format!("revocation/{entry}")), row);
    }
}

/// A restored root takes from `who`, when it is adopted, of what that one pretends to have been told.
fn taken_from(who: &str) -> (World, Void) {
    let mut fleet = fleet().cluster("paris", nodes(1)).cluster("vienna", nodes(1)).node("edge").node("other");
    fleet.run_secs(5);
    let other = fleet.member_id("root/other");
    let copy = fleet.orchestrators[0].disk.clone();
    let member = fleet.member_id("paris");
    fleet.command(0, Command::RevokeMember { member }).unwrap();
    fleet.run_secs(5);
    fleet.stop(fleet.who(who));
    let entries = [
        "00ff".to_owned(),
        format!("revoke:{}", fleet.member_id("vienna/fl-1")),
        format!("remove:{other}"),
        "token:abc".to_owned(),
        "person:ada:9000000000000".to_owned(),
        "all:9000000000000".to_owned(),
    ];
    pretend(&mut fleet, who, &entries);
    fleet.crash(Who::Orchestrator(0), false);
    fleet.orchestrators[0].replace_disk(copy);
    fleet.start(fleet.who(who));
    fleet.run_secs(15);
    let member = fleet.member_id(who);
    fleet.command(0, Command::Adopt { member }).unwrap();
    fleet.run_secs(5);
    let void = fleet.orchestrators[0].up().revoked();
    (fleet, void)
}

fn expect_nobody_else(fleet: &World) {
    let root = fleet.orchestrators[0].up();
    assert!(
        !root.is_token_void("abc", "ada", &Grants::all(), Time(1_800_000_000_000)),
        "tokens are none of its business"
    );
    let other = fleet.member_id("root/other").to_string();
    assert!(root.members().iter().any(|member| member.id == other && !member.leaving), "nobody is removed");
}

#[test]
fn a_cluster_brings_back_whom_it_refuses_and_nothing_about_people() {
    let (fleet, void) = taken_from("vienna");
    assert!(void.serials.contains("00ff"), "{void:?}");
    let back = [fleet.member_id("paris"), fleet.member_id("vienna/fl-1")];
    assert_eq!(void.members, BTreeSet::from(back));
    expect_nobody_else(&fleet);
}

#[test]
fn a_node_brings_back_no_revocations() {
    let (fleet, void) = taken_from("root/edge");
    assert_eq!(void, Void::default());
    expect_nobody_else(&fleet);
}

/// What the root does for the member `edge`: opens ways to the ports of peers, vouches, renews.
fn granted(fleet: &mut World) -> [bool; 3] {
    let member = fleet.member_id("root/edge");
    let [web, reader] = ["web/0", "reader/0"].map(|slot| fleet.slot(slot).id.unwrap().parse().unwrap());
    let now = fleet.orchestrators[0].clock.at(fleet.now);
    let root: &mut Orchestrator = fleet.orchestrators[0].machine.as_mut().unwrap();
    let link = root.links()[&member];
    root.take_effects();
    let message = Up::Renew { csr: ByteBuf::from(vec![1]) };
    root.step(now, Event::LinkMessage { link, message });
    let renewed = root.take_effects().iter().any(|effect| matches!(effect, Effect::Sign { .. }));
    let reaches = root.may_connect(member, web, PORT);
    [reaches, root.identity_for(member, reader).is_ok(), renewed]
}

#[test]
fn a_member_that_is_not_confirmed_reaches_no_port_gets_no_identity_and_renews_nothing() {
    let mut fleet = fleet().node("edge").node("other");
    let web = steady().port("http", Some(PORT)).on_node("other");
    let mut reader = steady().connects("web", "http").on_node("edge");
    reader.0.identity = true;
    let application = app("shop").service("web", web, 1).service("reader", reader, 1);
    fleet.apply(application);
    fleet.run_until_running(2);
    fleet.run_secs(5);
    assert_eq!(granted(&mut fleet), [true; 3]);

    let mut copy = fleet.orchestrators[0].disk.clone();
    copy.distrust();
    replace(&mut fleet, copy);
    assert_eq!(granted(&mut fleet), [false; 3]);

    for member in ["root/edge", "root/other"] {
        let member = fleet.member_id(member);
        fleet.command(0, Command::Adopt { member }).unwrap();
    }
    fleet.run_secs(15);
    assert_eq!(granted(&mut fleet), [true; 3]);
}
