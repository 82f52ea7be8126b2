//! Projects, quotas and roles of services over all tiers.

use holm_core::orchestrator::ServiceName;
use holm_core::orchestrator::command::{Command, Expected, ProjectCommand, Refusal, Reply};
use holm_model::access::{Grants, Role};
use holm_model::cron::Zone;
use holm_model::job::{Cron, Job, Kind, Missed, Overlap};
use holm_model::view::people::Quota;
use holm_model::wish::AppKey;

use crate::fleet::{App, app, fleet, name, nodes, steady};
use crate::world::{Orch, World};

fn blue(application: &str) -> AppKey {
    AppKey { project: name("blue"), application: name(application) }
}

fn quota(instances: u32) -> Quota {
    Quota { instances: Some(instances), ..Quota::default() }
}

fn create(fleet: &mut World, quota: Quota) {
    fleet.command(0, Command::Project(ProjectCommand::Create { name: name("blue"), quota })).unwrap();
    fleet.run_secs(2);
}

fn apply(fleet: &mut World, orch: Orch, application: App) -> Result<Reply, Refusal> {
    let (project, expected) = (name("blue"), Expected::Anything);
    let done = fleet.command(orch, Command::Apply { project, application: application.0, expected });
    fleet.run_secs(2);
    done
}

fn delete(fleet: &mut World, orch: Orch, application: &str) {
    let command = Command::Delete { app: blue(application), expected: Expected::Anything };
    fleet.command(orch, command).unwrap();
    fleet.run_secs(2);
}

fn web(application: &str, replicas: u32) -> App {
    app(application).service("web", steady().memory("1Mi"), replicas)
}

fn refused(done: Result<Reply, Refusal>) -> String {
    done.unwrap_err().to_string()
}

#[test]
fn a_cluster_takes_applications_of_projects_only_that_its_root_has() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let vienna = fleet.orch("vienna");
    let unknown = apply(&mut fleet, vienna, web("own", 1));
    assert!(refused(unknown).contains("told this cluster of no project `blue`"));
    create(&mut fleet, Quota::default());
    apply(&mut fleet, vienna, web("own", 1)).unwrap();

    // It is known above: nobody takes the project away below it.
    let take = || Command::Project(ProjectCommand::Delete { name: name("blue") });
    assert!(refused(fleet.command(0, take())).contains("cluster `vienna` has applications of its own"));
    let view =
        fleet.orchestrators[0].up().projects().into_iter().find(|project| project.name == "blue").unwrap();
    assert_eq!((view.applications, view.used.instances), (1, Some(1)));
    delete(&mut fleet, vienna, "own");
    fleet.command(0, take()).unwrap();
    fleet.run_secs(2);
    assert!(matches!(apply(&mut fleet, vienna, web("own", 1)), Err(Refusal::NotTold { .. })));
    // What it knows it knows alone, too.
    fleet.cut("vienna");
    fleet.crash(fleet.who("vienna"), false);
    fleet.run_secs(5);
    assert!(matches!(apply(&mut fleet, vienna, web("own", 1)), Err(Refusal::NotTold { .. })));
}

#[test]
fn what_is_there_goes_on_and_can_be_made_less_when_its_project_is_gone() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let vienna = fleet.orch("vienna");
    create(&mut fleet, Quota::default());
    fleet.cut("vienna");
    apply(&mut fleet, vienna, web("own", 2)).unwrap();
    // Nobody above has heard of it.
    fleet.command(0, Command::Project(ProjectCommand::Delete { name: name("blue") })).unwrap();
    fleet.heal("vienna");
    fleet.run_secs(20);
    assert_eq!(fleet.processes("web").len(), 2, "nothing is stopped");
    let more = refused(apply(&mut fleet, vienna, web("own", 3)));
    assert!(more.contains("memory 3Mi of 0"), "{more}");
    apply(&mut fleet, vienna, web("own", 1)).unwrap();
    delete(&mut fleet, vienna, "own");
}

