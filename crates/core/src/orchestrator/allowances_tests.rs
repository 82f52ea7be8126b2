use holm_model::message::{Facts, FactsPart, READS, Up};
use holm_model::project::Asked;
use holm_model::record::Table;

use super::*;
use crate::orchestrator::command::{Command, ProjectCommand};
use crate::orchestrator::event::{Effect, Event, LinkId};
use crate::orchestrator::testing::Root;

fn report(project: &str, applications: u32) -> Fact {
    let asked = Asked { instances: applications.into(), ..Asked::default() };
    Fact::Project(ProjectReport { project: project.parse().unwrap(), applications, asked })
}

/// A root with the project `blue`, and clusters on the links 1 and 2.
fn root() -> (Root, [MemberId; 2]) {
    let mut root = Root::new();
    let (name, quota) = ("blue".parse().unwrap(), Quota { instances: Some(9), ..Quota::default() });
    root.command(Command::Project(ProjectCommand::Create { name, quota }));
    let clusters = [1, 2].map(|link| {
        let cluster = root.join_named(Role::Cluster, &format!("c-{link}"));
        root.call_as(link, cluster, Role::Cluster, READS);
        cluster
    });
    (root, clusters)
}

/// A message of facts from the cluster on link 1.
fn say(root: &mut Root, cluster: MemberId, put: Vec<Fact>) -> Vec<Effect> {
    let live = &root.0.live[&cluster];
    let (session, sequence) = (live.session, live.sequence + 1);
    let (part, revision, gone) = (FactsPart::Change, 0, Vec::new());
    let facts = Facts { session, sequence, part, revision, put, gone };
    root.step(Event::LinkMessage { link: LinkId(1), message: Up::Facts(facts) })
}

fn changes(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Send { link: LinkId(2), .. })).count()
}

#[test]
fn whatever_a_cluster_says_of_projects_little_is_kept_and_written_once() {
    let (mut root, [cluster, _]) = root();
    root.0.take_behind();
    for from in 0..20 {
        let many = (0..50).map(|number| report(&format!("p-{from}-{number}"), 1));
        say(&mut root, cluster, many.collect());
    }
    say(&mut root, cluster, vec![report("blue", 2)]);
    root.step(Event::Tick);
    let reports = root.0.last_reports(cluster);
    assert_eq!(reports.len(), STRAYS + 2, "those, and `blue`");
    assert_eq!(reports[&Name::new("blue").unwrap()].applications, 2, "what is there has its place");
    let written = root.0.take_behind().writes;
    assert_eq!(written.iter().filter(|write| write.table == Table::Seen).count(), 1);
}

#[test]
fn however_often_a_cluster_says_something_else_others_are_told_once_a_tick() {
    let (mut root, [cluster, _]) = root();
    let told: usize =
        (1..9).map(|number| changes(&say(&mut root, cluster, vec![report("blue", number)]))).sum();
    assert_eq!(told, 0);
    assert_eq!(changes(&root.step(Event::Tick)), 1);
    assert_eq!(changes(&root.step(Event::Tick)), 0);
}
