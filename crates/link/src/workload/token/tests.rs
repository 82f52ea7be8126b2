use rcgen::{KeyPair, PublicKeyData as _};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use super::*;
use crate::authority::{Authority, AuthorityRequest, Leaf};
use crate::certificate::Serial;
use crate::workload::signer::{Subject, TokenSigner};

const API: &str = "holm://sea";
const TEN_MINUTES: Duration = Duration::from_secs(600);

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000 + seconds))
}

fn sea() -> Authority {
    Authority::create_sea("sea", at(0)).unwrap()
}

/// A cluster with the serial number of its authority.
fn cluster_of(root: &Authority) -> (Authority, Serial) {
    let request = AuthorityRequest::new().unwrap();
    let issued = root.sign_intermediate(request.csr(), &"holm://sea/c1".parse().unwrap(), at(0)).unwrap();
    (request.install(issued.chain, root.root().clone()).unwrap(), issued.serial)
}

fn subject() -> Subject {
    let workload = Workload::new("sea", "blue", "shop", "web").unwrap();
    Subject { workload, instance: "i1".to_owned(), node: "holm://sea/c1/n1".parse().unwrap() }
}

fn token(signer: &TokenSigner, life: Duration) -> String {
    signer.sign(subject(), API, life, at(100)).unwrap().text
}

fn judged(root: &Authority, text: &str, seconds: u64) -> Result<Claims, TokenError> {
    verify(text, API, root.root(), &Revocations::default(), at(seconds))
}

fn claims() -> Claims {
    let Subject { workload, instance, node } = subject();
    let (iss, aud) = ("holm://sea/c1".parse().unwrap(), API.to_owned());
    let (iat, exp) = (at(100).as_secs(), at(700).as_secs());
    Claims { iss, sub: workload, aud, iat, nbf: iat, exp, jti: "1".to_owned(), instance, node }
}

/// A token by hand: with this header and key, whatever they are.
fn forged(header: &Value, claims: &impl Serialize, key: &KeyPair) -> String {
    let part = |bytes: Vec<u8>| BASE64URL_NOPAD.encode(&bytes);
    let (header, claims) = (serde_json::to_vec(header).unwrap(), serde_json::to_vec(claims).unwrap());
    let signed = format!("{}.{}", part(header), part(claims));
    let random = SystemRandom::new();
    let key =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &random).unwrap();
    let signature = key.sign(&random, signed.as_bytes()).unwrap();
    format!("{signed}.{}", part(signature.as_ref().to_vec()))
}

