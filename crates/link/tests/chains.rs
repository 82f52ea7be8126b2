//! Which chains are accepted, and which are not: what nobody else can check for us.

mod support;

use holm_link::certificate::Usage::{Client, Server, Tokens, Workload};
use holm_link::certificate::{CertificateError, Serial};
use holm_link::revocation::Revocations;
use holm_link::verify::{Below, MemberPolicy, VerifyError};
use support::*;

fn none() -> Revocations {
    Revocations::default()
}

#[test]
fn a_member_is_accepted_by_its_orchestrator_only() {
    let root = sea();
    let (c1, intermediate) = cluster(&root, "holm://sea/c1");
    let node = issue(&c1, "holm://sea/c1/n1", Client);
    let peer = members_of(&root, "holm://sea/c1", &none()).judge(&node.chain, day(1)).unwrap();
    assert_eq!(peer.identity, id("holm://sea/c1/n1"));
    assert_eq!(peer.serials, [node.serial, intermediate.serial]);
    assert!(!peer.expired);
    for other in ["holm://sea", "holm://sea/c2"] {
        let error = members_of(&root, other, &none()).judge(&node.chain, day(1)).unwrap_err();
        assert!(matches!(error, VerifyError::NotMember { .. }), "{error}");
    }
}

#[test]
fn a_witness_is_a_member_of_a_member_and_nobody_else() {
    let root = sea();
    let witnesses = |of: &str, revocations: &Revocations| MemberPolicy {
        below: Below::Members,
        ..members_of(&root, of, revocations)
    };
    let (c1, _) = cluster(&root, "holm://sea/c1");
    let node = issue(&c1, "holm://sea/c1/n1", Client);
    let peer = witnesses("holm://sea", &none()).judge(&node.chain, day(1)).unwrap();
    assert_eq!(peer.identity, id("holm://sea/c1/n1"));

    let own = issue(&root, "holm://sea/n1", Client);
    for (of, chain) in
        [("holm://sea", &own.chain), ("holm://sea/c1", &node.chain), ("holm://sea/c2", &node.chain)]
    {
        let error = witnesses(of, &none()).judge(chain, day(1)).unwrap_err();
        assert!(matches!(error, VerifyError::NotMember { .. }), "{of}: {error}");
    }
    let rogue = Rogue::cluster(&root, "holm://sea/c1");
    let (chain, _) = rogue.sign(&params(&["holm://sea/c2/n1"], Client));
    let error = witnesses("holm://sea", &none()).judge(&chain, day(1)).unwrap_err();
    assert!(matches!(error, VerifyError::NotBelow { .. }), "{error}");
    for void in ["c1", "n1"] {
        let revoked = Revocations::default();
        revoked.revoke_members([void.to_owned()]);
        let error = witnesses("holm://sea", &revoked).judge(&node.chain, day(1)).unwrap_err();
        assert!(matches!(error, VerifyError::Revoked { .. }), "{void}: {error}");
    }
}

#[test]
fn another_sea_of_the_same_name_is_another_sea() {
    let (mine, theirs) = (sea(), sea());
    let node = issue(&theirs, "holm://sea/n1", Client);
    let error = members_of(&mine, "holm://sea", &none()).judge(&node.chain, day(1)).unwrap_err();
    assert!(matches!(error, VerifyError::Path(_)), "{error}");
    // Not even when the foreign root is sent along.
    let mut chain = node.chain;
    chain.push(theirs.root().der().clone());
    assert!(members_of(&mine, "holm://sea", &none()).judge(&chain, day(1)).is_err());
}

