//! What programs may rely on: fields, routes, exit codes, audit, and how people come in from outside.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::command::{PROGRAM, Ran, command, run};
use crate::harness::{holm, sea, wait_for};

const APP: &str = "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    \
                   command: [sleep, \"100000\"]\n    ports: { http: auto }\n    stop: { grace: 1s }\n";

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn json_has_the_documented_fields() {
    let sea = sea()
        .cluster("vienna", &["fl-1"])
        .words("fl-1", &["--label=floor=1", "--capability=hardware/ble"])
        .start();
    sea.deploy(APP);
    let get = |what: &str| sea.holm(&["get", what, "-o", "json"]).done().json::<Vec<Value>>();
    let has = |value: &Value, fields: &[&str]| {
        let there = keys(value);
        let missing: Vec<_> = fields.iter().filter(|field| !there.contains(**field)).collect();
        assert!(missing.is_empty(), "{missing:?} in {value:#}");
    };
    let instances = get("instances");
    assert_eq!(instances.len(), 1);
    has(
        &instances[0],
        &[
            "id",
            "application",
            "service",
            "slot",
            "state",
            "reason",
            "cluster",
            "node",
            "runtime",
            "generation",
            "since",
            "restarts",
        ],
    );
    let one = &instances[0];
    assert_eq!(
        (&one["application"], &one["service"], &one["slot"]),
        (&"shop".into(), &"web".into(), &"web/0".into())
    );
    assert_eq!(
        (&one["state"], &one["cluster"], &one["node"]),
        (&"RUNNING".into(), &"vienna".into(), &"fl-1".into())
    );
    assert_eq!(
        (&one["runtime"], &one["generation"], &one["restarts"]),
        (&"process".into(), &1.into(), &0.into())
    );
    assert!(
        one["since"].as_str().is_some_and(|at| at.starts_with("20") && at.ends_with('Z')),
        "UTC, RFC 3339: {one}"
    );

    let nodes = get("nodes");
    let fields = [
        "id",
        "name",
        "cluster",
        "state",
        "arch",
        "os",
        "cpu",
        "memory",
        "runtimes",
        "capabilities",
        "labels",
    ];
    has(&nodes[0], &fields);
    let node = &nodes[0];
    assert_eq!((&node["state"], &node["labels"]["floor"]), (&"online".into(), &"1".into()));
    assert!(node["capabilities"].as_array().unwrap().contains(&"hardware/ble".into()), "{node}");
    assert!(node["runtimes"].as_array().unwrap().contains(&"process".into()), "{node}");
    // D9: really detected.
    assert!(node["facts"]["kernel"].as_str().is_some_and(|kernel| !kernel.is_empty()), "{node}");
    assert!(node["facts"]["disk_total"].as_u64().is_some_and(|bytes| bytes > 0), "{node}");

    let clusters = get("clusters");
    has(&clusters[0], &["id", "name", "state", "nodes"]);
    assert_eq!((&clusters[0]["name"], &clusters[0]["nodes"]), (&"vienna".into(), &1.into()));

    // The same for other programs' eyes: YAML, a table, one thing.
    assert!(sea.holm(&["get", "instances", "-o", "yaml"]).done().stdout.contains("slot: web/0"));
    let table = sea.holm(&["get", "instances"]).done().stdout;
    assert!(table.contains("web/0") && !table.contains('\u{1b}'), "no colour when piped: {table}");
    has(&sea.holm(&["describe", "node", "fl-1", "-o", "json"]).done().json(), &fields);
    assert!(
        sea.holm(&["get", "instances", "--state", "failed", "-o", "json"])
            .done()
            .json::<Vec<Value>>()
            .is_empty()
    );
    sea.holm(&["get", "nodes", "atlantis"]).refused(1, &["atlantis"]);
    for what in ["applications", "services", "members", "tokens", "audit"] {
        assert!(!get(what).is_empty(), "{what}");
    }
    let service = &get("services")[0];
    let target =
        format!("{}/{}", service["application"].as_str().unwrap(), service["name"].as_str().unwrap());
    let told = sea.holm(&["describe", "service", &target]).done().stdout;
    for part in ["service", "instances", "specification", "web/0", "\"runtime\": \"process\""] {
        assert!(told.contains(part), "{part}: {told}");
    }
    sea.holm(&["describe", "service", &format!("{target}-not")]).refused(1, &["no service", "it has web"]);
}

