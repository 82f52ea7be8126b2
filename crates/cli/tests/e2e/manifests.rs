//! Bad input: an exit code, the place, the reason, and nothing changed.

use crate::harness::command::run;
use crate::harness::{Sea, holm, sea};

const HEAD: &str =
    "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"60\"]\n";

/// What is refused, and words of the answer in their order.
fn bad() -> Vec<(&'static str, String, Vec<&'static str>)> {
    let mut bomb = String::from("holm: v1\napplication: shop\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..10 {
        let last = level - 1;
        let names = vec![format!("*a{last}"); 10].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{names}]\n"));
    }
    vec![
        (
            "type",
            format!("{HEAD}    replicas: many\n"),
            vec!["type.yaml:7:15", "services.web.replicas", "many"],
        ),
        ("key", format!("{HEAD}    replcas: 2\n"), vec!["key.yaml:7:5", "unknown key", "replicas"]),
        (
            "later",
            HEAD.replace("application:", "project: x\napplication:"),
            vec!["later.yaml:2:1", "not yet supported"],
        ),
        ("size", format!("{HEAD}# {}\n", "x".repeat(10 << 20)), vec!["size.yaml", "at most"]),
        ("bomb", bomb, vec!["bomb.yaml"]),
        ("name", HEAD.replace("shop", "../shop"), vec!["name.yaml:2:14", "../shop"]),
        ("service", HEAD.replace("  web:", "  ../web:"), vec!["service.yaml:4:3", "../web"]),
        ("yaml", "holm: v1\n  application: [\n".to_owned(), vec!["yaml.yaml:"]),
        ("empty", String::new(), vec!["empty.yaml"]),
        ("deep", format!("{HEAD}    env: {}\n", "[".repeat(20_000)), vec!["deep.yaml"]),
        ("version", HEAD.replace("v1", "v2"), vec!["version.yaml:1:7", "v2"]),
    ]
}

#[test]
fn a_bad_manifest_is_refused_with_its_place_and_changes_nothing() {
    let sea = sea().start();
    let revision = |sea: &Sea| {
        sea.holm(&["status", "-o", "json"]).done().json::<serde_json::Value>()["revision"].clone()
    };
    let before = revision(&sea);
    for (name, text, words) in bad() {
        let file = sea.file(&format!("{name}.yaml"), &text);
        let said = sea.holm(&["apply", &file.to_string_lossy()]).refused(1, &words);
        assert!(said.stdout.is_empty(), "{name}: {said:?}");
        assert!(said.stderr.len() < 20_000, "{name}: an error for people, not {} bytes", said.stderr.len());
        // Without an orchestrator as well.
        holm(&["convert", &file.to_string_lossy()]).refused(1, &words);
        // And by the API, which believes no client.
        let answer = sea.request("root", "PUT", "projects/default/applications/shop", "");
        assert!(answer.is_some());
        let api = put_yaml(&sea, "shop", &text);
        assert!((400..500).contains(&api.status), "{name}: {} {}", api.status, api.body);
        assert!(api.head.contains("application/problem+json"), "{name}: {}", api.head);
    }
    assert_eq!(revision(&sea), before);
    let all: Vec<serde_json::Value> = sea.holm(&["get", "applications", "-o", "json"]).done().json();
    assert!(all.is_empty(), "{all:?}");
    // Still alive and well.
    sea.apply(HEAD);
}

fn put_yaml(sea: &Sea, name: &str, text: &str) -> crate::harness::http::Response {
    let path = format!("/api/v1/projects/default/applications/{name}");
    let answer = crate::harness::http::unix(
        &sea.socket("root"),
        "PUT",
        &path,
        &["content-type: application/yaml"],
        text,
    );
    answer.expect("an answer")
}

#[test]
fn names_in_paths_are_names() {
    let sea = sea().start();
    for name in ["..%2fshop", "%2e%2e", "a%00b", "UPPER", "other"] {
        let answer = put_yaml(&sea, name, HEAD);
        assert!((400..500).contains(&answer.status), "{name}: {} {}", answer.status, answer.body);
    }
    assert!(sea.list::<crate::harness::things::Application>("root", "applications").unwrap().is_empty());
}

