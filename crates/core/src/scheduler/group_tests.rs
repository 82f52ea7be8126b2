use std::collections::BTreeMap;

use holm_model::capability::Capability;
use holm_model::coordinate::{Coordinate, Region};
use holm_model::id::MemberId;
use holm_model::member::{Aggregate, NodeClass};
use holm_model::message::READS_RESERVING;
use holm_model::name::Name;
use holm_model::resources::{Cpu, Memory};
use holm_model::service::{Port, ServiceSpec};
use holm_model::state::MemberState;
use holm_model::taint::Taints;
use proptest::prelude::*;

use super::super::across::{Across, across};
use super::*;

/// A node at so many milliseconds along a line, with so many MiB.
#[derive(Debug)]
struct Site {
    id: MemberId,
    name: Name,
    capabilities: BTreeSet<Capability>,
    labels: BTreeMap<String, String>,
    ports: BTreeMap<u16, u32>,
    taints: Taints,
    at: i32,
    mib: u64,
}

fn sites(all: &[(i32, u64)]) -> Vec<Site> {
    let site = |(number, (at, mib)): (usize, &(i32, u64))| Site {
        id: MemberId(format!("1-000000000001-{}", number + 1).parse().unwrap()),
        name: Name::new(&format!("fl-{}", number + 1)).unwrap(),
        capabilities: ["runtime/process".parse().unwrap()].into(),
        labels: BTreeMap::new(),
        ports: BTreeMap::new(),
        taints: Taints::new(),
        at: *at,
        mib: *mib,
    };
    all.iter().enumerate().map(site).collect()
}

impl Site {
    fn candidate(&self) -> Candidate<'_> {
        let room = Resources::new(Cpu(4_000), Memory(self.mib << 20));
        let kind = Kind::Node {
            cluster: None,
            capabilities: &self.capabilities,
            units: Units::NONE,
            taken: Taken::NONE,
            taints: &self.taints,
            labels: &self.labels,
            runtimes: &[],
            location: None,
            coordinate: Some(Coordinate { at: [self.at * 1_000, 0, 0], height: 0, error: 100 }),
            total: room,
            free: room,
            ports: &self.ports,
            reads: None,
        };
        let (state, frozen, cordoned) = (MemberState::Online, false, false);
        Candidate {
            id: self.id,
            name: &self.name,
            state,
            silence: std::time::Duration::ZERO,
            frozen,
            cordoned,
            kind,
        }
    }
}

fn spec(mib: u64) -> ServiceSpec {
    let mut spec = ServiceSpec::new(Name::new("process").unwrap(), vec!["x".into()]);
    spec.resources.memory = Memory(mib << 20);
    spec
}

/// A tie of one to one.
fn tie(from: usize, to: usize, millis: u32) -> Tie {
    Tie { from, to: vec![to], most: Latency(millis * 1_000) }
}

fn place(sites: &[Site], specs: &[ServiceSpec], ties: &[Tie], apart: &[Apart]) -> Option<Places> {
    let refused = BTreeMap::new();
    let members: Vec<_> = sites.iter().map(Site::candidate).collect();
    let parts = specs.iter().map(|spec| Part { ask: Ask::new(spec, &refused) }).collect();
    together(&Group { parts, ties: ties.to_vec(), apart: apart.to_vec(), alone: BTreeSet::new() }, &members)
}

fn on(sites: &[Site], specs: &[ServiceSpec], ties: &[Tie]) -> Option<Vec<usize>> {
    place(sites, specs, ties, &[]).map(|places| places.members)
}

#[test]
fn who_fits_on_one_node_is_on_one_node() {
    let sites = sites(&[(0, 20), (50, 100), (60, 100)]);
    let found = place(&sites, &[spec(30), spec(30), spec(30)], &[tie(0, 1, 5), tie(1, 2, 5)], &[]);
    assert_eq!(found, Some(Places { members: vec![1, 1, 1], fitting: vec![2, 2, 2], cost: Cost::default() }));
}

#[test]
fn the_first_goes_where_there_is_a_place_near_for_the_second() {
    // By itself it would be on the first one, near which nobody has room.
    let sites = sites(&[(0, 40), (100, 40), (107, 40)]);
    assert_eq!(on(&sites, &[spec(30), spec(30)], &[tie(0, 1, 10)]), Some(vec![1, 2]));
}

#[test]
fn all_or_none() {
    let sites = sites(&[(0, 40), (100, 40)]);
    assert_eq!(on(&sites, &[spec(30), spec(30)], &[tie(0, 1, 10)]), None);
    assert_eq!(on(&sites, &[spec(30), spec(90)], &[tie(0, 1, 200)]), None);
}

