//! One instance that begins anew alone.

use std::time::Duration;

use crate::harness::{holds_for, sea};

const TWO: &str = "holm: v1
application: shop
services:
  web:
    runtime: process
    command: [sleep, \"100000\"]
    replicas: 2
    stop: { grace: 1s }
    restart: { policy: never }
";

#[test]
fn one_instance_is_restarted_by_its_slot_or_id_and_the_other_goes_on() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(TWO);
    let before = sea.running("shop", 2);
    let other = sea.program("shop", "web/1");
    for (count, name) in ["shop/web/0", before[0].id()].into_iter().enumerate() {
        let said = sea.holm(&["restart", name]).done().stdout;
        assert_eq!(said, "shop/web/0 restarts\n");
        let incarnation = count as u32 + 2;
        let now = sea.until("shop", "it begins anew", |all| {
            all.len() == 2 && all.iter().all(|i| i.runs()) && all[0].incarnation == incarnation
        });
        assert_eq!((now[0].id(), now[0].restarts), (before[0].id(), incarnation - 1));
        assert_eq!(now[1].incarnation, 1);
    }
    assert!(other.lives());
    // The cluster can do it, too, and it is written down who did.
    sea.holm_at("vienna", &["restart", before[1].id()]).done();
    sea.until("shop", "the other, too", |all| all.iter().all(|i| i.runs() && i.incarnation > 1));
    let audit = sea.holm(&["audit", "-o", "json"]).done().stdout;
    assert!(audit.contains("application default/shop/web/0"), "{audit}");
    // All of them at once, as before.
    sea.holm(&["restart", "shop/web"]).done();
    let all = sea.until("shop", "both", |all| {
        all.iter().all(|i| i.runs()) && all[0].incarnation == 4 && all[1].incarnation == 3
    });
    assert_eq!(all.len(), 2);
    sea.holm(&["restart", "shop/web/7"]).refused(1, &["shop/web/7"]);
    sea.holm(&["stop", "shop"]).done();
    sea.until("shop", "stopped", |all| all.iter().all(|i| i.state == "STOPPED"));
    sea.holm(&["restart", before[0].id()]).refused(1, &["is stopped", "`holm start`"]);
    sea.holm(&["resume", "shop"]).refused(1, &["nothing of shop is paused", "`holm start shop`"]);
    sea.holm(&["start", "shop"]).done();
    let now = sea.running("shop", 2);
    // Nothing is kept for a node that does not hear it.
    let incarnation = now[0].incarnation;
    sea.kill("fl-1");
    sea.holm(&["restart", before[0].id()]).refused(1, &[]);
    sea.start("fl-1");
    sea.all_connected();
    holds_for(Duration::from_secs(2), "it goes on", || {
        let all = sea.instances("shop");
        all.iter().all(|i| i.slot != "web/0" || i.incarnation == incarnation)
    });
}
