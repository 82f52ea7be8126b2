//! Each file as it is, and the manifest that it becomes.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::manifest::{parse, show};

fn around<R>(then: impl FnOnce(&Surroundings<'_>) -> R) -> R {
    let variables = |name: &str| (name == "TAG").then(|| "1.27".to_owned());
    let files = |path: &str| match path {
        "web.env" => Ok("# ours\nLEVEL=info\nexport QUOTED=\"a b\"\nLATE=file # why\n".to_owned()),
        _ => Err(format!("there is no file `{path}`")),
    };
    let profiles = BTreeSet::new();
    then(&Surroundings { name: "My_Shop", variables: &variables, files: &files, profiles: &profiles })
}

fn translated(text: &str) -> Result<Translated, String> {
    around(|around| read(text, "file.yaml", around))
        .map_err(|errors| errors.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[track_caller]
fn becomes(text: &str, format: Format, native: &str, warnings: &[&str]) {
    let found = translated(text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(found.format, format);
    let shown: Vec<String> = found.applications.iter().map(show).collect();
    let expected = parse(native, "native").unwrap_or_else(|errors| panic!("{:#?}", errors.errors));
    assert_eq!(shown.join("---\n"), show(&expected));
    let said: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), warnings.len(), "{said:#?}");
    for (said, wanted) in said.iter().zip(warnings) {
        assert!(said.contains(wanted), "{said} {wanted}");
    }
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let errors = translated(text).expect_err("it is refused");
    for wanted in expected {
        assert!(errors.contains(wanted), "{wanted}\n{errors}");
    }
}

#[test]
fn a_deployment_file_of_edgeio() {
    becomes(
        "api_version: v0.1\njob_name: image_detection\nimage: quay.io/codait/max-object-detector\nimage_runtime: docker\n\
         requirements:\n    cpu: 2\n    memory: 1000\ncluster_location: Garching\nworker_node: e580\n",
        Format::EdgeIo,
        "holm: v1\napplication: image-detection\nservices:\n  main:\n    runtime: container\n    image: \
         quay.io/codait/max-object-detector\n    resources: { cpu: 2, memory: 1000Mi }\n    placement: { cluster: garching, \
         node: e580 }\n",
        &["2:1: job_name: is called `image-detection`", "8:1: cluster_location: is called `garching`"],
    );
    becomes(
        "job_name: tick\nimage: sh -c 'echo tick'\nimage_runtime: native\n",
        Format::EdgeIo,
        "holm: v1\napplication: tick\nservices: { main: { runtime: process, command: [sh, -c, echo tick] } }\n",
        &[],
    );
    refused(
        "job_name: a\nimage: b\nimage_runtime: mirage\n",
        &["3:16: image_runtime: Holm has no runtime `mirage`"],
    );
    refused("job_name: a\nimage: b\nports: 3\n", &["3:1: ports: edgeIO's file has no such key"]);
    refused("job_name: a\n", &["`image` is missing"]);
    refused("job_name: a\nimage: b\nrequirements: { memory: -1, cpu: many }\n", &["megabytes", "cpu"]);
}

#[test]
fn an_sla_of_oakestra() {
    let sla = r#"{"sla_version": "v2.0", "customerID": "Admin", "applications": [{
  "applicationID": "", "application_name": "shop", "application_namespace": "default", "application_desc": "x",
  "microservices": [
    {"microserviceID": "", "microservice_name": "web", "microservice_namespace": "default",
     "virtualization": "container", "cmd": ["sh", "-c", "run"], "memory": 100, "vcpus": 1, "vgpus": 0, "vtpus": 0,
     "bandwidth_in": 0, "bandwidth_out": 0, "storage": 0, "code": "nginx:1", "port": "8080:80", "one_shot": false,
     "added_files": [],
     "constraints": [{"type": "direct", "node": "fl-1", "cluster": "vienna"}],
     "connectivity": [{"target_microservice_id": "db", "con_constraints": []}]},
    {"microservice_name": "db", "virtualization": "container", "code": "redis:7", "vgpus": 1,
     "constraints": [{"type": "geo", "location": "48.2,16.4", "threshold": 20, "rigidness": 1},
                     {"type": "clusters", "allowed": ["vienna", "munich"]}]}]}]}"#;
    becomes(
        sla,
        Format::Sla,
        "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: container\n    image: nginx:1\n    command: [sh, -c, run]\n    \
         resources: { cpu: 1, memory: 100Mi }\n    ports: { p80: { host: 8080, container: 80 } }\n    placement: { cluster: vienna, \
         node: fl-1, with: [{ service: db, on: cluster, preferred: 50 }] }\n  db:\n    runtime: container\n    image: redis:7\n    \
         placement:\n      require: [hardware/gpu=1]\n      location: { lat: 48.2, lon: 16.4, within: 20km }\n      where: cluster in \
         [\"vienna\", \"munich\"]\n",
        &["customerID", "preferably in the cluster of `db`", "rigidness"],
    );
    refused(&sla.replace("\"storage\": 0", "\"storage\": 5"), &["6:", "storage: Holm reserves no storage"]);
    refused(
        &sla.replace("\"virtualization\": \"container\", \"cmd\"", "\"virtualization\": \"vm\", \"cmd\""),
        &["5:24", "not the text \"vm\""],
    );
    refused(
        "{\"sla_version\": \"v9\", \"applications\": []}",
        &["expected `v2.0`", "at least one application"],
    );
}

