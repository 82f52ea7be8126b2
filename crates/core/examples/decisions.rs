//! Decisions per second of first-fit, machines alone: `cargo run --release -p holm-core --example decisions`
//! (or one of the three: `… decisions sea`).
//!
//! | case | what |
//! | --- | --- |
//! | `cluster` | a cluster with 500 nodes fills them one after the other |
//! | `root` | a root with 100 clusters of 500 nodes each hands out shares |
//! | `sea` | both together: the root decides the cluster, that cluster the node; two decisions |
//!
//! A decision is a placement with its row and its item, ready to be committed and sent. Rates are given
//! for wall time and for the time that the machine really had a processor, medians of [`RUNS`].

#[path = "site/mod.rs"]
mod site;

use std::collections::BTreeMap;

use holm_core::orchestrator::{Effect, Event, LinkId, Tier};
use holm_model::fact::Fact;
use holm_model::member::Role;
use holm_model::message::Down;

use site::{Clock, Rate, Site, aggregate, median, program, resident, since};

const NODES: u32 = 500;
const CLUSTERS: u32 = 100;
/// Applications in a run, and the instances of each.
const APPLICATIONS: u32 = 5;
const REPLICAS: u32 = 10_000;
const RUNS: usize = 5;

/// The word that selects it, its title, and one run; the first one describes memory and rows, too.
type Case = (&'static str, &'static str, fn(bool) -> Rate);

fn main() {
    let only = std::env::args().nth(1);
    let cases: [Case; 3] = [
        ("cluster", "cluster, 500 nodes", cluster),
        ("root", "root, 100 clusters", root),
        ("sea", "sea, 100 clusters x 500 nodes", sea),
    ];
    for (_, what, run) in cases.iter().filter(|(case, ..)| only.as_deref().is_none_or(|only| only == *case)) {
        let rates: Vec<Rate> = (0..RUNS).map(|number| run(number == 0)).collect();
        let wall = median(rates.iter().map(|rate| rate.wall));
        let cpu = median(rates.iter().map(|rate| rate.cpu));
        println!("{what}: {wall:.0} decisions per second, {cpu:.0} per second of processor time");
    }
}

// === the cases ===

fn cluster(verbose: bool) -> Rate {
    let slots = APPLICATIONS * REPLICAS / NODES;
    let mut site = Site::new("here", Tier::Cluster);
    let memory = resident();
    (0..NODES).for_each(|number| site.join_node(number, slots));
    if verbose {
        site.describe("a cluster, per node", NODES, memory);
    }
    fill(site)
}

fn root(verbose: bool) -> Rate {
    let slots = APPLICATIONS * REPLICAS / CLUSTERS / NODES;
    let mut site = Site::new("root", Tier::Root);
    let memory = resident();
    for number in 0..CLUSTERS {
        let (link, _) = site.join(number, Role::Cluster);
        site.tell(link, vec![Fact::Aggregate(aggregate(NODES, slots))]);
    }
    if verbose {
        site.describe("a root, per cluster that tells of no nodes", CLUSTERS, memory);
    }
    fill(site)
}

fn sea(verbose: bool) -> Rate {
    let slots = APPLICATIONS * REPLICAS / CLUSTERS / NODES;
    let (mut root, memory) = (Site::new("root", Tier::Root), resident());
    let mut clusters = BTreeMap::new();
    for number in 0..CLUSTERS {
        let mut cluster = Site::new(&format!("m-{number}"), Tier::Cluster);
        (0..NODES).for_each(|node| cluster.join_node(node, slots));
        let (link, _) = root.join(number, Role::Cluster);
        clusters.insert(link, cluster);
    }
    if verbose {
        println!("all clusters: {} bytes of memory per node", since(memory) / u64::from(CLUSTERS * NODES));
    }
    let memory = resident();
    for (link, cluster) in &mut clusters {
        connect(&mut root, *link, cluster);
    }
    if verbose {
        root.describe("their root and its links, per node below it", CLUSTERS * NODES, memory);
    }
    root.store = None;
    clusters.values_mut().for_each(|cluster| cluster.store = None);
    let clock = Clock::start();
    for number in 0..APPLICATIONS {
        let effects = root.apply(number, program(), REPLICAS);
        for (link, message) in effects.into_iter().filter_map(sent) {
            let Some(cluster) = clusters.get_mut(&link) else { continue };
            let effects = cluster.step(Event::ParentMessage(message));
            answer(&mut root, link, effects);
        }
    }
    let below: u64 = clusters.values().map(|cluster| cluster.placed).sum();
    assert_eq!((root.placed, below), (placements(), placements()), "everything found its place");
    clock.rate(root.placed + below)
}

/// Opens the link between two machines, and carries messages until both are silent.
fn connect(root: &mut Site, link: LinkId, cluster: &mut Site) {
    let mut effects = cluster.step(Event::ParentOpened);
    while !effects.is_empty() {
        let down = answer(root, link, effects);
        effects = down.into_iter().flat_map(|down| cluster.step(Event::ParentMessage(down))).collect();
    }
}

/// What the member sends goes to the root; the root's messages on that link come back.
fn answer(root: &mut Site, link: LinkId, effects: Vec<Effect>) -> Vec<Down> {
    let up = effects.into_iter().filter_map(|effect| match effect {
        Effect::SendParent(message) => Some(message),
        _ => None,
    });
    let down = up.flat_map(|message| root.step(Event::LinkMessage { link, message }));
    down.filter_map(sent).filter(|(to, _)| *to == link).map(|(_, message)| message).collect()
}

fn sent(effect: Effect) -> Option<(LinkId, Down)> {
    match effect {
        Effect::Send { link, message } => Some((link, message)),
        _ => None,
    }
}

fn placements() -> u64 {
    u64::from(APPLICATIONS * REPLICAS)
}

/// Fills all members with applications.
fn fill(mut site: Site) -> Rate {
    site.store = None;
    let clock = Clock::start();
    (0..APPLICATIONS).for_each(|number| drop(site.apply(number, program(), REPLICAS)));
    assert_eq!(site.placed, placements(), "everything found its place");
    clock.rate(site.placed)
}
