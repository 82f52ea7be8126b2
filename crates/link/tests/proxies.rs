//! Ways to an orchestrator through proxies, and networks that answer in its place.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use holm_link::captive::Answer;
use holm_link::dial::{ConnectError, Connected, DialError, Dialer};
use holm_link::listen::Channel;
use holm_link::probe::{self, Standing};
use holm_link::proxy::{Proxies, Proxy, ProxyError};
use holm_link::session::{Limits, Session};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use support::orchestrator::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A proxy that remembers what it was asked, and answers as it was told.
struct FakeProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// What it says, and whether it carries on as a tunnel.
#[derive(Clone, Copy)]
enum Script {
    Tunnel,
    Say(&'static str),
    /// Header lines without an end.
    Endless,
    Silence,
}

const CREDENTIALS: &str = "me:secret";
/// [`CREDENTIALS`] in base64.
const ENCODED: &str = "bWU6c2VjcmV0";

impl FakeProxy {
    async fn start(listen: &str, script: Script) -> Self {
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let remember = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script, Arc::clone(&remember)));
            }
        });
        Self { address, asked }
    }

    fn with_credentials(&self) -> Proxies {
        let proxy: Proxy = format!("http://{}", self.address).parse().unwrap();
        Proxies::all(proxy.with_credentials(CREDENTIALS).unwrap())
    }

    fn open(&self) -> Proxies {
        Proxies::all(format!("http://{}", self.address).parse().unwrap())
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, script: Script, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    asked.lock().unwrap().push(head.clone());
    match script {
        Script::Tunnel => {
            let target = head.split(' ').nth(1).unwrap();
            let mut far = TcpStream::connect(target).await.unwrap();
            let _ = stream.write_all(b"HTTP/1.0 200 Connection established\r\n\r\n").await;
            let _ = copy_bidirectional(&mut stream, &mut far).await;
        }
        Script::Say(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
            let _ = stream.read(&mut [0; 64]).await;
        }
        Script::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
            while stream.write_all(b"x: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await.is_ok() {}
        }
        Script::Silence => {
            let _ = stream.read_u8().await;
        }
    }
}

async fn dial(dialer: Dialer, proxies: Proxies, address: &str) -> Result<Connected, DialError> {
    soon(dialer.with_proxies(proxies).connect(address, Channel::Control)).await
}

/// Why the dialer gets no way through a proxy that says `script`.
async fn refusal(script: Script, with: fn(&FakeProxy) -> Proxies) -> (ProxyError, String) {
    let root = Orchestrator::root().await;
    let proxy = FakeProxy::start("127.0.0.1:0", script).await;
    let dialer = dialer(&root.member("n1")).with_time_limit(Duration::from_millis(500));
    let error = dial(dialer, with(&proxy), &root.address()).await.unwrap_err();
    let (text, debug) = (error.to_string(), format!("{error:?}"));
    assert!(text.contains(&proxy.address.to_string()), "it names the proxy: {text}");
    for secret in ["secret", ENCODED] {
        assert!(!text.contains(secret) && !debug.contains(secret), "{debug}");
    }
    match error {
        DialError::Connect(ConnectError::Proxy(error)) => (error, text),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn sessions_and_their_second_connections_go_through_a_proxy_of_either_family() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let mut root = Orchestrator::root().await;
        let proxy = FakeProxy::start(listen, Script::Tunnel).await;
        let member = root.member("n1");
        let connected = dial(dialer(&member), proxy.with_credentials(), &root.address()).await.unwrap();
        let session = Session::client(connected.stream, &Limits::default());
        session.sender.send(Bytes::from_static(b"through")).await.unwrap();
        let (peer, channel, mut server) = root.next_member().await;
        assert_eq!((peer.identity.name(), channel), ("n1", Channel::Control));
        assert_eq!(soon(server.receiver.recv()).await.unwrap().unwrap(), "through");
        let bulk = dialer(&member).with_proxies(proxy.with_credentials());
        soon(bulk.connect(&root.address(), Channel::Bulk)).await.unwrap();
        assert_eq!(root.next_member().await.1, Channel::Bulk);
        let asked = proxy.asked();
        assert_eq!(asked.len(), 2);
        for head in asked {
            assert!(head.starts_with(&format!("CONNECT {} HTTP/1.1\r\n", root.address())), "{head}");
            assert!(head.contains(&format!("proxy-authorization: Basic {ENCODED}\r\n")), "{head}");
        }
    }
}