#[test]
fn an_intermediate_speaks_for_nobody_but_those_below_it() {
    let root = sea();
    let rogue = Rogue::cluster(&root, "holm://sea/c1");
    for (parent, forged) in [
        ("holm://sea/c2", "holm://sea/c2/n1"),
        ("holm://sea", "holm://sea/n1"),
        ("holm://sea", "holm://sea/c1"),
        ("holm://sea", "holm://sea/c11"),
    ] {
        let (chain, _) = rogue.sign(&params(&[forged], Client));
        let error = members_of(&root, parent, &none()).judge(&chain, day(1)).unwrap_err();
        assert!(matches!(error, VerifyError::NotBelow { .. }), "{forged}: {error}");
    }
    // Nor through an intermediate of its own.
    let deeper = rogue.intermediate(&["holm://sea/c2"]);
    let (chain, _) = deeper.sign(&params(&["holm://sea/c2/n1"], Client));
    let error = members_of(&root, "holm://sea/c2", &none()).judge(&chain, day(1)).unwrap_err();
    assert!(matches!(error, VerifyError::NotBelow { .. }), "{error}");
    let own = rogue.intermediate(&["holm://sea/c1/d1"]);
    let (chain, _) = own.sign(&params(&["holm://sea/c1/d1/n1"], Client));
    members_of(&root, "holm://sea/c1/d1", &none()).judge(&chain, day(1)).unwrap();
    // And what is merely sent along does not count as issuer.
    let (mut chain, _) = rogue.sign(&params(&["holm://sea/c2/n1"], Client));
    chain.extend(cluster(&root, "holm://sea/c2").1.chain);
    assert!(members_of(&root, "holm://sea/c2", &none()).judge(&chain, day(1)).is_err());
}

#[test]
fn a_certificate_has_exactly_one_identity() {
    let root = sea();
    let rogue = Rogue::cluster(&root, "holm://sea/c1");
    let policy = members_of(&root, "holm://sea/c1", &none());
    for (uris, expected) in [
        (&[][..], CertificateError::Names(0)),
        (&["holm://sea/c1/n1", "holm://sea/c1/n2"], CertificateError::Names(2)),
        (&["holm://sea/c1/n1", "spiffe://x/y"], CertificateError::Names(2)),
    ] {
        let (chain, _) = rogue.sign(&params(uris, Client));
        assert_eq!(policy.judge(&chain, day(1)), Err(VerifyError::Certificate(expected)));
    }
    let (chain, _) = rogue.sign(&params(&["holm://sea/c1/N1"], Client));
    assert!(matches!(policy.judge(&chain, day(1)), Err(VerifyError::Certificate(_))));
    // An intermediate without an identity bounds nothing and is refused.
    let nobody = rogue.intermediate(&["https://example.org"]);
    let (chain, _) = nobody.sign(&params(&["holm://sea/c1/n1"], Client));
    assert!(matches!(policy.judge(&chain, day(1)), Err(VerifyError::Certificate(_))));
}

#[test]
fn a_ca_certificate_or_one_for_the_other_side_is_no_leaf() {
    let root = sea();
    let (c1, intermediate) = cluster(&root, "holm://sea/c1");
    let members = members_of(&root, "holm://sea", &none());
    let error = members.judge(&intermediate.chain, day(1)).unwrap_err();
    assert!(matches!(error, VerifyError::Usage(_)), "{error}");
    let error = members.judge(&[root.root().der().clone()], day(1)).unwrap_err();
    assert!(matches!(error, VerifyError::Usage(_)), "{error}");

    let server = issue(&root, "holm://sea/n1", Server);
    assert!(matches!(members.judge(&server.chain, day(1)), Err(VerifyError::Usage(_))));
    let client = issue(&c1, "holm://sea/c1/n1", Client);
    let error = calls(&root, "holm://sea/c1/n1").judge(&client.chain, day(1)).unwrap_err();
    assert!(matches!(error, VerifyError::Usage(_)), "{error}");
    let tokens = issue(&root, "holm://sea", Tokens);
    let error = calls(&root, "holm://sea").judge(&tokens.chain, day(1)).unwrap_err();
    assert!(matches!(error, VerifyError::Usage(_)), "{error}");

    // No usage at all means none, not any.
    let rogue = Rogue::cluster(&root, "holm://sea/c1");
    let mut silent = params(&["holm://sea/c1/n1"], Client);
    silent.extended_key_usages.clear();
    let (chain, _) = rogue.sign(&silent);
    let error = members_of(&root, "holm://sea/c1", &none()).judge(&chain, day(1)).unwrap_err();
    assert!(matches!(error, VerifyError::Usage(_)), "{error}");
}

