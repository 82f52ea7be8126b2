use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_model::member::UnitsOfClass;
use holm_model::message::READS;
use holm_model::placement::{Company, Near, Scope};
use holm_model::resources::{Cpu, Memory};

use super::*;

static NO_TAINTS: Taints = Taints::new();

type Change<'a> = &'a dyn Fn(&mut holm_model::service::Placement);

fn spec() -> ServiceSpec {
    let mut spec = ServiceSpec::new(Name::new("process").unwrap(), vec!["x".into()]);
    spec.resources = Resources::new(Cpu(500), Memory(128 << 20));
    spec
}

fn node<'a>(
    name: &'a Name,
    capabilities: &'a BTreeSet<Capability>,
    labels: &'a BTreeMap<String, String>,
    free: Resources,
    ports: &'a BTreeMap<u16, u32>,
) -> Candidate<'a> {
    let id = MemberId("1-000000000001-1".parse().unwrap());
    let kind = Kind::Node {
        cluster: None,
        capabilities,
        units: Units::NONE,
        taken: Taken::NONE,
        taints: &NO_TAINTS,
        labels,
        runtimes: &[],
        location: None,
        coordinate: None,
        total: free,
        free,
        ports,
        reads: None,
    };
    Candidate {
        id,
        name,
        state: MemberState::Online,
        silence: Duration::ZERO,
        frozen: false,
        cordoned: false,
        kind,
    }
}

#[test]
fn each_refusal_says_what_is_missing() {
    let name = Name::new("fl-2").unwrap();
    let runtime: BTreeSet<Capability> = ["runtime/process".parse().unwrap()].into();
    let (none, labels, ports) = (BTreeSet::new(), BTreeMap::new(), [(80, 1)].into());
    let refused = BTreeMap::new();
    let plenty = Resources::new(Cpu(4000), Memory(1 << 30));
    let say = |spec: &ServiceSpec, capabilities, free| {
        let ask = Ask::new(spec, &refused);
        node(&name, capabilities, &labels, free, &ports).refuses(&ask).map(|r| r.to_string())
    };
    assert_eq!(say(&spec(), &runtime, plenty), None);
    assert_eq!(say(&spec(), &none, plenty).unwrap(), "has no runtime `process`");
    let little = Resources::new(Cpu(4000), Memory(64 << 20));
    assert_eq!(say(&spec(), &runtime, little).unwrap(), "64MiB free, 128MiB asked");
    let mut picky = spec();
    picky.placement.require.insert("hardware/ble".parse().unwrap());
    assert_eq!(say(&picky, &runtime, plenty).unwrap(), "lacks hardware/ble");
    let mut web = spec();
    web.ports
        .insert(Name::new("http").unwrap(), holm_model::service::Port { host: Some(80), container: None });
    assert_eq!(say(&web, &runtime, plenty).unwrap(), "port 80 is taken");
}

#[test]
fn what_a_place_must_be_is_asked_of_nodes_and_of_classes() {
    let name = Name::new("fl-2").unwrap();
    let capabilities: BTreeSet<Capability> =
        ["runtime/process", "arch/arm64"].map(|text| text.parse().unwrap()).into();
    let labels: BTreeMap<String, String> = [("zone".to_owned(), "indoor".to_owned())].into();
    let (ports, refused, plenty) =
        (BTreeMap::new(), BTreeMap::new(), Resources::new(Cpu(4000), Memory(1 << 30)));
    let here = Area { centre: "48.2,16.37".parse().unwrap(), radius: Distance(0) };
    let class = NodeClass {
        capabilities: capabilities.clone(),
        labels: labels.clone(),
        nodes: 1,
        total: plenty,
        free: plenty,
        largest: plenty,
        area: Some(here),
        ..NodeClass::default()
    };
    let aggregate = Aggregate { nodes: 1, online: 1, classes: vec![class], landmark: None };
    let (nodes, reports, debit) = (BTreeSet::new(), BTreeMap::new(), Resources::default());
    let ask_both = |change: &dyn Fn(&mut holm_model::service::Placement)| {
        let mut spec = spec();
        change(&mut spec.placement);
        let ask = Ask::new(&spec, &refused);
        let mut node = node(&name, &capabilities, &labels, plenty, &ports);
        if let Kind::Node { location, .. } = &mut node.kind {
            *location = Some(here);
        }
        let kind = Kind::Cluster {
            aggregate: &aggregate,
            debit,
            taken: Units::NONE,
            nodes: &nodes,
            reports: &reports,
            reads: Some(READS),
        };
        let cluster = Candidate { kind, ..node };
        let words = |member: Candidate<'_>| member.refuses(&ask).map(|reason| reason.to_string());
        let (node, cluster) = (words(node), words(cluster));
        assert_eq!(node, cluster);
        node.unwrap_or_default()
    };
    let condition = |text: &str| ask_both(&|place| place.condition = Some(text.parse().unwrap()));
    assert_eq!(condition("labels.zone == 'indoor' && arch == 'arm64'"), "");
    assert_eq!(condition("arch == 'amd64'"), "`arch == 'amd64'` is not true of it");
    assert_eq!(condition("labels.floor == '1'"), "has no label floor (`labels.floor == '1'`)");
    assert_eq!(
        ask_both(&|place| place.sensitive = true),
        "is not marked for sensitive data (capability data/sensitive)"
    );
    let near = |within: u32| {
        let near = holm_model::placement::Near {
            point: "48.3,16.37".parse().unwrap(),
            within: Some(Distance(within)),
        };
        ask_both(&|place| place.location = Some(near))
    };
    assert_eq!((near(12_000).as_str(), near(11_000).as_str()), ("", "is 11.119km away, 11km asked"));
}