#[tokio::test]
async fn each_refusal_of_a_proxy_says_what_to_do() {
    let say = |text| Script::Say(text);
    let (error, text) = refusal(
        say("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\ncontent-length: 0\r\n\r\n"),
        FakeProxy::open,
    )
    .await;
    assert!(matches!(error, ProxyError::CredentialsMissing { .. }), "{error:?}");
    assert!(text.contains("407") && text.contains("--proxy-credentials-file"), "{text}");
    let (error, _) = refusal(say("HTTP/1.0 407 No\r\n\r\n<html>"), FakeProxy::with_credentials).await;
    assert!(matches!(error, ProxyError::CredentialsWrong { .. }), "{error:?}");
    let (error, _) = refusal(say("HTTP/1.0 401 Unauthorized\r\n\r\n"), FakeProxy::with_credentials).await;
    assert!(matches!(error, ProxyError::CredentialsWrong { status: 401, .. }), "{error:?}");
    let (error, text) = refusal(say("HTTP/1.1 403 Forbidden\r\n\r\n"), FakeProxy::open).await;
    assert!(matches!(error, ProxyError::Forbidden { .. }), "{error:?}");
    assert!(text.contains("127.0.0.1:") && text.contains("443"), "{text}");
    for status in ["500", "502", "503", "504"] {
        let line: &'static str = format!("HTTP/1.1 {status} Bad\r\n\r\n").leak();
        let (error, text) = refusal(say(line), FakeProxy::open).await;
        assert!(matches!(error, ProxyError::Beyond { .. }), "{error:?}");
        assert!(text.contains(status) && text.contains("cannot reach"), "{text}");
    }
    let (error, _) = refusal(say("HTTP/1.1 302 Found\r\nlocation: http://x/\r\n\r\n"), FakeProxy::open).await;
    assert!(matches!(error, ProxyError::Refused { status: 302, .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_no_proxy_is_given_up_in_bounded_time_and_memory() {
    let (error, _) = refusal(Script::Say("220 mail.example ESMTP\r\n"), FakeProxy::open).await;
    assert!(matches!(error, ProxyError::Protocol { .. }), "{error:?}");
    let (error, _) = refusal(Script::Endless, FakeProxy::open).await;
    assert!(matches!(error, ProxyError::Protocol { .. }), "{error:?}");
    let (error, _) = refusal(Script::Silence, FakeProxy::open).await;
    assert!(matches!(error, ProxyError::Late { .. }), "{error:?}");
    let (error, _) = refusal(Script::Say("HTTP/1.1 200 OK\r\n\r\nhello"), FakeProxy::open).await;
    assert!(matches!(error, ProxyError::Chatter { .. }), "{error:?}");
    // Nobody at all.
    let root = Orchestrator::root().await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxies = Proxies::all(format!("http://{gone}").parse().unwrap());
    let error = dial(dialer(&root.member("n1")), proxies, &root.address()).await.unwrap_err();
    let is = matches!(error, DialError::Connect(ConnectError::Proxy(ProxyError::Unreachable { .. })));
    assert!(is, "{error:?}");
}

/// Answers every connection with `text`.
async fn portal(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

async fn captive(address: &str) -> (Answer, String) {
    let root = Orchestrator::root().await;
    let error = dial(dialer(&root.member("n1")), Proxies::none(), address).await.unwrap_err();
    let text = error.to_string();
    match error {
        DialError::Connect(ConnectError::Captive(captive)) => (captive.answer, text),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_portal_that_answers_in_plain_http_is_named() {
    let login = "HTTP/1.1 302 Found\r\nLocation: http://login.hotel.example/\r\nContent-Length: 0\r\n\r\n";
    let (answer, text) = captive(&portal(login).await).await;
    assert_eq!(answer, Answer::Http { status: 302, location: Some("http://login.hotel.example/".into()) });
    assert!(text.starts_with("this network answers in the orchestrator's place"), "{text}");
    let (answer, _) = captive(&portal("HTTP/1.0 400 Bad Request\r\n\r\n<html>").await).await;
    assert_eq!(answer, Answer::Http { status: 400, location: None });
    // Something else that is no TLS is no portal.
    let address = portal("SSH-2.0-OpenSSH_9\r\n").await;
    let root = Orchestrator::root().await;
    let error = dial(dialer(&root.member("n1")), Proxies::none(), &address).await.unwrap_err();
    assert!(matches!(error, DialError::Handshake { .. }), "{error:?}");
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_named() {
    let key = KeyPair::generate().unwrap();
    let names = vec!["login.hotel.example".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let (answer, text) = captive(&address).await;
    assert_eq!(answer, Answer::Certificate("login.hotel.example".into()));
    assert!(text.contains("shows a certificate of login.hotel.example"), "{text}");
}

#[tokio::test]
async fn another_sea_is_no_portal() {
    let (here, other) = (Orchestrator::root().await, Orchestrator::root().await);
    let error = dial(dialer(&here.member("n1")), Proxies::none(), &other.address()).await.unwrap_err();
    assert!(matches!(error, DialError::Untrusted { .. }), "{error:?}");
}

#[tokio::test]
async fn a_look_from_outside_tells_the_parent_and_the_members_standing() {
    let mut root = Orchestrator::root().await;
    let member = root.member("n1");
    let none = Proxies::none();
    let peer = soon(probe::parent(&root.address(), &member, &clock(), &none)).await.unwrap();
    assert_eq!(peer.identity, *root.authority.identity());
    // Without a session, as the orchestrator sees it.
    let accepted = soon(root.accepted.recv()).await.unwrap();
    assert!(matches!(accepted, holm_link::listen::Accepted::Http { .. }));
    let standing = soon(probe::standing(&root.address(), &member, &clock(), &none)).await.unwrap();
    assert_eq!(standing, Standing::Accepted);
    root.revocations.revoke([member.serial().clone()]);
    let standing = soon(probe::standing(&root.address(), &member, &clock(), &none)).await.unwrap();
    assert_eq!(standing, Standing::Refused("CertificateRevoked".into()));
}
