//! Root and cluster both own applications; one name may mean two of them.

use holm_core::orchestrator::InstanceFilter;
use holm_core::orchestrator::command::{Command, Expected};

use crate::fleet::{app, fleet, key, name, nodes, steady};

#[test]
fn one_name_of_two_owners_is_told_apart() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let vienna = fleet.orch("vienna");
    let application = app("shop").service("web", steady(), 1).0;
    fleet
        .command(
            vienna,
            Command::Apply { project: name("default"), application, expected: Expected::Anything },
        )
        .unwrap();
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until("both run", |fleet| fleet.lines() == ["web/0 RUNNING vienna/fl-1"; 2]);

    let mut owners: Vec<_> = fleet.rows().into_iter().map(|row| row.owner).collect();
    owners.sort();
    assert_eq!(owners, [None, Some("vienna".to_owned())]);
    let root = fleet.orchestrators[0].up();
    let [ours] = &root.applications()[..] else { panic!("the root has one of its own") };
    let filter = InstanceFilter { application: Some(ours.id.clone()), ..InstanceFilter::default() };
    let rows = root.instances(&filter);
    assert_eq!((rows.len(), rows[0].owner.as_ref()), (1, None));
    let below = fleet.orchestrators[vienna].up().instances(&InstanceFilter::default());
    let mut same: Vec<_> = below.into_iter().map(|row| row.owner).collect();
    same.sort();
    assert_eq!(same, [None, Some("vienna".to_owned())], "the owner is the same wherever one asks");

    fleet.delete("shop");
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    let refusal =
        fleet.command(0, Command::Delete { app: key("shop"), expected: Expected::Anything }).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "application default/shop belongs to cluster `vienna`, and is changed there"
    );
}
