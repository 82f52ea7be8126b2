//! Where instances go by what a manifest says, and what people are told about it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::command::run;
use crate::harness::{Sea, sea};

fn manifest(application: &str, placement: &str, replicas: u32) -> String {
    format!(
        "holm: v1\napplication: {application}\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"100000\"]\n    \
         stop: {{ grace: 1s }}\n    replicas: {replicas}\n    placement: {placement}\n"
    )
}

fn nodes(sea: &Sea, application: &str, replicas: usize) -> Vec<String> {
    let mut found: Vec<String> =
        sea.running(application, replicas).iter().map(|instance| instance.node().to_owned()).collect();
    found.sort();
    found
}

#[test]
fn a_service_goes_where_its_manifest_says_and_says_why() {
    let sea = sea()
        .cluster("vienna", &["fl-1", "fl-2", "fl-3"])
        .words("vienna", &["--strategy", "spread"])
        .words("fl-2", &["--label", "zone=indoor", "--location", "48.21,16.37"])
        .words("fl-3", &["--label", "zone=cellar"])
        .start();
    // The cluster's own word, without one of the service.
    sea.apply(&manifest("usual", "{}", 3));
    assert_eq!(nodes(&sea, "usual", 3), ["fl-1", "fl-2", "fl-3"]);
    sea.apply(&manifest("inside", "{ where: has(labels.zone) && labels.zone != 'cellar' }", 1));
    assert_eq!(nodes(&sea, "inside", 1), ["fl-2"]);
    sea.apply(&manifest("near", "{ location: { lat: 48.2, lon: 16.4, within: 5km } }", 1));
    assert_eq!(nodes(&sea, "near", 1), ["fl-2"]);
    sea.apply(&manifest("apart", "{ strategy: first-fit, apart: [{ service: web, on: node }] }", 4));
    sea.until("apart", "three run and one has no place", |all| {
        let waits = |reason: &str| reason.contains("`web` is on this node, and must not be");
        all.iter().filter(|instance| instance.runs()).count() == 3 && all.iter().any(|i| waits(&i.reason))
    });
    // Why it waits is told of a slot that has no instance, too.
    let waits: Vec<Value> = sea.holm(&["get", "instances", "-o", "json"]).done().json();
    let waits =
        waits.iter().find(|row| row["application"] == "apart" && row["id"].is_null()).expect("it waits");
    let slot = format!("apart/{}", waits["slot"].as_str().expect("a slot"));
    let told = sea.holm(&["explain", &slot]).done().stdout;
    assert!(told.contains(&slot) && told.contains("vienna"), "{told}");
    // A label is a place, too, and can be said at any time.
    sea.holm(&["node", "label", "add", "fl-3", "location=48.15,11.58"]).done();
    sea.apply(&manifest("munich", "{ location: { lat: 48.1, lon: 11.5, within: 20km } }", 1));
    assert_eq!(nodes(&sea, "munich", 1), ["fl-3"]);

    let told = sea.holm(&["explain", "near/web/0"]).done().stdout;
    assert!(told.contains("near/web/0 is on vienna, where root placed it: location: "), "{told}");
    let told: Value = sea.holm_at("vienna", &["explain", "near/web/0", "-o", "json"]).done().json();
    assert_eq!((&told["member"], &told["members"][0]["member"]), (&"fl-2".into(), &"fl-2".into()), "{told}");
    let far = told["members"].as_array().unwrap().iter().find(|of| of["member"] == "fl-3").unwrap();
    assert!(far["reason"].as_str().unwrap().contains("km away, 5km asked"), "{told}");
    sea.holm(&["explain", "near/web/9"]).refused(1, &["near/web/9"]);

    // What is wrong is told with its place; what may be wrong is a warning.
    let apply =
        |words: &[&str], manifest: &str| run(sea.call_at("root", &[&["apply"], words].concat()), manifest);
    apply(&["-"], &manifest("bad", "{ where: labels.zone = 'x' }", 1))
        .refused(1, &["9:37", "write `==` to compare"]);
    let plan = apply(&["--plan", "-"], &manifest("plan", "{ strategy: { spread: zon } }", 1)).done();
    assert!(plan.stderr.contains("no node has a label `zon`"), "{plan:?}");
    assert!(
        plan.stdout.contains("members for web, by spread:zon:") && plan.stdout.contains("vienna"),
        "{plan:?}"
    );
}