#[test]
fn near_one_of_several_is_near_enough() {
    let sites = sites(&[(0, 40), (100, 40), (105, 40)]);
    let ties = [Tie { from: 0, to: vec![1, 2], most: Latency(10_000) }];
    let found = place(&sites, &[spec(30), spec(30), spec(30)], &ties, &[]).unwrap();
    assert!(found.members[0] != 0 && found.cost.latency == 5_000, "{found:?}");
}

#[test]
fn those_that_must_be_apart_are_and_a_host_port_is_taken_once() {
    let sites = sites(&[(0, 100), (9, 100)]);
    let both = [spec(30), spec(30)];
    let apart = Apart { one: 0, other: 1, on: Scope::Node };
    let found = place(&sites, &both, &[tie(0, 1, 10)], std::slice::from_ref(&apart)).unwrap();
    assert_eq!((found.members, found.cost.latency), (vec![0, 1], 9_000));
    assert_eq!(place(&sites, &both, &[tie(0, 1, 8)], &[apart]), None);
    let with_port = |mut spec: ServiceSpec| {
        spec.ports.insert(Name::new("http").unwrap(), Port { host: Some(80), container: None });
        spec
    };
    assert_eq!(on(&sites, &both.map(with_port), &[tie(0, 1, 10)]), Some(vec![0, 1]));
}

#[test]
fn the_search_ends() {
    let many: Vec<_> = (0..500).map(|at| (at * 20, 40)).collect();
    let specs = vec![spec(30); 5];
    let ties: Vec<_> = (0..4).map(|from| tie(from, from + 1, 10)).collect();
    assert_eq!(on(&sites(&many), &specs, &ties), None, "each node has room for one");
}

/// What is right: every possibility.
fn cheapest(sites: &[Site], mib: &[u64], ties: &[Tie]) -> Option<u64> {
    let all = u32::try_from(mib.len()).unwrap();
    (0..sites.len().pow(all)).filter_map(|code| cost(sites, mib, ties, &digits(code, sites, mib))).min()
}

fn digits(mut code: usize, sites: &[Site], mib: &[u64]) -> Vec<usize> {
    let digit = |_| {
        let digit = code % sites.len();
        code /= sites.len();
        digit
    };
    (0..mib.len()).map(digit).collect()
}

/// `None`: something does not fit, or a bound is broken.
fn cost(sites: &[Site], mib: &[u64], ties: &[Tie], at: &[usize]) -> Option<u64> {
    let used =
        |site: usize| at.iter().zip(mib).filter(|(there, _)| **there == site).map(|(_, mib)| mib).sum();
    let fits = |site: usize| sites[site].mib >= used(site);
    if !(0..sites.len()).all(fits) {
        return None;
    }
    let way = |tie: &Tie| {
        let ways = tie.to.iter().map(|to| sites[at[tie.from]].at.abs_diff(sites[at[*to]].at) * 1_000);
        ways.min().filter(|way| *way <= tie.most.0).map(u64::from)
    };
    ties.iter().map(way).sum()
}

proptest! {
    #[test]
    fn it_finds_the_shortest_if_there_is_any_and_the_same_each_time(
        nodes in prop::collection::vec((0..60_i32, 10..100_u64), 1..6),
        mib in prop::collection::vec(5..60_u64, 2..5),
        ends in prop::collection::vec((0..4_usize, prop::collection::btree_set(0..4_usize, 1..3), 1..40_u32), 1..5),
    ) {
        let sites = sites(&nodes);
        let specs: Vec<_> = mib.iter().map(|mib| spec(*mib)).collect();
        let all = mib.len();
        let ties: Vec<Tie> = ends
            .into_iter()
            .map(|(from, to, millis)| {
                let from = from % all;
                let to: BTreeSet<usize> = to.into_iter().map(|to| to % all).filter(|to| *to != from).collect();
                Tie { from, to: to.into_iter().collect(), most: Latency(millis * 1_000) }
            })
            .filter(|tie| !tie.to.is_empty())
            .collect();
        let found = place(&sites, &specs, &ties, &[]);
        prop_assert_eq!(&found, &place(&sites, &specs, &ties, &[]));
        let costs = found.map(|found| (found.cost.latency, cost(&sites, &mib, &ties, &found.members)));
        let right = cheapest(&sites, &mib, &ties);
        prop_assert_eq!(costs, right.map(|cost| (cost, Some(cost))));
    }
}

// --- one member, or several ---

/// A cluster of some nodes as its parent sees it.
struct Isle {
    site: Site,
    aggregate: Aggregate,
    reads: u32,
}

