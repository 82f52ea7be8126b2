use std::os::unix::fs::PermissionsExt;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000))
}

fn sea() -> Authority {
    Authority::create_sea("sea", now()).unwrap()
}

fn leaf(identity: &str, usage: Usage) -> Leaf {
    Leaf { identity: identity.parse().unwrap(), usage, names: Vec::new(), validity: DAY * 30 }
}

fn csr() -> Vec<u8> {
    key_and_request().unwrap().1
}

#[test]
fn an_authority_signs_only_below_itself() {
    let root = sea();
    let request = AuthorityRequest::new().unwrap();
    let c1 = "holm://sea/c1".parse().unwrap();
    let issued = root.sign_intermediate(request.csr(), &c1, now()).unwrap();
    let cluster = request.install(issued.chain, root.root().clone()).unwrap();
    assert_eq!(cluster.fingerprint(), root.fingerprint());

    let issued = cluster.sign_leaf(&csr(), &leaf("holm://sea/c1/n1", Usage::Client), now()).unwrap();
    assert_eq!(issued.chain.len(), 2);
    cluster.sign_leaf(&csr(), &leaf("holm://sea/c1", Usage::Server), now()).unwrap();
    cluster.sign_leaf(&csr(), &leaf("holm://sea/c1", Usage::Tokens), now()).unwrap();
    // Any project's: instances move.
    cluster.sign_leaf(&csr(), &leaf("holm://sea/blue/shop/web", Usage::Workload), now()).unwrap();
    for (who, usage) in [
        ("holm://sea/c2/n1", Usage::Client),
        ("holm://sea", Usage::Server),
        ("holm://lake/c1/n1", Usage::Client),
        ("holm://sea/c1", Usage::Client),
        ("holm://sea/c1/n1", Usage::Tokens),
        ("holm://sea/c1", Usage::Workload),
        ("holm://lake/a/b/c", Usage::Workload),
    ] {
        let error = cluster.sign_leaf(&csr(), &leaf(who, usage), now()).unwrap_err();
        assert!(matches!(error, SignError::NotBelow { .. }), "{who}");
    }
    assert!(matches!(cluster.sign_intermediate(&csr(), &c1, now()), Err(SignError::NotBelow { .. })));
}

#[test]
fn only_the_key_of_a_request_is_used() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["evil.example".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.subject_alt_names.push(SanType::URI("holm://sea".try_into().unwrap()));
    let csr = params.serialize_request(&key).unwrap();
    let issued = sea().sign_leaf(csr.der(), &leaf("holm://sea/n1", Usage::Client), now()).unwrap();
    let claims = Claims::parse(&issued.chain[0]).unwrap();
    assert_eq!(claims.identity.to_string(), "holm://sea/n1");
    assert!(!claims.is_ca);
    assert_eq!(claims.usage, Some(Usage::Client));
    assert_eq!(claims.serial, issued.serial);
    assert_eq!(claims.public_key, key.subject_public_key_info());
    assert!(!issued.chain[0].windows(4).any(|w| w == b"evil"));
    assert_eq!(now().as_secs() - claims.not_before.as_secs(), BACKDATE.as_secs());
}

#[test]
fn a_request_that_was_changed_is_refused() {
    let mut csr = csr();
    let last = csr.len() - 1;
    csr[last] ^= 1;
    let error = sea().sign_leaf(&csr, &leaf("holm://sea/n1", Usage::Client), now()).unwrap_err();
    assert!(matches!(error, SignError::Request(_)), "{error}");
    for garbage in [&b""[..], b"\x30\x03abc", &[0x30; 500]] {
        assert!(sea().sign_leaf(garbage, &leaf("holm://sea/n1", Usage::Client), now()).is_err());
    }
}

#[test]
fn nothing_outlives_its_issuer() {
    let root = sea();
    let mut long = leaf("holm://sea/n1", Usage::Client);
    long.validity = YEAR * 50;
    let issued = root.sign_leaf(&csr(), &long, now()).unwrap();
    assert_eq!(issued.not_after, root.not_after);
    assert!(matches!(root.sign_leaf(&csr(), &long, root.not_after), Err(SignError::Expired)));
}

#[test]
fn an_authority_survives_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Authority::load(dir.path()).unwrap().is_none());
    let root = sea();
    root.save(dir.path()).unwrap();
    let mode = std::fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = Authority::load(dir.path()).unwrap().unwrap();
    assert_eq!(again.fingerprint(), root.fingerprint());
    again.sign_leaf(&csr(), &leaf("holm://sea/n1", Usage::Client), now()).unwrap();

    let other = tempfile::tempdir().unwrap();
    sea().save(other.path()).unwrap();
    std::fs::copy(other.path().join(KEY_FILE), dir.path().join(KEY_FILE)).unwrap();
    assert!(matches!(Authority::load(dir.path()), Err(LoadAuthorityError::OtherKey)));
    std::fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
    let missing = Authority::load(dir.path()).unwrap_err().to_string();
    assert!(missing.contains(KEY_FILE) && missing.contains("is not there"), "{missing}");
}
