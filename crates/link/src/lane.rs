//! The way of a session's tunnels: a second connection, which is there while somebody uses it.
//!
//! On one connection whatever tunnels have written waits before the next control message: megabytes in
//! the kernel, seconds on a slow line. `examples/bulk` measures it.
//!
//! ```text
//!               ┌──(somebody opens a tunnel)──► Wanted ──(it is there)──► Open
//!            Absent ◄──(unused for a while, or broken)────────────────────┘
//!               └──(does not come in time: an older member, a proxy)──► Unavailable
//! ```
//!
//! Only the member can dial: an orchestrator that wants it asks the member. Without it, tunnels go
//! through the control connection.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, interval, sleep, timeout};

use crate::dial::{DialError, Dialer};
use crate::listen::Channel;
use crate::session::{IncomingTunnels, Limits, OpenError, Session, Tunnel, Tunnels};

/// Opens the tunnels of one session.
#[derive(Debug)]
pub struct Lane {
    control: Tunnels,
    bulk: watch::Sender<Bulk>,
    wanted: Notify,
}

#[derive(Debug)]
enum Bulk {
    Absent,
    Wanted,
    Open(Tunnels),
    Unavailable,
}

/// For the second connection to come.
const PATIENCE: Duration = Duration::from_secs(1);
/// The member closes it when no tunnel has been open for so long.
const IDLE: Duration = Duration::from_secs(60);
/// A tunnel may be quiet for hours: this keeps the way open through NAT tables.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The other side is gone. Longer than on the control connection: here keep-alives wait behind bulk.
const SILENCE: Duration = Duration::from_secs(60);

impl Lane {
    /// For the session whose tunnels are `control`.
    #[must_use]
    pub fn new(control: Tunnels) -> Self {
        Self { control, bulk: watch::Sender::new(Bulk::Absent), wanted: Notify::new() }
    }

    /// A new tunnel, over the second connection if it can be had.
    ///
    /// # Errors
    /// As for [`Tunnels::open`].
    pub async fn open(&self) -> Result<Tunnel, OpenError> {
        if let Some(bulk) = self.bulk().await {
            match bulk.open().await {
                // It has just ended; the session goes on.
                Err(OpenError::Over) => {}
                opened => return opened,
            }
        }
        self.control.open().await
    }

    /// The other side, or we, have use for the second connection.
    pub fn want(&self) {
        let is_new = self.bulk.send_if_modified(|bulk| {
            let absent = matches!(bulk, Bulk::Absent);
            if absent {
                *bulk = Bulk::Wanted;
            }
            absent
        });
        if is_new {
            self.wanted.notify_one();
        }
    }

    /// Waits until the second connection is wanted: then a member dials, an orchestrator asks.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// The member's part: dials, and carries tunnels until nobody needs them any more.
    ///
    /// # Errors
    /// When there is no connection; tunnels go through the control connection then.
    pub async fn call<F: Future>(
        &self,
        dialer: &Dialer,
        address: &str,
        limits: &Limits,
        serve: impl FnOnce(IncomingTunnels) -> F,
    ) -> Result<(), DialError> {
        match dialer.connect(address, Channel::Bulk).await {
            Ok(connected) => {
                let session = Session::client(connected.stream, limits);
                let tunnels = session.tunnels.clone();
                tokio::select! {
                    () = self.carry(session, serve) => {}
                    () = unused(&tunnels) => self.detach(&tunnels),
                }
                Ok(())
            }
            Err(error) => {
                self.give_up();
                Err(error)
            }
        }
    }

    /// Tunnels go over `session` from now on, and `serve` serves those of the other side. Returns when
    /// it is over.
    pub async fn carry<F: Future>(&self, session: Session, serve: impl FnOnce(IncomingTunnels) -> F) {
        let Session { sender, mut receiver, tunnels, incoming } = session;
        // Also when the link is over and nobody waits for this any more.
        let _closing = tunnels.close_on_drop();
        self.bulk.send_replace(Bulk::Open(tunnels.clone()));
        let beat = async {
            let mut beats = interval(KEEP_ALIVE);
            loop {
                beats.tick().await;
                // A full queue is a connection that is busy.
                let _ = sender.try_send(Bytes::new());
            }
        };
        let hear = async { while let Ok(Some(Ok(_))) = timeout(SILENCE, receiver.recv()).await {} };
        let serve = async {
            serve(incoming).await;
            pending().await
        };
        tokio::select! {
            () = beat => {}
            () = hear => {}
            () = serve => {}
        }
        self.detach(&tunnels);
    }

    async fn bulk(&self) -> Option<Tunnels> {
        self.want();
        let mut seen = self.bulk.subscribe();
        let decided = seen.wait_for(|bulk| matches!(bulk, Bulk::Open(_) | Bulk::Unavailable));
        match timeout(PATIENCE, decided).await {
            // The sender is ours.
            Ok(Ok(bulk)) => match &*bulk {
                Bulk::Open(tunnels) => Some(tunnels.clone()),
                _ => None,
            },
            _ => {
                self.give_up();
                None
            }
        }
    }

    /// Until the link is opened anew, or it comes all the same.
    fn give_up(&self) {
        self.bulk.send_if_modified(|bulk| {
            let waits = matches!(bulk, Bulk::Wanted);
            if waits {
                *bulk = Bulk::Unavailable;
            }
            waits
        });
    }

    /// Unless another connection has taken its place.
    fn detach(&self, tunnels: &Tunnels) {
        self.bulk.send_if_modified(|bulk| {
            let its = matches!(bulk, Bulk::Open(open) if open.is_same(tunnels));
            if its {
                *bulk = Bulk::Absent;
            }
            its
        });
    }
}

/// Returns when no tunnel has been open for some time.
async fn unused(tunnels: &Tunnels) {
    let mut since = Instant::now();
    while since.elapsed() < IDLE {
        sleep(KEEP_ALIVE).await;
        if tunnels.in_use() > 0 {
            since = Instant::now();
        }
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
