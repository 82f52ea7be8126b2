//! Real connections over loopback: the port's two protocols, sessions over TLS.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use holm_link::certificate::Usage;
use holm_link::listen::{AcceptError, Accepted, Acceptor, Channel, HandshakeLimits, ServerCertificate};
use holm_link::revocation::Revocations;
use holm_link::session::{Limits, Session, SessionEnd};
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use support::orchestrator::*;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A client by hand: any chain, any ALPN; like a browser, it knows the sea's root and host names.
async fn by_hand(
    orchestrator: &Orchestrator,
    alpn: &[&[u8]],
    identity: Option<(Chain, rcgen::KeyPair)>,
) -> std::io::Result<TlsStream<TcpStream>> {
    connect(orchestrator, config_by_hand(orchestrator, alpn, identity)).await
}

fn config_by_hand(
    orchestrator: &Orchestrator,
    alpn: &[&[u8]],
    identity: Option<(Chain, rcgen::KeyPair)>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(orchestrator.authority.root().der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_details(provider, Arc::new(clock()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some((chain, key)) => {
            let key = PrivatePkcs8KeyDer::from(key.serialize_der());
            config.with_client_auth_cert(chain, key.into()).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|a| a.to_vec()).collect();
    Arc::new(config)
}

async fn connect(
    orchestrator: &Orchestrator,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(orchestrator.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    soon(TlsConnector::from(config).connect(name, tcp)).await
}

/// The alert that ends a connection, at the handshake or with the first read.
async fn alert_of(stream: std::io::Result<TlsStream<TcpStream>>) -> AlertDescription {
    let error = match stream {
        Ok(mut stream) => soon(stream.read_u8()).await.unwrap_err(),
        Err(error) => error,
    };
    match error.get_ref().and_then(|e| e.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("no alert but {error:?}"),
    }
}

#[tokio::test]
async fn alpn_tells_members_from_browsers() {
    let mut root = Orchestrator::root().await;
    for (offered, chosen) in
        [(&[&b"http/1.1"[..]][..], Some(&b"http/1.1"[..])), (&[b"h2", b"http/1.1"], Some(b"h2")), (&[], None)]
    {
        let stream = by_hand(&root, offered, None).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
        assert!(matches!(soon(root.accepted.recv()).await, Some(Accepted::Http { .. })));
    }
    for offered in [&[&b"holm/1"[..]][..], &[b"holm-bulk/1"], &[b"http/1.1", b"holm/1"]] {
        let alert = alert_of(by_hand(&root, offered, None).await).await;
        assert_eq!(alert, AlertDescription::CertificateRequired);
    }
    assert_eq!(
        alert_of(by_hand(&root, &[b"acme"], None).await).await,
        AlertDescription::NoApplicationProtocol
    );
    assert!(root.accepted.try_recv().is_err());
}

#[tokio::test]
async fn forged_and_revoked_members_hear_why_they_are_refused() {
    let root = Orchestrator::root().await;
    let rogue = Rogue::cluster(&root.authority, "holm://sea/c1");
    let forged = rogue.sign(&params(&["holm://sea/n1"], Usage::Client));
    let alert = alert_of(by_hand(&root, &[b"holm/1"], Some(forged)).await).await;
    assert_eq!(alert, AlertDescription::AccessDenied);

    let other_sea = Rogue::cluster(&sea(), "holm://sea/c1");
    let foreign = other_sea.sign(&params(&["holm://sea/c1"], Usage::Client));
    let alert = alert_of(by_hand(&root, &[b"holm/1"], Some(foreign)).await).await;
    assert_eq!(alert, AlertDescription::UnknownCA);

    let member = root.member("n1");
    root.revocations.revoke([member.serial().clone()]);
    let mut session = member_session(&member, &root.address()).await;
    let _ = session.sender.send(Bytes::from_static(b"hello")).await;
    assert!(soon(session.receiver.recv()).await.is_none());
    let end = soon(session.receiver.ended()).await;
    assert!(matches!(&end, SessionEnd::Refused(alert) if alert == "CertificateRevoked"), "{end:?}");
}

#[tokio::test]
async fn a_member_cannot_come_back_with_a_ticket() {
    let mut root = Orchestrator::root().await;
    let identity = honest(&root.authority, "holm://sea/n1");
    let config = config_by_hand(&root, &[b"holm/1"], Some(identity));
    let stream = connect(&root, config.clone()).await.unwrap();
    let mut member = Session::client(stream, &Limits::default());
    member.sender.send(Bytes::new()).await.unwrap();
    let (peer, _, mut server) = root.next_member().await;
    // A whole exchange, so that a ticket would have arrived.
    soon(server.receiver.recv()).await.unwrap().unwrap();
    server.sender.send(Bytes::new()).await.unwrap();
    soon(member.receiver.recv()).await.unwrap().unwrap();
    root.revocations.revoke(peer.serials);
    assert_eq!(alert_of(connect(&root, config).await).await, AlertDescription::CertificateRevoked);
}

#[tokio::test]
async fn bulk_connections_and_expired_members_are_marked() {
    let mut root = Orchestrator::root().await;
    let member = root.member("n1");
    let bulk = soon(dialer(&member).connect(&root.address(), Channel::Bulk)).await.unwrap();
    assert_eq!(bulk.peer.identity, id("holm://sea"));
    assert_eq!(root.next_member().await.1, Channel::Bulk);

    let long_ago = holm_link::UnixTime::since_unix_epoch(Duration::from_secs(day(0).as_secs()) - DAY * 60);
    let expired = credentials(&root.authority, "holm://sea/n2", Usage::Client, long_ago);
    let session = member_session(&expired, &root.address()).await;
    session.sender.send(Bytes::new()).await.unwrap();
    assert!(root.next_member().await.0.expired);
}

#[tokio::test]
async fn the_servers_certificate_is_replaced_while_it_runs() {
    let mut root = Orchestrator::root().await;
    let member = root.member("n1");
    let session = member_session(&member, &root.address()).await;
    session.sender.send(Bytes::new()).await.unwrap();
    let (_, _, mut server) = root.next_member().await;
    let new = credentials(&root.authority, "holm://sea", Usage::Server, day(1));
    root.certificate.replace(&new).unwrap();
    let connected = soon(dialer(&member).connect(&root.address(), Channel::Control)).await.unwrap();
    assert_eq!(&connected.peer.serials[0], new.serial());
    // The open session goes on.
    session.sender.send(Bytes::from_static(b"still here")).await.unwrap();
    assert_eq!(soon(server.receiver.recv()).await.unwrap().unwrap(), "");
    assert_eq!(soon(server.receiver.recv()).await.unwrap().unwrap(), "still here");
}

#[tokio::test]
async fn a_cut_cable_is_a_normal_end() {
    let mut root = Orchestrator::root().await;
    let member = root.member("n1");
    let connected = soon(dialer(&member).connect(&root.address(), Channel::Control)).await.unwrap();
    let (mut tcp, tls) = connected.stream.into_inner();
    let (_, _, mut server) = root.next_member().await;
    tcp.shutdown().await.unwrap();
    drop((tcp, tls));
    assert_eq!(soon(server.receiver.recv()).await, None);
    let end = soon(server.receiver.ended()).await;
    assert!(matches!(end, SessionEnd::Vanished(_)), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn strangers_who_say_nothing_or_nonsense_are_sent_away() {
    let authority = sea();
    let server = credentials(&authority, "holm://sea", Usage::Server, day(0));
    let certificate = ServerCertificate::new(&server).unwrap();
    let policy = members_of(&authority, "holm://sea", &Revocations::default());
    let acceptor = Acceptor::new(&certificate, policy, clock(), HandshakeLimits::default()).unwrap();

    let (_silent, io) = tokio::io::duplex(1024);
    assert!(matches!(acceptor.accept(io).await, Err(AcceptError::HelloLate(_))));
    let (mut plain, io) = tokio::io::duplex(1024);
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(matches!(acceptor.accept(io).await, Err(AcceptError::Hello(_))));
    let (gone, io) = tokio::io::duplex(1024);
    drop(gone);
    assert!(matches!(acceptor.accept(io).await, Err(AcceptError::Gone)));
}

#[tokio::test]
async fn a_flood_of_silent_connections_does_not_keep_members_out() {
    let authority = sea();
    let server = credentials(&authority, "holm://sea", Usage::Server, day(0));
    let certificate = ServerCertificate::new(&server).unwrap();
    let policy = members_of(&authority, "holm://sea", &Revocations::default());
    let limits = HandshakeLimits { concurrent: 4, each: 4, time: Duration::from_millis(200) };
    let acceptor = Arc::new(Acceptor::new(&certificate, policy, clock(), limits).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let keep = arrived.clone();
    tokio::spawn(acceptor.serve(listener, move |accepted, _| {
        keep.lock().unwrap().push(accepted);
        let _ = sender.send(());
    }));
    let mut flood = Vec::new();
    for _ in 0..12 {
        flood.push(TcpStream::connect(address).await.unwrap());
    }
    let member = credentials(&authority, "holm://sea/n1", Usage::Client, day(0));
    let dialing = soon(dialer(&member).connect(&address.to_string(), Channel::Control)).await;
    dialing.unwrap();
    soon(receiver.recv()).await.unwrap();
    assert!(matches!(arrived.lock().unwrap()[0], Accepted::Member { .. }));
}

#[tokio::test]
async fn who_stands_silent_in_the_door_gives_way_at_the_same_address() {
    let authority = sea();
    let server = credentials(&authority, "holm://sea", Usage::Server, day(0));
    let certificate = ServerCertificate::new(&server).unwrap();
    let policy = members_of(&authority, "holm://sea", &Revocations::default());
    // Nobody's patience ends within the test.
    let limits = HandshakeLimits { concurrent: 64, each: 32, time: Duration::from_secs(600) };
    let acceptor = Arc::new(Acceptor::new(&certificate, policy, clock(), limits).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(acceptor.serve(listener, |_, _| {}));
    let mut flood = Vec::new();
    for _ in 0..300 {
        flood.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let member = credentials(&authority, "holm://sea/n1", Usage::Client, day(0));
    soon(dialer(&member).connect(&address.to_string(), Channel::Control)).await.unwrap();
}

#[tokio::test]
async fn who_stands_in_the_door_does_not_shut_it_for_other_addresses() {
    let authority = sea();
    let server = credentials(&authority, "holm://sea", Usage::Server, day(0));
    let certificate = ServerCertificate::new(&server).unwrap();
    let policy = members_of(&authority, "holm://sea", &Revocations::default());
    // Nobody's patience ends within the test.
    let limits = HandshakeLimits { concurrent: 4, each: 3, time: Duration::from_secs(600) };
    let acceptor = Arc::new(Acceptor::new(&certificate, policy, clock(), limits).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(acceptor.serve(listener, |_, _| {}));
    let mut flood = Vec::new();
    for _ in 0..12 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        flood.push(socket.connect(address).await.unwrap());
    }
    let member = credentials(&authority, "holm://sea/n1", Usage::Client, day(0));
    soon(dialer(&member).connect(&address.to_string(), Channel::Control)).await.unwrap();
}
