//! Strategies side by side, machines alone: `cargo run --release -p holm-core --example schedule` (`quick`: small).
//!
//! | table | what |
//! | --- | --- |
//! | rate | (per second that the machine really had a processor) 20,000 instances of one service, applied at once, on nodes (or clusters) that they fill |
//! | latency | applications of one instance, one after the other, on half-filled members: what each takes |
//! | groups | applications of five services, each near the one before and not on its node, one after the other |
//! | packing | services of a heavy-tailed size until the first finds no place: how much of CPU and memory is in use |
//!
//! A placement comes with its row and its item, ready to be committed and sent. The sizes have the shape of published
//! traces of clusters, many small and few large: 2^-k of 16 cores, or of 64 GiB, with k from 1 to 6, twice as small
//! twice as often, less up to two fifths, drawn for CPU and for memory by themselves. Machines have 8, 16 or 32 cores
//! and 4 GiB for each.

#[path = "site/mod.rs"]
mod site;

use std::time::{Duration, Instant};

use holm_core::orchestrator::Tier;
use holm_model::coordinate::{Coordinate, Latency};
use holm_model::fact::Fact;
use holm_model::member::{NodeFacts, Role};
use holm_model::name::Name;
use holm_model::placement::{Bound, Company, Near, NearUsers, Scope, Strategy};
use holm_model::resources::{Cpu, Memory, Resources};
use holm_model::service::{Connect, Port, ServiceSpec};

use site::{Clock, Site, aggregate, facts, name, program};

const INSTANCES: u32 = 20_000;
/// Instances of an application in the rate.
const AT_ONCE: u32 = 10_000;
/// Applications of one instance.
const SINGLE: u32 = 300;
/// Services of a group, and how near one is to the next.
const GROUP: u32 = 5;
const NEAR: Latency = Latency(40_000);
/// Nodes and runs of the packing.
const PACKED: u32 = 60;
const TRACES: u64 = 10;

/// Random numbers that are the same on every machine (splitmix64).
struct Rng(u64);

fn main() {
    let quick = std::env::args().any(|word| word == "quick");
    let sizes: &[u32] = if quick { &[100] } else { &[100, 500, 1_000, 10_000] };
    println!("| strategy | members | placements per second of processor time | single: median | 99 % |");
    println!("| --- | --- | --- | --- | --- |");
    for strategy in strategies() {
        for nodes in sizes {
            measure(&strategy, &format!("{nodes} nodes"), || of_nodes(*nodes));
        }
        measure(&strategy, "100 clusters of 100 nodes", of_clusters);
    }
    for nodes in sizes {
        groups(*nodes);
    }
    println!("\n| strategy | in use at the first refusal |\n| --- | --- |");
    for strategy in strategies()
        .into_iter()
        .filter(|strategy| !matches!(strategy, Strategy::Location | Strategy::Latency))
    {
        let runs = if quick { 1 } else { TRACES };
        let share: f64 = (0..runs).map(|seed| packed(&strategy, seed)).sum::<f64>() / runs as f64;
        println!("| {strategy} | {:.1} % |", share * 100.0);
    }
}

fn strategies() -> Vec<Strategy> {
    vec![
        Strategy::FirstFit,
        Strategy::BestFit,
        Strategy::Spread(Scope::Node),
        Strategy::Spread(Scope::Label("zone".to_owned())),
        Strategy::Location,
        Strategy::Latency,
        Strategy::Random,
    ]
}

// === rate and latency ===

fn measure(strategy: &Strategy, members: &str, site: impl Fn() -> Site) {
    let mut bulk = site();
    let clock = Clock::start();
    (0..INSTANCES / AT_ONCE).for_each(|number| drop(bulk.apply(number, spec(strategy), AT_ONCE)));
    assert_eq!(bulk.placed, u64::from(INSTANCES), "everything found its place");
    let rate = clock.rate(bulk.placed);
    let mut single = site();
    single.apply(0, spec(strategy), INSTANCES / 2);
    let mut times: Vec<Duration> = (1..=SINGLE)
        .map(|number| {
            let begun = Instant::now();
            single.apply(number, spec(strategy), 1);
            begun.elapsed()
        })
        .collect();
    times.sort();
    let [half, most] = [times.len() / 2, times.len() * 99 / 100].map(|at| times[at].as_micros());
    println!("| {strategy} | {members} | {:.0} | {half} µs | {most} µs |", rate.cpu);
}

