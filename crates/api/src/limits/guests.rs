//! Who is connected, and who leaves when somebody else needs the place. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use holm_link::places::{Full, Share};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A proof is good for so long after the last request that was proved had its whole answer.
pub(super) const PROOF: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Guests {
    all: Share,
    strangers: Share,
    last: u64,
    /// In the order in which they came.
    there: BTreeMap<u64, Guest>,
}

/// One connection.
#[derive(Debug)]
struct Guest {
    from: IpAddr,
    dismissed: CancellationToken,
    /// Requests whose answers are not complete.
    asks: usize,
    /// Those of them that proved who sends them.
    proved: usize,
    /// When a request last did, or had its whole answer.
    known: Option<Instant>,
}

// === impl Guests ===

impl Guests {
    /// A quarter of an address's places, and half of all, are for strangers.
    pub(super) fn new(all: Share) -> Self {
        let strangers = Share { each: (all.each / 4).max(1), all: (all.all / 2).max(1) };
        Self { all, strangers, last: 0, there: BTreeMap::new() }
    }

    /// The guest's number.
    ///
    /// # Errors
    /// When those who are known have all places.
    pub(super) fn enter(
        &mut self,
        from: IpAddr,
        dismissed: CancellationToken,
        now: Instant,
    ) -> Result<u64, Full> {
        if let Some(leaves) = self.who_leaves_for(from, now)?.and_then(|number| self.there.remove(&number)) {
            leaves.dismissed.cancel();
        }
        self.last += 1;
        self.there.insert(self.last, Guest { from, dismissed, asks: 0, proved: 0, known: None });
        Ok(self.last)
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.there.remove(&number);
    }

    pub(super) fn ask(&mut self, number: u64) {
        self.change(number, |guest| guest.asks += 1);
    }

    /// A request that is asked has proved who sends it.
    pub(super) fn prove(&mut self, number: u64, now: Instant) {
        self.change(number, |guest| {
            guest.proved += 1;
            guest.known = Some(now);
        });
    }

    /// The answer is complete.
    pub(super) fn answered(&mut self, number: u64, proved: bool, now: Instant) {
        self.change(number, |guest| {
            guest.asks -= 1;
            if proved {
                guest.proved -= 1;
                guest.known = Some(now);
            }
        });
    }

    pub(super) fn is_known(&self, number: u64, now: Instant) -> bool {
        self.there.get(&number).is_some_and(|guest| guest.is_known(now))
    }

    /// Those who were dismissed are not there any more.
    fn change(&mut self, number: u64, change: impl FnOnce(&mut Guest)) {
        self.there.get_mut(&number).map(change);
    }

    fn who_leaves_for(&self, from: IpAddr, now: Instant) -> Result<Option<u64>, Full> {
        let mut strangers: HashMap<IpAddr, usize> = HashMap::new();
        for guest in self.there.values().filter(|guest| !guest.is_known(now)) {
            *strangers.entry(guest.from).or_default() += 1;
        }
        let here = self.there.values().filter(|guest| guest.from == from).count();
        let strangers_here = strangers.get(&from).copied().unwrap_or_default();
        if here >= self.all.each || strangers_here >= self.strangers.each {
            return self.first_to_leave(from, now).map(Some).ok_or(Full::Each);
        }
        if self.there.len() < self.all.all && strangers.values().sum::<usize>() < self.strangers.all {
            return Ok(None);
        }
        let most = strangers.into_iter().max_by_key(|(_, has)| *has);
        most.and_then(|(at, _)| self.first_to_leave(at, now)).map(Some).ok_or(Full::All)
    }

    /// Whoever loses least: no answer; then no name that was known before; then the longest there.
    fn first_to_leave(&self, of: IpAddr, now: Instant) -> Option<u64> {
        let strangers = self.there.iter().filter(|(_, guest)| guest.from == of && !guest.is_known(now));
        let first = strangers.min_by_key(|(number, guest)| (guest.asks > 0, guest.known.is_some(), **number));
        first.map(|(number, _)| *number)
    }
}

// === impl Guest ===

impl Guest {
    fn is_known(&self, now: Instant) -> bool {
        self.proved > 0 || self.known.is_some_and(|known| now.duration_since(known) < PROOF)
    }
}