#[test]
fn a_quota_counts_what_root_and_clusters_have() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    let [vienna, munich] = [fleet.orch("vienna"), fleet.orch("munich")];
    create(&mut fleet, quota(3));
    apply(&mut fleet, 0, web("shop", 1)).unwrap();
    apply(&mut fleet, vienna, web("own", 1)).unwrap();
    let limits = |fleet: &World, orch: Orch| {
        let project =
            fleet.orchestrators[orch].up().projects().into_iter().find(|p| p.name == "blue").unwrap();
        (project.used.instances, project.quota.instances)
    };
    assert_eq!(limits(&fleet, 0), (Some(2), Some(3)));
    assert_eq!(limits(&fleet, vienna), (Some(1), Some(2)), "what its own may have in all");
    assert_eq!(limits(&fleet, munich), (Some(0), Some(1)));
    let much = refused(apply(&mut fleet, munich, web("own", 2)));
    assert!(much.contains("2 instances of 1") && much.contains("at the root"), "{much}");
    assert!(refused(apply(&mut fleet, 0, web("shop", 3))).contains("4 instances of 3"));
    apply(&mut fleet, munich, web("own", 1)).unwrap();
    assert!(refused(apply(&mut fleet, vienna, web("own", 2))).contains("2 instances of 1"));
    // What is given back is there for others.
    delete(&mut fleet, 0, "shop");
    apply(&mut fleet, vienna, web("own", 2)).unwrap();
    assert_eq!(limits(&fleet, 0), (Some(3), Some(3)));
}

#[test]
fn a_cluster_that_is_cut_off_keeps_to_what_was_left_and_the_root_to_what_it_heard() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    let vienna = fleet.orch("vienna");
    create(&mut fleet, quota(3));
    apply(&mut fleet, vienna, web("own", 2)).unwrap();
    fleet.run_until("it is known above", |fleet| fleet.processes("web").len() == 2);
    fleet.cut("vienna");
    fleet.crash(fleet.who("vienna"), false);
    fleet.run_secs(5);
    assert!(refused(apply(&mut fleet, vienna, web("own", 4))).contains("4 instances of 3"));
    // The root restarts, and has heard nothing in this run.
    fleet.run_secs(2);
    fleet.crash(fleet.who("root"), false);
    fleet.run_secs(5);
    assert!(refused(apply(&mut fleet, 0, web("shop", 2))).contains("4 instances of 3"));
    apply(&mut fleet, 0, web("shop", 1)).unwrap();
    // Both took what was left: it is told at the reunion, and nothing is ended for it.
    apply(&mut fleet, vienna, web("own", 3)).unwrap();
    fleet.heal("vienna");
    fleet.run_until("all run", |fleet| fleet.processes("web").len() == 4);
    fleet.run_secs(20);
    assert_eq!(fleet.processes("web").len(), 4);
    assert!(refused(apply(&mut fleet, 0, web("more", 1))).contains("5 instances of 3"));
    assert!(refused(apply(&mut fleet, vienna, web("more", 1))).contains("4 instances of 2"));
}

/// What the only instance of `application/web` that the orchestrator knows may do there, and where it is.
fn rights(fleet: &World, orch: Orch, application: &str) -> Grants {
    let rows = fleet.rows().into_iter().filter(|row| row.application == application);
    let row = rows.into_iter().next().expect("a row at the root");
    let cluster = row.cluster.clone().unwrap();
    let node = fleet.member_id(&format!("{cluster}/{}", row.node.unwrap()));
    let path = if orch == 0 { vec![fleet.member_id(&cluster), node] } else { vec![node] };
    let of = ServiceName { app: blue(application), service: name("web") };
    fleet.orchestrators[orch].up().rights_of(row.id.unwrap().parse().unwrap(), &of, &path)
}

fn give(fleet: &mut World, application: &str, role: Option<Role>) -> Result<Reply, Refusal> {
    let (app, service) = (blue(application), name("web"));
    let done = fleet.command(0, Command::Project(ProjectCommand::SetServiceRole { app, service, role }));
    fleet.run_secs(2);
    done
}

