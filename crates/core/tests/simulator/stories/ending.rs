//! What ended by itself, and is not started again by itself.

use crate::fleet::{Spec, app, fleet, nodes, program};
use crate::world::World;

fn stays(mut fleet: World, spec: Spec, state: &str) {
    fleet.apply(app("shop").service("web", spec, 1));
    fleet.run_until("it has ended", |fleet| fleet.slot("web/0").state == state);
    let row = fleet.slot("web/0");
    fleet.run_secs(30);
    assert_eq!(fleet.slot("web/0").id, row.id, "nobody starts it again");
    let place = [row.cluster.clone(), row.node.clone()].into_iter().flatten().collect::<Vec<_>>().join("/");
    let node = if place.contains('/') { place } else { format!("root/{place}") };
    fleet.cut(&node);
    for _ in 0..600 {
        fleet.run_for(std::time::Duration::from_millis(100));
        assert!(fleet.processes("web").is_empty(), "nor when its node is lost");
    }
    fleet.heal(&node);
    fleet.run_until("it is known again", |fleet| fleet.slot("web/0").state == state);
    assert_eq!((fleet.slot("web/0").id, fleet.slot("web/0").incarnation), (row.id, 1));
}

#[test]
fn what_is_never_started_again_stays_where_it_failed() {
    stays(fleet().node("fl-1").node("fl-2"), program(&["crash", "500"]).once(), "FAILED");
    stays(fleet().cluster("vienna", nodes(2)), program(&["crash", "500"]).once(), "FAILED");
    let two = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    stays(two, program(&["crash", "500"]).once(), "FAILED");
}

#[test]
fn a_job_that_is_done_is_not_done_again() {
    stays(fleet().node("fl-1").node("fl-2"), program(&["job", "500"]), "COMPLETED");
    stays(fleet().cluster("vienna", nodes(2)), program(&["job", "500"]).once(), "COMPLETED");
}

#[test]
fn people_start_it_again() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", program(&["crash", "500"]).once(), 1));
    fleet.run_until_lines(&["web/0 FAILED fl-1"]);
    fleet.apply(app("shop").service("web", program(&["crash", "500"]).once().version("2"), 1));
    fleet.run_until("it ran once more", |fleet| {
        fleet.lines() == ["web/0 FAILED fl-1"] && fleet.slot("web/0").generation == 2
    });
}
