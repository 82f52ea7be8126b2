//! Connections, of which those of strangers make room.
//!
//! ```text
//! entered, a stranger's ◀──([`PROOF`](guests) without a request that is proved)── somebody's who is known
//!    │   └─────────────────────(a request is proved)──────────────────────────────────▲
//!    ├── its time is over before anything was proved ──► asked to leave
//!    └── another connection needs the place ──► dismissed: who asks nothing first, then the longest there
//! ```
//!
//! Whoever comes is let in and has the time to prove who they are; those who never do cannot keep others out by
//! staying.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holm_link::places::{Full, Share, neighbourhood};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::guests::Guests;

/// Who is connected.
#[derive(Debug)]
pub(crate) struct Visits(Arc<Mutex<Guests>>);

/// One connection; its place is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Visit {
    /// The owner of the machine is no guest, and needs no place.
    number: Option<u64>,
    dismissed: CancellationToken,
    guests: Arc<Mutex<Guests>>,
}

/// One request on it, until the last clone of this is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Asking(Arc<Asked>);

#[derive(Debug)]
struct Asked {
    visit: Arc<Visit>,
    proved: AtomicBool,
}

// === impl Visits ===

impl Visits {
    pub(crate) fn new(connections: Share) -> Self {
        Self(Arc::new(Mutex::new(Guests::new(connections))))
    }

    /// `from`: the peer's machine, if it is another.
    ///
    /// # Errors
    /// When those who are known have all places.
    pub(crate) fn enter(&self, from: Option<IpAddr>) -> Result<Arc<Visit>, Full> {
        let (dismissed, guests) = (CancellationToken::new(), Arc::clone(&self.0));
        let enter = |from| lock(&guests).enter(neighbourhood(from), dismissed.clone(), Instant::now());
        let number = from.map(enter).transpose()?;
        Ok(Arc::new(Visit { number, dismissed, guests }))
    }
}

// === impl Visit ===

impl Visit {
    pub(crate) fn ask(self: &Arc<Self>) -> Asking {
        self.with(Guests::ask);
        Asking(Arc::new(Asked { visit: Arc::clone(self), proved: AtomicBool::new(false) }))
    }

    /// Whether a request has proved who sends it, not too long ago.
    pub(crate) fn is_known(&self) -> bool {
        self.with(|guests, number| guests.is_known(number, Instant::now())).unwrap_or(true)
    }

    /// Done when another connection needs the place.
    pub(crate) async fn dismissed(&self) {
        self.dismissed.cancelled().await;
    }

    fn with<T>(&self, what: impl FnOnce(&mut Guests, u64) -> T) -> Option<T> {
        self.number.map(|number| what(&mut lock(&self.guests), number))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.with(Guests::leave);
    }
}

// === impl Asking ===

impl Asking {
    /// The request has proved who sends it.
    pub(crate) fn prove(&self) {
        if !self.0.proved.swap(true, Ordering::Relaxed) {
            self.0.visit.with(|guests, number| guests.prove(number, Instant::now()));
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let proved = *self.proved.get_mut();
        self.visit.with(|guests, number| guests.answered(number, proved, Instant::now()));
    }
}

fn lock(guests: &Mutex<Guests>) -> MutexGuard<'_, Guests> {
    // Nothing that holds the lock can panic half-way.
    guests.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::guests::PROOF;

    fn from(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }

    fn is_dismissed(visit: &Arc<Visit>) -> bool {
        visit.dismissed.is_cancelled()
    }

    /// Of strangers two each and four in all.
    fn visits() -> Visits {
        Visits::new(Share { each: 8, all: 8 })
    }

    fn stranger(visits: &Visits, last: u8) -> Arc<Visit> {
        visits.enter(from(last)).unwrap()
    }

    fn known(visits: &Visits, last: u8) -> Arc<Visit> {
        let visit = stranger(visits, last);
        visit.ask().prove();
        visit
    }