/// The project is named like a cluster, the application like its cluster, the service like a node of that.
#[test]
fn an_instance_is_nobodys_member_whatever_its_names_are() {
    let root = sea();
    let (c1, _) = cluster(&root, "holm://sea/c1");
    let (d1, _) = cluster(&c1, "holm://sea/c1/d1");
    let who = "holm://sea/c1/d1/n1";
    let member = issue(&d1, who, Client);
    members_of(&root, "holm://sea/c1/d1", &none()).judge(&member.chain, day(1)).unwrap();
    for authority in [&root, &c1, &d1] {
        let instance = issue(authority, who, Workload);
        let error =
            members_of(&root, "holm://sea/c1/d1", &none()).judge(&instance.chain, day(1)).unwrap_err();
        assert!(matches!(error, VerifyError::Usage(_)), "{error}");
        let error = calls(&root, who).judge(&instance.chain, day(1)).unwrap_err();
        assert!(matches!(error, VerifyError::Usage(_)), "{error}");
    }
    // Nor does a cluster in the wrong hands get one in by a rule of its own.
    let rogue = Rogue::cluster(&root, "holm://sea/c1");
    let (chain, _) = rogue.sign(&params(&["holm://sea/c1/n1"], Workload));
    let error = members_of(&root, "holm://sea/c1", &none()).judge(&chain, day(1)).unwrap_err();
    assert!(matches!(error, VerifyError::Usage(_)), "{error}");
}

#[test]
fn only_the_expected_orchestrator_is_called() {
    let root = sea();
    let (c1, _) = cluster(&root, "holm://sea/c1");
    let server = issue(&c1, "holm://sea/c1", Server);
    calls(&root, "holm://sea/c1").judge(&server.chain, day(1)).unwrap();
    let error = calls(&root, "holm://sea").judge(&server.chain, day(1)).unwrap_err();
    assert!(matches!(error, VerifyError::Unexpected { .. }), "{error}");
    // A cluster cannot make itself a server of its parent or its sibling.
    let rogue = Rogue::cluster(&root, "holm://sea/c2");
    for forged in ["holm://sea", "holm://sea/c1"] {
        let (chain, _) = rogue.sign(&params(&[forged], Server));
        let error = calls(&root, forged).judge(&chain, day(1)).unwrap_err();
        assert!(matches!(error, VerifyError::NotBelow { .. }), "{error}");
    }
}

#[test]
fn revocation_of_leaf_or_intermediate_ends_the_member() {
    let root = sea();
    let (c1, intermediate) = cluster(&root, "holm://sea/c1");
    let (n1, n2) = (issue(&c1, "holm://sea/c1/n1", Client), issue(&c1, "holm://sea/c1/n2", Client));
    let revocations = none();
    let policy = members_of(&root, "holm://sea/c1", &revocations);
    let mut changes = revocations.subscribe();

    revocations.revoke([n1.serial.clone()]);
    assert!(changes.has_changed().unwrap());
    assert!(changes.borrow_and_update().contains(&n1.serial));
    let error = policy.judge(&n1.chain, day(1)).unwrap_err();
    assert!(matches!(&error, VerifyError::Revoked { serial, .. } if *serial == n1.serial), "{error}");
    policy.judge(&n2.chain, day(1)).unwrap();

    let text = intermediate.serial.to_string();
    revocations.revoke([text.parse::<Serial>().unwrap()]);
    let error = policy.judge(&n2.chain, day(1)).unwrap_err();
    assert!(matches!(&error, VerifyError::Revoked { serial, .. } if *serial == intermediate.serial));
    revocations.revoke([intermediate.serial]);
    changes.mark_unchanged();
    assert!(!changes.has_changed().unwrap());
}

