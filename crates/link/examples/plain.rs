//! What plain TLS moves on this machine: over loopback, written by one task and read by another, without
//! anything of ours in between. With more than one hop, tasks in between read from one connection and write
//! to the next. Prints the seconds that so many MiB took.
//!
//! `cargo run --release -p holm-link --example plain [MIB [HOPS]]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measuring tool")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Written and read at once.
const CHUNK: usize = 64 * 1024;

#[tokio::main]
async fn main() {
    let number =
        |at, default| std::env::args().nth(at).map_or(default, |text| text.parse().expect("a number"));
    let (mib, hops): (usize, usize) = (number(1, 512), number(2, 1));
    let size = mib << 20;
    let tls = configs();
    let mut stream = connect(&tls, hop(&tls, Source::Zeros(size)).await).await;
    for _ in 1..hops {
        stream = connect(&tls, hop(&tls, Source::Stream(Box::new(stream))).await).await;
    }
    let (begin, mut chunk, mut received) = (Instant::now(), vec![0; CHUNK], 0);
    while let read @ 1.. = stream.read(&mut chunk).await.unwrap() {
        received += read;
    }
    assert_eq!(received, size, "all of it");
    println!("{:.6}", begin.elapsed().as_secs_f64());
}

type Tls = (Arc<ServerConfig>, Arc<ClientConfig>);

/// What a listener sends to the one that connects.
enum Source {
    Zeros(usize),
    Stream(Box<TlsStream<TcpStream>>),
}

async fn hop((server, _): &Tls, mut source: Source) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, server) = (listener.local_addr().unwrap(), Arc::clone(server));
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let mut stream = TlsAcceptor::from(server).accept(tcp).await.unwrap();
        let mut chunk = vec![0; CHUNK];
        loop {
            let got = match &mut source {
                Source::Zeros(left) => {
                    let some = CHUNK.min(*left);
                    *left -= some;
                    some
                }
                Source::Stream(stream) => stream.read(&mut chunk).await.unwrap(),
            };
            if got == 0 {
                break;
            }
            stream.write_all(&chunk[..got]).await.unwrap();
        }
        stream.shutdown().await.unwrap();
    });
    address
}

async fn connect((_, client): &Tls, address: SocketAddr) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(client)).connect(name, tcp).await.unwrap()
}

fn configs() -> Tls {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let certificate = CertificateDer::from(certificate);
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}