#[test]
fn what_was_done_is_told_to_programs_too() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(APP);
    let said = |words: &[&str]| sea.holm(&[words, &["-o", "json"]].concat()).done().json::<Value>();
    assert_eq!(said(&["scale", "shop/web", "2"]), json!({ "scaled": "shop/web", "replicas": 2 }));
    for (command, done) in [
        ("restart", "restarted"),
        ("pause", "paused"),
        ("resume", "resumed"),
        ("stop", "stopped"),
        ("start", "started"),
    ] {
        assert_eq!(said(&[command, "shop"]), json!({ done: "shop" }));
    }
    assert_eq!(said(&["delete", "application", "shop"]), json!({ "deleted": "shop" }));
    assert_eq!(said(&["node", "revoke", "fl-1"]), json!({ "revoked": "fl-1" }));
    assert_eq!(keys(&said(&["cluster", "remove", "vienna"])), BTreeSet::from(["instances", "leaving"]));
}

#[test]
fn a_slot_that_nothing_fills_is_shown_with_its_own_state() {
    let sea = sea().start();
    sea.apply(APP);
    let all: Vec<Value> = sea.holm(&["get", "instances", "-o", "json"]).done().json();
    assert_eq!(all.len(), 1);
    assert_eq!(
        (&all[0]["id"], &all[0]["state"], &all[0]["node"]),
        (&Value::Null, &"REQUESTED".into(), &Value::Null)
    );
    assert!(all[0]["reason"].as_str().is_some_and(|reason| reason.contains("token create")), "{all:#?}");
}

/// As from another machine: no socket, no home.
pub(crate) fn away(server: &str, token: &str, words: &[&str]) -> Ran {
    let mut call = command(PROGRAM);
    call.args(words).env("HOME", "/nonexistent").env("HOLM_SERVER", server).env("HOLM_API_TOKEN", token);
    run(call, "")
}

#[test]
fn another_machine_needs_a_token_and_believes_only_its_sea() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let created: Value = sea.holm(&["token", "create", "--role", "admin", "-o", "json"]).done().json();
    let (id, token) = (created["id"].as_str().unwrap(), created["token"].as_str().unwrap());
    let server = sea.address("root");
    assert!(!sea.fingerprint.is_empty());
    let file = sea.file("app.yaml", APP);
    away(server, token, &["apply", "--wait=60s", &file.to_string_lossy()]).done();
    let all: Vec<Value> = away(server, token, &["get", "instances", "-o", "json"]).done().json();
    assert_eq!(all[0]["state"], "RUNNING");
    // What goes on and what goes both ways works, too.
    assert_eq!(away(server, token, &["exec", "shop/web/0", "--", "echo", "hi"]).done().line(), "hi");
    away(server, token, &["logs", "shop"]).done();
    // No token, a wrong one, one for joining, one that allows less: not done, however well it was written.
    away(server, "", &["get", "nodes"]).refused(1, &["no API token", "holm login"]);
    let viewer: Value = sea.holm(&["token", "create", "--role", "viewer", "-o", "json"]).done().json();
    away(server, viewer["token"].as_str().unwrap(), &["delete", "app", "shop"]).refused(1, &["apply"]);
    let join = sea.token("root", &["--role", "node"]);
    assert_ne!(away(server, &join, &["get", "nodes"]).code, 0);
    let mut forged: Vec<char> = token.chars().collect();
    let last = forged.len() - 2;
    forged[last] = if forged[last] == 'A' { 'B' } else { 'A' };
    let said = away(server, &forged.into_iter().collect::<String>(), &["get", "nodes"]);
    assert_ne!(said.code, 0, "{said:?}");
    // A server of another sea is not talked to, whatever it would say.
    let other = crate::harness::sea().start();
    let said = away(other.address("root"), token, &["get", "nodes"]).refused(1, &[]);
    assert!(
        said.stderr.contains("another sea")
            || said.stderr.contains("not the orchestrator")
            || said.stderr.contains("certificate"),
        "{said:?}"
    );
    assert!(!other.log("root").contains(id), "the token was not sent");
    // A token is void at once.
    sea.holm(&["token", "revoke", id]).done();
    away(server, token, &["get", "nodes"]).refused(1, &[]);
}