#[test]
fn all_of_it_goes_to_one_cluster_by_the_root_or_straight() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).cluster("munich", &["fl-2"]).start();
    // Its port is its own choice at first: nobody else knows it then.
    sea.restart("munich");
    let text = manifest("shop", "{}", 1);
    let file = sea.file("shop.yaml", &text).display().to_string();
    sea.holm(&["apply", "--cluster", "munich", "--wait=60s", &file]).done();
    assert_eq!(nodes(&sea, "shop", 1), ["fl-2"]);
    sea.holm(&["apply", "--cluster", "nowhere", &file]).refused(1, &["there is no cluster `nowhere`"]);
    sea.holm(&["apply", "--redirect", &file]).refused(2, &["--cluster"]);

    let own = sea.file("own.yaml", &manifest("own", "{}", 1)).display().to_string();
    let token = sea.token("root", &["--role", "admin"]);
    let straight = || {
        let words =
            ["--server", sea.address("root"), "apply", "--cluster", "munich", "--redirect", "--wait=60s"];
        let mut call = sea.call_at("root", &[&words[..], &[&own]].concat());
        call.env_remove("HOLM_SOCKET").env("HOLM_API_TOKEN", &token);
        run(call, "")
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut ran = straight();
    while ran.code != 0 && Instant::now() < deadline {
        assert!(ran.stderr.contains("--advertise") || ran.stderr.contains("is away"), "{ran:?}");
        std::thread::sleep(Duration::from_millis(200));
        ran = straight();
    }
    ran.done();
    let at = |name: &str| sea.holm_at(name, &["get", "applications"]).done().stdout;
    assert!(at("munich").contains("own"), "{}", at("munich"));
    assert!(!at("vienna").contains("own"), "{}", at("vienna"));
    // The socket gives nobody a token.
    sea.holm(&["apply", "--cluster", "munich", "--redirect", &own])
        .refused(2, &["--server", "holm token create"]);
}

/// The example of the documentation, on a free port; ends with the test.
struct Example {
    child: Child,
    port: u16,
}

impl Example {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/scheduler/scheduler.py");
        let mut python = Command::new("python3");
        python.args([script, "0"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = python.spawn().expect("python3 starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().rsplit(' ').next().unwrap().parse().expect("it says its port");
        Self { child, port }
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn an_own_scheduler_ranks_and_is_not_missed_needs_python() {
    let mut example = Example::start();
    let green = format!("green=http://127.0.0.1:{}/", example.port);
    let sea = sea()
        .cluster("vienna", &["fl-1", "fl-2", "fl-3"])
        .words("vienna", &["--scheduler", &green])
        .words("fl-1", &["--label", "watts=90"])
        .words("fl-2", &["--label", "watts=60"])
        .words("fl-3", &["--label", "watts=15"])
        .cluster("munich", &["fl-9"])
        .words("munich", &["--scheduler", &green, "--scheduler-required"])
        .start();
    let external = |cluster: &str| format!("{{ cluster: {cluster}, strategy: {{ external: green }} }}");
    sea.apply(&manifest("frugal", &external("vienna"), 1));
    assert_eq!(nodes(&sea, "frugal", 1), ["fl-3"]);
    let told: Value = sea.holm_at("vienna", &["explain", "frugal/web/0", "-o", "json"]).done().json();
    assert_eq!(told["strategy"], "external:green", "{told}");
    assert_eq!(told["then"], "external:green: number 1 of the 3 that it named", "{told}");
    sea.apply(&manifest("strict", &external("munich"), 1));
    assert_eq!(nodes(&sea, "strict", 1), ["fl-9"]);

    example.end();
    // Which of the three joined first is chance: that it runs is what counts.
    sea.apply(&manifest("alone", &external("vienna"), 1));
    sea.running("alone", 1);
    let told = sea.holm_at("vienna", &["explain", "alone/web/0"]).done().stdout;
    assert!(told.contains("first-fit, since external:green fails (it cannot be reached"), "{told}");
    let metrics = sea.holm_at("vienna", &["metrics"]).done().stdout;
    for line in ["holm_scheduler_up{scheduler=\"green\"} 0", "outcome=\"failed\"} 1", "outcome=\"ranked\"} 1"]
    {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    sea.apply(&manifest("never", &external("munich"), 1));
    sea.until("never", "munich takes nothing new", |all| {
        all.iter().any(|row| row.reason.contains("takes nothing new: its scheduler `green` is required"))
    });
    assert_eq!(nodes(&sea, "strict", 1), ["fl-9"], "what runs goes on");
}

#[test]
fn a_cordoned_member_keeps_what_it_has() {
    let sea = sea().cluster("munich", &["fl-9"]).cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.apply(&manifest("old", "{ cluster: vienna }", 1));
    // Which of the two joined first is chance.
    let had = nodes(&sea, "old", 1);
    let other = if had == ["fl-1"] { "fl-2" } else { "fl-1" };
    sea.holm_at("vienna", &["node", "cordon", &had[0]]).done();
    sea.holm(&["cluster", "cordon", "munich"]).done();
    sea.holm(&["node", "cordon", &had[0]]).refused(1, &["belongs to cluster `vienna`"]);
    assert!(sea.holm_at("vienna", &["node", "ls"]).done().stdout.contains("cordoned"));
    assert!(sea.holm(&["cluster", "ls"]).done().stdout.contains("cordoned"));
    sea.apply(&manifest("new", "{}", 2));
    assert_eq!(nodes(&sea, "new", 2), [other, other]);
    assert_eq!(nodes(&sea, "old", 1), had);
    sea.holm(&["cluster", "uncordon", "munich"]).done();
    let audit = sea.holm(&["audit"]).done().stdout;
    assert!(audit.contains("member.cordon") && audit.contains("member.uncordon"), "{audit}");
}