/// Whoever revokes a cluster may have forgotten its certificates, after a restore for one.
#[test]
fn a_revoked_id_ends_the_member_and_all_below_whatever_their_certificates_are() {
    let root = sea();
    let (c1, _) = cluster(&root, "holm://sea/c1");
    let (c2, _) = cluster(&root, "holm://sea/c2");
    let revocations = none();
    let ours = members_of(&root, "holm://sea/c1", &revocations);
    let mut calls = calls(&root, "holm://sea/c1");
    calls.revocations = revocations.clone();
    let node = issue(&c1, "holm://sea/c1/n1", Client);
    let server = issue(&c1, "holm://sea/c1", Server);
    ours.judge(&node.chain, day(1)).unwrap();
    calls.judge(&server.chain, day(1)).unwrap();

    revocations.revoke_members(["c1".to_owned()]);
    assert!(matches!(ours.judge(&node.chain, day(1)), Err(VerifyError::Revoked { .. })));
    assert!(matches!(calls.judge(&server.chain, day(1)), Err(VerifyError::Revoked { .. })));
    let other = issue(&c2, "holm://sea/c2/n1", Client);
    members_of(&root, "holm://sea/c2", &revocations).judge(&other.chain, day(1)).unwrap();
    revocations.revoke_members(["n1".to_owned()]);
    let error = members_of(&root, "holm://sea/c2", &revocations).judge(&other.chain, day(1)).unwrap_err();
    assert!(matches!(&error, VerifyError::Revoked { identity, .. } if identity.name() == "n1"), "{error}");
}

#[test]
fn an_expired_client_is_marked_inside_the_window_and_refused_outside() {
    let root = sea();
    let node = issue(&root, "holm://sea/n1", Client);
    let revocations = none();
    let policy = members_of(&root, "holm://sea", &revocations);
    assert!(!policy.judge(&node.chain, day(30)).unwrap().expired);
    assert!(policy.judge(&node.chain, day(31)).unwrap().expired);
    assert!(policy.judge(&node.chain, day(430)).unwrap().expired);
    let error = policy.judge(&node.chain, day(431)).unwrap_err();
    assert!(matches!(error, VerifyError::Expired { .. }), "{error}");
    revocations.revoke([node.serial]);
    assert!(matches!(policy.judge(&node.chain, day(31)), Err(VerifyError::Revoked { .. })));

    let server = issue(&root, "holm://sea", Server);
    let error = calls(&root, "holm://sea").judge(&server.chain, day(31)).unwrap_err();
    assert!(matches!(error, VerifyError::Expired { .. }), "{error}");
}

#[test]
fn a_clock_that_is_behind_is_moved_up_by_the_server_but_never_by_a_member() {
    let root = sea();
    let past = holm_link::UnixTime::since_unix_epoch(std::time::Duration::ZERO);
    let server = issue(&root, "holm://sea", Server);
    calls(&root, "holm://sea").judge(&server.chain, past).unwrap();
    let node = issue(&root, "holm://sea/n1", Client);
    let error = members_of(&root, "holm://sea", &none()).judge(&node.chain, past).unwrap_err();
    assert!(matches!(error, VerifyError::NotYetValid { .. }), "{error}");
}

#[test]
fn garbage_is_an_error() {
    let root = sea();
    let policy = members_of(&root, "holm://sea", &none());
    assert!(policy.judge(&[], day(1)).is_err());
    let good = issue(&root, "holm://sea/n1", Client).chain.remove(0).to_vec();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        assert!(policy.judge(&[bad.into()], day(1)).is_err(), "byte {at}");
        assert!(policy.judge(&[good[..at].to_vec().into()], day(1)).is_err());
    }
}
