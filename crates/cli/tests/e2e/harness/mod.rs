//! A sea of real processes, and what tests ask of it.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`sea`] | starting, killing and asking daemons |
//! | [`ask`] | what tests ask again and again, by the API |
//! | [`daemon`] | one child process of ours |
//! | [`command`] | one call of the command line |
//! | [`http`] | one request, without any client of ours |
//! | [`proc`] | processes of this machine |
//! | [`sweep`] | what is left of a sea when it ends |
//! | [`network`] | namespaces that let nothing in |
//! | [`disk`] | small file systems |
//! | [`delay`] | a long way to a TCP address |
//! | [`relay`] | a way to a Unix socket that can be cut |
//! | [`vm`] | a machine with another kernel |
//! | [`things`] | what `-o json` prints, as far as tests look at it |

mod ask;
pub(crate) mod command;
pub(crate) mod daemon;
pub(crate) mod delay;
pub(crate) mod disk;
pub(crate) mod http;
pub(crate) mod network;
pub(crate) mod proc;
pub(crate) mod relay;
pub(crate) mod sea;
pub(crate) mod sweep;
pub(crate) mod things;
pub(crate) mod vm;

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

pub(crate) use command::{Ran, Running, holm};
pub(crate) use sea::{Sea, sea};
pub(crate) use things::{Instance, Node};

/// Nothing in these tests takes longer, on a busy machine either.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(40);

/// Different for each sea of this program: some test runners use one process for all tests.
pub(crate) fn counted() -> u8 {
    static SEAS: AtomicU8 = AtomicU8::new(0);
    SEAS.fetch_add(1, Ordering::Relaxed)
}

/// Returns what `look` finds, once it finds something; fails with `what` after [`LIMIT`].
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_within(LIMIT, what, look)
}

pub(crate) fn wait_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

/// Looks again and again for so long; fails as soon as `holds` does not. For promises that something
/// does *not* happen, which no condition can announce.
pub(crate) fn holds_for(time: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        assert!(holds(), "{what}");
        std::thread::sleep(LOOK);
    }
}