#[test]
fn a_file_that_is_none_is_told() {
    let sea = sea().start();
    sea.holm(&["apply", "/nowhere/app.yaml"]).refused(1, &["/nowhere/app.yaml", "No such file"]);
    sea.holm(&["apply", "/"]).refused(1, &["/"]);
    let binary = sea.path("binary.yaml");
    std::fs::write(&binary, [0xff, 0xfe, 0, 1]).unwrap();
    sea.holm(&["apply", &binary.to_string_lossy()]).refused(1, &["binary.yaml", "UTF-8"]);
    // Several at once: all or none.
    let good = sea.file("good.yaml", HEAD);
    sea.holm(&["apply", &good.to_string_lossy(), "/nowhere/app.yaml"]).refused(1, &["/nowhere/app.yaml"]);
    assert!(sea.application("shop").is_none());
}

#[test]
fn wrong_use_is_exit_code_two() {
    holm(&["aply"]).refused(2, &["aply", "apply"]);
    holm(&["scale", "shop/web", "minus-one"]).refused(2, &["minus-one"]);
    holm(&["scale", "a/b/c", "1"]).refused(2, &["a/b/c"]);
    holm(&["apply"]).refused(2, &["FILE"]);
    holm(&["token", "create", "--role", "king"]).refused(2, &["king"]);
    holm(&["node"]).refused(2, &["--parent"]);
    holm(&["cluster", "--name", "vienna"]).refused(2, &["--parent"]);
    holm(&["cluster", "--name", "Vienna!"]).refused(2, &["Vienna!"]);
    holm(&["root", "--unknown-after", "30s", "--offline-after", "10s"]).refused(2, &["unknown", "offline"]);
    holm(&["root", "--unknown-after", "5s"]).refused(2, &["every 5s", "--unknown-after"]);
    let node = ["node", "--parent", "127.0.0.1:1", "--interval", "0s"];
    holm(&node).refused(2, &["--interval 100ms"]);
    holm(&["get", "instances"]).refused(1, &["no orchestrator was found", "holm root"]);
}

#[test]
fn an_orchestrator_refuses_requests_that_make_no_sense() {
    let sea = sea().start();
    sea.apply(HEAD);
    let answers = [
        ("PATCH", "projects/default/applications/shop/services/web", "{\"replicas\": -1}", 400..=422),
        ("PATCH", "projects/default/applications/shop/services/web", "{\"replica\": 1}", 400..=422),
        ("PATCH", "projects/default/applications/shop/services/web", "{", 400..=422),
        ("PATCH", "projects/default/applications/shop/services/nothing", "{\"replicas\": 1}", 404..=422),
        ("PATCH", "projects/default/applications/nothing/services/web", "{\"replicas\": 1}", 404..=404),
        ("POST", "tokens", "{\"role\": \"king\"}", 400..=422),
        ("POST", "tokens", "{\"role\": \"node\", \"ttl_seconds\": 0}", 400..=422),
        ("DELETE", "nodes/nothing", "", 404..=404),
        ("GET", "nothing", "", 404..=404),
        ("GET", "instances?colour=red", "", 400..=422),
        ("DELETE", "status", "", 405..=405),
    ];
    for (method, path, body, statuses) in answers {
        let answer = sea.request("root", method, path, body).expect("an answer");
        assert!(statuses.contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.body);
        assert!(answer.head.contains("application/problem+json"), "{method} {path}: {}", answer.head);
        let problem: serde_json::Value = serde_json::from_str(&answer.body).expect("a problem");
        assert!(problem["type"].as_str().is_some_and(|kind| kind.starts_with("/problems/")), "{problem}");
    }
    // Bytes that are no HTTP at all.
    let mut call = crate::harness::command::command("timeout");
    call.args(["5", "busybox", "nc", "-U"]).arg(sea.socket("root"));
    drop(run(call, "\u{0}\u{1}\u{2}nonsense\r\n\r\n"));
    sea.holm(&["status"]).done();
}