fn groups(nodes: u32) {
    let mut site = of_nodes(nodes);
    let begun = site.placed;
    let clock = Clock::start();
    let mut times: Vec<Duration> = (0..SINGLE)
        .map(|number| {
            let begun = Instant::now();
            site.apply_all(number, (0..GROUP).map(|part| (called(part), part_of_group(part))).collect(), 1);
            begun.elapsed()
        })
        .collect();
    assert_eq!(site.placed - begun, u64::from(SINGLE * GROUP), "everything found its place");
    let rate = clock.rate(site.placed - begun);
    times.sort();
    let [half, most] = [times.len() / 2, times.len() * 99 / 100].map(|at| times[at].as_micros());
    println!("| groups of {GROUP} | {nodes} nodes | {:.0} | {half} µs | {most} µs |", rate.cpu);
}

fn called(part: u32) -> Name {
    name(&format!("part-{part}"))
}

/// Near the part before, and on another node.
fn part_of_group(part: u32) -> ServiceSpec {
    let mut spec = program();
    spec.ports.insert(name("tcp"), Port { host: None, container: None });
    if let Some(before) = part.checked_sub(1).map(called) {
        let bound = Some(Bound { latency: NEAR, weight: None });
        spec.connects.push(Connect { service: before.clone(), port: name("tcp"), bound });
        spec.placement.apart.push(Company { service: before, on: Scope::Node, weight: None });
    }
    spec
}

fn spec(strategy: &Strategy) -> ServiceSpec {
    let mut spec = program();
    spec.placement.strategy = Some(strategy.clone());
    if *strategy == Strategy::Latency {
        // To its users, who are somewhere; the nodes know where they are in the network.
        let bound = Bound { latency: Latency(10_000_000), weight: Some(1) };
        spec.placement.near = Some(NearUsers { users: "48.2,16.37".parse().expect("a point"), bound });
    }
    if *strategy == Strategy::Location {
        spec.placement.location = Some(Near { point: "48.2,16.37".parse().expect("a point"), within: None });
    }
    spec
}

fn of_nodes(nodes: u32) -> Site {
    let mut site = Site::new("here", Tier::Cluster);
    site.store = None;
    let slots = INSTANCES.div_ceil(nodes) + 1;
    (0..nodes).for_each(|number| site.join_with(number, somewhere(number, facts(slots))));
    site
}

fn of_clusters() -> Site {
    let mut site = Site::new("root", Tier::Root);
    site.store = None;
    for number in 0..100 {
        let (link, _) = site.join(number, Role::Cluster);
        site.tell(link, vec![Fact::Aggregate(aggregate(100, INSTANCES / 100 / 100 + 1))]);
    }
    site
}

/// In one of ten zones, at a place of its own.
fn somewhere(number: u32, facts: NodeFacts) -> NodeFacts {
    let labels = [("zone".to_owned(), (number % 10).to_string())].into();
    let (lat, lon) = (45 + number % 7, 10 + number % 11);
    let location = format!("{lat}.{number:05},{lon}.{number:05}").parse().ok();
    let at = [number % 97, number % 89, number % 83].map(|part| i32::try_from(part * 1_000).unwrap_or(0));
    let coordinate = Some(Coordinate { at, height: 500, error: 100 });
    NodeFacts { labels, location, coordinate, ..facts }
}

// === packing ===

/// How much of the scarcer of CPU and memory is in use when the first service finds no place.
fn packed(strategy: &Strategy, seed: u64) -> f64 {
    let (mut rng, mut site) = (Rng(seed), Site::new("here", Tier::Cluster));
    site.store = None;
    let (mut total, mut used) = (Resources::default(), Resources::default());
    for number in 0..PACKED {
        let machine = machine(1 << rng.below(3));
        total += &machine;
        let facts = NodeFacts { total: machine, allocatable: machine, ..somewhere(number, facts(1)) };
        site.join_with(number, facts);
    }
    for number in 0.. {
        let mut service = spec(strategy);
        service.resources = Resources::new(Cpu(rng.tail(16_000)), Memory(rng.tail(64 << 10) << 20));
        let before = site.placed;
        site.apply(number, service.clone(), 1);
        if site.placed == before {
            break;
        }
        used += &service.resources;
    }
    let share = |used: u64, total: u64| used as f64 / total as f64;
    share(used.cpu.0, total.cpu.0).max(share(used.memory.0, total.memory.0))
}

fn machine(size: u64) -> Resources {
    Resources::new(Cpu(8_000 * size), Memory((32 << 30) * size))
}

// === impl Rng ===

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Part of `whole`: 2^-k of it, k from 1 to 6 and each twice as likely as the one before, less up to two fifths.
    fn tail(&mut self, whole: u64) -> u64 {
        let size = whole >> (1 + (self.below(63) + 1).ilog2());
        size * (60 + self.below(41)) / 100
    }
}
