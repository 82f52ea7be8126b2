//! Which of the members that fit takes a slot.

use holm_core::node::NodeEvent;
use holm_core::orchestrator::command::{Command, Expected};
use holm_model::capability::Capability;
use holm_model::member::NodeFacts;
use holm_model::placement::{Company, Near, Preference, Scope, Strategy};

use crate::fleet::{Spec, app, fleet, name, nodes, sized, steady};
use crate::world::World;

fn placed(spec: Spec, change: impl FnOnce(&mut holm_model::service::Placement)) -> Spec {
    let mut spec = spec;
    change(&mut spec.0.placement);
    spec
}

fn company(service: &str, on: Scope) -> Company {
    Company { service: name(service), on, weight: None }
}

fn labelled(mib: &[u64], key: &str, values: &[&str]) -> Vec<(String, NodeFacts)> {
    let mut nodes = sized(mib);
    for ((_, facts), value) in nodes.iter_mut().zip(values) {
        facts.labels.insert(key.to_owned(), (*value).to_owned());
    }
    nodes
}

/// How many rows run on each of these.
fn counts(fleet: &World, nodes: &[&str]) -> Vec<usize> {
    let lines = fleet.lines();
    nodes
        .iter()
        .map(|node| lines.iter().filter(|line| line.ends_with(&format!(" RUNNING {node}"))).count())
        .collect()
}

#[test]
fn best_fit_fills_the_smallest_gap_that_is_large_enough() {
    let mut fleet = fleet().cluster("vienna", sized(&[512, 96, 256]));
    let small = placed(steady().memory("64Mi"), |place| place.strategy = Some(Strategy::BestFit));
    fleet.apply(app("shop").service("web", small, 3));
    fleet.run_until_running(3);
    // The small one first; then where the larger part is gone already.
    assert_eq!(counts(&fleet, &["vienna/fl-1", "vienna/fl-2", "vienna/fl-3"]), [0, 1, 2]);
}

#[test]
fn a_service_is_spread_over_nodes_and_stays_so_when_one_is_lost() {
    let mut fleet = fleet().cluster("vienna", nodes(3));
    let spread =
        placed(steady().memory("16Mi"), |place| place.strategy = Some(Strategy::Spread(Scope::Node)));
    fleet.apply(app("shop").service("web", spread, 6));
    fleet.run_until_running(6);
    let all = ["vienna/fl-1", "vienna/fl-2", "vienna/fl-3"];
    assert_eq!(counts(&fleet, &all), [2, 2, 2]);
    fleet.cut("vienna/fl-2");
    fleet.run_until("its instances are replaced, one on each of the others", |fleet| {
        counts(fleet, &["vienna/fl-1", "vienna/fl-3"]) == [3, 3]
    });
}

#[test]
fn a_service_is_spread_over_clusters_and_over_the_values_of_a_label() {
    let clusters =
        placed(steady().memory("16Mi"), |place| place.strategy = Some(Strategy::Spread(Scope::Cluster)));
    let mut world = fleet().cluster("vienna", nodes(3)).cluster("munich", nodes(1));
    world.apply(app("shop").service("web", clusters, 4));
    world.run_until_running(4);
    let on = |fleet: &World, cluster: &str| {
        fleet.rows().iter().filter(|row| row.cluster.as_deref() == Some(cluster)).count()
    };
    assert_eq!((on(&world, "vienna"), on(&world, "munich")), (2, 2));

    let zones = labelled(&[256, 256, 256], "zone", &["a", "a", "b"]);
    let mut fleet = fleet().cluster("vienna", zones);
    let by_zone = Some(Strategy::Spread(Scope::Label("zone".to_owned())));
    fleet.apply(app("shop").service(
        "web",
        placed(steady().memory("16Mi"), |place| place.strategy = by_zone),
        4,
    ));
    fleet.run_until_running(4);
    assert_eq!(counts(&fleet, &["vienna/fl-1", "vienna/fl-2", "vienna/fl-3"]), [1, 1, 2]);
}