fn header(chain: &[CertificateDer<'_>]) -> Value {
    let x5c: Vec<String> = chain.iter().map(|der| BASE64.encode(der)).collect();
    json!({ "alg": ALGORITHM, "typ": TYPE, "x5c": x5c })
}

fn issued(authority: &Authority, who: &str, usage: Usage) -> (Vec<CertificateDer<'static>>, KeyPair) {
    let (key, csr) = crate::authority::key_and_request().unwrap();
    let leaf = Leaf { identity: who.parse().unwrap(), usage, names: Vec::new(), validity: TEN_MINUTES };
    (authority.sign_leaf(&csr, &leaf, at(90)).unwrap().chain, key)
}

#[test]
fn whoever_knows_the_root_can_tell_a_good_token() {
    let root = sea();
    let (cluster, _) = cluster_of(&root);
    let signer = TokenSigner::new(&cluster, at(50)).unwrap();
    let claims = judged(&root, &token(&signer, TEN_MINUTES), 100).unwrap();
    assert_eq!((claims.iss.to_string().as_str(), claims.sub), ("holm://sea/c1", subject().workload));
    assert_eq!((claims.iat, claims.exp), (at(100).as_secs(), at(700).as_secs()));
    let of_root = token(&TokenSigner::new(&root, at(50)).unwrap(), TEN_MINUTES);
    assert_eq!(judged(&root, &of_root, 100).unwrap().iss.to_string(), "holm://sea");
}

#[test]
fn a_token_ends_and_lives_an_hour_at_most() {
    let root = sea();
    let signer = TokenSigner::new(&root, at(50)).unwrap();
    let text = token(&signer, TEN_MINUTES);
    assert!(judged(&root, &text, 699).is_ok());
    assert_eq!(judged(&root, &text, 700), Err(TokenError::Expired));
    assert!(judged(&root, &text, 45).is_ok(), "a clock may be a little behind");
    assert!(judged(&root, &text, 39).is_err());
    assert_eq!(judged(&root, &token(&signer, TEN_MINUTES * 100), 100).unwrap().exp, at(3700).as_secs());
    // A signer of another mind.
    let mut long = claims();
    (long.iss, long.exp) = ("holm://sea".parse().unwrap(), at(100 + 3601).as_secs());
    assert!(matches!(judged(&root, &signer.sign_claims(&long).unwrap(), 200), Err(TokenError::Claims(_))));
    // Neither outlives the signer's certificate.
    assert!(signer.is_fresh(at(50 + 23 * 3600)) && !signer.is_fresh(at(51 + 23 * 3600)));
    let late = signer.sign(subject(), API, TEN_MINUTES, at(50 + 24 * 3600 - 60)).unwrap();
    assert_eq!(late.expires, at(50 + 24 * 3600));
}

#[test]
fn another_audience_another_sea_and_revoked_signers_are_refused() {
    let root = sea();
    let (cluster, serial) = cluster_of(&root);
    let text = token(&TokenSigner::new(&cluster, at(50)).unwrap(), TEN_MINUTES);
    let none = Revocations::default();
    let error = verify(&text, "https://shop", root.root(), &none, at(100)).unwrap_err();
    assert!(matches!(error, TokenError::Audience { .. }), "{error}");
    let error = judged(&sea(), &text, 100).unwrap_err();
    assert!(matches!(error, TokenError::Signer(VerifyError::Path(_))), "{error}");
    none.revoke([serial]);
    let error = verify(&text, API, root.root(), &none, at(100)).unwrap_err();
    assert!(matches!(error, TokenError::Signer(VerifyError::Revoked { .. })), "{error}");
    // By its id, whatever its certificates are; those of other members say nothing.
    let by_id = Revocations::default();
    by_id.revoke_members(["n2", "blue", "shop", "web"].map(str::to_owned));
    assert!(verify(&text, API, root.root(), &by_id, at(100)).is_ok());
    // The node on which the instance is.
    by_id.revoke_members(["n1".to_owned()]);
    assert_eq!(verify(&text, API, root.root(), &by_id, at(100)), Err(TokenError::Node));
    by_id.revoke_members(["c1".to_owned()]);
    let error = verify(&text, API, root.root(), &by_id, at(100)).unwrap_err();
    assert!(matches!(error, TokenError::Signer(VerifyError::Revoked { .. })), "{error}");
    // It says that it is for somebody of another sea.
    let mut foreign = claims();
    (foreign.iss, foreign.sub) = ("holm://sea".parse().unwrap(), "holm://lake/a/b/c".parse().unwrap());
    let text = TokenSigner::new(&root, at(50)).unwrap().sign_claims(&foreign).unwrap();
    assert!(matches!(judged(&root, &text, 100), Err(TokenError::Claims(_))));
}

#[test]
fn only_a_certificate_for_tokens_signs_tokens_and_only_its_own() {
    let root = sea();
    let (cluster, _) = cluster_of(&root);
    let workload = "holm://sea/blue/shop/web";
    // Each of these chains leads to the root, and each of these keys is in the wrong hands.
    for (who, usage) in
        [("holm://sea/c1/n1", Usage::Client), ("holm://sea/c1", Usage::Server), (workload, Usage::Workload)]
    {
        let (chain, key) = issued(&cluster, who, usage);
        let mut claims = claims();
        claims.iss = "holm://sea/c1".parse().unwrap();
        let error = judged(&root, &forged(&header(&chain), &claims, &key), 100).unwrap_err();
        assert!(matches!(error, TokenError::Signer(VerifyError::Usage(_))), "{who}: {error}");
    }
    // The authority's own key and certificate.
    let chain = issued(&cluster, "holm://sea/c1", Usage::Tokens).0;
    let error = judged(&root, &forged(&header(&chain[1..]), &claims(), cluster.key()), 100).unwrap_err();
    assert!(matches!(error, TokenError::Signer(VerifyError::Usage(_))), "{error}");
    // A cluster in the name of its root.
    let (chain, key) = issued(&cluster, "holm://sea/c1", Usage::Tokens);
    let mut claims = claims();
    assert!(judged(&root, &forged(&header(&chain), &claims, &key), 100).is_ok(), "by hand, but right");
    claims.iss = "holm://sea".parse().unwrap();
    assert!(matches!(
        judged(&root, &forged(&header(&chain), &claims, &key), 100),
        Err(TokenError::Claims(_))
    ));
}

#[test]
fn neither_algorithm_nor_type_nor_chain_are_the_bearers_choice() {
    let root = sea();
    let (chain, key) = issued(&root, "holm://sea", Usage::Tokens);
    let mut claims = claims();
    claims.iss = "holm://sea".parse().unwrap();
    let with = |name: &str, value: Value| {
        let mut header = header(&chain);
        header[name] = value;
        judged(&root, &forged(&header, &claims, &key), 100)
    };
    assert!(judged(&root, &forged(&header(&chain), &claims, &key), 100).is_ok());
    for alg in ["none", "HS256", "ES384", "es256", ""] {
        assert!(matches!(with("alg", json!(alg)), Err(TokenError::Form(_))), "{alg}");
    }
    for typ in ["JWT", "holm-api", "at+jwt"] {
        assert!(matches!(with("typ", json!(typ)), Err(TokenError::Form(_))), "{typ}");
    }
    assert!(with("jku", json!("https://evil.example")).is_err());
    assert!(with("crit", json!(["x"])).is_err());
    assert!(with("x5c", json!([])).is_err());
    assert!(with("x5c", json!(["AA=="].repeat(9))).is_err());
    // Another's chain before the same signature.
    let (other, _) = issued(&root, "holm://sea", Usage::Tokens);
    assert_eq!(judged(&root, &forged(&header(&other), &claims, &key), 100), Err(TokenError::Signature));
    // The public key as the secret of an HMAC.
    let good = forged(&header(&chain), &claims, &key);
    let (signed, _) = good.rsplit_once('.').unwrap();
    let hmac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.der_bytes()), signed.as_bytes());
    for signature in ["", &BASE64URL_NOPAD.encode(hmac.as_ref()), &BASE64URL_NOPAD.encode(&[0; 64])] {
        assert_eq!(judged(&root, &format!("{signed}.{signature}"), 100), Err(TokenError::Signature));
    }
}

#[test]
fn a_changed_token_is_refused_at_every_byte_and_nonsense_does_no_harm() {
    let root = sea();
    let text = token(&TokenSigner::new(&root, at(50)).unwrap(), TEN_MINUTES);
    for place in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        assert!(judged(&root, &String::from_utf8(changed).unwrap(), 100).is_err(), "byte {place}");
    }
    let huge = "a".repeat(MOST + 1);
    for bad in
        ["", ".", "..", "...", "a.b.c", "e30.e30.", "ä.b.c", &format!("{text}.x"), &format!(".{text}"), &huge]
    {
        assert!(judged(&root, bad, 100).is_err(), "{bad}");
    }
}
