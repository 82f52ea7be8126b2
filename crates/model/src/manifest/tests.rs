//! What is accepted, and what it becomes. Beside it: what is refused, the round trip, the schema.

mod health;
mod refused;
mod round_trip;
mod schema;

use std::time::Duration;

use super::*;
use crate::name::Name;
use crate::resources::{Cpu, Memory};
use crate::service::{Connect, Port, Replicas, RestartPolicy, ServiceSpec, Volume};

/// The manifest of design.md without the keys that come later.
const BUILDING: &str = r#"
holm: v1
application: building
services:
  collector:
    runtime: process            # process | container | <plugin>
    command: [sensor-collector, --floor, "{{node.labels.floor}}", --port, "{{port.http}}"]
    kind: service
    replicas: per-node          # a number, or one on each matching node
    ports: { http: auto }
    resources: { cpu: 100m, memory: 32Mi }
    placement:
      cluster: vienna
      require: [hardware/ble]
      labels: { zone: indoor }
    restart: { policy: on-failure, attempts: 5, backoff: 1s..60s }
    stop: { grace: 1m30s }
  web:
    runtime: container
    image: registry.local/building-web:1.2
    ports: { http: 80, admin: { host: auto, container: 9000 } }
    volumes: [ "data:/var/lib/web", "/etc/ssl:/etc/ssl:ro" ]
    connects: [ { service: collector, port: http } ]
"#;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A manifest with one process whose further keys are `keys`, indented by four.
fn process(keys: &str) -> String {
    format!("holm: v1\napplication: a\nservices:\n  web:\n    runtime: process\n    command: [run]\n{keys}")
}

fn spec(text: &str) -> ServiceSpec {
    let mut application = parse(text, "app.yaml").unwrap_or_else(|errors| panic!("{errors}"));
    application.services.remove("web").unwrap().spec
}

#[test]
fn the_example_of_the_design_is_read() {
    let application = parse(BUILDING, "app.yaml").unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(application.name, name("building"));
    let collector = &application.services["collector"];
    assert_eq!(collector.replicas, Replicas::PerNode);
    assert_eq!(collector.spec.command[2], "{{node.labels.floor}}");
    assert_eq!(collector.spec.resources.cpu, Cpu(100));
    assert_eq!(collector.spec.resources.memory, Memory(32 << 20));
    assert_eq!(collector.spec.restart.policy, RestartPolicy::OnFailure);
    assert_eq!(collector.spec.grace, Duration::from_secs(90));
    assert_eq!(collector.spec.placement.labels["zone"], "indoor");
    let web = &application.services["web"];
    assert_eq!(web.replicas, Replicas::Number(1));
    assert_eq!(web.spec.ports["http"], Port { host: Some(80), container: None });
    assert_eq!(web.spec.ports["admin"], Port { host: None, container: Some(9000) });
    assert_eq!(web.spec.connects, [Connect { service: name("collector"), port: name("http"), bound: None }]);
    let ssl = Volume { source: "/etc/ssl".into(), target: "/etc/ssl".into(), read_only: true };
    assert_eq!(web.spec.volumes[1], ssl);
}

#[test]
fn texts_are_taken_as_they_were_written() {
    let text = process(
        "    env: { A: 8080, B: true, C: on, D: 1.10, E: 0x1F, F: 010, G: 1e3, H: .inf, I: -0, J: \"\", K: no, \
         L: !!str 5, M: 2026-11-22, N: 1_000, O: '~' }\n",
    );
    let env = spec(&text).env;
    let values: Vec<&str> = env.values().map(String::as_str).collect();
    assert_eq!(
        values,
        [
            "8080",
            "true",
            "on",
            "1.10",
            "0x1F",
            "010",
            "1e3",
            ".inf",
            "-0",
            "",
            "no",
            "5",
            "2026-11-22",
            "1_000",
            "~"
        ]
    );
}

#[test]
fn block_texts_and_arguments_are_texts() {
    let text = "holm: v1\napplication: a\nservices:\n  web:\n    runtime: process\n    command:\n      - sh\n      - -c\n      - |\n        echo 1\n        echo 2\n      - 8080\n";
    assert_eq!(spec(text).command, ["sh", "-c", "echo 1\necho 2\n", "8080"]);
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let text = "holm: v1\napplication: a\nservices:\n  one: &one\n    runtime: process\n    command: [&n 1.10]\n    \
                replicas: 2\n  web:\n    <<: *one\n    replicas: 3\n    env: { N: *n }\n";
    let application = parse(text, "app.yaml").unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(application.services["web"].replicas, Replicas::Number(3));
    assert_eq!(application.services["web"].spec.command, ["1.10"]);
    assert_eq!(application.services["web"].spec.env["N"], "1.10");
}

#[test]
fn a_plug_in_decides_about_its_keys() {
    let text = "holm: v1\napplication: a\nservices:\n  web:\n    runtime: unikernel\n    image: x\n    ports: { p: { host: 80, container: 81 } }\n";
    assert_eq!(spec(text).ports["p"], Port { host: Some(80), container: Some(81) });
}

#[test]
fn services_may_share_a_port_number() {
    let text = "holm: v1\napplication: a\nservices:\n  one: { runtime: process, command: [a], ports: { p: 80 }, replicas: 2 }\n  two: { runtime: process, command: [a], ports: { p: 80 } }\n";
    assert!(parse(text, "app.yaml").is_ok());
}

#[test]
fn a_json_manifest_is_yaml_too() {
    let text = r#"{"holm":"v1","application":"a","services":{"web":{"runtime":"process","command":["a"]}}}"#;
    assert_eq!(spec(text).command, ["a"]);
}

#[test]
fn files_of_other_systems_are_read() {
    let keys = "    env: { A: ä, B: 1.10 }\n    replicas: 2\n";
    let text = format!("\u{feff}{}", process(keys)).replace('\n', "\r\n");
    assert_eq!(spec(&text).env["B"], "1.10");
}
