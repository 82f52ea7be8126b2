//! How much one caller may take, so that something is left for others.
//!
//! | what | whose | when there is no more |
//! | --- | --- | --- |
//! | requests | a person's (their tokens and sessions together), on average per second | 429, `Retry-After` |
//! | requests without proof | an address's: log-ins, joins, wrong tokens | 429, `Retry-After` |
//! | streams (logs, events, sockets, backups) | a person's | 429, `Retry-After` |
//! | tokens of instances that are not known yet | an address's, as above | 429, `Retry-After` |
//! | connections | an address's | closed; or a stranger's is |
//! | connections without proof | an address's, and a half of all | one is closed: who asks nothing first, then the longest there |
//!
//! Whoever opens the Unix socket owns the machine and has no limits. A person's good token is never refused for what
//! others do at its address, nor is an instance's that was good before.

pub(crate) mod bucket;
mod familiar;
mod guests;
pub(crate) mod visits;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use holm_link::places::{Full, Place, Places, Share, neighbourhood};
use holm_model::time::Time;

use crate::peer::{Peer, Principal, address};
use crate::problem::{Fault, Kind};
use bucket::Buckets;
use familiar::Familiar;
use visits::{Visit, Visits};

/// What may be set; generous unless it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one person, per second on average.
    pub requests: u32,
    /// Of one address without proof, per second on average.
    pub strangers: u32,
    /// Open streams: of one person, and of all.
    pub streams: Share,
    /// Open connections: of one address, and of all.
    pub connections: Share,
}

/// Who has taken what.
#[derive(Debug)]
pub(crate) struct Accounts {
    people: Mutex<Buckets<String>>,
    strangers: Mutex<Buckets<IpAddr>>,
    streams: Places<String>,
    visits: Visits,
    familiar: Mutex<Familiar>,
}

/// Somebody who was still for so long may ask at once what would have been allowed meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 200,
            strangers: 50,
            streams: Share { each: 128, all: 512 },
            // Each is a file descriptor, of which a process has 1024 unless somebody gives it more.
            connections: Share { each: 160, all: 640 },
        }
    }
}

// === impl Accounts ===

