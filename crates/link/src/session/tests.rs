use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, copy, duplex, split};
use tokio::time::timeout;

use super::*;

const PIPE: usize = 64 * 1024;

fn pair_with(limits: &Limits) -> (Session, Session) {
    let (a, b) = duplex(PIPE);
    (Session::client(a, limits), Session::server(b, limits))
}

fn pair() -> (Session, Session) {
    pair_with(&Limits::default())
}

/// Nothing here takes seconds; a test that waits longer hangs.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(20), future).await.expect("takes too long")
}

/// Answers every control frame with itself.
fn echo_control(mut session: Session) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(Ok(payload)) = session.receiver.recv().await {
            session.sender.send(payload).await.unwrap();
        }
    })
}

/// Answers every byte of every tunnel with itself.
fn echo_tunnels(mut incoming: IncomingTunnels) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(tunnel) = incoming.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = split(tunnel);
                let _ = copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    })
}

#[tokio::test]
async fn control_frames_go_both_ways_in_order() {
    let (mut member, server) = pair();
    let echo = echo_control(server);
    let big = Bytes::from(vec![7; 1 << 20]);
    soon(async {
        member.sender.send(Bytes::new()).await.unwrap();
        for n in 0..200_u32 {
            member.sender.send(Bytes::from(n.to_be_bytes().to_vec())).await.unwrap();
            if n % 50 == 0 {
                assert_eq!(member.receiver.recv().await.unwrap().unwrap().len(), n.min(1) as usize * 4);
                for _ in 0..n.min(49) {
                    member.receiver.recv().await.unwrap().unwrap();
                }
            }
        }
    })
    .await;
    soon(async {
        member.sender.send(big.clone()).await.unwrap();
        while member.receiver.recv().await.unwrap().unwrap() != big {}
    })
    .await;
    drop(member);
    soon(echo).await.unwrap();
}

#[tokio::test]
async fn frames_over_the_limit_are_refused_on_both_sides() {
    let small = Limits { max_frame: 10, ..Limits::default() };
    let (a, b) = duplex(PIPE);
    let member = Session::client(a, &Limits::default());
    let mut server = Session::server(b, &small);
    member.sender.send(Bytes::from_static(&[1; 10])).await.unwrap();
    member.sender.send(Bytes::from_static(&[1; 11])).await.unwrap();
    assert_eq!(soon(server.receiver.recv()).await.unwrap().unwrap().len(), 10);
    assert_eq!(soon(server.receiver.recv()).await, Some(Err(ReceiveError::TooLarge { limit: 10 })));
    assert_eq!(soon(server.receiver.recv()).await, None);
    let error = server.sender.send(Bytes::from_static(&[1; 11])).await.unwrap_err();
    assert_eq!(error, SendError::TooLarge { size: 11, limit: 10 });
}

#[tokio::test]
async fn a_hundred_tunnels_echo_at_once_each_way() {
    let (member, server) = pair();
    echo_tunnels(server.incoming);
    echo_tunnels(member.incoming);
    let mut all = tokio::task::JoinSet::new();
    for n in 0..200_u8 {
        let tunnels = if n % 2 == 0 { &member.tunnels } else { &server.tunnels }.clone();
        all.spawn(async move {
            let mut tunnel = tunnels.open().await.unwrap();
            let sent = vec![n; 100_000];
            let (mut read, mut write) = split(&mut tunnel);
            let (written, received) = tokio::join!(
                async {
                    write.write_all(&sent).await?;
                    write.shutdown().await
                },
                async {
                    let mut all = Vec::new();
                    read.read_to_end(&mut all).await.map(|_| all)
                }
            );
            written.unwrap();
            assert_eq!(received.unwrap(), sent);
        });
    }
    soon(all.join_all()).await;
}

#[tokio::test]
async fn a_slow_reader_stops_its_writer_and_nothing_else() {
    let (mut member, mut server) = pair();
    let mut tunnel = member.tunnels.open().await.unwrap();
    tunnel.write_all(b"x").await.unwrap();
    let _unread = soon(server.incoming.accept()).await.unwrap();
    let _echo = echo_control(server);

    // As much as the writer is allowed to: it is full when control frames have gone to and fro
    // several times without room for another byte.
    let (mut written, mut rounds_without) = (0, 0);
    while rounds_without < 20 {
        let now = poll_fn(|cx| Poll::Ready(Pin::new(&mut tunnel).poll_write(cx, &[0; 16 * 1024]))).await;
        match now {
            Poll::Ready(n) => (written, rounds_without) = (written + n.unwrap(), 0),
            Poll::Pending => {
                rounds_without += 1;
                member.sender.send(Bytes::from_static(b"alive")).await.unwrap();
                assert_eq!(soon(member.receiver.recv()).await.unwrap().unwrap(), "alive");
            }
        }
        assert!(written < 2 << 20, "nobody reads, yet {written} bytes were taken");
    }
    assert!(written >= 128 * 1024, "{written}");
}

