//! What operators say about nodes, and what nodes tell of themselves, two tiers deep.

use serde::Deserialize;
use serde_json::Value;

use crate::harness::{Sea, sea, wait_for};

const RADIO: &str = "holm: v1
application: radio
services:
  gate:
    runtime: process
    command: [sleep, \"100000\"]
    env: { FLOOR: \"{{ node.labels.floor }}\" }
    placement: { require: [hardware/zigbee] }
";

const BUSY: &str = "holm: v1
application: busy
services:
  spin:
    runtime: process
    command: [sh, -c, \"while :; do dd if=/dev/zero of=file bs=64k count=16 conv=fsync 2>/dev/null; done\"]
";

#[derive(Debug, Deserialize, PartialEq)]
struct Said {
    name: String,
    #[serde(default)]
    value: Option<String>,
    origin: String,
}

fn said(sea: &Sea, what: &str, node: &str, name: &str) -> Option<Said> {
    let list = sea.holm(&["node", what, "ls", node, "-o", "json"]).done();
    list.json::<Vec<Said>>().into_iter().find(|said| said.name == name)
}

fn origin(sea: &Sea, what: &str, node: &str, name: &str) -> Option<String> {
    said(sea, what, node, name).map(|said| said.origin)
}

#[test]
fn what_is_said_about_a_node_is_placed_by_at_once_and_outlives_everyone() {
    let mut sea = sea().cluster("vienna", &["fl-1", "fl-2"]).words("fl-2", &["--label", "floor=1"]).start();
    sea.apply(RADIO);
    sea.until("radio", "nothing can run it", |all| all.iter().any(|i| i.reason.contains("hardware/zigbee")));
    sea.holm(&["node", "label", "add", "fl-2", "floor=2"]).done();
    sea.holm(&["node", "capability", "add", "fl-2", "hardware/zigbee"]).done();
    let radio = sea.running("radio", 1).remove(0);
    assert_eq!(radio.node(), "fl-2");
    let floor = sea.holm(&["exec", "radio/gate/0", "--", "printenv", "FLOOR"]);
    assert_eq!(floor.done().line(), "2");
    // Everybody starts again; the root's view of the node comes from the node.
    for name in ["fl-2", "vienna", "root"] {
        sea.restart(name);
    }
    sea.all_connected();
    wait_for("it is still so", || {
        let added = |what, name| origin(&sea, what, "fl-2", name).as_deref() == Some("added");
        (added("capability", "hardware/zigbee") && added("label", "floor")).then_some(())
    });
    assert_eq!(sea.running("radio", 1)[0].id, radio.id);
    // Taken back, it is as it was found.
    sea.holm(&["node", "label", "rm", "fl-2", "floor"]).done();
    wait_for("the label is gone", || (origin(&sea, "label", "fl-2", "floor")? == "removed").then_some(()));
    sea.holm(&["node", "label", "set", "fl-2", "floor=1"]).done();
    wait_for("the label is back", || (origin(&sea, "label", "fl-2", "floor")? == "found").then_some(()));
    sea.holm(&["node", "capability", "rm", "fl-2", "hardware/zigbee"]).done();
    wait_for("the capability is gone", || {
        origin(&sea, "capability", "fl-2", "hardware/zigbee").is_none().then_some(())
    });
    let audit = sea.holm(&["get", "audit", "-o", "json"]).done();
    for words in ["node.capability.add", "node fl-2: hardware/zigbee", "node.label.remove"] {
        assert!(audit.stdout.contains(words), "{words}: {}", audit.stdout);
    }
}

#[test]
fn what_makes_no_sense_or_reaches_nobody_is_refused() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).start();
    let add = |sea: &Sea, name| sea.holm(&["node", "capability", "add", "fl-1", name]);
    add(&sea, "runtime/vm").refused(1, &["follows from what the node is"]);
    let nowhere = ["node", "label", "add", "fl-1", "location=99,200"];
    sea.holm(&nowhere).refused(1, &["`99` is not a latitude", "-90 to 90"]);
    sea.holm(&["node", "label", "add", "fl-1", "a b=c"]).refused(1, &["no key of a label or taint"]);
    let odd = sea.request("root", "PUT", "nodes/fl-1/labels/zone", "{\"value\":\"x\",\"more\":1}").unwrap();
    assert_eq!(odd.status, 422, "{}", odd.body);
    let odd = sea.request("root", "PUT", "nodes/fl-1/capabilities/Hard/zig%2F", "").unwrap();
    assert_eq!(odd.status, 422, "{}", odd.body);
    sea.stop("fl-1");
    wait_for("the node is away", || (sea.node("fl-1").state != "online").then_some(()));
    add(&sea, "hardware/ble").refused(1, &["no link now"]);
    let audit = sea.holm(&["get", "audit", "-o", "json"]).done();
    assert!(audit.stdout.contains("node.amend"), "{}", audit.stdout);
    sea.start("fl-1");
    wait_for("it can be told again", || (add(&sea, "hardware/ble").code == 0).then_some(()));
}

const GPUS: &str = "holm: v1
application: vision
services:
  small: { runtime: process, command: [sleep, \"600\"], placement: { require: [hardware/gpu] } }
  large: { runtime: process, command: [sleep, \"600\"], placement: { require: [hardware/gpu=2] } }
";

#[test]
fn units_are_taken_and_taints_keep_new_work_away() {
    let sea = sea().cluster("vienna", &["fl-1"]).words("fl-1", &["--capability", "hardware/gpu=2"]).start();
    sea.apply(GPUS);
    sea.until("vision", "one of them waits", |all| {
        all.iter().any(|row| row.state == "RUNNING") && all.iter().any(|row| row.reason.contains("2 asked"))
            || all.iter().any(|row| row.reason.contains("0 hardware/gpu free, 1 asked"))
    });
    sea.holm(&["node", "taint", "add", "fl-1", "dedicated=radio"]).done();
    wait_for("the root knows", || {
        let list = sea.holm(&["node", "taint", "ls", "fl-1", "-o", "json"]).done().stdout;
        list.contains("radio").then_some(())
    });
    sea.holm(&["node", "capability", "add", "fl-1", "hardware/gpu=3"]).done();
    sea.until("vision", "the taint keeps the other away", |all| {
        all.iter().any(|row| row.reason.contains("has the taint `dedicated=radio`"))
    });
    sea.holm(&["node", "taint", "rm", "fl-1", "dedicated"]).done();
    sea.running("vision", 2);
    sea.holm(&["node", "taint", "add", "fl-1", "a b"]).refused(1, &["no key of a label or taint"]);
}

#[test]
fn the_last_hour_is_told_two_tiers_up() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(BUSY);
    let id = sea.running("busy", 1)[0].id().to_owned();
    let point = |path: &str| -> Option<Value> {
        let answer = sea.request("root", "GET", path, "").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        let history: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(history["step_seconds"], 15);
        history["points"].as_array()?.last().cloned()
    };
    wait_for("the instance is measured", || {
        let point = point(&format!("instances/{id}/usage"))?;
        (point["cpu_millis"].as_u64()? > 0 && point["memory"].as_u64()? > 0).then_some(())
    });
    wait_for("the node is measured", || {
        let point = point("nodes/fl-1/usage")?;
        (point["memory"].as_u64()? > 0 && point["disk_used"].as_u64()? > 0).then_some(())
    });
    let top = sea.holm(&["top", "instance", "-o", "json"]).done();
    let rows: Vec<Value> = top.json();
    assert_eq!((rows.len(), rows[0]["name"].as_str()), (1, Some("busy/spin/0")));
    assert!(!rows[0]["history"]["points"].as_array().unwrap().is_empty());
    let top = sea.holm(&["top", "--once", "node", "fl-1"]).done();
    assert!(top.stdout.contains("NETWORK IN/OUT") && top.stdout.contains("fl-1"), "{}", top.stdout);
    for (words, shown) in
        [(["describe", "node", "fl-1"], "CONTAINERS"), (["describe", "instance", &id], "up to")]
    {
        let text = sea.holm(&words).done().stdout;
        assert!(text.contains("last hour") && text.contains(shown), "{text}");
    }
    sea.holm(&["top", "node", "nobody"]).refused(1, &["`nobody`"]);
}
