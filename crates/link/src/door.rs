//! Who stands in the door: handshakes of each address that are not done. One that holds on without a word gives
//! way to the next, so that whoever opens many keeps nobody out, not even at the same address.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The unfinished handshakes, oldest first.
#[derive(Debug)]
pub(crate) struct Door {
    each: usize,
    /// Addresses that are remembered at most, beside those that really wait.
    most: usize,
    waiting: HashMap<IpAddr, VecDeque<Guest>>,
}

#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) task: AbortHandle,
    pub(crate) since: Instant,
    /// It has sent its ClientHello.
    pub(crate) spoke: Arc<AtomicBool>,
}

/// Somebody who spoke and is busy for longer than this gives way as well.
const BUSY: Duration = Duration::from_secs(3);

impl Door {
    pub(crate) fn new(each: usize, most: usize) -> Self {
        Self { each, most, waiting: HashMap::new() }
    }

    /// Lets a newcomer of `from` stand there too. False: there is no room, because each of the others is in the
    /// middle of its handshake.
    pub(crate) fn room(&mut self, from: IpAddr, now: Instant) -> bool {
        let Some(guests) = self.waiting.get_mut(&from) else { return true };
        guests.retain(Guest::is_there);
        if guests.len() < self.each {
            return true;
        }
        let idle = guests.iter().position(|guest| guest.gives_way(now));
        idle.and_then(|idle| guests.remove(idle)).map(|guest| guest.task.abort()).is_some()
    }

    pub(crate) fn enter(&mut self, from: IpAddr, guest: Guest) {
        if self.waiting.len() >= self.most {
            self.waiting.retain(|_, guests| {
                guests.retain(Guest::is_there);
                !guests.is_empty()
            });
        }
        self.waiting.entry(from).or_default().push_back(guest);
    }
}

impl Guest {
    fn is_there(&self) -> bool {
        !self.task.is_finished()
    }

    fn gives_way(&self, now: Instant) -> bool {
        !self.spoke.load(Ordering::Relaxed) || now.saturating_duration_since(self.since) > BUSY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(since: Instant, spoke: bool) -> Guest {
        let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
        Guest { task, since, spoke: Arc::new(AtomicBool::new(spoke)) }
    }

    #[tokio::test]
    async fn who_is_silent_gives_way_and_who_is_busy_does_not() {
        let (now, from) = (Instant::now(), IpAddr::from([192, 0, 2, 1]));
        let mut door = Door::new(2, 8);
        for spoke in [true, false] {
            assert!(door.room(from, now));
            door.enter(from, guest(now, spoke));
        }
        assert!(door.room(IpAddr::from([192, 0, 2, 2]), now), "another address");
        assert!(door.room(from, now), "the silent one goes");
        door.enter(from, guest(now, true));
        assert!(!door.room(from, now), "all are in the middle of it");
        assert!(door.room(from, now + BUSY * 2), "for too long");
    }

    #[tokio::test]
    async fn who_has_gone_is_forgotten() {
        let now = Instant::now();
        let mut door = Door::new(2, 4);
        for last in 0..100 {
            let gone = guest(now, false);
            gone.task.abort();
            while !gone.task.is_finished() {
                tokio::task::yield_now().await;
            }
            door.enter(IpAddr::from([192, 0, 2, last]), gone);
        }
        assert!(door.waiting.len() <= 4, "{}", door.waiting.len());
    }
}