#[test]
fn a_cluster_whose_nodes_are_each_too_small_is_refused() {
    let name = Name::new("vienna").unwrap();
    let class = NodeClass {
        capabilities: ["runtime/process".parse().unwrap()].into(),
        nodes: 4,
        free: Resources::new(Cpu(4000), Memory(256 << 20)),
        largest: Resources::new(Cpu(1000), Memory(64 << 20)),
        ..NodeClass::default()
    };
    let aggregate = Aggregate { nodes: 4, online: 4, classes: vec![class], landmark: None };
    let (nodes, reports) = (BTreeSet::new(), BTreeMap::new());
    let (debit, nodes, reports) = (Resources::default(), &nodes, &reports);
    let kind =
        Kind::Cluster { aggregate: &aggregate, debit, taken: Units::NONE, nodes, reports, reads: Some(1) };
    let id = MemberId("1-000000000001-1".parse().unwrap());
    let cluster = Candidate {
        id,
        name: &name,
        state: MemberState::Online,
        silence: Duration::ZERO,
        frozen: false,
        cordoned: false,
        kind,
    };
    let (spec, refused) = (spec(), BTreeMap::new());
    let reason = cluster.refuses(&Ask::new(&spec, &refused)).unwrap();
    assert_eq!(reason.to_string(), "64MiB free, 128MiB asked");
}

#[test]
fn units_are_taken_and_said_of_nodes_and_of_clusters() {
    let name = Name::new("fl-2").unwrap();
    let gpu: Capability = "hardware/gpu".parse().unwrap();
    let capabilities: BTreeSet<Capability> = ["runtime/process".parse().unwrap(), gpu.clone()].into();
    let (labels, ports, refused) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let plenty = Resources::new(Cpu(4000), Memory(1 << 30));
    let units = |number| Units::from_iter([(gpu.clone(), number)]);
    let ask_both = |all: &Units, taken: &Units, asked: Option<u32>| {
        let mut spec = spec();
        spec.placement.require.insert(gpu.clone());
        spec.placement.units = asked.map(units).unwrap_or_default();
        let ask = Ask::new(&spec, &refused);
        let mut node = node(&name, &capabilities, &labels, plenty, &ports);
        if let Kind::Node { units, taken: of_node, .. } = &mut node.kind {
            (*units, *of_node) = (all, Taken { all: taken, except: Units::NONE });
        }
        let of_class = |(capability, total): (&Capability, u32)| {
            (capability.clone(), UnitsOfClass { total, free: total, largest: total })
        };
        let class = NodeClass {
            capabilities: capabilities.clone(),
            free: plenty,
            largest: plenty,
            units: all.iter().map(of_class).collect(),
            ..NodeClass::default()
        };
        let aggregate = Aggregate { nodes: 1, online: 1, classes: vec![class], landmark: None };
        let (nodes, reports) = (BTreeSet::new(), BTreeMap::new());
        let kind = Kind::Cluster {
            aggregate: &aggregate,
            debit: Resources::default(),
            taken,
            nodes: &nodes,
            reports: &reports,
            reads: Some(READS),
        };
        let cluster = Candidate { kind, ..node };
        let words = |member: Candidate<'_>| member.refuses(&ask).map(|reason| reason.to_string());
        assert_eq!(words(node), words(cluster));
        words(node).unwrap_or_default()
    };
    let none = Units::default();
    assert_eq!(ask_both(&units(2), &units(1), Some(2)), "1 hardware/gpu free, 2 asked");
    assert_eq!(ask_both(&units(2), &units(1), Some(1)), "");
    assert_eq!(ask_both(&units(2), &units(2), None), "0 hardware/gpu free, 1 asked", "each takes one");
    assert_eq!(ask_both(&none, &units(9), None), "", "nobody counts");
    assert!(ask_both(&none, &none, Some(1)).starts_with("nobody said how many hardware/gpu it has, 1 asked"));
    assert_eq!(ask_both(&units(1), &none, Some(2)), "1 hardware/gpu free, 2 asked");
}