const SHOP: &str = r#"
name: shop
services:
  web:
    image: "nginx:${TAG:-1}"
    command: nginx -g 'daemon off;'
    environment: { LATE: said, INHERITED: }
    env_file: web.env
    ports: ["8080:80", "443", { target: 9000, published: 9001 }]
    volumes: ["data:/var/lib/web:ro", /cache]
    depends_on:
      my_db: { condition: service_healthy }
    healthcheck: { test: [CMD, curl, -f, http://localhost], interval: 1m30s, timeout: 5s, retries: 4, start_period: 10s }
    restart: unless-stopped
    stop_grace_period: 1m
    working_dir: /srv
    user: "1000:1000"
    secrets: [key]
    configs: [{ source: conf, target: /etc/web.conf, mode: 0440 }]
    deploy:
      replicas: 3
      resources: { limits: { cpus: "0.50", memory: 50M } }
      placement:
        constraints: [node.labels.zone == indoor, node.platform.arch != arm]
        preferences: [{ spread: node.labels.rack }]
      update_config: { parallelism: 2, failure_action: rollback, monitor: 15s }
  my_db:
    image: redis
    expose: ["6379"]
    profiles: []
  debug:
    image: busybox
    profiles: [debug]
volumes: { data: }
secrets: { key: { external: true } }
configs: { conf: { file: ./web.conf } }
x-anything: { a: b }
"#;

#[test]
fn a_compose_file() {
    becomes(
        SHOP,
        Format::Compose,
        r#"
holm: v1
application: shop
services:
  web:
    runtime: container
    image: nginx:1.27
    command: [nginx, -g, daemon off;]
    env: { LEVEL: info, QUOTED: a b, LATE: said }
    ports:
      p80: { host: 8080, container: 80 }
      p443: { host: auto, container: 443 }
      p9000: { host: 9001, container: 9000 }
    volumes: ["data:/var/lib/web:ro", "web-1:/cache"]
    connects: [{ service: my-db, port: p6379 }]
    health: { exec: [curl, -f, http://localhost], every: 1m30s, timeout: 5s, failures: 4, start: 10s }
    restart: { policy: always }
    stop: { grace: 1m }
    workdir: /srv
    user: "1000:1000"
    secrets: { key: { file: true } }
    files: { conf: { path: /etc/web.conf, mode: "0440" } }
    replicas: 3
    resources: { cpu: "0.5", memory: 50Mi }
    placement: { labels: { zone: indoor }, where: 'arch != "arm"', strategy: { spread: rack } }
    update: { parallel: 2, on-failure: rollback, healthy-for: 15s }
  my-db:
    runtime: container
    image: redis
    ports: { p6379: { host: auto, container: 6379 } }
"#,
        &[
            "the variable `INHERITED` is not set",
            "has no name",
            "`my_db:6379` is at `$HOLM_CONNECT_MY_DB_P6379`",
            "is called `my-db`",
            "`holm file set conf ./web.conf`",
        ],
    );
}

#[test]
fn without_a_name_it_has_that_of_its_directory() {
    let native = "holm: v1\napplication: my-shop\nservices: { a: { runtime: container, image: b, replicas: per-node } }\n";
    becomes("services: { a: { image: b, deploy: { mode: global } } }\n", Format::Compose, native, &[]);
}

#[test]
fn what_compose_says_and_holm_cannot_is_named_with_its_line() {
    for (key, line, expected) in [
        ("build: .", 4, "Holm does not build yet"),
        ("privileged: true", 4, "Holm runs nothing privileged"),
        ("network_mode: host", 4, "default network"),
        ("entrypoint: [a]", 4, "image's own"),
        ("imgae: x", 4, "no such key"),
        ("ports: [\"80/udp\"]", 4, "TCP only"),
        ("ports: [\"1-900:1-900\"]", 4, "expected a port"),
        ("volumes: [\"./data:/data\"]", 4, "none of the node's"),
        ("volumes: [\"other:/data\"]", 4, "there is no volume `other`"),
        ("env_file: nothing.env", 4, "there is no file `nothing.env`"),
        ("secrets: [nothing]", 4, "there is no `nothing`"),
        ("depends_on: [nobody]", 4, "there is no service `nobody`"),
        ("restart: sometimes", 4, "expected `no`, `always`"),
        ("healthcheck: { interval: soon }", 4, "expected a duration"),
        ("mem_limit: much", 4, "expected an amount of memory"),
        ("command: \"echo 'a\"", 4, "a quote is not closed"),
        ("deploy: { replicas: -1 }", 4, "expected a number"),
        ("deploy: { placement: { constraints: [engine.labels.a == b] } }", 4, "Holm knows `node.labels"),
        ("environment: [\"A=${NO:?it must be set}\"]", 4, "it must be set"),
    ] {
        let image = if key.starts_with("build") { "" } else { "    image: b\n" };
        refused(
            &format!("services:\n  a:\n{image}    {key}\n"),
            &[&format!("{}:", if image.is_empty() { 3 } else { line }), expected],
        );
    }
    refused(
        "services:\n  a: { image: b, depends_on: [c] }\n  c: { image: b, depends_on: [a] }\n",
        &["goes in a circle: a, c"],
    );
    // Said, and so anyway.
    let plain = "holm: v1\napplication: my-shop\nservices: { a: { runtime: container, image: b } }\n";
    let said =
        "services: { a: { image: b, privileged: false, cap_add: [], stop_signal: SIGTERM, tty: true } }\n";
    becomes(said, Format::Compose, plain, &["tty"]);
}

#[test]
fn a_manifest_is_what_it_was() {
    let native = "holm: v1\napplication: shop\nservices: { web: { runtime: process, command: [a] } }\n";
    becomes(native, Format::Native, native, &[]);
    refused("services: 3\n", &["1:11"]);
    refused("nothing: here\n", &["`holm` is missing"]);
}

proptest! {
    /// Whatever is changed in a file, what is taken is a manifest.
    #[test]
    fn nothing_panics_and_what_is_taken_can_be_written(at in 0..SHOP.len(), with in "[a-z0-9:{}\\[\\]$\", \n-]{0,6}", cut in 0..9_usize) {
        let mut text: Vec<char> = SHOP.chars().collect();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, with.chars());
        if let Ok(found) = translated(&text.into_iter().collect::<String>()) {
            for application in &found.applications {
                prop_assert!(parse(&show(application), "shown").is_ok_and(|again| again == *application));
            }
        }
    }
}
