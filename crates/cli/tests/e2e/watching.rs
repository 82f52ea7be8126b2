//! What a real Prometheus makes of a sea: its metrics, and every query and rule of `deploy/`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::http::{request, unix};
use crate::harness::{LIMIT, Sea, sea, wait_for};

/// A Prometheus that scrapes a sea; ends with the test.
struct Prometheus {
    child: Child,
    port: u16,
}

// === impl Prometheus ===

impl Prometheus {
    /// As `deploy/prometheus/prometheus.yaml` says, with the sea's addresses, and every second.
    fn start(sea: &Sea) -> Self {
        let dir = sea.path("prometheus");
        fs::create_dir(&dir).unwrap();
        let config = fs::read_to_string(deploy("prometheus/prometheus.yaml")).unwrap();
        let config = config
            .replace("root.example:7700", sea.address("root"))
            .replace(
                "\"vienna.example:7700\", \"munich.example:7700\"",
                &format!("\"{}\"", sea.address("vienna")),
            )
            .replace("_interval: 15s", "_interval: 1s");
        assert!(!config.contains("example"), "{config}");
        fs::write(dir.join("prometheus.yaml"), config).unwrap();
        fs::copy(deploy("prometheus/alerts.yaml"), dir.join("alerts.yaml")).unwrap();
        fs::write(dir.join("holm.token"), sea.token("root", &["--role", "viewer"])).unwrap();
        fs::copy(sea.data("root").join("ca.pem"), dir.join("holm-ca.pem")).unwrap();
        promtool(&["check", "config", "prometheus.yaml"], &dir, "");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = fs::File::create(dir.join("log")).unwrap();
        let child = Command::new("prometheus")
            .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--log.level=warn"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus starts");
        Self { child, port }
    }

    /// `data` of an answer; none while it is not ready.
    fn ask(&self, path: &str) -> Option<Value> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(LIMIT)).ok()?;
        let answer = request(stream, "GET", &format!("/api/v1/{path}"), &[], "")?;
        let body: Value = serde_json::from_str(&answer.body).ok()?;
        assert_eq!(body["status"], "success", "{path}: {}", answer.body);
        Some(body["data"].clone())
    }

    /// The series that an expression gives now.
    fn query(&self, expression: &str) -> Option<Vec<Value>> {
        let encoded: String = expression.bytes().map(|b| format!("%{b:02X}")).collect();
        self.ask(&format!("query?query={encoded}"))?["result"].as_array().cloned()
    }

    /// Waits until an expression gives a series.
    fn gives(&self, expression: &str) -> Vec<Value> {
        wait_for(&format!("series of {expression}"), || {
            self.query(expression).filter(|series| !series.is_empty())
        })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name)
}

/// Fails with what it says unless it is content.
fn promtool(words: &[&str], dir: &Path, input: &str) {
    let mut call = Command::new("promtool");
    call.args(words).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = call.spawn().expect("promtool starts");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {words:?}: {said}");
}

/// All queries of the dashboards, with every variable set to everything.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for file in ["fleet", "cluster", "service"] {
        let text = fs::read_to_string(deploy(&format!("grafana/{file}.json"))).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let place = format!("{file}: {}", panel["title"].as_str().unwrap());
                queries.push((place, target["expr"].as_str().unwrap().to_owned()));
            }
        }
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let values = variable["query"]["query"].as_str().and_then(|q| q.strip_prefix("label_values("));
            let Some((series, label)) = values.and_then(|q| q.strip_suffix(')')?.rsplit_once(',')) else {
                continue;
            };
            queries.push((format!("{file}: ${label}"), format!("group by ({label}) ({series})")));
        }
    }
    let all = |query: &str| {
        let names = ["orchestrator", "cluster", "project", "application", "service"];
        let query = query.replace("$__rate_interval", "1m");
        names.iter().fold(query, |query, name| query.replace(&format!("${name}"), ".*"))
    };
    queries.into_iter().map(|(place, query)| (place, all(&query))).collect()
}

/// The names of our metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
    text.split(|c| !word(c)).filter(|part| part.starts_with("holm_")).map(str::to_owned).collect()
}

fn manifest(application: &str, cpu: &str, replicas: u32) -> String {
    format!(
        "holm: v1\napplication: {application}\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"100000\"]\n    \
         stop: {{ grace: 1s }}\n    replicas: {replicas}\n    resources: {{ cpu: {cpu}, memory: 1Mi }}\n"
    )
}

#[test]
fn prometheus_reads_every_tier_needs_prometheus() {
    let sea = sea().node("hall").cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(&manifest("shop", "10m", 3));
    sea.apply(&manifest("giant", "1000", 1));
    sea.until("giant", "it has no place", |all| all.iter().any(|instance| !instance.reason.is_empty()));

    for name in ["root", "vienna"] {
        let text = sea.holm_at(name, &["metrics"]).done().stdout;
        promtool(&["check", "metrics"], sea.data(name), &text);
    }
    let node = unix(&sea.data("fl-1").join("node.sock"), "GET", "/metrics", &[], "").unwrap();
    assert!(node.body.contains("holm_parent_connected 1"), "{}", node.body);
    promtool(&["check", "metrics"], sea.data("fl-1"), &node.body);

    let prometheus = Prometheus::start(&sea);
    wait_for("both tiers answer", || {
        let up = prometheus.query("up{job=\"holm\"} == 1")?;
        (up.len() == 2).then_some(())
    });
    let nodes = prometheus.gives("holm_node_cpu_free_cores");
    let of = |series: &Value| {
        format!("{}/{}", series["metric"]["cluster"], series["metric"]["node"]).replace('"', "")
    };
    let mut found: Vec<String> = nodes.iter().map(of).collect();
    found.sort();
    assert_eq!(found, ["root/hall", "vienna/fl-1", "vienna/fl-2"], "each node is told of once");
    let running = "sum(holm_slots_running{application=\"shop\",tier=\"root\"})";
    wait_for("three instances run", || {
        (prometheus.query(running)?.first()?["value"][1] == "3").then_some(())
    });
    prometheus.gives("holm_slots_waiting{reason=\"cpu\",tier=\"root\"} == 1");

    for (place, query) in queries() {
        assert!(!query.contains('$'), "{place}: {query}");
        prometheus.gives(&query);
    }
    rules_answer(&prometheus);
}

fn rules_answer(prometheus: &Prometheus) {
    let alerts = fs::read_to_string(deploy("prometheus/alerts.yaml")).unwrap();
    let known = prometheus.ask("label/__name__/values").unwrap().to_string();
    let known = names(&known);
    let unknown: Vec<_> = names(&alerts).into_iter().filter(|name| !known.contains(name)).collect();
    assert_eq!(unknown, [""; 0], "of {known:?}");
    wait_for("every rule was evaluated", || {
        let data = prometheus.ask("rules")?;
        let groups = data["groups"].as_array()?;
        let mut rules = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten());
        rules.all(|rule| rule["health"] == "ok").then_some(())
    });
    prometheus.gives("ALERTS{alertname=\"HolmSlotsWait\",alertstate=\"pending\"}");
}

#[test]
fn alert_rules_tell_what_they_are_for_needs_prometheus() {
    promtool(&["test", "rules", "alerts_test.yaml"], &deploy("prometheus"), "");
}
