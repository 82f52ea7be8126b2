//! The REST API as other programs meet it: proof, origins, repeated and outdated requests.

use serde_json::Value;

use crate::harness::command::{command, run};
use crate::harness::{Sea, holm, http, sea, wait_for};

const APP: &str = "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"100000\"]\n";

/// Plain HTTP on loopback: where no socket proves who somebody is.
fn with_http() -> (Sea, String) {
    let sea = sea().words("root", &["--http=127.0.0.1:0"]).start();
    let address = with_http_at(&sea);
    (sea, address)
}

/// Where a root that was started with `--http` serves it.
pub(crate) fn with_http_at(sea: &Sea) -> String {
    http_of(sea, "root")
}

/// The same of any orchestrator.
pub(crate) fn http_of(sea: &Sea, orchestrator: &str) -> String {
    let own = sea.pid(orchestrator);
    wait_for("its second port", || listening(own).into_iter().find(|a| a != sea.address(orchestrator)))
}

/// Addresses that a process listens on, as the kernel knows them.
fn listening(pid: i32) -> Vec<String> {
    let mut call = command("ss");
    call.args(["-Hltnp"]);
    let mine = format!("pid={pid},");
    let text = run(call, "").done().stdout;
    let lines = text.lines().filter(|line| line.contains(&mine));
    lines.filter_map(|line| line.split_whitespace().nth(3)).map(str::to_owned).collect()
}

#[test]
fn every_route_of_the_document_needs_proof() {
    let (sea, address) = with_http();
    let ask = |method: &str, path: &str, headers: &[&str]| {
        let stream = std::net::TcpStream::connect(&address).expect("it listens");
        http::request(stream, method, path, headers, "").expect("an answer")
    };
    let document = sea.request("root", "GET", "openapi.json", "").expect("an answer").body;
    let document: Value = serde_json::from_str(&document).expect("JSON");
    assert!(
        document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")),
        "{}",
        document["openapi"]
    );
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            if !["get", "put", "post", "delete", "patch"].contains(&method.as_str()) {
                continue;
            }
            let open = operation["security"].as_array().is_some_and(Vec::is_empty);
            if open {
                // A token, a password and the set-up link are proofs themselves.
                let proves = ["/join", "/sessions", "/setup"].iter().any(|end| path.ends_with(end));
                assert!(proves && method == "post", "{method} {path} is open");
                continue;
            }
            let path = path.replace(['{', '}'], "x");
            for headers in [&[][..], &["authorization: Bearer nonsense"], &["authorization: Basic YTpi"]] {
                let answer = ask(&method.to_uppercase(), &path, headers);
                assert_eq!(answer.status, 401, "{method} {path} {headers:?}: {}", answer.body);
                assert!(answer.head.contains("www-authenticate"), "{method} {path}: {}", answer.head);
            }
            asked += 1;
        }
    }
    assert!(asked > 20, "only {asked} routes");
    // With a token each of them knows who asks.
    let token = sea.token("root", &["--role", "admin"]);
    let bearer = format!("authorization: Bearer {token}");
    assert_eq!(ask("GET", "/api/v1/status", &[&bearer]).status, 200);
    // A page of another site may not.
    let foreign = ask("POST", "/api/v1/tokens", &[&bearer, "origin: http://evil.example"]);
    assert_eq!(foreign.status, 403, "{}", foreign.body);
}

#[test]
fn plain_http_is_for_loopback_only() {
    let dir = tempfile::tempdir().unwrap();
    let said = holm(&["root", "--http", "0.0.0.0:0", "--data-dir", &dir.path().to_string_lossy()]);
    assert_ne!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("loopback"), "{said:?}");
    assert_ne!(holm(&["--server", "http://192.0.2.1:80", "status"]).code, 0);
}

#[test]
fn the_socket_is_for_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let sea = sea().cluster("vienna", &[]).start();
    for name in ["root", "vienna"] {
        let mode = std::fs::metadata(sea.socket(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}: {mode:o}");
    }
    // Secrets as well: nothing below is readable for others except what instances need.
    for name in ["root", "vienna"] {
        for entry in std::fs::read_dir(sea.data(name)).unwrap().flatten() {
            let (path, mode) = (entry.path(), entry.metadata().unwrap().permissions().mode());
            assert_eq!(mode & 0o007, 0, "{} has {mode:o}", path.display());
        }
    }
}

#[test]
fn requests_that_are_repeated_with_one_key_are_done_once() {
    let sea = sea().start();
    let ask = |key: &str, body: &str| {
        let headers = ["content-type: application/json", &format!("idempotency-key: {key}")];
        http::unix(&sea.socket("root"), "POST", "/api/v1/tokens", &headers, body).expect("an answer")
    };
    let first = ask("a-1", "{\"role\": \"node\"}");
    assert!((200..300).contains(&first.status), "{}", first.body);
    assert_eq!(ask("a-1", "{\"role\": \"node\"}").body, first.body);
    assert_eq!(ask("a-1", "{\"role\": \"cluster\"}").status, 422);
    let tokens: Vec<Value> = sea.holm(&["token", "ls", "-o", "json"]).done().json();
    assert_eq!(tokens.len(), 1);
}

#[test]
fn an_etag_protects_against_overwriting_what_changed_meanwhile() {
    let sea = sea().start();
    sea.apply(APP);
    let path = "/api/v1/projects/default/applications/shop";
    let got = http::unix(&sea.socket("root"), "GET", path, &[], "").expect("an answer");
    let etag =
        got.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an ETag").trim().to_owned();
    let put = |etag: &str, text: &str| {
        let headers = ["content-type: application/yaml", &format!("if-match: {etag}")];
        http::unix(&sea.socket("root"), "PUT", path, &headers, text).expect("an answer").status
    };
    let changed = APP.replace("100000", "200000");
    assert!((200..300).contains(&put(&etag, &changed)));
    assert_eq!(put(&etag, APP), 412);
}