#[test]
fn the_role_of_a_service_counts_where_its_instance_was_placed() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let vienna = fleet.orch("vienna");
    create(&mut fleet, Quota::default());
    apply(&mut fleet, 0, web("shop", 1)).unwrap();
    fleet.run_until_running(1);
    let (none, viewer) = (Grants::default(), Grants::projects(Role::Viewer, [name("blue")]));
    assert_eq!([rights(&fleet, 0, "shop"), rights(&fleet, vienna, "shop")], [none.clone(), none.clone()]);
    give(&mut fleet, "shop", Some(Role::Viewer)).unwrap();
    assert_eq!([rights(&fleet, 0, "shop"), rights(&fleet, vienna, "shop")], [viewer.clone(), viewer.clone()]);
    // Without the root, and after a restart of the cluster, as before.
    fleet.cut("vienna");
    fleet.crash(fleet.who("vienna"), false);
    fleet.run_secs(5);
    fleet.run_until("it is back", |fleet| rights(fleet, vienna, "shop") == viewer);
    fleet.heal("vienna");
    fleet.run_until_running(1);
    give(&mut fleet, "shop", None).unwrap();
    assert_eq!([rights(&fleet, 0, "shop"), rights(&fleet, vienna, "shop")], [none.clone(), none]);
    assert!(matches!(give(&mut fleet, "shop", None), Err(Refusal::NotFound { .. })));
    assert!(refused(give(&mut fleet, "shop", Some(Role::Admin))).contains("can be viewer or operator"));
}

#[test]
fn a_role_goes_with_its_application() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    create(&mut fleet, Quota::default());
    apply(&mut fleet, 0, web("shop", 1)).unwrap();
    give(&mut fleet, "shop", Some(Role::Operator)).unwrap();
    delete(&mut fleet, 0, "shop");
    apply(&mut fleet, 0, web("shop", 1)).unwrap();
    fleet.run_until_running(1);
    assert!(rights(&fleet, 0, "shop").is_empty());
}

/// A cluster may call what it owns as it likes: that is no way to rights at the root.
#[test]
fn what_a_cluster_runs_of_its_own_has_no_rights_at_the_root() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let vienna = fleet.orch("vienna");
    create(&mut fleet, Quota::default());
    give(&mut fleet, "shop", Some(Role::Operator)).unwrap();
    apply(&mut fleet, vienna, web("shop", 1)).unwrap();
    fleet.run_until_running(1);
    assert!(rights(&fleet, 0, "shop").is_empty());
    assert_eq!(rights(&fleet, vienna, "shop"), Grants::projects(Role::Operator, [name("blue")]));
}

#[test]
fn a_member_may_have_the_images_of_projects_that_it_runs_something_of() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    let vienna = fleet.orch("vienna");
    create(&mut fleet, Quota::default());
    let member = ["vienna", "munich", "vienna/fl-1"].map(|member| fleet.member_id(member));
    let may =
        |fleet: &World, orch: Orch, member, project| fleet.orchestrators[orch].up().runs_for(member, project);
    assert!(!may(&fleet, 0, member[0], "blue"));
    // A cluster's own application is one, too.
    apply(&mut fleet, vienna, web("own", 1)).unwrap();
    fleet.run_until_running(1);
    fleet.run_secs(2);
    assert!(may(&fleet, 0, member[0], "blue") && may(&fleet, vienna, member[2], "blue"));
    assert!(!may(&fleet, 0, member[1], "blue") && !may(&fleet, 0, member[0], "default"));
    delete(&mut fleet, vienna, "own");
    fleet.run_secs(10);
    assert!(!may(&fleet, 0, member[0], "blue") && !may(&fleet, vienna, member[2], "blue"));
    // What the root places.
    apply(&mut fleet, 0, web("shop", 2)).unwrap();
    fleet.run_secs(5);
    assert!(may(&fleet, 0, member[0], "blue") || may(&fleet, 0, member[1], "blue"));
}

