//! Clients of a service that is reached at one port, all the time, and what they saw.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::wait_for;

/// Asks until it is ended.
#[derive(Debug)]
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Clone, Debug)]
pub(super) struct Seen {
    good: u64,
    /// Why the others failed.
    failed: Vec<String>,
    last: Instant,
    /// The longest time without an answer.
    gap: Duration,
}

/// Who asks at the same time.
const CLIENTS: usize = 4;
/// Requests within each change at least.
const MOST: u64 = 1_000;
/// An answer takes no longer than a drain.
const PATIENCE: Duration = Duration::from_secs(20);

// === impl Load ===

impl Load {
    /// Returns when the first answer is there.
    pub(super) fn start(port: u16) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let begun = Seen { good: 0, failed: Vec::new(), last: Instant::now(), gap: Duration::ZERO };
        let seen = Arc::new(Mutex::new(begun));
        wait_for("it is reached", || Ok(ask(port).ok()))?;
        let client = |_| {
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let answer = ask(port);
                    seen.lock().unwrap_or_else(PoisonError::into_inner).note(answer);
                }
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Ok(Self { stop, seen, clients })
    }

    fn good(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).good
    }

    /// Since the last answer.
    pub(super) fn quiet_for(&self) -> Duration {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).last.elapsed()
    }

    pub(super) fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            // One that panicked has told why.
            let _ = client.join();
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Makes a change under load, again and again until enough was asked from its begin to its end.
pub(super) fn within(port: u16, what: &str, mut change: impl FnMut() -> Result<()>) -> Result<Seen> {
    let load = Load::start(port)?;
    let mut rounds = 0;
    let outcome = loop {
        rounds += 1;
        match change() {
            Ok(()) if load.good() < MOST => {}
            outcome => break outcome,
        }
    };
    let seen = load.end();
    seen.show(&format!("{what}, {rounds} times"));
    outcome.map(|()| seen)
}

// === impl Seen ===

impl Seen {
    fn note(&mut self, answer: Result<(), String>) {
        match answer {
            Ok(()) => {
                self.good += 1;
                self.gap = self.gap.max(self.last.elapsed());
                self.last = Instant::now();
            }
            Err(why) => self.failed.push(why),
        }
    }

    pub(super) fn show(&self, what: &str) {
        let (good, failed, gap) = (self.good, self.failed.len(), self.gap.as_secs_f64());
        println!(
            "  {what}: {good} requests answered, {failed} failed, the longest time without an answer {gap:.2} s"
        );
    }

    /// # Errors
    /// When a request failed: the first.
    pub(super) fn flawless(&self) -> Result<()> {
        ensure!(self.good >= MOST, "only {} requests", self.good);
        ensure!(self.failed.is_empty(), "{} requests failed: {}", self.failed.len(), self.failed[0]);
        Ok(())
    }
}

/// One request on a connection of its own.
fn ask(port: u16) -> Result<(), String> {
    let asked = || {
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /readings HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer: String = asked().map_err(|error: std::io::Error| error.to_string())?;
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    // Not to ask a port that nobody answers at as fast as the machine can.
    std::thread::sleep(super::LOOK);
    Err(format!("not an answer: {answer:?}"))
}
