//! What holds for every strategy, whatever the members are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_model::capability::Capability;
use holm_model::geo::Area;
use holm_model::id::{Epoch, MemberId, Uid};
use holm_model::name::Name;
use holm_model::placement::{Near, Preference, Scope, Strategy};
use holm_model::resources::{Cpu, Memory, Resources};
use holm_model::service::ServiceSpec;
use holm_model::state::MemberState;
use holm_model::taint::Taints;
use holm_model::units::Units;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{Just, Strategy as Generator, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};

use super::*;

/// A node as a test draws it: CPU and memory, of which some is taken; zone; degrees of longitude; how many of the
/// service it has; and whether it is online.
#[derive(Clone, Debug)]
struct Drawn {
    total: (u64, u64),
    taken: (u64, u64),
    zone: Option<u8>,
    east: Option<i32>,
    own: u32,
    online: bool,
}

/// What a [`Candidate`] borrows.
#[derive(Debug)]
struct Node {
    id: MemberId,
    name: Name,
    capabilities: BTreeSet<Capability>,
    labels: BTreeMap<String, String>,
    location: Option<Area>,
    total: Resources,
    free: Resources,
    state: MemberState,
}

static NO_TAINTS: Taints = Taints::new();
static NO_PORTS: BTreeMap<u16, u32> = BTreeMap::new();

impl Node {
    fn new((number, drawn): (usize, &Drawn)) -> Self {
        let counter = number as u64 + 1;
        let size = |(cpu, memory): (u64, u64)| Resources::new(Cpu(cpu), Memory(memory));
        Self {
            id: MemberId(Uid { epoch: Epoch::new(1, 7), counter }),
            name: Name::new(&format!("n-{counter}")).unwrap(),
            capabilities: ["runtime/process".parse().unwrap()].into(),
            labels: drawn.zone.iter().map(|zone| ("zone".to_owned(), zone.to_string())).collect(),
            location: drawn.east.map(|east| Area::at(format!("48,{east}").parse().unwrap())),
            total: size(drawn.total),
            free: size(drawn.total).less(&size(drawn.taken)),
            state: if drawn.online { MemberState::Online } else { MemberState::Offline },
        }
    }

    fn candidate(&self) -> Candidate<'_> {
        let Self { id, name, capabilities, labels, location, total, free, state } = self;
        let kind = Kind::Node {
            cluster: None,
            capabilities,
            units: Units::NONE,
            taken: Taken::NONE,
            taints: &NO_TAINTS,
            labels,
            runtimes: &[],
            location: *location,
            coordinate: None,
            total: *total,
            free: *free,
            ports: &NO_PORTS,
            reads: None,
        };
        Candidate {
            id: *id,
            name,
            state: *state,
            silence: Duration::ZERO,
            frozen: false,
            cordoned: false,
            kind,
        }
    }
}

fn drawn() -> impl Generator<Value = Drawn> {
    let size = || (0..8_u64, 0..8_u64);
    (size(), size(), of(0..3_u8), of(-180..=180_i32), 0..3_u32, proptest::bool::weighted(0.8))
        .prop_map(|(total, taken, zone, east, own, online)| Drawn { total, taken, zone, east, own, online })
}

fn strategy() -> impl Generator<Value = Strategy> {
    prop_oneof![
        Just(Strategy::FirstFit),
        Just(Strategy::BestFit),
        Just(Strategy::Spread(Scope::Node)),
        Just(Strategy::Spread(Scope::Cluster)),
        Just(Strategy::Spread(Scope::Label("zone".to_owned()))),
        Just(Strategy::Location),
        Just(Strategy::Random),
    ]
}

fn spec(asked: (u64, u64), prefers: bool) -> ServiceSpec {
    let mut spec = ServiceSpec::new(Name::new("process").unwrap(), vec!["x".into()]);
    spec.resources = Resources::new(Cpu(asked.0), Memory(asked.1));
    spec.placement.location = Some(Near { point: "48,16".parse().unwrap(), within: None });
    if prefers {
        let condition = "has(labels.zone) && labels.zone == '1'".parse().unwrap();
        spec.placement.prefer.push(Preference { condition, weight: 7 });
    }
    spec
}