#[test]
fn an_instance_of_a_revoked_node_is_not_there_for_those_above() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let vienna = fleet.orch("vienna");
    create(&mut fleet, Quota::default());
    apply(&mut fleet, 0, web("shop", 1)).unwrap();
    give(&mut fleet, "shop", Some(Role::Viewer)).unwrap();
    fleet.run_until_running(1);
    let (cluster, member) = (fleet.member_id("vienna"), fleet.member_id("vienna/fl-1"));
    let id = fleet.slot("web/0").id.unwrap().parse().unwrap();
    let of = ServiceName { app: blue("shop"), service: name("web") };
    let there = |fleet: &World| fleet.orchestrators[0].up().is_there(id, &of, &[cluster, member]);
    assert!(there(&fleet));
    // At the cluster, which nobody above has told.
    fleet.command(vienna, Command::RevokeMember { member }).unwrap();
    fleet.run_secs(1);
    assert!(!there(&fleet));
    assert!(fleet.orchestrators[0].up().rights_of(id, &of, &[cluster, member]).is_empty());
}

#[test]
fn what_a_revoked_cluster_has_said_holds_nothing_back() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    let [vienna, munich] = [fleet.orch("vienna"), fleet.orch("munich")];
    create(&mut fleet, quota(3));
    apply(&mut fleet, vienna, web("own", 3)).unwrap();
    assert!(refused(apply(&mut fleet, munich, web("own", 1))).contains("1 instances of 0"));
    let member = fleet.member_id("vienna");
    fleet.command(0, Command::RevokeMember { member }).unwrap();
    fleet.run_secs(2);
    apply(&mut fleet, munich, web("own", 3)).unwrap();
    delete(&mut fleet, munich, "own");
    fleet.command(0, Command::Project(ProjectCommand::Delete { name: name("blue") })).unwrap();
}

#[test]
fn nodes_of_clusters_that_have_not_called_yet_count_after_a_restart() {
    let mut fleet = fleet().cluster("vienna", nodes(3));
    fleet.run_secs(5);
    create(&mut fleet, quota(2));
    let each = || app("shop").per_node("web", steady().memory("1Mi"));
    assert!(refused(apply(&mut fleet, 0, each())).contains("3 instances of 2"));
    fleet.cut("vienna");
    fleet.crash(fleet.who("root"), false);
    fleet.run_secs(5);
    assert!(refused(apply(&mut fleet, 0, each())).contains("3 instances of 2"));
}

#[test]
fn runs_have_the_role_of_the_service_that_they_are_runs_of() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    create(&mut fleet, Quota::default());
    let mut application = web("shop", 1);
    let spec = &mut application.0.services.get_mut(&name("web")).unwrap().spec;
    spec.identity = true;
    spec.kind = Kind::Cron(Cron {
        schedule: "* * * * *".parse().unwrap(),
        zone: Zone::default(),
        overlap: Overlap::Forbid,
        missed: Missed::Skip,
        keep: 2,
        job: Job::default(),
    });
    apply(&mut fleet, 0, application).unwrap();
    give(&mut fleet, "shop", Some(Role::Viewer)).unwrap();
    fleet.run_until("a run is there", |fleet| fleet.rows().iter().any(|row| row.state == "RUNNING"));
    let viewer = Grants::projects(Role::Viewer, [name("blue")]);
    let vienna = fleet.orch("vienna");
    assert_eq!([rights(&fleet, 0, "shop"), rights(&fleet, vienna, "shop")], [viewer.clone(), viewer]);
    let id = fleet.rows()[0].id.clone().unwrap().parse().unwrap();
    let of = fleet.orchestrators[vienna].up().identity_for(fleet.member_id("vienna/fl-1"), id).unwrap();
    assert_eq!(of, ServiceName { app: blue("shop"), service: name("web") });
}