impl Accounts {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            people: Mutex::new(Buckets::new(limits.requests, PATIENCE)),
            strangers: Mutex::new(Buckets::new(limits.strangers, PATIENCE)),
            streams: Places::new(limits.streams),
            visits: Visits::new(limits.connections),
            familiar: Mutex::default(),
        }
    }

    /// Somebody who is known asks for something.
    pub(crate) fn request(&self, principal: &Principal) -> Result<(), Fault> {
        match principal.peer {
            Peer::Unix | Peer::Member(_) => Ok(()),
            Peer::Tls(_) | Peer::Plain(_) => {
                let taken = lock(&self.people).take(principal.person(), Instant::now());
                taken.map_err(|wait| too_fast("you ask", wait))
            }
        }
    }

    /// Somebody who is not known asks for something, or did not prove who they are.
    pub(crate) fn stranger(&self, peer: Peer) -> Result<(), Fault> {
        let Some(address) = address(peer) else { return Ok(()) };
        let who = neighbourhood(address);
        let taken = lock(&self.strangers).take(&who, Instant::now());
        taken.map_err(|wait| too_fast(&format!("{who} asks"), wait))
    }

    /// Somebody shows the token of an instance, which is work to verify.
    ///
    /// # Errors
    /// When it was never good here, and too much was asked at the address already.
    pub(crate) fn worth_verifying(&self, peer: Peer, token: &str) -> Result<(), Fault> {
        let Some(address) = address(peer).filter(|_| !lock(&self.familiar).knows(token)) else {
            return Ok(());
        };
        let who = neighbourhood(address);
        let looked = lock(&self.strangers).look(&who, Instant::now());
        looked.map(drop).map_err(|wait| too_fast(&format!("{who} asks"), wait))
    }

    /// The token was good, and may be until `until`.
    pub(crate) fn proved(&self, token: &str, until: Time) {
        lock(&self.familiar).learn(token, until, holm_orchestrator::now());
    }

    /// The token is not good, or not any more.
    pub(crate) fn disproved(&self, token: &str) {
        lock(&self.familiar).forget(token);
    }

    /// A place for an answer that goes on.
    pub(crate) fn stream(&self, principal: &Principal) -> Result<Place<String>, Fault> {
        let owner = (principal.peer != Peer::Unix).then(|| principal.person().to_owned());
        self.streams.take(owner).map_err(|full| {
            let Share { each, all } = self.streams.share();
            let detail = match full {
                Full::Each => format!("you have {each} logs, events, execs and ports open; close some"),
                Full::All => {
                    format!("{all} logs, events, execs and ports are open; close some, or try later")
                }
            };
            Fault::new(Kind::TooMany, detail)
        })
    }

    /// A place for a connection; the owner of the machine needs none.
    pub(crate) fn connection(&self, peer: Peer) -> Result<Arc<Visit>, Full> {
        self.visits.enter(address(peer))
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds one of these locks can panic half-way.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn too_fast(who: &str, wait: Duration) -> Fault {
    // Rounded up: whoever waits less is refused again.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let detail = format!("{who} more than is allowed per second; ask again in {seconds} s");
    Fault::new(Kind::TooFast, detail).after(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use holm_model::access::Grants;

    use super::*;

    const NONE: Share = Share { each: 1, all: 2 };
    const SMALL: Limits = Limits { requests: 1, strangers: 1, streams: NONE, connections: NONE };

    fn far(last: u8) -> Peer {
        Peer::Tls(([192, 0, 2, last], 9).into())
    }

    fn person(who: &str) -> Principal {
        let mut principal = Principal::owner();
        principal.actor.who = who.to_owned();
        principal.grants = Grants::default();
        principal.peer = far(1);
        principal
    }

    #[test]
    fn who_asks_too_fast_slows_down_nobody_else() {
        let accounts = Accounts::new(SMALL);
        let refused = (0..20).filter(|_| accounts.request(&person("ada")).is_err()).count();
        assert!((9..=10).contains(&refused), "{refused}");
        let fault = accounts.request(&person("ada")).unwrap_err();
        assert_eq!(fault.kind(), Kind::TooFast);
        assert!(accounts.request(&person("bob")).is_ok());
        assert!((0..100).all(|_| accounts.request(&Principal::owner()).is_ok()), "the socket has no limits");
    }

    #[test]
    fn strangers_are_told_apart_by_their_addresses() {
        let accounts = Accounts::new(SMALL);
        assert!((0..20).any(|_| accounts.stranger(far(1)).is_err()));
        assert!(accounts.stranger(far(2)).is_ok());
    }

    #[test]
    fn streams_are_shared_out() {
        let accounts = Accounts::new(SMALL);
        let ada = accounts.stream(&person("ada")).unwrap();
        let more = accounts.stream(&person("ada")).unwrap_err();
        assert!(more.detail().contains("you have 1"), "{more:?}");
        let _owner = accounts.stream(&Principal::owner()).unwrap();
        assert!(accounts.stream(&person("bob")).unwrap_err().detail().contains("2 logs"));
        drop(ada);
        assert!(accounts.stream(&person("bob")).is_ok());
    }

    #[test]
    fn connections_are_shared_out() {
        let accounts = Accounts::new(SMALL);
        let one = accounts.connection(far(1)).unwrap();
        one.ask().prove();
        assert_eq!(accounts.connection(far(1)).unwrap_err(), Full::Each);
        let two = accounts.connection(far(2)).unwrap();
        two.ask().prove();
        assert_eq!(accounts.connection(far(3)).unwrap_err(), Full::All);
        assert!(accounts.connection(Peer::Unix).is_ok());
    }
}