#[test]
fn the_nearest_takes_it_and_too_far_is_refused() {
    let at = |facts: &mut NodeFacts, point: &str| facts.location = Some(point.parse().unwrap());
    let (mut vienna, mut munich) = (nodes(2), nodes(1));
    at(&mut vienna[0].1, "48.20,16.37");
    at(&mut vienna[1].1, "48.30,14.29");
    at(&mut munich[0].1, "48.14,11.58");
    let mut fleet = fleet().cluster("munich", munich).cluster("vienna", vienna).node("anywhere");
    let near = |point: &str, within: Option<&str>| {
        let location =
            Near { point: point.parse().unwrap(), within: within.map(|within| within.parse().unwrap()) };
        placed(steady().memory("16Mi"), |place| place.location = Some(location))
    };
    fleet.apply(
        app("shop")
            .service("linz", near("48.3069,14.2858", None), 1)
            .service("munich", near("48.1,11.5", Some("10km")), 1)
            .service("paris", near("48.85,2.35", Some("100km")), 1),
    );
    fleet.run_until_lines(&[
        "linz/0 RUNNING vienna/fl-2",
        "munich/0 RUNNING munich/fl-1",
        "paris/0 REQUESTED",
    ]);
    let reason = fleet.slot("paris/0").reason;
    assert!(
        reason.contains("km away, 100km asked") && reason.contains("anywhere: has no location"),
        "{reason}"
    );
}

#[test]
fn chance_is_the_same_each_time_and_uses_everybody() {
    let world = || {
        let mut fleet = fleet().cluster("vienna", nodes(4));
        let random = placed(steady().memory("4Mi"), |place| place.strategy = Some(Strategy::Random));
        fleet.apply(app("shop").service("web", random, 24));
        fleet.run_until_running(24);
        counts(&fleet, &["vienna/fl-1", "vienna/fl-2", "vienna/fl-3", "vienna/fl-4"])
    };
    let first = world();
    assert_eq!(first, world());
    assert!(first.iter().all(|count| *count > 0), "{first:?}");
}

#[test]
fn a_condition_and_preferences_choose_among_nodes_and_clusters() {
    let zones = labelled(&[256, 256, 256], "zone", &["outdoor", "indoor", "cellar"]);
    let mut fleet = fleet().cluster("munich", nodes(1)).cluster("vienna", zones);
    let inside = placed(steady().memory("16Mi"), |place| {
        place.condition = Some("has(labels.zone) && labels.zone != 'outdoor'".parse().unwrap());
        place.prefer = vec![Preference { condition: "labels.zone == 'cellar'".parse().unwrap(), weight: 5 }];
    });
    let named = placed(steady(), |place| place.condition = Some("name == 'fl-2'".parse().unwrap()));
    let nowhere = placed(steady(), |place| place.condition = Some("labels.zone == 'roof'".parse().unwrap()));
    fleet.apply(app("shop").service("web", inside, 1).service("named", named, 1).service("roof", nowhere, 1));
    fleet.run_until_lines(&["named/0 RUNNING vienna/fl-2", "roof/0 REQUESTED", "web/0 RUNNING vienna/fl-3"]);
    let reason = fleet.slot("roof/0").reason;
    assert!(reason.contains("munich: has no label zone") && reason.contains("is not true of it"), "{reason}");
}

#[test]
fn instances_that_must_be_apart_are_also_after_a_loss() {
    let mut fleet = fleet().cluster("vienna", nodes(3));
    let apart = placed(steady(), |place| place.apart = vec![company("db", Scope::Node)]);
    fleet.apply(app("shop").service("db", apart, 3));
    fleet.run_until_running(3);
    let all = ["vienna/fl-1", "vienna/fl-2", "vienna/fl-3"];
    assert_eq!(counts(&fleet, &all), [1, 1, 1]);
    fleet.cut("vienna/fl-1");
    fleet.run_secs(60);
    // There is no third place: better two than two on one node.
    assert_eq!(counts(&fleet, &all)[1..], [1, 1]);
    fleet.heal("vienna/fl-1");
    fleet.run_until("it is back", |fleet| counts(fleet, &all) == [1, 1, 1]);
}

#[test]
fn a_service_follows_another_and_waits_for_it() {
    let mut fleet = fleet().cluster("munich", nodes(2)).cluster("vienna", nodes(2));
    let web = placed(steady(), |place| place.with = vec![company("db", Scope::Node)]);
    // `db` comes before `web`; `alpha` must wait for it.
    let alpha = placed(steady(), |place| place.with = vec![company("db", Scope::Cluster)]);
    let db = steady().in_cluster("vienna").on_node("fl-2");
    fleet.apply(app("shop").service("alpha", alpha, 1).service("db", db, 1).service("web", web, 1));
    fleet.run_until_running(3);
    let lines = fleet.lines();
    assert!(lines[0].starts_with("alpha/0 RUNNING vienna/"), "{lines:?}");
    assert_eq!(lines[1..], ["db/0 RUNNING vienna/fl-2", "web/0 RUNNING vienna/fl-2"]);
}

