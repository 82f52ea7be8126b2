//! What is shown is read again as the same application.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::BUILDING;
use crate::before::Step;
use crate::capability::Capability;
use crate::condition::Condition;
use crate::coordinate::Latency;
use crate::expose::{Expose, ExposedAt};
use crate::geo::Distance;
use crate::healing::{Healing, OnNodeLoss, Reconcile};
use crate::health::{Check, Probe};
use crate::job::{Cron, Job, Kind, Missed, Overlap};
use crate::manifest::{parse, show, show_service};
use crate::name::Name;
use crate::placement::{self, Company, Near, Preference, Scope};
use crate::priority::Priority;
use crate::resources::{Cpu, Memory, Resources};
use crate::scale::{Metric, Scale, ScaleBy, Thousandths};
use crate::service::{
    Application, ApplicationService, Connect, FileUse, OnChange, PerCluster, Placement, Port, Replicas,
    Restart, RestartPolicy, SecretUse, ServiceSpec, Signal, Volume,
};
use crate::update::{Canary, CanarySize, OnFailure, Promote, Update, UpdateStrategy};

#[test]
fn the_example_comes_back() {
    let application = parse(BUILDING, "app.yaml").unwrap();
    let shown = show(&application);
    assert_eq!(parse(&shown, "shown.yaml"), Ok(application), "{shown}");
}

#[test]
fn defaults_are_left_out() {
    let text = "holm: v1\napplication: a\nservices:\n  web:\n    runtime: process\n    command:\n    - run\n    replicas: 1\n";
    assert_eq!(show(&parse(text, "app.yaml").unwrap()).replace("      - run", "    - run"), text);
}

fn name() -> impl Strategy<Value = Name> {
    // Words that YAML could take for something else, too.
    prop_oneof!["[a-z]([a-z0-9-]{0,6}[a-z0-9])?", "[0-9]{1,4}", "null|true|no|1e3|0"]
        .prop_map(|text| Name::new(&text).unwrap())
}

/// Without templates, as these must name what is known.
fn text() -> impl Strategy<Value = String> {
    let odd = "on|yes|null|~|0x1|1e3|\\.inf|-|\\?|: |#|a #b|&a|\\*a|!!int|\\||>|---| lead|trail |\\[|%";
    prop_oneof![
        "[ -z]{0,20}",
        odd,
        "([ -z]{0,8}\n){1,3}",
        "[ -z\u{85}\u{2028}\u{feff}äöü\t\r\n\u{1}\u{7f}😀]{0,9}"
    ]
}

fn path() -> impl Strategy<Value = String> {
    "(/[a-z :#]{1,6}){1,3}"
}

prop_compose! {
    fn volume()(source in prop_oneof![path(), name().prop_map(|n| n.to_string())], target in path(), read_only: bool)
        -> Volume { Volume { source, target, read_only } }
}

fn ports() -> impl Strategy<Value = BTreeMap<Name, Port>> {
    let port = (of(1..=u16::MAX), of(1..=u16::MAX));
    btree_map(name(), port, 0..4).prop_map(|ports| {
        let mut hosts = BTreeSet::new();
        let port = |(host, container): (Option<u16>, Option<u16>)| {
            let host = host.filter(|host| hosts.insert(*host));
            Port { host, container: container.filter(|_| container != host) }
        };
        let (names, ports): (Vec<Name>, Vec<_>) = ports.into_iter().unzip();
        names.into_iter().zip(ports.into_iter().map(port)).collect()
    })
}

