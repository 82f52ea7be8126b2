use std::net::IpAddr;

use holm_model::fact::Fact;
use holm_model::member::{Aggregate, Role};
use holm_model::message::{Facts, FactsPart, Hello, PROTOCOL, READS, Up};

use super::*;
use crate::orchestrator::event::{Event, LinkId};
use crate::orchestrator::testing::Root;

const THERE: Coordinate = Coordinate { at: [1_000, 0, 0], height: 10, error: 100 };

/// A cluster on a link of this number, which comes from there.
fn cluster(root: &mut Root, number: u64, from: Option<&str>) -> MemberId {
    let member = root.join_named(Role::Cluster, &format!("c-{number}"));
    let (link, from) = (LinkId(number), from.map(|ip| ip.parse::<IpAddr>().unwrap()));
    root.step(Event::LinkOpened { link, member, from, serial: number.to_string(), renew_only: false });
    let (version, name, digest) = ("0".to_owned(), "c".parse().unwrap(), Default::default());
    let hello =
        Hello { protocol: PROTOCOL, version, role: Role::Cluster, name, obeyed: None, digest, reads: READS };
    root.step(Event::LinkMessage { link, message: Up::Hello(hello) });
    member
}

/// The cluster says that it may be dialled there.
fn says(root: &mut Root, (number, member): (u64, MemberId), address: &str) {
    let landmark = Some(Landmark { address: address.parse().unwrap(), coordinate: THERE });
    let live = &root.0.live[&member];
    let (session, sequence) = (live.session, live.sequence + 1);
    let put = vec![Fact::Aggregate(Aggregate { landmark, ..Aggregate::default() })];
    let (part, revision, gone) = (FactsPart::Change, 0, Vec::new());
    let facts = Facts { session, sequence, part, revision, put, gone };
    root.step(Event::LinkMessage { link: LinkId(number), message: Up::Facts(facts) });
}

/// What is told on links with the next tick.
fn told(root: &mut Root) -> Vec<(u64, Vec<String>)> {
    let landmarks = |effect: Effect| match effect {
        Effect::Send { link, message: Down::Landmarks { landmarks } } => {
            Some((link.0, landmarks.iter().map(|landmark| landmark.address.to_string()).collect()))
        }
        _ => None,
    };
    root.step(Event::Tick).into_iter().filter_map(landmarks).collect()
}

#[test]
fn a_cluster_is_dialled_where_its_link_comes_from_and_nowhere_else() {
    for (from, address, dialled) in [
        (Some("192.0.2.7"), "192.0.2.7:7700", true),
        (Some("::ffff:192.0.2.7"), "192.0.2.7:7700", true),
        (Some("192.0.2.7"), "192.0.2.8:7700", false),
        (Some("192.0.2.7"), "192.0.2.7:0", false),
        (Some("127.0.0.1"), "127.0.0.1:7700", false),
        (Some("169.254.169.254"), "169.254.169.254:80", false),
        (None, "192.0.2.7:7700", false),
    ] {
        let mut root = Root::new();
        let teller = cluster(&mut root, 1, from);
        cluster(&mut root, 2, Some("192.0.2.9"));
        says(&mut root, (1, teller), address);
        let expected = if dialled { vec![(2, vec!["192.0.2.7:7700".to_owned()])] } else { Vec::new() };
        assert_eq!(told(&mut root), expected, "{from:?} {address}");
    }
}

#[test]
fn others_hear_of_it_once_a_tick_and_only_what_is_new_to_them() {
    let mut root = Root::new();
    let teller = cluster(&mut root, 1, Some("192.0.2.7"));
    cluster(&mut root, 2, Some("192.0.2.9"));
    for port in 1..99 {
        says(&mut root, (1, teller), &format!("192.0.2.7:{port}"));
    }
    assert_eq!(told(&mut root), [(2, vec!["192.0.2.7:98".to_owned()])]);
    assert_eq!(told(&mut root), []);
    says(&mut root, (1, teller), "198.51.100.1:7700");
    assert_eq!(told(&mut root), [(2, Vec::new())], "it is there no more");
}

#[test]
fn each_is_told_few_and_not_all_the_same() {
    let mut root = Root::new();
    let from = |number: u64| format!("192.0.2.{number}");
    let mut joins = |number| (number, cluster(&mut root, number, Some(&from(number))));
    let all: Vec<_> = (1..=20).map(&mut joins).collect();
    for teller in &all {
        says(&mut root, *teller, &format!("{}:7700", from(teller.0)));
    }
    let told = told(&mut root);
    assert_eq!(told.len(), 20);
    for (number, landmarks) in &told {
        assert_eq!(landmarks.len(), MOST_LANDMARKS);
        assert_eq!(landmarks[0], format!("{}:7700", from(number % 20 + 1)));
        assert!(!landmarks.contains(&format!("{}:7700", from(*number))), "not themselves");
    }
}

#[test]
fn people_are_sent_to_a_cluster_only_where_its_link_comes_from() {
    for (from, address, api) in [
        (Some("192.0.2.7"), "192.0.2.7:7700", Some("192.0.2.7:7700")),
        (Some("::ffff:192.0.2.7"), "192.0.2.7:7700", Some("192.0.2.7:7700")),
        (Some("127.0.0.1"), "127.5.6.7:7700", Some("127.5.6.7:7700")),
        (Some("192.0.2.7"), "127.0.0.1:7700", None),
        (Some("192.0.2.7"), "198.51.100.1:7700", None),
        (Some("192.0.2.7"), "192.0.2.7:0", None),
        (None, "192.0.2.7:7700", None),
    ] {
        let mut root = Root::new();
        let teller = cluster(&mut root, 1, from);
        says(&mut root, (1, teller), address);
        root.0.live.get_mut(&teller).unwrap().state = MemberState::Online;
        let found = root.0.api_of_cluster("c-1");
        let expected: Option<SocketAddr> = api.map(|api| api.parse().unwrap());
        assert_eq!(found.as_ref().ok(), expected.as_ref(), "{from:?} {address}");
        assert!(found.is_ok() || matches!(found, Err(Refusal::Conflict(why)) if why.contains("--advertise")));
    }
}

#[test]
fn nobody_is_sent_to_a_cluster_that_is_away_or_not_there() {
    let mut root = Root::new();
    let teller = cluster(&mut root, 1, Some("192.0.2.7"));
    says(&mut root, (1, teller), "192.0.2.7:7700");
    root.0.live.get_mut(&teller).unwrap().state = MemberState::Offline;
    assert!(matches!(root.0.api_of_cluster("c-1"), Err(Refusal::Conflict(why)) if why.contains("is away")));
    assert!(matches!(root.0.api_of_cluster("c-2"), Err(Refusal::NotFound { kind: "cluster", .. })));
}