#[test]
fn to_be_apart_is_mutual() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    let quiet = placed(steady(), |place| place.apart = vec![company("noisy", Scope::Node)]);
    fleet.apply(app("shop").service("alpha", quiet, 1).service("noisy", steady(), 1));
    fleet.run_until_lines(&["alpha/0 RUNNING vienna/fl-1", "noisy/0 RUNNING vienna/fl-2"]);
}

#[test]
fn a_cordoned_member_keeps_what_it_has_and_takes_nothing_new() {
    let mut fleet = fleet().cluster("munich", nodes(1)).cluster("vienna", nodes(2));
    fleet.apply(app("old").service("web", steady().memory("16Mi"), 1));
    fleet.run_until_lines(&["web/0 RUNNING munich/fl-1"]);
    let cordon = |fleet: &mut World, orch: &str, name: &str, cordoned: bool| {
        let (orch, member) = (fleet.orch(orch), fleet.member_id(name));
        fleet.command(orch, Command::Cordon { member, cordoned })
    };
    cordon(&mut fleet, "root", "munich", true).unwrap();
    cordon(&mut fleet, "vienna", "vienna/fl-1", true).unwrap();
    let refusal = cordon(&mut fleet, "root", "vienna/fl-1", true).unwrap_err().to_string();
    assert!(refusal.contains("belongs to cluster `vienna`"), "{refusal}");
    fleet.apply(app("shop").service("log", steady().memory("16Mi"), 1));
    fleet.run_until_lines(&["web/0 RUNNING munich/fl-1", "log/0 RUNNING vienna/fl-2"]);
    // The store keeps the mark.
    fleet.crash(fleet.who("root"), true);
    fleet.run_secs(10);
    fleet.apply(app("more").service("all", steady().memory("16Mi").in_cluster("munich"), 1));
    let row = fleet.slot("all/0");
    assert!(row.reason.contains("munich: is cordoned"), "{row:?}");
    cordon(&mut fleet, "root", "munich", false).unwrap();
    fleet.run_until_running(3);
}

