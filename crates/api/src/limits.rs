//! How much one caller may take, so that something is left for others.
//!
//! | what | whose | when there is no more |
//! | --- | --- | --- |
//! | requests | a person's (their tokens and sessions together), on average per second | 429, `Retry-After` |
//! | requests without proof | an address's: log-ins, joins, wrong tokens | 429, `Retry-After` |
//! | streams (logs, events, sockets, backups) | a person's | 429, `Retry-After` |
//! | connections | an address's | closed |
//!
//! Whoever opens the Unix socket owns the machine and has no limits. A good token is never refused for what others
//! do at its address.

mod bucket;

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use holm_link::places::{Full, Place, Places, Share, neighbourhood};

use crate::peer::{Peer, Principal, address};
use crate::problem::{Fault, Kind};
use bucket::Buckets;

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
    connections: Places<IpAddr>,
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
            connections: Places::new(limits.connections),
        }
    }

    /// Somebody who is known asks for something.
    pub(crate) fn request(&self, principal: &Principal) -> Result<(), Fault> {
        match principal.peer {
            Peer::Unix => Ok(()),
            Peer::Tls(_) | Peer::Plain(_) => {
                let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
                people.take(principal.person(), Instant::now()).map_err(|wait| too_fast("you ask", wait))
            }
        }
    }

    /// Somebody who is not known asks for something, or did not prove who they are.
    pub(crate) fn stranger(&self, peer: Peer) -> Result<(), Fault> {
        let Some(address) = address(peer) else { return Ok(()) };
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let who = neighbourhood(address);
        strangers.take(&who, Instant::now()).map_err(|wait| too_fast(&format!("{who} asks"), wait))
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
    pub(crate) fn connection(&self, peer: Peer) -> Result<Option<Place<IpAddr>>, Full> {
        address(peer).map(|address| self.connections.take(Some(neighbourhood(address)))).transpose()
    }
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
        let _one = accounts.connection(far(1)).unwrap();
        assert_eq!(accounts.connection(far(1)).unwrap_err(), Full::Each);
        let _two = accounts.connection(far(2)).unwrap();
        assert_eq!(accounts.connection(far(3)).unwrap_err(), Full::All);
        assert!(accounts.connection(Peer::Unix).unwrap().is_none());
    }
}
