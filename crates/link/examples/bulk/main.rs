//! Does bulk delay control? Round trips of control frames on a link that is idle, beside tunnels that
//! are always full on the same connection, and beside those on a second connection (`holm-bulk/1`);
//! once over plain loopback, once over a path of 20 Mbit/s and 2 × 20 ms, whose queue is shared by both
//! connections or kept fairly for each.
//!
//! `cargo run -p holm-link --example bulk [SECONDS]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measuring tool")]

mod path;
mod sides;

use std::time::{Duration, Instant};

use holm_link::listen::Channel;
use holm_link::session::{Limits, Session};
use tokio::io::AsyncWriteExt;

use path::{Path, Queue};
use sides::{Orchestrator, received};

/// Tunnels that are always full.
const TUNNELS: usize = 4;
/// Between two control frames.
const PACE: Duration = Duration::from_millis(5);
/// Of a control frame: a keep-alive.
const FRAME: &[u8] = &[7; 64];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bulk {
    None,
    Same,
    Second,
    /// A second TLS connection without any multiplexing, to see what that costs.
    PlainTls,
}

#[tokio::main]
async fn main() {
    let seconds = std::env::args().nth(1).map_or(5, |text| text.parse().expect("a number of seconds"));
    let time = Duration::from_secs(seconds);
    println!("| path | bulk | control p50 | p99 | most | bulk MB/s |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, queue) in [
        ("loopback", None),
        ("20 Mbit/s, 40 ms, one queue", Some(Queue::Shared)),
        ("20 Mbit/s, 40 ms, fair queues", Some(Queue::Fair)),
    ] {
        for (what, bulk) in [
            ("none", Bulk::None),
            ("same connection", Bulk::Same),
            ("second connection", Bulk::Second),
            ("plain TLS beside", Bulk::PlainTls),
        ] {
            let orchestrator = Orchestrator::start().await;
            let path = match queue {
                Some(queue) => Path::narrow(orchestrator.address, queue).await,
                None => Path::direct(orchestrator.address),
            };
            let (mut trips, rate) = measure(&orchestrator, &path, bulk, time).await;
            trips.sort_unstable();
            let at = |part: usize| trips[(trips.len() - 1) * part / 100].as_secs_f64() * 1000.0;
            let (half, most, all) = (at(50), at(99), at(100));
            println!("| {name} | {what} | {half:.2} ms | {most:.2} ms | {all:.2} ms | {rate:.1} |");
        }
    }
}

/// Round trips of control frames, and MB/s of bulk that arrived.
async fn measure(
    orchestrator: &Orchestrator,
    path: &Path,
    bulk: Bulk,
    time: Duration,
) -> (Vec<Duration>, f64) {
    let mut session = orchestrator.call(path, Channel::Control).await;
    let second = match bulk {
        Bulk::Second => Some(orchestrator.call(path, Channel::Bulk).await),
        _ => None,
    };
    let plain = match bulk {
        Bulk::PlainTls => Some(orchestrator.connect(path, Channel::Bulk).await),
        _ => None,
    };
    trip(&mut session).await;
    let filled = [(bulk == Bulk::Same).then_some(&session), second.as_ref()];
    filled.into_iter().flatten().for_each(fill);
    let plain = plain.map(|mut stream| {
        tokio::spawn(async move { while stream.write_all(&[1; 16 * 1024]).await.is_ok() {} })
    });
    let (before, begin) = (received(), Instant::now());
    let trips = trips(&mut session, time).await;
    let rate = (received() - before) as f64 / begin.elapsed().as_secs_f64() / 1e6;
    // The next measurement shall find an idle machine.
    if let Some(plain) = plain {
        plain.abort();
    }
    session.sender.close();
    session.tunnels.ended().await;
    if let Some(second) = second {
        second.sender.close();
        second.tunnels.ended().await;
    }
    (trips, rate)
}

async fn trips(session: &mut Session, time: Duration) -> Vec<Duration> {
    let begin = Instant::now();
    // The queues fill up first.
    while begin.elapsed() < time / 4 {
        trip(session).await;
    }
    let mut trips = Vec::new();
    while begin.elapsed() < time {
        trips.push(trip(session).await);
        tokio::time::sleep(PACE).await;
    }
    trips
}

async fn trip(session: &mut Session) -> Duration {
    let begin = Instant::now();
    session.sender.send(FRAME.into()).await.unwrap();
    session.receiver.recv().await.unwrap().unwrap();
    begin.elapsed()
}

fn fill(session: &Session) {
    for _ in 0..TUNNELS {
        let tunnels = session.tunnels.clone();
        tokio::spawn(async move {
            let mut tunnel = tunnels.open().await.unwrap();
            while tunnel.write_all(&[1; 16 * 1024]).await.is_ok() {}
        });
    }
}

/// As the shells do it.
fn limits() -> Limits {
    Limits::default()
}
