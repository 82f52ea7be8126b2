//! Nodes that nobody can connect to: each in a network namespace that drops what comes in.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::harness::{Instance, Sea, holds_for, sea, wait_for};

/// A server that answers each connection with a line and whatever it is sent, and a client that goes
/// by what `connects` tells alone.
fn pair(server: &str, client: &str) -> String {
    format!(
        "holm: v1\napplication: pair\nservices:\n  echo:\n    runtime: process\n    \
         command: [busybox, nc, -ll, -p, \"{{{{port.tcp}}}}\", -e, sh, -c, \"echo from {{{{node.name}}}}; exec cat\"]\n    \
         ports: {{ tcp: auto }}\n    placement: {{ node: {server} }}\n    stop: {{ grace: 1s }}\n  \
         ask:\n    runtime: process\n    command: [sleep, \"100000\"]\n    \
         connects: [ {{ service: echo, port: tcp }} ]\n    placement: {{ node: {client} }}\n    stop: {{ grace: 1s }}\n"
    )
}

/// What the instance of `ask` gets when it dials its peer: the greeting, and a checksum of `bytes`
/// that went there and came back.
fn ask(sea: &Sea, bytes: u64) -> Option<(String, u64)> {
    // The address is in the file that HOLM_CONNECTS names; the environment has it only at the start.
    let script = format!(
        "address=$(sed -n 's/.*\"address\": *\"\\([^\"]*\\)\".*/\\1/p' \"$HOLM_CONNECTS\" | head -1); \
         [ -n \"$address\" ] || exit 9; \
         head -c {bytes} /dev/zero | busybox nc -w 20 \"${{address%:*}}\" \"${{address##*:}}\" > answer || exit 8; \
         head -1 answer; wc -c < answer"
    );
    let said = sea.holm(&["exec", "pair/ask/0", "--", "sh", "-c", &script]);
    let mut lines = said.stdout.lines();
    let greeting = lines.next()?.to_owned();
    let count: u64 = lines.next()?.trim().parse().ok()?;
    Some((greeting.clone(), count.checked_sub(greeting.len() as u64 + 1)?))
}

#[test]
fn connects_flows_through_tunnels_two_tiers_deep_needs_root() {
    let sea = sea().isolated().cluster("vienna", &["fl-1"]).cluster("munich", &["ma-1"]).start();
    sea.deploy(&pair("fl-1", "ma-1"));
    let all = sea.running("pair", 2);
    let echo = all.iter().find(|i| i.service == "echo").unwrap();
    assert_eq!((echo.node(), echo.cluster.as_deref()), ("fl-1", Some("vienna")));
    // Really nobody can connect: neither to the port nor to anything else of the node.
    let direct = SocketAddr::from((sea.network().address_of("fl-1"), echo.ports["tcp"]));
    assert!(
        TcpStream::connect_timeout(&direct, Duration::from_millis(500)).is_err(),
        "{direct} is reachable"
    );
    let bytes = 8 << 20;
    let (greeting, back) = wait_for("bytes come back", || ask(&sea, bytes));
    assert_eq!((greeting.as_str(), back), ("from fl-1", bytes));
    // Logs and exec need the same ways.
    assert_eq!(sea.holm(&["exec", "pair/echo/0", "--", "sh", "-c", "echo $HOLM_NODE"]).done().line(), "fl-1");
    // The peer moves to another address, and its client is told.
    sea.program("pair", "echo/0").kill();
    sea.until("pair", "another incarnation", |all| {
        all.iter().any(|i| i.service == "echo" && i.incarnation == 2 && i.runs())
    });
    let again = wait_for("bytes come back", || ask(&sea, 1000).filter(|(_, back)| *back == 1000));
    assert_eq!(again.0, "from fl-1");
}

#[test]
fn connects_inside_one_cluster_and_one_node_needs_root() {
    let sea = sea().isolated().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(&pair("fl-1", "fl-2"));
    assert_eq!(wait_for("through the cluster", || ask(&sea, 100_000)), ("from fl-1".to_owned(), 100_000));
    sea.deploy(&pair("fl-2", "fl-2"));
    let there = wait_for("on the same node", || ask(&sea, 100_000).filter(|(from, _)| from == "from fl-2"));
    assert_eq!(there.1, 100_000);
}

#[test]
fn a_node_whose_cable_is_pulled_is_replaced_and_brings_no_surplus_needs_root() {
    let sea = sea().isolated().impatient().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(
        "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"100000\"]\n    \
         replicas: 2\n    stop: { grace: 1s }\n    restart: { policy: always, backoff: 50ms..1s }\n",
    );
    let lost = sea.instances("shop")[0].node().to_owned();
    let other = if lost == "fl-1" { "fl-2" } else { "fl-1" };
    let on_lost = || sea.programs().into_iter().filter(|p| p.node == lost).collect::<Vec<_>>();
    let before = on_lost();
    sea.network().cable(&lost, false);
    sea.until("shop", "both run on the other node", |all| {
        all.iter().filter(|i| i.runs() && i.node() == other).count() == 2
    });
    let seen = sea.instances("shop");
    assert!(seen.iter().any(|i| i.node() == lost && i.state == "DANGLING"), "{seen:#?}");
    assert_eq!(on_lost(), before, "what is cut off goes on");
    // And it restarts what crashes, with nobody above.
    before[0].kill();
    wait_for("restarted by policy", || {
        (on_lost().len() == before.len() && on_lost() != before).then_some(())
    });
    sea.network().cable(&lost, true);
    let all = sea.running("shop", 2);
    assert!(all.iter().all(|i| i.node() == other), "the replacement stays: {all:#?}");
    wait_for("the surplus is gone", || on_lost().is_empty().then_some(()));
}

#[test]
fn a_cable_that_is_pulled_for_a_moment_changes_nothing_needs_root() {
    let sea = sea().isolated().cluster("vienna", &["fl-1"]).start();
    sea.deploy(&pair("fl-1", "fl-1"));
    let before = sea.programs();
    let ids = |all: &[Instance]| all.iter().map(|i| i.id().to_owned()).collect::<Vec<_>>();
    let first = ids(&sea.running("pair", 2));
    sea.network().cable("fl-1", false);
    holds_for(Duration::from_secs(3), "nothing ends", || sea.programs() == before);
    sea.network().cable("fl-1", true);
    sea.holm(&["scale", "pair/ask", "2"]).done();
    let all = sea.running("pair", 3);
    assert!(first.iter().all(|id| ids(&all).contains(id)), "{all:#?}");
    assert!(before.iter().all(crate::harness::proc::Program::lives));
}
