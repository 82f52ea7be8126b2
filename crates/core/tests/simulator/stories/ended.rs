//! What has ended, and what becomes of that when its node or cluster is lost.

use holm_model::cron::Zone;
use holm_model::job::{Cron, Job, Kind, Missed, Overlap};

use crate::fleet::{Spec, app, fleet, nodes, program};
use crate::world::World;

/// Each minute.
fn cron(mut spec: Spec) -> Spec {
    spec.0.kind = Kind::Cron(Cron {
        schedule: "* * * * *".parse().unwrap(),
        zone: Zone::default(),
        overlap: Overlap::Forbid,
        missed: Missed::Skip,
        keep: 2,
        job: Job::default(),
    });
    spec
}

fn begun(fleet: &World) -> usize {
    fleet.orchestrators[0].disk.history.iter().filter(|change| change.to == "begun").count()
}

#[test]
fn a_node_that_is_lost_after_its_work_is_done_stops_no_later_run() {
    for once in [false, true] {
        // It ends well, or fails and is not tried again.
        let spec = if once { program(&["crash", "500"]).once() } else { program(&["job", "500"]) };
        let mut fleet = fleet().cluster("vienna", nodes(2));
        fleet.apply(app("shop").service("report", cron(spec), 1));
        fleet.run_until("the first has ended", |fleet| {
            fleet.rows().iter().any(|row| row.state == if once { "FAILED" } else { "COMPLETED" })
        });
        fleet.cut("vienna/fl-1");
        fleet.run_secs(30);
        let before = begun(&fleet);
        fleet.run_secs(300);
        assert!(begun(&fleet) >= before + 4, "once: {once}: {} {:#?}", begun(&fleet) - before, fleet.rows());
    }
}

#[test]
fn a_job_that_is_done_stays_so_when_its_node_or_its_cluster_is_lost() {
    for lost in ["vienna/fl-1", "vienna"] {
        let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
        let mut job = program(&["job", "500"]).in_cluster("vienna");
        job.0.kind = Kind::Job(Job::default());
        fleet.apply(app("shop").service("import", job, 1));
        fleet.run_until_lines(&["import/0 COMPLETED vienna/fl-1"]);
        fleet.cut(lost);
        for _ in 0..90 {
            fleet.run_secs(1);
            assert_eq!(fleet.lines(), ["import/0 COMPLETED vienna/fl-1"], "{lost}");
        }
    }
}
