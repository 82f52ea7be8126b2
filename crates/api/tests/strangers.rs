//! Strangers who hold on to connections, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::{IpAddr, SocketAddr};

use holm_api::{Limits, Peer, on_http};
use holm_link::places::Share;
use holm_model::view::{TokenRequest, TokenRole};
use support::{DEADLINE, Root};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A door of its own: what comes in is served as what comes from the port.
struct Door {
    root: Root,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// How strangers ask for something that everybody may have, and then stay.
#[derive(Clone, Copy, Debug)]
enum Hold {
    Http1,
    Http2,
}

impl Door {
    async fn open() -> Self {
        let limits = Limits { connections: Share { each: 8, all: 16 }, ..Limits::default() };
        let root = Root::start_limited(limits).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, http) = (listener.local_addr().unwrap(), on_http(root.api.clone()));
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, from) = listener.accept().await.unwrap();
                http(Box::new(stream), Peer::Tls(from));
            }
        });
        Self { root, address, accepting }
    }

    async fn from(&self, last: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((IpAddr::from([127, 0, 0, last]), 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// Connections that strangers open, ask by, and keep.
    async fn besieged(&self, hold: Hold) -> Vec<TcpStream> {
        let mut held = Vec::new();
        for last in 1..=5 {
            for _ in 0..10 {
                let mut stream = self.from(last).await;
                stream.write_all(&hold.first_words()).await.unwrap();
                // It is served, or closed: whichever comes first.
                let _ = timeout(DEADLINE, stream.read(&mut [0; 1024])).await.expect("it is not left waiting");
                held.push(stream);
            }
        }
        held
    }

    async fn stop(self) {
        self.accepting.abort();
        self.root.stop().await;
    }
}

impl Hold {
    fn first_words(self) -> Vec<u8> {
        match self {
            Self::Http1 => b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
            Self::Http2 => {
                let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
                // GET, /, http, and the host's name (RFC 7541, appendix A).
                let headers = [&[0x82, 0x84, 0x86, 0x41, 9][..], b"localhost"].concat();
                let length = u8::try_from(headers.len()).unwrap();
                // The first stream begins and ends with it.
                let frame = [0, 0, length, 1, 5, 0, 0, 0, 1];
                [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, &frame, &headers].concat()
            }
        }
    }
}

async fn asks(stream: &mut TcpStream, request: &str) -> String {
    let mut answer = vec![0; 4096];
    // Whoever is closed reads nothing.
    let _ = stream.write_all(request.as_bytes()).await;
    let read = timeout(DEADLINE, stream.read(&mut answer)).await.expect("an answer").unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn strangers_who_hold_on_keep_nobody_out() {
    for hold in [Hold::Http1, Hold::Http2] {
        let door = Door::open().await;
        let request = TokenRequest { ttl_seconds: Some(600), ..TokenRequest::new(TokenRole::Admin) };
        let token = door.root.client().create_token(&request).await.unwrap().token;
        let request = format!(
            "GET /api/v1/whoami HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        let mut before = door.from(1).await;
        assert!(asks(&mut before, &request).await.starts_with("HTTP/1.1 200"));

        let held = door.besieged(hold).await;
        assert!(
            asks(&mut before, &request).await.starts_with("HTTP/1.1 200"),
            "{hold:?}: who is known stays"
        );
        // At an address of theirs, and at another.
        for last in [1, 5, 9] {
            let answer = asks(&mut door.from(last).await, &request).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{hold:?}: {last}: {answer}");
        }
        drop(held);
        door.stop().await;
    }
}
