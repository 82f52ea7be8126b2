//! Health checks, exposed ports, draining: what is read, and the exact message for what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{process, spec};
use crate::expose::{Expose, ExposedAt};
use crate::health::{Check, Probe};
use crate::manifest::parse;
use crate::name::Name;

const HTTP: &str = "    ports: { http: auto }\n";
const TWO: &str = "    ports: { a: auto, b: auto }\n";

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[test]
fn checks_have_defaults_and_the_only_port() {
    let spec = spec(&process(&format!(
        "{HTTP}    health: {{ http: /healthz, every: 1s }}\n    ready: {{ tcp: http }}\n"
    )));
    let probe = Probe::Http { port: name("http"), path: "/healthz".to_owned() };
    let health = Check { every: Duration::from_secs(1), ..Check::new(probe) };
    assert_eq!(spec.health, Some(health));
    assert_eq!(spec.ready, Some(Check::new(Probe::Tcp { port: name("http") })));
    assert_eq!(spec.drains_for(), Duration::ZERO, "nothing is exposed");
}

#[test]
fn ports_are_exposed_by_number_or_in_full() {
    let one = spec(&process(&format!("{HTTP}    expose: 8080\n")));
    assert_eq!(one.expose, BTreeMap::from([(name("http"), Expose::new(8080))]));
    assert_eq!(one.drains_for(), Duration::from_secs(10));
    let full = "    expose: { a: { port: 80, at: [root, cluster] }, b: 81 }\n    stop: { drain: 2s }\n";
    let two = spec(&process(&format!("{TWO}{full}")));
    let both = Expose { port: 80, at: BTreeSet::from([ExposedAt::Cluster, ExposedAt::Root]) };
    assert_eq!(two.expose, BTreeMap::from([(name("a"), both), (name("b"), Expose::new(81))]));
    assert_eq!(two.drains_for(), Duration::from_secs(2));
}

#[test]
fn programs_that_do_not_know_a_check_are_not_given_it() {
    let plain = spec(&process(HTTP));
    assert_eq!((plain.newer_must(0), plain.newer_must_of_clusters(0)), (None, None));
    let ready = spec(&process(&format!("{HTTP}    ready: {{ tcp: http }}\n    expose: 80\n")));
    assert_eq!((ready.newer_must(2), ready.newer_must(3)), (Some("ready"), None));
    let exposed = spec(&process(&format!("{HTTP}    expose: 80\n")));
    assert_eq!((exposed.newer_must(2), exposed.newer_must_of_clusters(2)), (None, Some("expose")));
    let steps = spec(&process("    before: [{ command: [a] }]\n"));
    assert_eq!((steps.newer_must(4), steps.newer_must(5)), (Some("before"), None));
    assert_eq!(steps.newer_must_of_clusters(4), Some("before"));
    let retries = spec(&process("    kind: { job: { retries: 2 } }\n"));
    assert_eq!((retries.newer_must(5), retries.newer_must(6)), (Some("retries"), None));
}

#[test]
fn each_bad_key_has_its_message() {
    let cases = [
        (
            HTTP,
            "health: {}",
            "8:13: services.web.health: expected a mapping with `http`, `tcp` or `exec`, as in `{ http: /healthz }`, found none of these",
        ),
        (
            HTTP,
            "health: { http: /, tcp: http }",
            "8:13: services.web.health: expected one of `http`, `tcp` and `exec`, found more",
        ),
        (
            HTTP,
            "health: { http: healthz }",
            "8:21: services.web.health.http: expected a path as in `/healthz`, of visible ASCII without `#` and at most 1024 characters, found `healthz`",
        ),
        (
            HTTP,
            "health: { tcp: sql }",
            "8:20: services.web.health.tcp: the service has no port `sql`; it has: http",
        ),
        (
            HTTP,
            "health: { http: /, port: sql }",
            "8:30: services.web.health.port: the service has no port `sql`; it has: http",
        ),
        (
            "",
            "health: { http: / }",
            "7:21: services.web.health.http: the service has no ports; add the one that it listens on to its `ports`",
        ),
        (
            TWO,
            "health: { http: / }",
            "8:21: services.web.health.http: the service has several ports; name one of: a, b",
        ),
        (
            HTTP,
            "health: { tcp: http, port: http }",
            "8:26: services.web.health.port: `tcp` names the port itself; remove it",
        ),
        (
            HTTP,
            "health: { exec: [true], port: http }",
            "8:29: services.web.health.port: a command needs no port; remove it",
        ),
        (
            HTTP,
            "health: { exec: [echo, \"{{node.name}}\"] }",
            "8:21: services.web.health.exec: a check's command has no templates, found `{{node.name}}`; the instance's environment tells it the same",
        ),
        (
            HTTP,
            "health: { tcp: http, every: 1ms }",
            "8:33: services.web.health.every: expected 100ms to 1h, found `1ms`",
        ),
        (
            HTTP,
            "health: { tcp: http, timeout: 2m }",
            "8:35: services.web.health.timeout: expected 100ms to 1m, found `2m`",
        ),
        (
            HTTP,
            "health: { tcp: http, failures: 0 }",
            "8:36: services.web.health.failures: expected a number from 1 to 1000, found `0`",
        ),
        (
            HTTP,
            "health: { tcp: http, evry: 1s }",
            "8:26: services.web.health.evry: unknown key; did you mean `every`?",
        ),
        (
            HTTP,
            "ready: { tcp: http, start: 1s }",
            "8:25: services.web.ready.start: an instance is not ready before its first good answer, so there is nothing to wait for; remove it",
        ),
        (TWO, "expose: 80", "8:13: services.web.expose: the service has several ports; name one of: a, b"),
        (
            HTTP,
            "expose: 70000",
            "8:13: services.web.expose: expected a number from 1 to 65535, found `70000`",
        ),
        (
            HTTP,
            "expose: { sql: 80 }",
            "8:15: services.web.expose.sql: the service has no port `sql`; add it to its `ports`",
        ),
        (TWO, "expose: { a: 80, b: 80 }", "8:25: services.web.expose.b: port 80 already leads to `a`"),
        (
            HTTP,
            "expose: { http: { port: 80, at: [] } }",
            "8:37: services.web.expose.http.at: expected `cluster`, `root` or both, found an empty list",
        ),
        (
            HTTP,
            "expose: { http: { port: 80, at: [node] } }",
            "8:38: services.web.expose.http.at[0]: expected `cluster` or `root`, found `node`",
        ),
        (
            "",
            "stop: {}",
            "7:5: services.web.stop: nothing is said: write how long a graceful stop may take, as in `grace: 10s`, or how long it waits for connections, as in `drain: 10s`",
        ),
        ("", "stop: { drain: 2h }", "7:20: services.web.stop.drain: expected at most 1h, found `2h`"),
    ];
    let found = |(ports, keys, _): &(&str, &str, &str)| {
        let text = process(&format!("{ports}    {keys}\n"));
        parse(&text, "x").expect_err(keys).to_string()
    };
    let wrong: Vec<String> = cases
        .iter()
        .map(|case| (found(case), format!("x:{}", case.2)))
        .filter(|(found, expected)| found != expected)
        .map(|(found, expected)| format!("found    {found}\nexpected {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
