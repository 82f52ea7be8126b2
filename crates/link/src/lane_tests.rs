use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;
use crate::session::SessionEnd;

fn pair() -> (Session, Session) {
    let (near, far) = duplex(64 * 1024);
    (Session::client(near, &Limits::default()), Session::server(far, &Limits::default()))
}

/// Says by which way each tunnel came.
async fn echo(mut incoming: IncomingTunnels, way: u8) {
    while let Some(mut tunnel) = incoming.accept().await {
        tokio::spawn(async move {
            tunnel.read_u8().await?;
            tunnel.write_u8(way).await?;
            tunnel.flush().await?;
            // Open until the other side has enough.
            tunnel.read_u8().await
        });
    }
}

async fn way(lane: &Lane) -> (u8, Tunnel) {
    let mut tunnel = lane.open().await.unwrap();
    tunnel.write_u8(0).await.unwrap();
    tunnel.flush().await.unwrap();
    (tunnel.read_u8().await.unwrap(), tunnel)
}

const CONTROL: u8 = 1;
const SECOND: u8 = 2;

#[tokio::test(start_paused = true)]
async fn tunnels_take_the_second_connection_once_it_is_there() {
    let (ours, theirs) = pair();
    tokio::spawn(echo(theirs.incoming, CONTROL));
    let lane = Arc::new(Lane::new(ours.tunnels));
    let carrier = Arc::clone(&lane);
    let (near, far) = pair();
    let ended = near.tunnels.clone();
    tokio::spawn(async move {
        carrier.wanted().await;
        carrier.carry(near, |incoming| echo(incoming, SECOND)).await;
    });
    let far_lane = Lane::new(far.tunnels.clone());
    let closing = far.tunnels.clone();
    tokio::spawn(async move { far_lane.carry(far, |incoming| echo(incoming, SECOND)).await });
    assert_eq!(way(&lane).await.0, SECOND);
    assert_eq!(way(&lane).await.0, SECOND);
    // It breaks: it is asked for again, and until it comes the control connection will do.
    closing.close();
    assert_eq!(ended.ended().await, SessionEnd::ClosedByPeer);
    assert_eq!(way(&lane).await.0, CONTROL);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_have_it_waits_once() {
    let (ours, theirs) = pair();
    tokio::spawn(echo(theirs.incoming, CONTROL));
    let lane = Lane::new(ours.tunnels);
    let before = Instant::now();
    assert_eq!(way(&lane).await.0, CONTROL);
    assert!(before.elapsed() >= PATIENCE);
    let before = Instant::now();
    assert_eq!(way(&lane).await.0, CONTROL);
    assert!(before.elapsed() < PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn it_is_unused_only_without_any_tunnel() {
    let (ours, theirs) = pair();
    tokio::spawn(echo(theirs.incoming, SECOND));
    let mut tunnel = ours.tunnels.open().await.unwrap();
    tunnel.write_u8(0).await.unwrap();
    tunnel.flush().await.unwrap();
    tunnel.read_u8().await.unwrap();
    let side = theirs.tunnels.clone();
    for tunnels in [&ours.tunnels, &side] {
        assert!(timeout(IDLE * 2, unused(tunnels)).await.is_err(), "a tunnel is open");
    }
    drop(tunnel);
    for tunnels in [&ours.tunnels, &side] {
        timeout(IDLE * 2, unused(tunnels)).await.unwrap();
    }
}