prop_compose! {
    fn placement()(
        cluster in of(name()),
        node in of(name()),
        require in btree_set((name(), name()).prop_map(|(kind, name)| Capability::new(kind, name)), 0..3),
        counts in vec(of(1..=100_000_u32), 3),
        tolerates in btree_set("[a-z0-9]{1,4}(=[a-z]{0,3})?".prop_map(|text| text.parse().unwrap()), 0..3),
        labels in btree_map("[a-zA-Z0-9._/-]{1,8}", text(), 0..3),
        strategy in of(strategy()),
        scheduler in of(name()),
        location in of((-90_000_000..=90_000_000_i32, -180_000_000..=180_000_000_i32, of(0..=40_000_000_u32))),
        condition in of(condition()),
        prefer in vec((condition(), 1..=1000_u32), 0..3),
        sensitive: bool,
        violated in of((10..=86_400_u64, any::<bool>())),
        near in of((-90_000_000..=90_000_000_i32, -180_000_000..=180_000_000_i32, 1..=10_000_u32, of(1..=1000_u32))),
    ) -> Placement {
        let degrees = |millionths: i32| format!("{:.6}", f64::from(millionths) / 1e6);
        let location = location.map(|(lat, lon, within)| Near {
            point: format!("{},{}", degrees(lat), degrees(lon)).parse().unwrap(),
            within: within.map(Distance),
        });
        let near = near.map(|(lat, lon, millis, weight)| placement::NearUsers {
            users: format!("{},{}", degrees(lat), degrees(lon)).parse().unwrap(),
            bound: placement::Bound { latency: Latency(millis * 1_000), weight },
        });
        let bound = |near: &placement::NearUsers| near.bound.weight.is_none();
        let violated = violated.filter(|_| near.as_ref().is_some_and(bound)).map(|(seconds, moves)| placement::Violated {
            lasting: std::time::Duration::from_secs(seconds),
            then: if moves { placement::Consequence::Migrate } else { placement::Consequence::Event },
        });
        let strategy = strategy.filter(|strategy| *strategy != placement::Strategy::Location || location.is_some());
        let scheduler = scheduler.filter(|_| strategy.is_none());
        let prefer = prefer.into_iter().map(|(condition, weight)| Preference { condition, weight }).collect();
        let counted = |(capability, units): (&Capability, Option<u32>)| Some((capability.clone(), units?));
        let units = require.iter().zip(counts).filter_map(counted).collect();
        Placement {
            near, violated: violated.unwrap_or_default(), cluster, node, require, units, tolerates, labels, strategy, scheduler, location, condition, prefer, sensitive,
            ..Placement::default()
        }
    }
}

