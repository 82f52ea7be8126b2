//! The API under requests that nobody would think of: schemathesis makes them from the OpenAPI document.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::harness::command::run;
use crate::harness::{Sea, sea};

/// Of every answer: no 5xx, and what the document says, in status, headers, kind and body.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";
/// What does not end by itself (an id of a log is learnt from the list), what would end the token that asks, and what
/// rightly answers 503 once the administrator has revoked the only node.
const NOT_ASKED: &str = "/events$|/logs$|/usage$|/sessions/current$";
/// So that a failure happens again.
const SEED: &str = "1";

fn deployed(plain: &str) -> Sea {
    let http = format!("--http={plain}");
    // The limits have tests of their own; here they would hide what is behind them.
    let words = [http.as_str(), "--request-rate=100000", "--stranger-rate=100000"];
    let sea = sea().words("root", &words).node("fl-1").start();
    for project in ["blue", "red"] {
        sea.holm(&["project", "create", project]).done();
    }
    let app = "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"100000\"]\n";
    run(sea.call_at("root", &["apply", "-p", "blue", "--wait=60s", "--stable=0s", "-"]), app).done();
    sea
}

/// Asks everything that the document has, with the words of one role.
fn ask(sea: &Sea, plain: &str, who: &str, token: Option<&str>, phases: &str) {
    let document = sea.path("openapi.json");
    let mut call = Command::new(std::env::var_os("HOLM_TEST_SCHEMATHESIS").unwrap());
    call.arg("run").arg(&document).args(["--url", &format!("http://{plain}")]);
    call.args(["--phases", phases, "--max-examples", "4", "--seed", SEED, "--checks", CHECKS]);
    call.args([
        "--exclude-path-regex",
        NOT_ASKED,
        "--request-timeout",
        "20",
        "--suppress-health-check",
        "all",
    ]);
    call.args(["--generation-database", "none", "--warnings", "off"]);
    if let Some(token) = token {
        call.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    // Files of its own go with the sea.
    let output = call.current_dir(sea.path("")).stdin(Stdio::null()).output().expect("schemathesis starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{who}:\n{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("generated"), "{who}: nothing was asked:\n{said}");
}

#[test]
fn no_role_finds_a_fault_of_the_api_needs_schemathesis() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = free.to_string();
    let sea = deployed(&plain);
    let document = sea.request("root", "GET", "openapi.json", "").unwrap();
    sea.file("openapi.json", &document.body);
    let token = |words: &[&str]| sea.token("root", words);
    ask(&sea, &plain, "nobody", None, "fuzzing");
    ask(&sea, &plain, "viewer", Some(&token(&["--role", "viewer", "--project", "red"])), "fuzzing");
    ask(&sea, &plain, "operator", Some(&token(&["--role", "operator", "--project", "blue"])), "fuzzing");
    ask(&sea, &plain, "project admin", Some(&token(&["--role", "admin", "--project", "blue"])), "fuzzing");
    ask(&sea, &plain, "admin", Some(&token(&["--role", "admin"])), "coverage,fuzzing");
    // Nothing of it went unnoticed, and nothing broke the sea.
    sea.holm(&["audit", "verify"]).done();
    assert!(!sea.log("root").contains("met a bug"), "{}", sea.log("root"));
}