fn ask<'a>(
    spec: &'a ServiceSpec,
    nobody: &'a BTreeMap<MemberId, String>,
    own: &'a BTreeMap<MemberId, u32>,
    slot: u64,
) -> Ask<'a> {
    let mut ask = Ask::new(spec, nobody);
    ask.around.own = There { on: Some(own), except: None };
    ask.slot = slot;
    ask
}

fn world(all: &[Drawn]) -> (Vec<Node>, BTreeMap<MemberId, u32>) {
    let nodes: Vec<Node> = all.iter().enumerate().map(Node::new).collect();
    let own = nodes.iter().zip(all).map(|(node, drawn)| (node.id, drawn.own)).collect();
    (nodes, own)
}

proptest! {
    #[test]
    fn nobody_is_taken_who_refuses_and_somebody_is_if_any_fits(
        all in vec(drawn(), 0..12), strategy in strategy(), asked in (0..5_u64, 0..5_u64), prefers: bool, slot: u64,
    ) {
        let (nodes, own) = world(&all);
        let (spec, nobody) = (spec(asked, prefers), BTreeMap::new());
        let ask = ask(&spec, &nobody, &own, slot);
        let fits = |node: &&Node| node.candidate().refuses(&ask).is_none();
        let ranking = Ranking::of(&ask, &strategy, nodes.iter().map(Node::candidate));
        prop_assert_eq!(ranking.fitting(), nodes.iter().filter(fits).count());
        let order = ranking.order(slot);
        prop_assert_eq!(ranking.first(slot), order.first().copied());
        for (id, _) in &order {
            prop_assert!(nodes.iter().filter(fits).any(|node| node.id == *id));
        }
        if prefers {
            let unmet: Vec<u32> = order.iter().map(|(_, score)| score.unmet).collect();
            prop_assert!(unmet.is_sorted(), "preferences come first: {:?}", unmet);
        }
    }

    #[test]
    fn the_order_in_which_members_are_named_changes_nothing(
        all in vec(drawn(), 0..12), strategy in strategy(), turn in 0..12_usize, slot: u64,
    ) {
        let (nodes, own) = world(&all);
        let (spec, nobody) = (spec((1, 1), true), BTreeMap::new());
        let ask = ask(&spec, &nobody, &own, slot);
        let turned = || nodes.iter().cycle().skip(turn).take(nodes.len()).map(Node::candidate);
        let (straight, more) = explain(&ask, &strategy, nodes.iter().map(Node::candidate), Most(12));
        prop_assert_eq!((&straight, 0), (&explain(&ask, &strategy, turned(), Most(12)).0, more));
        prop_assert_eq!(straight.len(), nodes.len(), "every member has its reason");
        let (few, more) = explain(&ask, &strategy, turned(), Most(2));
        let fits = |opinion: &&Opinion| matches!(opinion.verdict, Verdict::Fits { .. });
        let first: Vec<_> = straight.iter().filter(fits).take(2).collect();
        let last = straight.iter().filter(|opinion| !fits(opinion)).take(2);
        prop_assert_eq!(few.iter().collect::<Vec<_>>(), first.into_iter().chain(last).collect::<Vec<_>>());
        prop_assert_eq!(few.len() + more, nodes.len());
        let first = Ranking::of(&ask, &strategy, turned()).first(slot).map(|(id, _)| id);
        let taken = straight.iter().find(|opinion| matches!(opinion.verdict, Verdict::Fits { place: 1, .. }));
        prop_assert_eq!(first, taken.map(|opinion| opinion.id));
    }

    #[test]
    fn a_ranking_that_is_kept_is_the_one_that_would_be_made(
        all in vec(drawn(), 1..12), then in vec(drawn(), 12), strategy in strategy(), changed in vec(0..12_usize, 0..8),
        slot: u64,
    ) {
        let (mut nodes, mut own) = world(&all);
        let (spec, nobody) = (spec((1, 1), true), BTreeMap::new());
        let before = own.clone();
        let mut kept =
            Ranking::of(&ask(&spec, &nobody, &before, slot), &strategy, nodes.iter().map(Node::candidate));
        let (later, counts) = world(&then);
        let changed: BTreeSet<usize> = changed.into_iter().filter(|number| *number < nodes.len()).collect();
        for number in &changed {
            nodes[*number] = Node::new((*number, &then[*number]));
            own.insert(later[*number].id, counts[&later[*number].id]);
        }
        let ask = ask(&spec, &nobody, &own, slot);
        changed.iter().for_each(|number| kept.put(&ask, &nodes[*number].candidate()));
        let anew = Ranking::of(&ask, &strategy, nodes.iter().map(Node::candidate));
        prop_assert_eq!(kept.order(slot), anew.order(slot));
    }

    #[test]
    fn each_strategy_takes_the_best_by_its_own_measure(
        all in vec(drawn(), 1..12), asked in (0..5_u64, 0..5_u64), slot: u64,
    ) {
        let (nodes, own) = world(&all);
        let (spec, nobody) = (spec(asked, false), BTreeMap::new());
        let ask = ask(&spec, &nobody, &own, slot);
        let fitting = || nodes.iter().map(Node::candidate).filter(|member| member.refuses(&ask).is_none());
        let first = |strategy: Strategy| Ranking::of(&ask, &strategy, fitting()).first(slot);
        let least = |of: &dyn Fn(&Candidate<'_>) -> u64| fitting().map(|member| (of(&member), member.id)).min();
        let ranked = |found: Option<(MemberId, Score)>| found.map(|(id, score)| (score.rank, id));
        prop_assert_eq!(ranked(first(Strategy::BestFit)), least(&|member| best_fit::remainder(&ask, member)));
        prop_assert_eq!(ranked(first(Strategy::Location)), least(&|member| location::distance(&ask, member)));
        let spread = Strategy::Spread(Scope::Node);
        prop_assert_eq!(ranked(first(spread)), least(&|member| spread::crowd(&ask, member)));
        prop_assert_eq!(ranked(first(Strategy::Random)), least(&|member| random::draw(slot, member.id)));
        let oldest = first_fit(&ask, || nodes.iter().map(Node::candidate)).ok();
        prop_assert_eq!(first(Strategy::FirstFit).map(|(id, _)| id), oldest);
    }
}

#[test]
fn chance_is_fair() {
    let ids: Vec<MemberId> =
        (1..=10).map(|counter| MemberId(Uid { epoch: Epoch::new(1, 7), counter })).collect();
    let mut counts = BTreeMap::new();
    for number in 0..10_000 {
        let slot = random::number(&["default/shop", "web", &number.to_string()]);
        let taken = ids.iter().min_by_key(|id| random::draw(slot, **id)).unwrap();
        *counts.entry(*taken).or_insert(0_u32) += 1;
    }
    assert!(counts.values().all(|count| (850..=1150).contains(count)), "{counts:?}");
}

#[test]
fn weights_without_end_are_only_as_heavy_as_can_be() {
    let (nodes, own) =
        world(&[Drawn { total: (1, 1), taken: (0, 0), zone: None, east: None, own: 0, online: true }]);
    let (mut spec, nobody) = (spec((1, 1), true), BTreeMap::new());
    let heavy = Preference { weight: u32::MAX, ..spec.placement.prefer[0].clone() };
    spec.placement.prefer.push(heavy);
    let mut ask = ask(&spec, &nobody, &own, 0);
    let apart = || Others {
        service: Name::new("db").unwrap(),
        on: Scope::Node,
        weight: Some(u32::MAX),
        itself: false,
        there: There { on: Some(&own), except: None },
        here: false,
        values: BTreeSet::new(),
    };
    ask.around.with = vec![apart(), apart()];
    let unmet = score(&ask, &Strategy::FirstFit, &nodes[0].candidate()).unmet;
    assert_eq!((unmet, super::score::weight(&ask)), (u32::MAX, u32::MAX));
}
