//! One connection: an instance is found for it before any byte is passed on, then bytes are.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use holm_core::orchestrator::exposing::Target;
use holm_link::session::Tunnel;
use holm_model::tunnel::Purpose;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, timeout};

use super::counters::Counters;
use super::door::{Door, Place};
use super::rooms::Room;
use crate::tunnels::Router;

/// How long a connection waits for an instance that takes it: about as long as a restart.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one instance is given.
const EACH: Duration = Duration::from_secs(3);
/// After all were asked in vain, they are asked again after this, or as soon as there are others; twice as long
/// each time, up to the second.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// A connection on which nothing moves for so long is cut.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// The same, when others need its room on the link.
const IDLE_IN_THE_WAY: Duration = Duration::from_secs(60);
/// The same, when one side has said all.
const HALF: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(15);
/// In each direction.
const BUFFER: usize = 64 * 1024;

pub(super) async fn carry(door: Arc<Door>, stream: TcpStream, router: Router) {
    let counters = &door.counters;
    Counters::add(&counters.accepted, 1);
    Counters::add(&counters.open, 1);
    // Only a matter of latency.
    let _ = stream.set_nodelay(true);
    let found = async {
        let _looking = door.look()?;
        tokio::select! {
            biased;
            found = timeout(PATIENCE, find(&door, &router)) => found.ok(),
            () = gone(&stream) => None,
        }
    };
    match found.await {
        Some((place, tunnel)) => pass(&door, stream, tunnel, &place).await,
        None => Counters::add(&counters.failed, 1),
    }
    counters.open.fetch_sub(1, Ordering::Relaxed);
}

/// Returns when the client has gone, unless it has said something before.
async fn gone(stream: &TcpStream) {
    if let Ok(1..) = stream.peek(&mut [0]).await {
        std::future::pending().await
    }
}

/// Asks one after the other until one takes it.
async fn find(door: &Arc<Door>, router: &Router) -> (Place, Tunnel) {
    let mut targets = door.watch();
    let (mut again, longest) = AGAIN;
    loop {
        targets.mark_unchanged();
        let mut tried = BTreeSet::new();
        while let Some(place) = door.take(&tried) {
            let Target { instance, port, ref path, .. } = place.target;
            if place.room.is_none() {
                tracing::debug!(%instance, "The link to an instance has no room for a connection.");
            } else {
                let purpose = Purpose::Connect { instance, port };
                let asked = timeout(EACH, router.granted(path, purpose)).await;
                match asked {
                    Ok(Ok(tunnel)) => return (place, tunnel),
                    Ok(Err(error)) => tracing::debug!(%instance, %error, "An instance takes no connection."),
                    Err(_) => tracing::debug!(%instance, "An instance did not take a connection in time."),
                }
            }
            Counters::add(&door.counters.retried, 1);
            tried.insert(instance);
        }
        // The door is there as long as we are.
        let _ = timeout(again, targets.changed()).await;
        again = (again * 2).min(longest);
    }
}

async fn pass(door: &Arc<Door>, stream: TcpStream, mut tunnel: Tunnel, place: &Place) {
    let clock = Arc::new(Activity::new());
    let mut stream = Watched { inner: stream, clock: Arc::clone(&clock), door: Arc::clone(door) };
    let copy = copy_bidirectional_with_sizes(&mut stream, &mut tunnel, BUFFER, BUFFER);
    let is_wanted = || place.room.as_ref().is_some_and(Room::is_wanted);
    tokio::select! {
        copied = copy => if let Err(error) = copied {
            tracing::debug!(%error, "A connection to a service broke.");
        },
        () = clock.idle(is_wanted) => tracing::debug!("A connection to a service was idle for too long."),
    }
}

/// When something moved last.
#[derive(Debug)]
struct Activity {
    begun: Instant,
    /// Milliseconds after the beginning.
    last: AtomicU64,
    /// One side has said all.
    half: AtomicBool,
}

/// A client's side: notes when bytes come or go, and how many.
#[derive(Debug)]
struct Watched<T> {
    inner: T,
    clock: Arc<Activity>,
    door: Arc<Door>,
}

// === impl Activity ===

impl Activity {
    fn new() -> Self {
        Self { begun: Instant::now(), last: AtomicU64::new(0), half: AtomicBool::new(false) }
    }

    fn note(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn note_end(&self) {
        self.half.store(true, Ordering::Relaxed);
    }

    /// Returns when nothing has moved for too long. `is_wanted`: others need its place.
    async fn idle(&self, is_wanted: impl Fn() -> bool) {
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
            let most = match self.half.load(Ordering::Relaxed) {
                true => HALF,
                false if is_wanted() => IDLE_IN_THE_WAY,
                false => IDLE,
            };
            if self.begun.elapsed().saturating_sub(last) >= most {
                return;
            }
        }
    }
}

// === impl Watched ===

fn number(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if read.is_ready() {
            self.clock.note();
            match buffer.filled().len() - before {
                0 => self.clock.note_end(),
                read => Counters::add(&self.door.counters.received, number(read)),
            }
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(written) = &written {
            self.clock.note();
            Counters::add(&self.door.counters.sent, written.as_ref().map_or(0, |bytes| number(*bytes)));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The instance has said all.
        self.clock.note_end();
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_does_not_move_is_idle() {
        for (half, wanted, most) in
            [(false, false, IDLE), (false, true, IDLE_IN_THE_WAY), (true, false, HALF), (true, true, HALF)]
        {
            let clock = Activity::new();
            if half {
                clock.note_end();
            }
            let moving = async {
                for _ in 0..10 {
                    tokio::time::sleep(Duration::from_secs(20)).await;
                    clock.note();
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = moving => {}
                () = clock.idle(|| wanted) => {}
            }
            let moved = Duration::from_secs(200);
            assert!((moved + most..moved + most + 2 * LOOK).contains(&clock.begun.elapsed()));
        }
    }
}
