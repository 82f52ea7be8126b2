//! Where nodes are in the network is measured by real processes over ways of a known length.

use std::time::Duration;

use serde_json::Value;

use crate::harness::sea::ROOT;
use crate::harness::{Instance, Sea, sea, vm, wait_within};

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
    connects: [{ service: db, port: tcp, latency: BOUND }]
    placement: { apart: [{ service: db, on: node }] }
";

/// One way to `far-1`. An emulated machine takes tens of milliseconds for an answer of its own.
const WAY: Duration = Duration::from_millis(40);
const WAY_INSIDE: Duration = Duration::from_millis(250);

/// Loads what makes a network of long ways, and runs one test of this very program.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/tools:/bin HOME=/ RUST_BACKTRACE=0 HOLM_TEST_INSIDE=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o mode=755 run /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
chmod 1777 /tmp
ip link set lo up
for module in /modules/*; do insmod $module; done
/suite over_netem --nocapture && echo all of \"it passed\"
reboot -f
";
const PASSED: &str = "all of it passed";
/// In the order in which they need each other.
const MODULES: [&str; 5] =
    ["net/llc/llc", "net/802/stp", "net/bridge/bridge", "drivers/net/veth", "net/sched/sch_netem"];
const SETTLE: Duration = Duration::from_secs(180);
/// Minutes, while others compile.
const BOOT: Duration = Duration::from_secs(600);

/// A node's way to its cluster by its coordinate, in milliseconds, once its error is below so many thousandths.
fn way(sea: &Sea, node: &str, error: u64) -> Option<f64> {
    let shown = sea.holm(&["describe", "node", node, "-o", "json"]).done().stdout;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let view = if shown["coordinate"].is_null() { &shown["node"] } else { &shown };
    let there = &view["coordinate"];
    let part = |axis: usize| there["at"][axis].as_f64();
    let height = there["height"].as_f64()?;
    let settled = there["error"].as_u64()? < error;
    let length = (part(0)?.powi(2) + part(1)?.powi(2) + part(2)?.powi(2)).sqrt();
    settled.then_some((length + height) / 1_000.0)
}

/// Half of one way is what `web` may be away from `db`. By first-fit alone, the far one would have it: it is the oldest.
fn near_ones_are_found(one_way: Duration, sea: impl FnOnce() -> Sea) {
    let sea = sea();
    let real = 2.0 * one_way.as_secs_f64() * 1_000.0;
    let found = wait_within(SETTLE, "the far one knows how far it is", || {
        way(&sea, "far-1", 300).filter(|found| (found - real).abs() < real * 0.25)
    });
    // What is near is told by its size, not by the noise in it.
    let near = wait_within(SETTLE, "the near one knows, too", || {
        way(&sea, "near-2", 1000).filter(|near| *near < real / 4.0)
    });
    let bound = format!("{}ms", one_way.as_millis() / 2);
    sea.apply(&SHOP.replace("BOUND", &bound));
    // What the near ones are from each other settles as well, on a busy machine late.
    let runs = |all: &[Instance]| all.len() == 2 && all.iter().all(Instance::runs);
    let all = sea.until_at(ROOT, SETTLE, "shop", "both run", runs);
    let web = all.into_iter().find(|row| row.service == "web").expect("web");
    assert_eq!(web.node(), "near-2");
    let said = sea.holm_at("vienna", &["explain", "shop/web/0"]).done().stdout;
    assert!(said.contains(&format!("to `db` by estimate, {bound} at most")), "{said}");
    println!("near-2 is {near} ms away, far-1 {found} ms");
}

#[test]
fn a_bound_of_latency_is_kept_by_what_was_measured() {
    near_ones_are_found(WAY, || {
        sea().cluster("vienna", &["far-1", "near-1", "near-2"]).far("far-1", WAY).start()
    });
}

/// In network namespaces with `tc netem`, which not each kernel has.
#[test]
fn a_bound_of_latency_is_kept_over_netem_needs_vm() {
    if std::env::var_os("HOLM_TEST_INSIDE").is_some() {
        return near_ones_are_found(WAY_INSIDE, || {
            let sea = sea().over_netem().cluster("vienna", &["far-1", "near-1", "near-2"]);
            sea.far("far-1", WAY_INSIDE).start()
        });
    }
    let Some(kernel) = vm::kernel() else { return };
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let program = |name: &str, place: &str| vm::put_program(name.as_ref(), &root, place.as_ref());
    let suite = std::env::current_exe().unwrap();
    vm::put_program(&suite, &root, "/suite".as_ref());
    program(env!("CARGO_BIN_EXE_holm"), env!("CARGO_BIN_EXE_holm"));
    for tool in ["ip", "tc", "nsenter"] {
        let found = ["/usr/sbin", "/sbin", "/usr/bin"].map(|dir| format!("{dir}/{tool}"));
        let found = found.into_iter().find(|path| std::path::Path::new(path).exists()).expect(tool);
        program(&found, &format!("/tools/{tool}"));
    }
    for (number, path) in MODULES.into_iter().enumerate() {
        let place = format!("/modules/{number}.ko");
        vm::put(&vm::module(&kernel, path), &root, place.as_ref());
    }
    for place in ["proc", "sys", "dev", "run", "tmp", "etc"] {
        std::fs::create_dir_all(root.join(place)).unwrap();
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
        .unwrap();
    let disk = vm::pack(&root, INIT);
    assert!(vm::boot(&kernel, &disk, 2048, BOOT).contains(PASSED), "the machine says above why");
}
