//! Two instances by means that know nothing of Holm: a TLS library, the sea's root, and the name to expect.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use holm_link::certificate::Usage::{self, Client, Workload};
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring::default_provider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme,
};
use support::*;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

const WEB: &str = "holm://sea/default/shop/web";
const DB: &str = "holm://sea/default/shop/db";

type Proof = (Chain, PrivateKeyDer<'static>);

/// Signed for the instance's own key, as everything that an instance gets.
fn proof(authority: &holm_link::authority::Authority, who: &str, usage: Usage) -> Proof {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap();
    let issued = authority.sign_leaf(csr.der(), &leaf(who, usage), day(0)).unwrap();
    (issued.chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

fn roots(root: &CertificateDer<'static>) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    Arc::new(roots)
}

/// The one URI of a certificate: all that an instance has to look at once the chain is verified.
fn uri(chain: Option<&[CertificateDer<'_>]>) -> String {
    let (_, leaf) = X509Certificate::from_der(&chain.unwrap()[0]).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap().value;
    let [GeneralName::URI(uri)] = names.general_names[..] else { panic!("{names:?}") };
    uri.to_owned()
}

/// A server is who its URI says, not which host: there is none in these certificates.
#[derive(Debug)]
struct ByChain(Arc<RootCertStore>);

impl ServerCertVerifier for ByChain {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        let leaf = ParsedCertificate::try_from(leaf)?;
        verify_server_cert_signed_by_trust_anchor(&leaf, &self.0, others, now, algorithms.all)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &default_provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Now, for a library that reads the clock, is a day of the sea.
#[derive(Debug)]
struct FirstDay;

impl rustls::time_provider::TimeProvider for FirstDay {
    fn current_time(&self) -> Option<UnixTime> {
        Some(day(1))
    }
}

/// Shakes hands in memory; whom the client and the server believe to see.
fn shake(root: &CertificateDer<'static>, client: Proof, server: Proof) -> Result<(String, String), Error> {
    let provider: Arc<CryptoProvider> = Arc::new(default_provider());
    let versions = &[&rustls::version::TLS13];
    let asks =
        WebPkiClientVerifier::builder_with_provider(roots(root), Arc::clone(&provider)).build().unwrap();
    let serving = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(FirstDay));
    let serving = serving.with_protocol_versions(versions).unwrap().with_client_cert_verifier(asks);
    let serving = serving.with_single_cert(server.0, server.1)?;
    let calling = ClientConfig::builder_with_details(provider, Arc::new(FirstDay));
    let calling = calling.with_protocol_versions(versions).unwrap().dangerous();
    let calling = calling.with_custom_certificate_verifier(Arc::new(ByChain(roots(root))));
    let calling = calling.with_client_auth_cert(client.0, client.1)?;
    let mut client = ClientConnection::new(Arc::new(calling), "db".try_into().unwrap())?;
    let mut server = ServerConnection::new(Arc::new(serving))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets()?;
    }
    Ok((uri(client.peer_certificates()), uri(server.peer_certificates())))
}

#[test]
fn two_instances_of_two_clusters_prove_who_they_are_to_each_other() {
    let root = sea();
    let (c1, c2) = (cluster(&root, "holm://sea/c1").0, cluster(&root, "holm://sea/c2").0);
    let (web, db) = (proof(&c1, WEB, Workload), proof(&c2, DB, Workload));
    let seen = shake(root.root().der(), web, db).unwrap();
    assert_eq!(seen, (DB.to_owned(), WEB.to_owned()));
}

#[test]
fn neither_another_sea_nor_a_node_is_a_service() {
    let (root, other) = (sea(), sea());
    let db = || proof(&root, DB, Workload);
    assert!(shake(root.root().der(), proof(&other, WEB, Workload), db()).is_err());
    assert!(shake(root.root().der(), proof(&root, WEB, Workload), proof(&other, DB, Workload)).is_err());
    // A node's certificate is good for calling only, and its name has another form.
    let c1 = cluster(&root, "holm://sea/c1").0;
    let node = || proof(&c1, "holm://sea/c1/n1", Client);
    assert!(shake(root.root().der(), proof(&root, WEB, Workload), node()).is_err());
    let (_, seen) = shake(root.root().der(), node(), db()).unwrap();
    assert_eq!(seen, "holm://sea/c1/n1");
}