fn isles(all: &[(i32, u64, bool)]) -> Vec<Isle> {
    let places: Vec<_> = all.iter().map(|(at, mib, _)| (*at, *mib)).collect();
    let isle = |(site, (at, mib, old)): (Site, &(i32, u64, bool))| {
        let room = Resources::new(Cpu(4_000), Memory(mib << 20));
        let there = Coordinate { at: [at * 1_000, 0, 0], height: 0, error: 100 };
        let class = NodeClass {
            nodes: 1,
            capabilities: site.capabilities.clone(),
            total: room,
            free: room,
            largest: room,
            region: Region::around(&[there]),
            ..NodeClass::default()
        };
        let aggregate = Aggregate { nodes: 1, online: 1, classes: vec![class], landmark: None };
        Isle { site, aggregate, reads: if *old { READS_RESERVING - 1 } else { READS_RESERVING } }
    };
    sites(&places).into_iter().zip(all).map(isle).collect()
}

fn reads(member: &Candidate<'_>) -> bool {
    matches!(member.kind, Kind::Cluster { reads: Some(reads), .. } if reads >= READS_RESERVING)
}

proptest! {
    /// Beside nodes of our own, each cluster has one node here, so that what is right can be told of all by the same rule.
    #[test]
    fn one_member_if_it_can_be_and_else_the_shortest_over_several_that_can_keep_room(
        nodes in prop::collection::vec((0..60_i32, 10..100_u64), 0..3),
        clusters in prop::collection::vec((0..60_i32, 10..100_u64, any::<bool>()), 1..4),
        mib in prop::collection::vec(5..60_u64, 2..4),
        ends in prop::collection::vec((0..3_usize, 0..3_usize, 1..40_u32), 1..4),
        alone in any::<bool>(),
    ) {
        let specs: Vec<_> = mib.iter().map(|mib| spec(*mib)).collect();
        let ends = ends.into_iter().map(|(from, to, millis)| (from % mib.len(), to % mib.len(), millis));
        let ties: Vec<Tie> =
            ends.filter(|(from, to, _)| from != to).map(|(from, to, millis)| tie(from, to, millis)).collect();
        // All in one row: nodes first, then clusters.
        let isles = isles(&clusters);
        let all: Vec<(i32, u64)> =
            nodes.iter().copied().chain(clusters.iter().map(|(at, mib, _)| (*at, *mib))).collect();
        let all_sites = sites(&all);
        let none = BTreeMap::new();
        let names = BTreeSet::new();
        let mut members: Vec<Candidate<'_>> = all_sites[..nodes.len()].iter().map(Site::candidate).collect();
        for (isle, site) in isles.iter().zip(&all_sites[nodes.len()..]) {
            let kind = Kind::Cluster {
                aggregate: &isle.aggregate,
                debit: Resources::default(),
                taken: Units::NONE,
                nodes: &names,
                reports: &none,
                reads: Some(isle.reads),
            };
            let Site { id, .. } = site;
            members.push(Candidate { id: *id, name: &isle.site.name, kind, ..site.candidate() });
        }
        // The first cluster said that it has no place for several.
        let single: BTreeSet<MemberId> =
            members.get(nodes.len()).filter(|_| alone).map(|member| member.id).into_iter().collect();
        let refused = BTreeMap::new();
        let parts = specs.iter().map(|spec| Part { ask: Ask::new(spec, &refused) }).collect();
        let group = Group { parts, ties: ties.clone(), apart: Vec::new(), alone: single.clone() };
        let found = across(&group, &members, reads);

        // What is right: every possibility.
        let count = all.len().pow(u32::try_from(mib.len()).unwrap());
        let ours = |at: &[usize]| at.iter().all(|site| *site < nodes.len());
        let one = |at: &[usize]| ours(at) || at.iter().all(|site| *site == at[0] && !single.contains(&members[*site].id));
        let several = |at: &[usize]| at.iter().enumerate().all(|(part, site)| {
            let beside = at.iter().enumerate().any(|(other, there)| other != part && there == site);
            *site < nodes.len() || reads(&members[*site]) && !(beside && single.contains(&members[*site].id))
        });
        let best = |may: &dyn Fn(&[usize]) -> bool| {
            let ways = (0..count).map(|code| digits(code, &all_sites, &mib)).filter(|at| may(at));
            ways.filter_map(|at| cost(&all_sites, &mib, &ties, &at)).min()
        };
        let (whole, shared) = (best(&one), best(&several));
        match found {
            Some(Across::One(places)) => {
                prop_assert!(one(&places.members));
                prop_assert_eq!(Some(places.cost.latency), whole);
            }
            Some(Across::Several(places)) => {
                prop_assert_eq!(whole, None);
                prop_assert!(several(&places.members));
                prop_assert_eq!(Some(places.cost.latency), shared);
                prop_assert_eq!(cost(&all_sites, &mib, &ties, &places.members), shared);
            }
            None => prop_assert_eq!((whole, shared), (None, None)),
        }
    }
}
