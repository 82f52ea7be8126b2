//! Where nodes are in the network is measured by real processes over ways of a known length.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Sea, sea, wait_for};

const SHOP: &str = "holm: v1
application: shop
services:
  db:
    runtime: process
    command: [busybox, nc, -ll, -p, \"{{port.tcp}}\", -e, cat]
    ports: { tcp: auto }
    placement: { node: near-1 }
  web:
    runtime: process
    command: [sleep, \"600\"]
    connects: [{ service: db, port: tcp, latency: 20ms }]
    placement: { apart: [{ service: db, on: node }] }
";

/// One way to `far-1`.
const WAY: Duration = Duration::from_millis(40);

/// A node's way to its cluster by its coordinate, in milliseconds, once it has settled.
fn way(sea: &Sea, node: &str) -> Option<f64> {
    let shown = sea.holm(&["describe", "node", node, "-o", "json"]).done().stdout;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let view = if shown["coordinate"].is_null() { &shown["node"] } else { &shown };
    let there = &view["coordinate"];
    let part = |axis: usize| there["at"][axis].as_f64();
    let height = there["height"].as_f64()?;
    let settled = there["error"].as_u64()? < 300;
    let length = (part(0)?.powi(2) + part(1)?.powi(2) + part(2)?.powi(2)).sqrt();
    settled.then_some((length + height) / 1_000.0)
}

#[test]
fn a_bound_of_latency_is_kept_by_what_was_measured() {
    // By first-fit alone, the far one would have it: it is the oldest.
    let sea = sea().cluster("vienna", &["far-1", "near-1", "near-2"]).far("far-1", WAY).start();
    let real = 2.0 * WAY.as_secs_f64() * 1_000.0;
    let found = wait_for("the far one knows how far it is", || {
        way(&sea, "far-1").filter(|found| (found - real).abs() < real * 0.25)
    });
    let near = wait_for("the near one knows, too", || way(&sea, "near-2"));
    assert!(near < 20.0 && found > 60.0, "{near} {found}");
    sea.apply(SHOP);
    let web = sea.running("shop", 2).into_iter().find(|row| row.service == "web").expect("web");
    assert_eq!(web.node(), "near-2");
    let said = sea.holm_at("vienna", &["explain", "shop/web/0"]).done().stdout;
    assert!(said.contains("to `db` by estimate, 20ms at most"), "{said}");
}
