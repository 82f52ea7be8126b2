//! `holm logs -f`: what comes, from whatever fills the slots meanwhile.
//!
//! ```text
//! look (who is there?) ──▶ a reader for each instance ──▶ lines, over one bounded channel ──▶ printed
//!   ▲             │          │ its log breaks off: again from the last line, with back-off
//!   │             │          │ the instance is not listed any more: it ends, and its place is kept
//!   │             └─ the first time: what several have said, merged by time, before they are followed
//!   └── something happened
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use holm_client::{Client, Error};
use holm_model::view::query::LogQuery;
use holm_model::view::{InstanceView, LogView};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::past;
use super::position::Position;
use super::prefix::Source;
use crate::commands::pulse::Pulse;
use crate::failure::Failure;
use crate::resolve::{self, Scope};

/// Between two tries to read on.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// A log that is away for a shorter time is not worth a word.
const PATIENCE: Duration = Duration::from_millis(800);
/// A reader goes on for so long after its instance has gone.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// What was said already is merged as long as all logs bring something within this.
const STALL: Duration = Duration::from_secs(2);
/// Lines on the way from the readers: a slow terminal slows the nodes down.
const LINES: usize = 64;

/// A log that is read.
#[derive(Default)]
struct Reader {
    stop: CancellationToken,
    /// Since when its instance is not listed: what it said last may still be on the way.
    missing: Option<Instant>,
}

/// What a reader says.
enum Heard {
    Line(LogView),
    /// It cannot read now, and tries again.
    Silence(Failure),
    /// Trying again is of no use.
    End(Failure),
}

/// Who is followed.
struct Crew {
    client: Client,
    scopes: Vec<Scope>,
    /// For instances that are there at the beginning; those that come later are read from their start.
    first: Option<LogQuery>,
    readers: JoinSet<(String, Position)>,
    read: BTreeMap<String, Reader>,
    /// How far the logs were read that nobody reads: what was caught up with, and instances that may
    /// be known again later.
    places: BTreeMap<String, Position>,
    said: mpsc::Sender<(Source, Heard)>,
}

