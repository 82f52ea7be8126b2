//! The machine in numbers.

use holm_model::member::Role;
use holm_model::state::InstanceState;

use crate::fleet::{app, fleet, program, sized, steady};
use crate::world::World;

#[test]
fn figures_tell_of_members_services_and_what_waits() {
    let mut fleet = fleet().cluster("vienna", sized(&[256, 256])).node("edge");
    let shop = app("shop").service("web", steady().memory("64Mi").in_cluster("vienna"), 2);
    fleet.apply(shop.service("big", steady().memory("1Gi"), 1).per_node("collector", steady()));
    let running = |fleet: &World| fleet.rows().iter().filter(|row| row.state == "RUNNING").count();
    fleet.run_until("all run that have a place", |fleet| running(fleet) == 5);
    let (root, vienna) = (fleet.orch("root"), fleet.orch("vienna"));
    let figures = |orch: usize| fleet.orchestrators[orch].machine.as_ref().unwrap().figures();

    let at_root = figures(root);
    let services: Vec<_> =
        at_root.services.iter().map(|(id, s)| (id.service.to_string(), s.slots, s.running)).collect();
    assert_eq!(services, [("big".into(), 1, 0), ("collector".into(), 3, 3), ("web".into(), 2, 2)]);
    assert_eq!(at_root.waiting.into_iter().collect::<Vec<_>>(), [("memory", 1)]);
    assert!(at_root.tally.refusals["memory"] >= 2, "{:?}", at_root.tally);
    assert_eq!(at_root.tally.placements["first-fit"], 4, "two of web, a share per member for the collectors");
    let cluster = at_root.members.iter().find(|member| member.role == Role::Cluster).unwrap();
    assert_eq!((cluster.allocatable.memory.0, cluster.free.memory.0), (512 << 20, 384 << 20));

    let at_vienna = figures(vienna);
    let free: Vec<_> = at_vienna.members.iter().map(|member| member.free.memory.0 >> 20).collect();
    assert_eq!(free, [128, 256]);
    assert_eq!(at_vienna.members.iter().map(|member| member.instances).collect::<Vec<_>>(), [3, 1]);
    assert!(at_vienna.waiting.is_empty() && at_vienna.halted == 0);
}

#[test]
fn restarts_and_replacements_are_counted() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_running(1);
    fleet.cut("root/fl-1");
    fleet.run_until_lines(&["web/0 DANGLING fl-1", "web/0 RUNNING fl-2"]);
    let figures = |fleet: &World| fleet.orchestrators[0].machine.as_ref().unwrap().figures();
    assert_eq!(figures(&fleet).tally.replacements, 1);
    fleet.apply(app("fragile").service("web", program(&["crash", "300"]), 1));
    fleet.run_until("it was started again", |fleet| {
        figures(fleet)
            .tally
            .restarts
            .iter()
            .any(|(id, number)| id.app.application == *"fragile" && *number >= 2)
    });
    let states: Vec<_> = figures(&fleet).services.into_values().flat_map(|s| s.instances).collect();
    assert!(states.iter().any(|(state, _)| *state == InstanceState::Running), "{states:?}");
}