#[test]
fn a_placement_is_explained_as_it_was_and_as_it_would_be() {
    let mut fleet = fleet().cluster("vienna", sized(&[512, 96, 256]));
    let small = placed(steady().memory("64Mi"), |place| place.strategy = Some(Strategy::BestFit));
    fleet.apply(app("shop").service("web", small, 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-2"]);
    let explain = |fleet: &World, orch: &str| {
        let key = crate::fleet::key("shop");
        fleet.orchestrators[fleet.orch(orch)].up().explain(&key, "web/0").unwrap()
    };
    let (root, vienna) = (explain(&fleet, "root"), explain(&fleet, "vienna"));
    assert_eq!((root.member.as_deref(), root.by.as_str()), (Some("vienna"), "root"));
    assert_eq!((vienna.member.as_deref(), vienna.strategy.as_str()), (Some("fl-2"), "best-fit"));
    let then = vienna.then.clone().unwrap();
    assert!(then.starts_with("best-fit: ") && then.ends_with("the best of 3 that fitted"), "{then}");
    let places: Vec<_> = vienna.members.iter().map(|of| (of.member.as_str(), of.place)).collect();
    assert_eq!(places, [("fl-2", Some(1)), ("fl-3", Some(2)), ("fl-1", Some(3))]);
    // What was decided is kept by the store; what would be decided follows the members.
    let (orch, member) = (fleet.orch("vienna"), fleet.member_id("vienna/fl-2"));
    fleet.command(orch, Command::Cordon { member, cordoned: true }).unwrap();
    fleet.crash(fleet.who("vienna"), true);
    fleet.run_secs(20);
    let later = explain(&fleet, "vienna");
    assert_eq!(later.then, vienna.then);
    let last = later.members.last().unwrap();
    assert!(last.member == "fl-2" && last.place.is_none() && last.reason.contains("cordoned"), "{later:#?}");
    assert_eq!(later, explain(&fleet, "vienna"));
    assert_eq!(fleet.orchestrators[0].up().explain(&crate::fleet::key("shop"), "web/7"), None);
}

#[test]
fn a_plan_says_who_would_take_it() {
    let mut fleet = fleet().cluster("munich", sized(&[64])).cluster("vienna", nodes(1));
    let big = app("shop").service("web", steady().memory("128Mi"), 1);
    fleet.run_secs(5);
    let plan = fleet.orchestrators[0].up().plan(&name("default"), &big.0, &Expected::Anything).unwrap();
    let members: Vec<_> = plan.forecast[0]
        .members
        .iter()
        .map(|of| format!("{} {:?} {}", of.member, of.place, of.reason))
        .collect();
    assert_eq!(members, ["vienna Some(1) fits", "munich None 64MiB free, 128MiB asked"]);
    assert_eq!(fleet.rows(), []);
}

#[test]
fn sensitive_work_runs_on_marked_nodes_only() {
    let mut vienna = nodes(2);
    vienna[1].1.capabilities.insert("data/sensitive".parse().unwrap());
    let mut fleet = fleet().cluster("munich", nodes(1)).cluster("vienna", vienna);
    let sensitive = placed(steady(), |place| place.sensitive = true);
    fleet.apply(app("shop").service("records", sensitive, 1));
    fleet.run_until_lines(&["records/0 RUNNING vienna/fl-2"]);
}

fn cordon(fleet: &mut World, orch: &str, name: &str, cordoned: bool) {
    let (orch, member) = (fleet.orch(orch), fleet.member_id(name));
    fleet.command(orch, Command::Cordon { member, cordoned }).unwrap();
}

#[test]
fn a_cordoned_node_does_not_hold_up_the_update_of_what_each_node_has() {
    let mut fleet = fleet().cluster("vienna", nodes(3));
    fleet.apply(app("shop").per_node("log", steady().version("1")));
    fleet.run_until_running(3);
    cordon(&mut fleet, "vienna", "vienna/fl-1", true);
    fleet.apply(app("shop").per_node("log", steady().version("2")));
    fleet.run_until("all are updated", |fleet| {
        fleet.processes("log").len() == 3 && fleet.rows().iter().all(|row| row.generation == 2)
    });
    // What was never there is new there.
    fleet.apply(app("more").per_node("more", steady()));
    fleet.run_secs(20);
    assert_eq!(fleet.processes("more").len(), 2);
}

#[test]
fn a_cordoned_cluster_gets_no_part_of_what_each_node_has_and_keeps_its_own() {
    let mut fleet = fleet().cluster("munich", nodes(1)).cluster("vienna", nodes(1));
    fleet.apply(app("old").per_node("old", steady().version("1")));
    fleet.run_until_running(2);
    cordon(&mut fleet, "root", "munich", true);
    fleet.apply(app("new").per_node("new", steady()));
    fleet.apply(app("old").per_node("old", steady().version("2")));
    fleet.run_secs(30);
    assert_eq!((fleet.processes("new").len(), fleet.processes("old").len()), (1, 2));
    let old = fleet.rows().into_iter().filter(|row| row.application.ends_with("old"));
    assert_eq!(old.map(|row| row.generation).collect::<Vec<_>>(), [2, 2]);
    cordon(&mut fleet, "root", "munich", false);
    fleet.run_until_running(4);
}

#[test]
fn a_plan_names_few_members_and_only_services_that_it_changes() {
    let sizes: Vec<u64> = (0..20).map(|number| if number < 10 { 256 } else { 64 }).collect();
    let mut fleet = fleet().cluster("vienna", sized(&sizes));
    let shop = |version| {
        let web = steady().memory("128Mi");
        app("shop").service("same", web.version("1"), 1).service(
            "web",
            steady().memory("100Mi").version(version),
            1,
        )
    };
    fleet.run_secs(5);
    let plan = |fleet: &World, app: &crate::fleet::App| {
        let vienna = fleet.orchestrators[fleet.orch("vienna")].up();
        vienna.plan(&name("default"), &app.0, &Expected::Anything).unwrap().forecast
    };
    let told = plan(&fleet, &shop("1"));
    assert_eq!(told.len(), 2);
    let places: Vec<_> = told[0].members.iter().map(|of| of.place).collect();
    assert_eq!(places, (1..=8).map(Some).chain([None; 8]).collect::<Vec<_>>());
    assert_eq!(told[0].more, 4);
    let vienna = fleet.orch("vienna");
    let application = shop("1").0;
    let apply = Command::Apply { project: name("default"), application, expected: Expected::Anything };
    fleet.command(vienna, apply).unwrap();
    let services: Vec<_> = plan(&fleet, &shop("2")).into_iter().map(|told| told.service).collect();
    assert_eq!(services, ["web"]);
}

#[test]
fn a_cluster_does_not_hand_back_what_waits_for_another_there() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let shop = |version, replicas| {
        let web = placed(steady().memory("8Mi"), |place| place.with = vec![company("db", Scope::Node)]);
        app("shop").service("db", steady().version(version), 1).service("web", web, replicas)
    };
    fleet.apply(shop("1", 1));
    fleet.run_until_running(2);
    // The old `db` has to end before the new one is placed, and the second `web` comes meanwhile.
    fleet.apply(shop("2", 2));
    for _ in 0..100 {
        fleet.run_for(std::time::Duration::from_millis(50));
        let row = fleet.slot("web/1");
        assert!(!row.reason.contains("no place"), "{row:?}");
    }
    fleet.run_until_running(3);
}

/// The node looks at itself again, and finds this.
pub(super) fn finds(fleet: &mut World, node: &str, change: impl FnOnce(&mut NodeFacts)) {
    let at = fleet.node_at(node);
    change(&mut fleet.nodes[at].facts);
    let facts = Box::new(fleet.nodes[at].facts.clone());
    fleet.node_event(at, NodeEvent::Facts(facts));
}

#[test]
fn units_are_promised_once() {
    let gpu: Capability = "hardware/gpu".parse().unwrap();
    let mut vienna = nodes(2);
    for (at, units) in [(0, 2), (1, 1)] {
        vienna[at].1.capabilities.insert(gpu.clone());
        vienna[at].1.units.set(gpu.clone(), units);
    }
    let mut fleet = fleet().cluster("vienna", vienna);
    let needs = |units: Option<u32>| {
        placed(steady().memory("16Mi"), |place| {
            place.require.insert(gpu.clone());
            place.units = units.map(|units| (gpu.clone(), units)).into_iter().collect();
        })
    };
    let running = |fleet: &World| fleet.lines().iter().filter(|line| line.contains("RUNNING")).count();
    fleet.apply(app("vision").service("large", needs(Some(2)), 1));
    fleet.run_until_lines(&["large/0 RUNNING vienna/fl-1"]);
    fleet.apply(app("more").service("small", needs(None), 2));
    fleet.run_until("what there is is taken", |fleet| running(fleet) == 2);
    let waits = fleet.slot("small/1").reason;
    assert!(waits.contains("0 hardware/gpu free, 1 asked"), "{waits}");
    let explained =
        fleet.orchestrators[fleet.orch("vienna")].up().explain(&crate::fleet::key("vision"), "large/0");
    let own = explained.unwrap().members.into_iter().find(|of| of.member == "fl-1").unwrap();
    assert_eq!(own.place, Some(1), "what it has is free for itself");
    fleet.delete("vision");
    fleet.run_until_running(2);
}

#[test]
fn a_taint_keeps_new_work_away_and_takes_nothing() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    let small = || steady().memory("16Mi");
    fleet.apply(app("shop").service("web", small().on_node("fl-2"), 1).per_node("eye", small()));
    fleet.run_until_running(3);
    finds(&mut fleet, "vienna/fl-2", |facts| {
        facts.amendments.taints.insert("dedicated".to_owned(), "radio".to_owned());
    });
    fleet.run_secs(5);
    fleet.apply(app("late").service("log", small().on_node("fl-2"), 1).per_node("ear", small()));
    fleet
        .run_until("all is said", |fleet| fleet.lines().len() == 5 && !fleet.slot("log/0").reason.is_empty());
    let reason = fleet.slot("log/0").reason;
    assert!(reason.contains("has the taint `dedicated=radio`, which is not tolerated"), "{reason}");
    assert_eq!((fleet.processes("eye").len(), fleet.processes("ear").len()), (2, 1));
    let tolerant = placed(small().on_node("fl-2"), |place| {
        place.tolerates.insert("dedicated".parse().unwrap());
    });
    fleet.apply(app("radio").service("radio", tolerant, 1));
    fleet.run_until("it is tolerated", |fleet| fleet.processes("radio") == ["vienna/fl-2"]);
    finds(&mut fleet, "vienna/fl-2", |facts| facts.amendments.taints.clear());
    fleet.run_until_running(7);
}