/// Shows lines until nothing in scope is left; `show` is told of each source before its first line.
pub(super) async fn run(
    client: &Client,
    scopes: Vec<Scope>,
    query: LogQuery,
    mut show: impl FnMut(&Source, Option<LogView>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (said, mut heard) = mpsc::channel(LINES);
    let mut pulse = Pulse::open(client).await?;
    let mut crew = Crew::new(client.clone(), scopes, query, said);
    let mut warned = BTreeMap::new();
    loop {
        let step = tokio::select! {
            Some((source, heard)) = heard.recv() => Some((source, heard)),
            Some(ended) = crew.readers.join_next() => {
                crew.ended(ended);
                None
            }
            beat = pulse.beat() => {
                beat?;
                let left = crew.gather(&mut show).await?;
                if !left && crew.read.is_empty() && heard.is_empty() {
                    return Ok(());
                }
                None
            }
        };
        match step {
            None => {}
            Some((source, Heard::Line(line))) => {
                warned.remove(&source.instance);
                show(&source, Some(line))?;
            }
            Some((source, Heard::Silence(failure))) => warn(&source, &failure, &mut warned),
            Some((_, Heard::End(failure))) => return Err(failure),
        }
    }
}

/// Says once what keeps a log away; what keeps several away is said for the first of them.
fn warn(source: &Source, failure: &Failure, warned: &mut BTreeMap<String, String>) {
    let text = failure.to_string();
    if !warned.values().any(|said| *said == text) {
        eprintln!("warning: no log of {source} for now: {text}");
        warned.insert(source.instance.clone(), text);
    }
}

/// What was found.
#[derive(Debug, Default)]
struct Look {
    new: Vec<Source>,
    /// From where to read these, when it is not from their start.
    first: Option<LogQuery>,
    /// Something is there, or may come back.
    left: bool,
}

// === impl Crew ===

impl Crew {
    fn new(client: Client, scopes: Vec<Scope>, first: LogQuery, said: mpsc::Sender<(Source, Heard)>) -> Self {
        let (readers, read, places) = (JoinSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { client, scopes, first: Some(first), readers, read, places, said }
    }

    /// Reads what is new from now on; tells whether something is there, or may come back.
    async fn gather(
        &mut self,
        show: &mut impl FnMut(&Source, Option<LogView>) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let Look { new, first, left } = self.look().await?;
        new.iter().try_for_each(|source| show(source, None))?;
        if let Some(first) = first.as_ref().filter(|_| new.len() > 1) {
            self.catch_up(&new, first, show).await?;
        }
        self.follow(new, first);
        Ok(left)
    }

    /// Lists what is there. An orchestrator that is away is waited for.
    async fn look(&mut self) -> Result<Look, Failure> {
        let all = match resolve::of(&self.client, &self.scopes).await {
            Ok(all) => all,
            Err(error) if is_for_now(&error) => return Ok(Look { left: true, ..Look::default() }),
            Err(error) => return Err(error.into()),
        };
        let left = all.iter().any(|view| self.scopes.iter().any(|scope| scope.may_be_filled_by(view)));
        let wanted = all.iter().filter(|view| self.scopes.iter().any(|scope| scope.takes(view)));
        let new = wanted.filter_map(Source::of).filter(|source| !self.read.contains_key(&source.instance));
        let new = new.collect();
        self.end_missing(&all);
        Ok(Look { new, first: self.first.take(), left })
    }

    /// Shows what several have said until now, in one order; their readers go on behind it. What cannot
    /// be read now is left to them.
    async fn catch_up(
        &mut self,
        new: &[Source],
        first: &LogQuery,
        show: &mut impl FnMut(&Source, Option<LogView>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let query = LogQuery { follow: false, ..first.clone() };
        let Ok(lines) = timeout(STALL, past::read(&self.client, new.to_vec(), &query)).await else {
            return Ok(());
        };
        let mut lines = std::pin::pin!(lines);
        while let Ok(Some((source, line))) = timeout(STALL, lines.next()).await {
            let Ok(line) = line else { continue };
            self.places.entry(source.instance.clone()).or_default().pass(line.at);
            show(&source, Some(line))?;
        }
        Ok(())
    }

    fn follow(&mut self, new: Vec<Source>, first: Option<LogQuery>) {
        let first = first.unwrap_or(LogQuery { tail: None, since: None, follow: true });
        for source in new {
            let reader = Reader::default();
            let stop = reader.stop.clone();
            self.read.insert(source.instance.clone(), reader);
            let place = self.places.remove(&source.instance).unwrap_or_default();
            let reading = read(self.client.clone(), source, first.clone(), place, self.said.clone(), stop);
            self.readers.spawn(reading);
        }
    }

    /// The log of an instance that was removed is silent, and does not end.
    fn end_missing(&mut self, all: &[InstanceView]) {
        for (instance, reader) in &mut self.read {
            if all.iter().any(|view| view.id.as_ref() == Some(instance)) {
                reader.missing = None;
            } else if reader.missing.get_or_insert_with(Instant::now).elapsed() >= AFTERWARDS {
                reader.stop.cancel();
            }
        }
    }

    fn ended(&mut self, reader: Result<(String, Position), tokio::task::JoinError>) {
        // A reader is never aborted, and does not panic.
        if let Ok((instance, place)) = reader {
            self.read.remove(&instance);
            self.places.insert(instance, place);
        }
    }
}

/// Reads a log on and on, until it is stopped; tells how far it came.
async fn read(
    client: Client,
    source: Source,
    first: LogQuery,
    mut place: Position,
    said: mpsc::Sender<(Source, Heard)>,
    stop: CancellationToken,
) -> (String, Position) {
    let instance = source.instance.clone();
    let reading = read_on(&client, source, &first, &mut place, said);
    // Without a value: nobody reads, or it was stopped.
    let _ = stop.run_until_cancelled(reading).await;
    (instance, place)
}

/// Returns when nobody knows the instance any more, or nobody hears.
async fn read_on(
    client: &Client,
    source: Source,
    first: &LogQuery,
    place: &mut Position,
    said: mpsc::Sender<(Source, Heard)>,
) {
    let mut wait = RETRY.0;
    loop {
        let ended = match client.logs(&source.instance, &place.query(first)).await {
            Err(error) => Some(error),
            Ok(mut lines) => {
                place.resume();
                loop {
                    match lines.next().await {
                        Some(Ok(line)) if place.pass(line.at) => {
                            wait = RETRY.0;
                            if said.send((source.clone(), Heard::Line(line))).await.is_err() {
                                return;
                            }
                        }
                        Some(Ok(_)) => {}
                        // Whether it is the agent that has gone, or the orchestrator, tells the next try.
                        Some(Err(Error::CutOff { .. })) | None => break None,
                        Some(Err(error)) => break Some(error),
                    }
                }
            }
        };
        match ended {
            Some(error) if error.is_not_found() => return,
            Some(error) => {
                let word = match is_for_now(&error) {
                    true if wait < PATIENCE => None,
                    true => Some(Heard::Silence(error.into())),
                    false => Some(Heard::End(error.into())),
                };
                if let Some(word) = word
                    && said.send((source.clone(), word)).await.is_err()
                {
                    return;
                }
            }
            None => {}
        }
        sleep(wait).await;
        wait = (wait * 2).min(RETRY.1);
    }
}

/// Whether only time can cure it: a way that is broken, or a node that does not have the instance yet.
fn is_for_now(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } | Error::CutOff { .. } => true,
        Error::Problem(problem) => problem.status >= 500 || matches!(problem.status, 404 | 422 | 429),
        Error::Protocol { .. } => false,
    }
}
