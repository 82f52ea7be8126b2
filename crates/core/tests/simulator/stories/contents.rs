//! Secrets and files go where something needs them, and nowhere else.

use holm_core::orchestrator::command::{Command, ContentCommand, Expected};
use holm_model::content::ContentKey;
use holm_model::item::ItemKey;

use crate::fleet::{App, app, fleet, name, nodes, steady};
use crate::world::{Who, World};

fn set(fleet: &mut World, key: &str, bytes: &[u8]) {
    let command = ContentCommand::Set { key: key.parse().unwrap(), bytes: bytes.to_vec() };
    fleet.command(0, Command::Content(command)).unwrap();
}

fn apply(application: App) -> Command {
    Command::Apply { project: name("default"), application: application.0, expected: Expected::Anything }
}

/// Who below the root holds it.
fn holders(fleet: &World, key: &str) -> Vec<String> {
    let key = ItemKey::Content(key.parse::<ContentKey>().unwrap());
    let held = |who: &Who| match who {
        Who::Node(node) => fleet.nodes[*node].machine.as_ref().unwrap().held().get(&key).is_some(),
        Who::Orchestrator(orch) => fleet.orchestrators[*orch].up().held().get(&key).is_some(),
    };
    fleet.everybody().into_iter().filter(held).map(|who| fleet.name(who)).collect()
}

#[test]
fn a_secret_is_sent_to_those_that_run_what_names_it_and_taken_back() {
    let mut fleet = fleet().cluster("vienna", nodes(2)).cluster("munich", nodes(1));
    set(&mut fleet, "secret/default/db", b"hunter2");
    set(&mut fleet, "secret/default/other", b"never named");
    let web = steady().in_cluster("vienna").on_node("fl-2").secret("db");
    fleet.apply(app("shop").service("web", web, 1).service("calm", steady().in_cluster("munich"), 1));
    fleet.run_until_running(2);
    assert_eq!(holders(&fleet, "secret/default/db"), ["vienna", "vienna/fl-2"]);
    assert!(holders(&fleet, "secret/default/other").is_empty());
    fleet.delete("shop");
    fleet.run_until("it is taken back", |fleet| holders(fleet, "secret/default/db").is_empty());
}

#[test]
fn a_change_restarts_what_was_given_it_even_if_it_came_while_a_link_was_down() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    set(&mut fleet, "secret/default/db", b"one");
    fleet.apply(app("shop").service("web", steady().secret("db"), 1).service("calm", steady(), 1));
    fleet.run_until_running(2);
    fleet.cut("vienna");
    set(&mut fleet, "secret/default/db", b"two");
    fleet.run_secs(5);
    assert_eq!(fleet.slot("web/0").restarts, 0);
    fleet.heal("vienna");
    fleet.run_until("web has the new one", |fleet| {
        let web = fleet.slot("web/0");
        (web.restarts, web.state.as_str()) == (1, "RUNNING")
    });
    assert_eq!(fleet.slot("calm/0").restarts, 0);
    // The same bytes again are no change.
    set(&mut fleet, "secret/default/db", b"two");
    fleet.run_secs(20);
    assert_eq!(fleet.slot("web/0").restarts, 1);
}

#[test]
fn what_is_not_there_is_refused_and_what_is_used_stays() {
    let mut fleet = fleet().node("fl-1");
    let command = apply(app("shop").service("web", steady().secret("db"), 1));
    let refusal = fleet.command(0, command).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "services.web.secrets.db: project `default` has no secret `db`; make it first: `holm secret set db -p default`"
    );
    let two = app("shop").service("web", steady().secret("db"), 1).service("api", steady().secret("tls"), 1);
    let refusal = fleet.command(0, apply(two)).unwrap_err().to_string();
    assert!(refusal.contains("secret set db") && refusal.contains("secret set tls"), "{refusal}");
    set(&mut fleet, "secret/default/db", b"one");
    fleet.apply(app("shop").service("web", steady().secret("db"), 1));
    let key: ContentKey = "secret/default/db".parse().unwrap();
    let delete = || Command::Content(ContentCommand::Delete { key: key.clone() });
    let refusal = fleet.command(0, delete()).unwrap_err();
    assert!(refusal.to_string().contains("used by `shop/web`"), "{refusal}");
    fleet.delete("shop");
    fleet.command(0, delete()).unwrap();
    let much = ContentCommand::Set { key, bytes: vec![0; 65_537] };
    assert!(fleet.command(0, Command::Content(much)).unwrap_err().to_string().contains("65536 bytes"));
}