#[test]
fn api_tokens_expire() {
    let sea = sea().start();
    let token = sea.token("root", &["--role", "admin", "--ttl", "2s"]);
    away(sea.address("root"), &token, &["status"]).done();
    wait_for("it expires", || (away(sea.address("root"), &token, &["status"]).code != 0).then_some(()));
}

#[test]
fn the_audit_has_every_write_with_who_what_when_and_outcome() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).start();
    let admin: Value = sea.holm(&["token", "create", "--role", "admin", "-o", "json"]).done().json();
    let (id, token) = (admin["id"].as_str().unwrap().to_owned(), admin["token"].as_str().unwrap().to_owned());
    sea.deploy(APP);
    for words in [
        &["scale", "shop/web", "2"][..],
        &["pause", "shop/web"],
        &["resume", "shop"],
        &["stop", "shop"],
        &["start", "shop"],
        &["restart", "shop/web"],
        &["node", "revoke", "fl-1"],
        &["delete", "application", "shop"],
    ] {
        sea.holm(words).done();
    }
    sea.holm(&["scale", "nothing/web", "2"]).refused(1, &["nothing"]);
    sea.holm(&["adopt", "vienna"]).refused(1, &["not frozen"]);
    away(sea.address("root"), &token, &["scale", "other/web", "2"]).refused(1, &["other"]);
    let used = sea.token("root", &["--role", "node"]);
    sea.add_node("first", "root", &used);
    wait_for("it joins", || sea.log("first").contains("has joined").then_some(()));
    sea.add_node("posing", "root", &used);
    wait_for("it is refused", || sea.log("posing").contains("refused").then_some(()));
    // Read after a crash: it is in the same transaction.
    sea.kill("root");
    sea.start("root");
    let all: Vec<Value> = sea.holm(&["get", "audit", "--tail", "1000", "-o", "json"]).done().json();
    let text = |record: &Value, key: &str| record[key].as_str().unwrap_or_default().to_owned();
    let find = |verb: &str, subject: &str| {
        let found = all.iter().find(|r| text(r, "verb") == verb && text(r, "subject").contains(subject));
        found.unwrap_or_else(|| panic!("no {verb} of {subject} in {all:#?}"))
    };
    for (verb, subject) in [
        ("token.create", id.as_str()),
        ("join", "vienna"),
        ("apply", "shop"),
        ("scale", "shop/web to 2"),
        ("pause", "shop/web"),
        ("start", "shop"),
        ("stop", "shop"),
        ("restart", "shop/web"),
        ("delete", "shop"),
        ("member.revoke", ""),
    ] {
        let record = find(verb, subject);
        assert_eq!(text(record, "outcome"), "done", "{record}");
        assert!(!text(record, "who").is_empty() && !text(record, "from").is_empty(), "{record}");
        assert!(text(record, "at").ends_with('Z'), "{record}");
    }
    assert_eq!(
        (text(find("apply", "shop"), "who"), text(find("apply", "shop"), "from")),
        ("admin".into(), "unix".into())
    );
    for (verb, subject) in [("scale", "nothing"), ("adopt", ""), ("scale", "other"), ("join", "posing")] {
        assert_ne!(text(find(verb, subject), "outcome"), "done", "a refused write is recorded as refused");
    }
    assert_eq!(text(find("scale", "other"), "who"), format!("admin/token:{id}"));
    let secret = token.rsplit(['.', '-', '_']).next().unwrap();
    assert!(!format!("{all:?}").contains(secret), "no secrets in the audit");
    let sequences: Vec<_> = all.iter().map(|record| record["sequence"].as_u64().unwrap()).collect();
    assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]), "{sequences:?}");
}