fn strategy() -> impl Strategy<Value = placement::Strategy> {
    use placement::Strategy::{BestFit, FirstFit, Latency, Location, Random, Spread};
    prop_oneof![
        Just(FirstFit),
        Just(BestFit),
        Just(Location),
        Just(Random),
        Just(Latency),
        Just(Spread(Scope::Node)),
        "[a-z/]{1,8}".prop_map(|key| Spread(Scope::new(&key).unwrap())),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    proptest::sample::select(vec![
        "labels.zone == \"indoor\" && arch in [\"arm64\", \"amd64\"]",
        "'hardware/ble' in caps # not: a comment",
        "!(name == 'null') || int(labels[\"a: b\"]) >= -3",
        "true",
    ])
    .prop_filter_map("conditions only", |text| text.parse().ok())
}

/// Secrets are files: no variable is that of another, or in `env`.
fn given() -> impl Strategy<Value = (BTreeMap<Name, SecretUse>, BTreeMap<Name, FileUse>, OnChange)> {
    let signals = proptest::sample::select(Signal::ALL.to_vec()).prop_map(OnChange::Signal);
    let on_change = prop_oneof![Just(OnChange::Restart), Just(OnChange::Nothing), signals];
    let file = (0..=0o777_u32).prop_map(|mode| FileUse { path: None, mode });
    (btree_map(name(), Just(SecretUse::File), 0..3), btree_map(name(), file, 0..3), on_change)
}

prop_compose! {
    fn restart()(
        policy in prop_oneof![Just(RestartPolicy::Never), Just(RestartPolicy::OnFailure), Just(RestartPolicy::Always)],
        attempts in 0..=1000_u32,
        first in 10..=3_600_000_u64,
        more in 0..=3_600_000_u64,
    ) -> Restart {
        let longest = (first + more).min(3_600_000);
        Restart { policy, attempts, backoff: (Duration::from_millis(first), Duration::from_millis(longest)) }
    }
}

fn healing() -> impl Strategy<Value = Healing> {
    let after =
        (10_000..=2_592_000_000_u64).prop_map(|ms| OnNodeLoss::ReplaceAfter(Duration::from_millis(ms)));
    let replaced = prop_oneof![Just(OnNodeLoss::Replace), after];
    let rules: Vec<Reconcile> = Reconcile::ALL.iter().map(|(_, rule)| *rule).collect();
    let replaced = (replaced, proptest::sample::select(rules))
        .prop_map(|(on_node_loss, reconcile)| Healing { on_node_loss, reconcile, exclusive: false });
    let waits = Healing { on_node_loss: OnNodeLoss::WaitForReturn, ..Healing::default() };
    prop_oneof![replaced, Just(waits)]
}

prop_compose! {
    fn update()(
        size in prop_oneof![
            Just(CanarySize::Count(1)),
            (1..=99_u32).prop_map(CanarySize::Share),
        ],
        after in of(1..=86_400_u64),
        strategy in 0..3_u8,
        parallel in 1..=10_000_u32,
        healthy_for in of(0..=3600_u64),
        longer in 1..=3600_u64,
        rolls_back: bool,
    ) -> Update {
        let promote = after.map_or(Promote::Manual, |after| Promote::After(Duration::from_secs(after)));
        let strategy = match strategy {
            0 => UpdateStrategy::Rolling,
            1 => UpdateStrategy::Recreate,
            _ => UpdateStrategy::Canary(Canary { size, promote }),
        };
        Update {
            parallel: if strategy == UpdateStrategy::Recreate { 1 } else { parallel },
            strategy,
            healthy_for: healthy_for.map(Duration::from_secs),
            deadline: Duration::from_secs(healthy_for.unwrap_or_default() + longer),
            on_failure: if rolls_back { OnFailure::Rollback } else { OnFailure::Halt },
        }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    let job = (of(1..=86_400_u64), of(0..=100_u32))
        .prop_map(|(deadline, retries)| Job { deadline: deadline.map(Duration::from_secs), retries });
    let schedules = proptest::sample::select(vec!["*/15 * * * *", "0 4 1,15 * mon-fri", "5/20 17 * jan *"]);
    let zones = proptest::sample::select(vec!["UTC", "Europe/Vienna", "Asia/Tokyo"]);
    let overlaps = prop_oneof![Just(Overlap::Forbid), Just(Overlap::Allow), Just(Overlap::Replace)];
    let missed = prop_oneof![Just(Missed::Skip), Just(Missed::RunOnce)];
    let cron = (schedules, zones, overlaps, missed, 1..=100_u32, job.clone()).prop_map(
        |(schedule, zone, overlap, missed, keep, job)| {
            let (schedule, zone) = (schedule.parse().unwrap(), zone.parse().unwrap());
            Kind::Cron(Cron { schedule, zone, overlap, missed, keep, job })
        },
    );
    prop_oneof![Just(Kind::Service), job.prop_map(Kind::Job), cron]
}

prop_compose! {
    fn check()(
        kind in 0..3_usize,
        (path, command) in ("/[!-\"$-z]{0,8}", vec("[!-z ]{1,5}", 1..3)),
        (every, timeout) in (100..=3_600_000_u64, 100..=60_000_u64),
        (failures, start) in (1..=1_000_u32, 0..=3_600_000_u64),
    ) -> Check {
        let port = Name::new("replaced").unwrap();
        let probe = match kind {
            0 => Probe::Http { port, path },
            1 => Probe::Tcp { port },
            _ => Probe::Exec(command),
        };
        let [every, timeout, start] = [every, timeout, start].map(Duration::from_millis);
        Check { probe, every, timeout, failures, start }
    }
}

/// The port is one of the service's, if it has any.
fn at(ports: &BTreeMap<Name, Port>, mut check: Check) -> Check {
    match (&mut check.probe, ports.keys().next_back()) {
        (Probe::Http { port, .. } | Probe::Tcp { port }, Some(last)) => port.clone_from(last),
        (Probe::Exec(_), _) => {}
        (probe, None) => *probe = Probe::Exec(vec!["true".to_owned()]),
    }
    check
}

fn exposed() -> impl Strategy<Value = Vec<Expose>> {
    let at = btree_set(proptest::sample::select(vec![ExposedAt::Cluster, ExposedAt::Root]), 1..3);
    btree_map(1..=u16::MAX, at, 0..3)
        .prop_map(|all| all.into_iter().map(|(port, at)| Expose { port, at }).collect())
}

prop_compose! {
    fn scale()(
        (min, max) in (1..=10_000_u32, 1..=10_000_u32),
        by in prop_oneof![
            (1..=100_u32).prop_map(ScaleBy::Cpu),
            (1..=100_u32).prop_map(ScaleBy::Memory),
            (path(), "[a-z_:][a-z0-9_:]{0,9}", 1..=1_u64 << 40).prop_map(|(path, name, target)| {
                let path = path.replace([' ', '#'], "");
                let port = Name::new("x").unwrap();
                ScaleBy::Metric(Metric { port, path, name, target: Thousandths(target) })
            }),
        ],
        (stabilization, cooldown) in (0..=3_600_u64, 0..=3_600_u64),
    ) -> Scale {
        let (stabilization, cooldown) = (Duration::from_secs(stabilization), Duration::from_secs(cooldown));
        Scale { min: min.min(max), max: max.max(min), by, stabilization, cooldown }
    }
}

/// By what the service has.
fn scaled(mut scale: Scale, ports: &BTreeMap<Name, Port>, cpu: u64, memory: u64) -> Option<Scale> {
    match &mut scale.by {
        ScaleBy::Cpu(_) if cpu == 0 => return None,
        ScaleBy::Memory(_) if memory == 0 => return None,
        ScaleBy::Cpu(_) | ScaleBy::Memory(_) => {}
        ScaleBy::Metric(metric) => metric.port.clone_from(ports.keys().next()?),
    }
    Some(scale)
}

fn step(word: String, seconds: u64) -> Step {
    Step { command: vec![word], timeout: Duration::from_secs(seconds) }
}

// Boxed: all of it at once is more than the stack of a test holds.
prop_compose! {
    fn spec()(
        command in vec(text(), 0..4),
        before in vec(("[!-z ]{1,5}", 1..=86_400_u64), 0..3),
        env in btree_map("[A-Za-z_][A-Za-z0-9_]{0,5}", text(), 0..4),
        (image, workdir, user) in (of("[!-z]{1,20}"), of(path()), of("[a-z0-9]{1,6}")),
        volumes in vec(volume(), 0..3),
        ports in ports(),
        (cpu, memory) in (0..=100_000_u64, 0..=1_u64 << 40),
        placement in placement().boxed(),
        restart in restart(),
        (secrets, files, on_change) in given().boxed(),
        (identity, healing) in (any::<bool>(), healing()).boxed(),
        (update, kind) in (update(), kind()).boxed(),
        (grace, drain) in (0..=3_600_000_u64, of(0..=3_600_000_u64)),
        (health, ready, expose) in (of(check()), of(check()), exposed()).boxed(),
        scale in of(scale()).boxed(),
        per_cluster in of((0..=10_000_u32, 1..=10_000_u32)),
    ) -> ServiceSpec {
        let scale = scale.and_then(|scale| scaled(scale, &ports, cpu, memory));
        let health = health.map(|check| at(&ports, check));
        let ready = ready.map(|check| Check { start: Check::START, ..at(&ports, check) });
        // Each run of a `cron` is a service of its own.
        let expose = ports.keys().cloned().zip(expose).filter(|_| kind.cron().is_none()).collect();
        let mut command = command;
        if let Some(program) = command.first_mut() {
            program.insert(0, 'p');
        }
        let mut targets = BTreeSet::new();
        let volumes = volumes.into_iter().filter(|v| targets.insert(v.target.clone())).collect();
        ServiceSpec {
            before: before.into_iter().map(|(word, seconds)| step(word, seconds)).collect(),
            secrets, files, on_change, identity, healing, update, kind,
            image, env, workdir, user, volumes, ports, placement, restart,
            resources: Resources::new(Cpu(cpu), Memory(memory)),
            health, ready, expose, scale,
            per_cluster: per_cluster.map(|(min, max)| PerCluster { min, max: max.max(min) }),
            grace: Duration::from_millis(grace),
            drain: drain.map(Duration::from_millis),
            ..ServiceSpec::new(Name::new("plug-in").unwrap(), command)
        }
    }
}

prop_compose! {
    fn application()(
        name in name(),
        services in btree_map(name(), (spec(), of(0..=10_000_u32)), 1..4),
    ) -> Application {
        // Everyone connects to every port there is.
        let connects: Vec<Connect> = services
            .iter()
            .flat_map(|(service, (spec, _))| spec.ports.keys().map(|port| (service.clone(), port.clone())))
            .map(|(service, port)| Connect { service, port, bound: None })
            .collect();
        let apart: Vec<Company> = services
            .keys()
            .map(|service| Company { service: service.clone(), on: Scope::Node, weight: Some(3) })
            .collect();
        let service = |(mut spec, replicas): (ServiceSpec, Option<u32>)| {
            spec.connects.clone_from(&connects);
            spec.placement.apart.clone_from(&apart);
            // A canary is a part of what can be counted.
            if replicas.is_none_or(|number| number < 200) && spec.update.canary().is_some() {
                spec.update = Update::default();
            }
            spec.priority = [Priority::Low, Priority::Normal, Priority::High][spec.volumes.len() % 3];
            // Work that ends is not begun for ever, and that of each node not at its times.
            if spec.restart.policy != RestartPolicy::OnFailure || replicas.is_none() {
                spec.kind = Kind::Service;
            }
            if replicas.is_none() || spec.placement.cluster.is_some() || spec.placement.node.is_some() {
                spec.per_cluster = None;
            }
            if replicas.is_none_or(|number| number == 0) || spec.kind != Kind::Service {
                spec.scale = None;
            }
            if let (Some(scale), Some(number)) = (&mut spec.scale, replicas) {
                (scale.min, scale.max) = (scale.min.min(number), scale.max.max(number));
            }
            if replicas.is_none() {
                (spec.placement.strategy, spec.placement.prefer) = (None, Vec::new());
                (spec.placement.scheduler, spec.placement.near) = (None, None);
                spec.placement.violated = placement::Violated::default();
                spec.healing = Healing::default();
            }
            ApplicationService { spec, replicas: replicas.map_or(Replicas::PerNode, Replicas::Number) }
        };
        Application { name, services: services.into_iter().map(|(name, spec)| (name, service(spec))).collect() }
    }
}

proptest! {
    #[test]
    fn every_application_comes_back(application in application()) {
        let shown = show(&application);
        let read = parse(&shown, "shown.yaml").map_err(|errors| TestCaseError::fail(format!("{errors}\n{shown}")))?;
        prop_assert_eq!(read, application, "{}", shown);
    }

    #[test]
    fn the_services_of_the_api_are_those_of_a_manifest(application in application()) {
        let services: BTreeMap<_, _> =
            application.services.iter().map(|(name, service)| (name.clone(), show_service(service))).collect();
        let shown = serde_json::json!({ "holm": "v1", "application": application.name, "services": services });
        // YAML takes fewer characters as they are than JSON does.
        let shown = shown.to_string().replace('\u{7f}', "\\u007f");
        let read = parse(&shown, "shown.json").map_err(|e| TestCaseError::fail(format!("{e}\n{shown}")))?;
        prop_assert_eq!(read, application, "{}", shown);
    }
}
