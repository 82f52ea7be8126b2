use std::collections::BTreeMap;
use std::sync::Arc;

use holm_core::orchestrator::figures::{MemberFigures, ServiceFigures};
use holm_core::orchestrator::tally::ServiceId;
use holm_metrics::{Process, text};
use holm_model::member::{Role, Usage};
use holm_model::name::Name;
use holm_model::resources::{Cpu, Memory, Resources};
use holm_model::state::{InstanceState, MemberState};
use holm_model::time::Time;
use holm_model::wish::AppKey;

use super::*;

fn status(role: &str, parent: &str) -> StatusView {
    StatusView {
        version: "0.1.0".to_owned(),
        role: role.to_owned(),
        name: "vienna".to_owned(),
        sea: "sea".to_owned(),
        epoch: String::new(),
        revision: 7,
        read_only: None,
        parent: parent.to_owned(),
        parent_address: None,
        proxy: None,
        fingerprint: String::new(),
    }
}

fn around() -> Surroundings {
    Surroundings {
        started: Time(1500),
        process: Process::default(),
        meter: Arc::default(),
        queue: (3, 1024),
        links: 2,
        read_only: false,
        disk: None,
        certificates: vec![("server", 1000)],
    }
}

fn node(name: &str, state: MemberState) -> MemberFigures {
    MemberFigures {
        name: name.to_owned(),
        role: Role::Node,
        state,
        frozen: false,
        cordoned: false,
        lag: 2,
        instances: 1,
        allocatable: Resources::new(Cpu(4000), Memory(1 << 30)),
        free: Resources::new(Cpu(3500), Memory(1 << 29)),
        usage: Usage { cpu_millis: 250, memory: 1 << 20 },
        disk: Some((100, 40)),
    }
}

fn service(project: &str, application: &str) -> ServiceId {
    let name = |text| Name::new(text).unwrap();
    let app = AppKey { project: name(project), application: name(application) };
    ServiceId { app, service: name("svc") }
}

fn lines(figures: &Figures) -> Vec<String> {
    let text = text(&families(&status("cluster", "connected"), figures, &around()));
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn has(lines: &[String], line: &str) {
    assert!(lines.iter().any(|found| found == line), "{line}\n{lines:#?}");
}

#[test]
fn nodes_that_are_not_online_have_no_free_room() {
    let members = vec![node("fl-1", MemberState::Online), node("fl-2", MemberState::Offline)];
    let lines = lines(&Figures { members, ..Figures::default() });
    has(&lines, "holm_node_cpu_free_cores{cluster=\"vienna\",node=\"fl-1\"} 3.5");
    has(&lines, "holm_node_memory_free_bytes{cluster=\"vienna\",node=\"fl-1\"} 536870912");
    has(&lines, "holm_node_cpu_allocatable_cores{cluster=\"vienna\",node=\"fl-2\"} 4");
    has(&lines, "holm_members{role=\"node\",state=\"offline\"} 1");
    has(&lines, "holm_member_up{role=\"node\",member=\"fl-2\"} 0");
    has(&lines, "holm_member_list_lag_revisions{role=\"node\",member=\"fl-1\"} 2");
    has(&lines, "holm_parent_connected 1");
    assert!(!lines.iter().any(|line| line.contains("_free_cores") && line.contains("fl-2")), "{lines:#?}");
}

#[test]
fn services_beyond_the_limit_are_other_and_each_project_has_its_share() {
    let web = ServiceFigures {
        slots: 2,
        running: 1,
        instances: BTreeMap::from([(InstanceState::Running, 1), (InstanceState::Failed, 1)]),
        usage: Usage::default(),
    };
    let mut services = BTreeMap::new();
    for number in 0..=MOST_SERVICES {
        services.insert(service("aaa", &format!("a{number}")), web.clone());
    }
    services.insert(service("zoo", "z"), web);
    let mut figures = Figures { services, ..Figures::default() };
    figures.tally.placements = BTreeMap::from([("spread", 4)]);
    figures.waiting = BTreeMap::from([("cpu", 3)]);
    let lines = lines(&figures);
    has(&lines, "holm_slots{project=\"aaa\",application=\"a0\",service=\"svc\"} 2");
    has(&lines, "holm_slots{project=\"zoo\",application=\"z\",service=\"svc\"} 2");
    has(&lines, "holm_slots{project=\"other\",application=\"other\",service=\"other\"} 4");
    has(&lines, "holm_instances{project=\"aaa\",application=\"a1\",service=\"svc\",state=\"FAILED\"} 1");
    has(&lines, "holm_placements_total{strategy=\"spread\"} 4");
    has(&lines, "holm_slots_waiting{reason=\"cpu\"} 3");
    has(&lines, "holm_certificate_expiry_timestamp_seconds{certificate=\"server\"} 1000");
    has(&lines, "holm_start_time_seconds 1.5");
    let series = lines.iter().filter(|line| line.starts_with("holm_slots{")).count();
    assert_eq!(series, MOST_SERVICES + 1);
}