#[tokio::test]
async fn one_tunnel_too_many_is_refused_and_the_others_go_on() {
    let few = Limits { max_tunnels: 2, ..Limits::default() };
    let (a, b) = duplex(PIPE);
    let member = Session::client(a, &Limits::default());
    let server = Session::server(b, &few);
    assert!(server.tunnels.open().await.is_ok());
    let held = (server.tunnels.open().await.unwrap(), server.tunnels.open().await.unwrap());
    assert_eq!(server.tunnels.open().await.unwrap_err(), OpenError::TooMany);
    drop(held);

    echo_tunnels(server.incoming);
    let mut good = Vec::new();
    for _ in 0..2 {
        let mut tunnel = member.tunnels.open().await.unwrap();
        tunnel.write_all(b"a").await.unwrap();
        assert_eq!(soon(tunnel.read_u8()).await.unwrap(), b'a');
        good.push(tunnel);
    }
    let mut third = member.tunnels.open().await.unwrap();
    third.write_all(b"a").await.unwrap();
    let error = soon(third.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    for tunnel in &mut good {
        tunnel.write_all(b"b").await.unwrap();
        assert_eq!(soon(tunnel.read_u8()).await.unwrap(), b'b');
    }
}

#[tokio::test]
async fn a_tunnel_before_the_first_frame_is_not_taken_for_control() {
    let (member, mut server) = pair();
    let mut tunnel = member.tunnels.open().await.unwrap();
    tunnel.write_all(b"tunnel").await.unwrap();
    let mut accepted = soon(server.incoming.accept()).await.unwrap();
    let mut bytes = [0; 6];
    soon(accepted.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"tunnel");
    member.sender.send(Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(soon(server.receiver.recv()).await.unwrap().unwrap(), "hello");
}

#[tokio::test]
async fn a_peer_that_vanishes_ends_everything() {
    let (a, b) = duplex(PIPE);
    let (near, far) = duplex(PIPE);
    let cable = tokio::spawn(async move { relay(b, near).await });
    let mut member = Session::client(a, &Limits::default());
    let mut server = Session::server(far, &Limits::default());
    member.sender.send(Bytes::from_static(b"hello")).await.unwrap();
    soon(server.receiver.recv()).await.unwrap().unwrap();
    let mut tunnel = member.tunnels.open().await.unwrap();
    tunnel.write_all(b"x").await.unwrap();
    let accepted = soon(server.incoming.accept()).await.unwrap();

    cable.abort();
    assert_eq!(soon(member.receiver.recv()).await, None);
    let end = soon(member.receiver.ended()).await;
    assert!(matches!(end, SessionEnd::Vanished(_) | SessionEnd::ClosedByPeer), "{end:?}");
    assert_eq!(soon(tunnel.read_u8()).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(member.tunnels.open().await.unwrap_err(), OpenError::Over);
    assert_eq!(member.sender.send(Bytes::new()).await, Err(SendError::Over));
    assert!(soon(member.incoming.accept()).await.is_none());
    drop((member, tunnel));

    assert_eq!(soon(server.receiver.recv()).await, None);
    assert!(soon(server.incoming.accept()).await.is_none());
    drop(accepted);
}

async fn relay(mut a: DuplexStream, mut b: DuplexStream) {
    let _ = tokio::io::copy_bidirectional(&mut a, &mut b).await;
}

#[tokio::test]
async fn closing_sends_what_is_queued_and_wakes_this_sides_handles() {
    let (mut member, mut server) = pair();
    let mut tunnel = member.tunnels.open().await.unwrap();
    tunnel.write_all(b"x").await.unwrap();
    for _ in 0..20 {
        member.sender.send(Bytes::from_static(b"last words")).await.unwrap();
    }
    member.tunnels.close();
    for _ in 0..20 {
        assert_eq!(soon(server.receiver.recv()).await.unwrap().unwrap(), "last words");
    }
    assert_eq!(soon(server.receiver.recv()).await, None);
    drop(server);
    assert!(soon(tunnel.read_u8()).await.is_err());
    assert_eq!(soon(member.receiver.recv()).await, None);
    assert_eq!(soon(member.receiver.ended()).await, SessionEnd::Closed);
}

#[tokio::test]
async fn dropping_the_last_handle_closes_but_an_open_tunnel_holds_the_session() {
    let (member, mut server) = pair();
    let mut tunnel = member.tunnels.open().await.unwrap();
    member.sender.send(Bytes::from_static(b"hello")).await.unwrap();
    drop(member);
    tunnel.write_all(b"still here").await.unwrap();
    assert_eq!(soon(server.receiver.recv()).await.unwrap().unwrap(), "hello");
    let mut accepted = soon(server.incoming.accept()).await.unwrap();
    let mut bytes = [0; 10];
    soon(accepted.read_exact(&mut bytes)).await.unwrap();
    drop(tunnel);
    assert_eq!(soon(server.receiver.ended()).await, SessionEnd::ClosedByPeer);
}

#[tokio::test]
async fn a_peer_that_never_reads_does_not_keep_a_closed_session() {
    let (a, _silent) = duplex(1024);
    let limits = Limits { close_time: Duration::from_millis(50), ..Limits::default() };
    let member = Session::client(a, &limits);
    member.sender.send(Bytes::from(vec![0; 100_000])).await.unwrap();
    let over = member.tunnels.handle.over.clone();
    drop(member);
    soon(over.cancelled()).await;
}

#[tokio::test]
async fn garbage_ends_the_session_with_a_reason() {
    let (a, mut peer) = duplex(PIPE);
    let mut server = Session::server(a, &Limits::default());
    peer.write_all(&[0xff; 4096]).await.unwrap();
    assert_eq!(soon(server.receiver.recv()).await, None);
    let end = soon(server.receiver.ended()).await;
    assert!(matches!(end, SessionEnd::Protocol(_)), "{end:?}");
}