#[test]
fn a_taint_keeps_away_whoever_does_not_tolerate_it() {
    let name = Name::new("fl-2").unwrap();
    let capabilities: BTreeSet<Capability> = ["runtime/process".parse().unwrap()].into();
    let (labels, ports, refused) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let plenty = Resources::new(Cpu(4000), Memory(1 << 30));
    let radio = Taints::from([("dedicated".to_owned(), "radio".to_owned())]);
    let mut node = node(&name, &capabilities, &labels, plenty, &ports);
    if let Kind::Node { taints, .. } = &mut node.kind {
        *taints = &radio;
    }
    let mut spec = spec();
    let said = node.refuses(&Ask::new(&spec, &refused)).unwrap().to_string();
    assert_eq!(said, "has the taint `dedicated=radio`, which is not tolerated");
    assert_eq!(node.at_home().refuses(&Ask::new(&spec, &refused)), None);
    spec.placement.tolerates.insert("dedicated".parse().unwrap());
    assert_eq!(node.refuses(&Ask::new(&spec, &refused)), None);
}

#[test]
fn a_cluster_that_would_pass_over_a_must_is_refused() {
    let name = Name::new("vienna").unwrap();
    let (aggregate, nodes, reports) = (Aggregate::default(), BTreeSet::new(), BTreeMap::new());
    let refuses = |reads, change: Change<'_>| {
        let (debit, refused, mut spec) = (Resources::default(), BTreeMap::new(), spec());
        change(&mut spec.placement);
        let kind = Kind::Cluster {
            aggregate: &aggregate,
            debit,
            taken: Units::NONE,
            nodes: &nodes,
            reports: &reports,
            reads: Some(reads),
        };
        let id = MemberId("1-000000000001-1".parse().unwrap());
        let state = MemberState::Online;
        let cluster = Candidate {
            id,
            name: &name,
            state,
            silence: Duration::ZERO,
            frozen: false,
            cordoned: false,
            kind,
        };
        cluster.refuses(&Ask::new(&spec, &refused)).unwrap().to_string()
    };
    let company = |weight| vec![Company { service: Name::new("db").unwrap(), on: Scope::Node, weight }];
    let near = |within| Some(Near { point: "48.3,16.37".parse().unwrap(), within });
    let gpu: Capability = "hardware/gpu".parse().unwrap();
    let units: Change<'_> = &|place| place.units.set(gpu.clone(), 2);
    assert_eq!(refuses(3, units), "its program is too old for `require (units)`; upgrade holm there");
    let musts: [(&str, Change<'_>); 5] = [
        ("where", &|place| place.condition = Some("arch == 'arm64'".parse().unwrap())),
        ("sensitive", &|place| place.sensitive = true),
        ("location.within", &|place| place.location = near(Some(Distance(1)))),
        ("with", &|place| place.with = company(None)),
        ("apart", &|place| place.apart = company(None)),
    ];
    for (key, change) in musts {
        assert_eq!(refuses(1, change), format!("its program is too old for `{key}`; upgrade holm there"));
        assert_eq!(refuses(2, change), "has no nodes");
    }
    // What is only preferred may be passed over.
    let wishes = |place: &mut holm_model::service::Placement| {
        (place.with, place.apart, place.location) = (company(Some(1)), company(Some(1)), near(None));
    };
    assert_eq!(refuses(1, &wishes), "has no nodes");
}