#[test]
fn completions_schema_version_and_config_check() {
    for (shell, word) in [("bash", "complete "), ("zsh", "#compdef holm"), ("fish", "--command holm")] {
        let script = holm(&["completions", shell]).done().stdout;
        assert!(script.contains(word), "{shell}: {script}");
    }
    let schema: Value = holm(&["schema"]).done().json();
    assert_eq!(holm(&["schema", "-o", "json"]).done().json::<Value>(), schema);
    assert!(holm(&["schema", "-o", "yaml"]).done().stdout.contains("properties:"));
    assert!(schema["$schema"].is_string() && schema["properties"]["services"].is_object(), "{schema}");
    let version = holm(&["version"]).done().stdout;
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    holm(&["--version"]).done();

    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str, text: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        holm(&["config", "check", &file.to_string_lossy()])
    };
    let fine = check(
        "fine.toml",
        "[root]\nlisten = \"127.0.0.1:7700\"\nreplace-after = \"90s\"\n[node]\nlabel = [\"floor=1\"]\n",
    );
    assert!(fine.done().stdout.contains("root, node"));
    let refused = |said: Ran, words: &[&str]| {
        assert_ne!(said.code, 0, "{said:?}");
        words.iter().for_each(|word| assert!(said.stderr.contains(word), "{word}: {said:?}"));
    };
    refused(check("key.toml", "[root]\nlissten = \"127.0.0.1:1\"\n"), &["key.toml", "line 2", "lissten"]);
    refused(check("value.toml", "[node]\nlabel = [\"floor\"]\n"), &["value.toml", "line 2", "key=value"]);
    refused(check("toml.toml", "[root\n"), &["toml.toml", "line 1"]);
    refused(holm(&["config", "check", "/nowhere.toml"]), &["/nowhere.toml"]);
}

#[test]
fn a_configuration_file_is_obeyed_and_flags_win_over_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("holm.toml");
    std::fs::write(&file, "[root]\nname = \"from-file\"\nsea = \"lagoon\"\n").unwrap();
    let config = format!("--config={}", file.display());
    // The harness says the name by a flag.
    let sea = sea().words("root", &[&config]).start();
    let status: Value = sea.holm(&["status", "-o", "json"]).done().json();
    assert_eq!((&status["sea"], &status["name"]), (&"lagoon".into(), &"root".into()));
}

#[test]
fn events_are_told_as_they_happen() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let watch =
        crate::harness::Running::start(sea.call_at("root", &["events", "-w", "-o", "json", "--tail", "1"]));
    sea.apply(APP);
    let running = watch.line(|line| line.contains("\"RUNNING\"") && line.contains("instance"));
    let event: Value = serde_json::from_str(&running).expect("one JSON text in a line");
    assert_eq!((&event["kind"], &event["to"]), (&"instance".into(), &"RUNNING".into()));
    assert_eq!((&event["application"], &event["slot"]), (&"default/shop".into(), &"web/0".into()));
    for key in ["at", "subject", "application", "from", "cause", "reason", "cursor"] {
        assert!(event.get(key).is_some(), "{key}: {event}");
    }
    sea.holm(&["delete", "application", "shop"]).done();
    watch.line(|line| line.contains("\"TERMINATED\""));
    // People read names; ids stand beside them.
    let id = event["subject"].as_str().unwrap();
    let table = sea.holm(&["events", "--kind", "instance"]).done().stdout;
    assert!(table.contains(&format!("web/0 ({id})")) && table.contains("default/shop"), "{table}");
    // A typing error is no empty list.
    sea.holm(&["events", "--kind", "instanz"])
        .refused(2, &["instanz", "application", "cluster", "instance", "node"]);
    sea.holm(&["get", "instances", "--state", "runing"]).refused(2, &["runing"]);
    let answer = sea.request("root", "GET", "events?kind=instanz", "").unwrap();
    assert!(answer.status == 400 && answer.body.contains("instance"), "{}", answer.body);
}

#[test]
fn a_token_for_an_hour_is_said_to_be_for_an_hour() {
    let sea = sea().start();
    let said = sea.holm(&["token", "create", "--role", "node"]).done();
    assert!(said.stderr.contains("valid for 1h;"), "{said:?}");
    let said = sea.holm(&["token", "create", "--role", "admin"]).done();
    assert!(said.stderr.contains("valid for 30d;"), "{said:?}");
    assert!(sea.holm(&["token", "ls"]).done().stdout.contains("1h"), "{said:?}");
}