    #[test]
    fn the_longest_there_makes_room_at_its_own_address() {
        let visits = visits();
        let all: Vec<_> = (0..3).map(|_| stranger(&visits, 1)).collect();
        assert_eq!(all.iter().map(is_dismissed).collect::<Vec<_>>(), [true, false, false]);
        let v6 = |text: &str| visits.enter(Some(text.parse().unwrap())).unwrap();
        let all = [v6("2001:db8::1"), v6("2001:db8::2"), v6("2001:db8::3")];
        assert_eq!(all.iter().map(is_dismissed).collect::<Vec<_>>(), [true, false, false], "one network");
    }

    #[test]
    fn who_takes_most_makes_room_for_other_addresses() {
        let visits = visits();
        let greedy = [stranger(&visits, 1), stranger(&visits, 1)];
        let modest = [stranger(&visits, 2), stranger(&visits, 3)];
        let _new = stranger(&visits, 4);
        assert!(is_dismissed(&greedy[0]) && !is_dismissed(&greedy[1]));
        assert!(!modest.iter().any(is_dismissed));
    }

    #[test]
    fn who_is_known_stays() {
        let visits = visits();
        let first = known(&visits, 1);
        let strangers: Vec<_> = (0..5).map(|_| stranger(&visits, 1)).collect();
        assert!(first.is_known() && !is_dismissed(&first));
        drop(strangers);
        let mut all: Vec<_> = (0..7).map(|_| known(&visits, 1)).collect();
        assert_eq!(visits.enter(from(1)).unwrap_err(), Full::Each);
        assert_eq!(visits.enter(from(2)).unwrap_err(), Full::All);
        assert!(visits.enter(None).is_ok(), "the owner of the machine needs none");
        all.clear();
        assert!(visits.enter(from(1)).is_ok());
    }

    #[test]
    fn where_all_places_are_taken_strangers_leave_theirs() {
        let visits = Visits::new(Share { each: 4, all: 6 });
        let _known = [known(&visits, 1), known(&visits, 1), known(&visits, 1)];
        let stays = stranger(&visits, 1);
        let _fourth = known(&visits, 1);
        assert!(is_dismissed(&stays), "of its address");
        assert_eq!(visits.enter(from(1)).unwrap_err(), Full::Each);
        let (stays, _sixth) = (stranger(&visits, 2), known(&visits, 3));
        let _new = known(&visits, 4);
        assert!(is_dismissed(&stays), "of all");
    }

    #[test]
    fn who_waits_for_an_answer_leaves_last() {
        let visits = visits();
        let (asks, idle) = (stranger(&visits, 1), stranger(&visits, 1));
        let asking = asks.ask();
        let also = stranger(&visits, 1);
        assert!(is_dismissed(&idle) && !is_dismissed(&asks));
        let _asking = also.ask();
        let _third = stranger(&visits, 1);
        assert!(is_dismissed(&asks) && !is_dismissed(&also), "the longest of those who ask");
        // Dismissed meanwhile: nothing comes of it.
        asking.prove();
        assert!(!asks.is_known());
    }

    #[tokio::test(start_paused = true)]
    async fn a_proof_lapses_when_nothing_is_asked_any_more() {
        let visits = visits();
        let (idle, streams) = (stranger(&visits, 1), stranger(&visits, 1));
        idle.ask().prove();
        let stream = streams.ask();
        stream.prove();
        tokio::time::advance(PROOF / 2).await;
        idle.ask().prove();
        tokio::time::advance(PROOF / 2).await;
        assert!(idle.is_known() && streams.is_known());
        drop(idle.ask());
        tokio::time::advance(PROOF / 2).await;
        assert!(!idle.is_known(), "a request without proof is none");
        assert!(streams.is_known());
        drop(stream);
        assert!(streams.is_known());
        let (first, second) = (stranger(&visits, 1), stranger(&visits, 1));
        assert!(is_dismissed(&first) && !is_dismissed(&idle), "who never said a name goes first");
        let _asking = second.ask();
        let _third = stranger(&visits, 1);
        assert!(is_dismissed(&idle) && !is_dismissed(&streams));
    }
}
