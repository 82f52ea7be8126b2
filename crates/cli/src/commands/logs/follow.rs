//! `holm logs -f`: what comes, from whatever fills the slots meanwhile.
//!
//! ```text
//! look (who is there, and not read?) ──▶ open ──▶ what they have said, merged by time ──▶ printed
//!   ▲                                      │                       │
//!   │                    not now: later ◄──┘                       ▼
//!   └── something happened, or a ◄── it breaks off ── a reader for each ──▶ lines ──▶ printed
//!       second has passed               (its place is kept)
//! ```
//!
//! Logs that broke off together are read on together, so that what was said meanwhile is in one order.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt as _, future};
use holm_client::{Client, Error};
use holm_model::view::query::LogQuery;
use holm_model::view::{InstanceView, LogView};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::past;
use super::position::Position;
use super::prefix::Source;
use crate::commands::pulse::Pulse;
use crate::failure::Failure;
use crate::resolve::{self, Scope};

/// A log that is away for a shorter time is not worth a word.
const PATIENCE: Duration = Duration::from_millis(800);
/// Logs that broke off wait so long for each other, to be read on together.
const TOGETHER: Duration = Duration::from_secs(2);
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

/// How far a log was read.
struct Log {
    source: Source,
    /// What to ask for at first.
    first: LogQuery,
    place: Position,
    /// Since when it cannot be read.
    broken: Option<Instant>,
}

/// Why a reader has ended.
struct Ended {
    source: Source,
    place: Position,
    /// The log was there.
    opened: bool,
    /// None when it broke off, or was stopped.
    error: Option<Error>,
}

/// Who is followed.
struct Crew {
    client: Client,
    scopes: Vec<Scope>,
    /// For instances that are there at the beginning; those that come later are read from their start.
    first: Option<LogQuery>,
    readers: JoinSet<Ended>,
    read: BTreeMap<String, Reader>,
    logs: BTreeMap<String, Log>,
    said: mpsc::Sender<(Source, LogView)>,
    /// Since when some logs could be read on, and wait for others.
    waiting: Option<Instant>,
    /// What keeps a log away, and was told.
    warned: BTreeMap<String, String>,
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
    loop {
        tokio::select! {
            Some((source, line)) = heard.recv() => {
                crew.heard(&source);
                show(&source, Some(line))?;
                continue;
            }
            Some(ended) = crew.readers.join_next() => {
                // Before its log is read on elsewhere.
                crew.show_heard(&mut heard, &mut show)?;
                // A reader is never aborted, and does not panic.
                if let Ok(ended) = ended {
                    crew.ended(ended)?;
                }
                continue;
            }
            beat = pulse.beat() => drop(beat?),
        }
        let left = crew.gather(&mut show).await?;
        if !left && crew.read.is_empty() && heard.is_empty() {
            return Ok(());
        }
    }
}

// === impl Crew ===

impl Crew {
    fn new(
        client: Client,
        scopes: Vec<Scope>,
        first: LogQuery,
        said: mpsc::Sender<(Source, LogView)>,
    ) -> Self {
        let (readers, read) = (JoinSet::new(), BTreeMap::new());
        let (logs, warned) = (BTreeMap::new(), BTreeMap::new());
        Self { client, scopes, first: Some(first), readers, read, logs, said, waiting: None, warned }
    }

    /// Reads what is not read yet from now on; tells whether something is there, or may come back.
    async fn gather(
        &mut self,
        show: &mut impl FnMut(&Source, Option<LogView>) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let all = match resolve::of(&self.client, &self.scopes).await {
            Ok(all) => all,
            // An orchestrator that is away is waited for.
            Err(error) if is_for_now(&error) => {
                let broken = self.logs.values().find_map(|log| Some((log.source.clone(), log.broken?)));
                return broken
                    .map_or(Ok(()), |(source, since)| self.explain(&source, error, since))
                    .map(|()| true);
            }
            Err(error) => return Err(error.into()),
        };
        self.end_missing(&all);
        let first = self.first.take().unwrap_or_default();
        self.first = Some(LogQuery { tail: None, since: None, ..first.clone() });
        let wanted = all.iter().filter(|view| self.scopes.iter().any(|scope| scope.takes(view)));
        let unread: Vec<_> = wanted
            .filter_map(Source::of)
            .filter(|source| !self.read.contains_key(&source.instance))
            .collect();
        for source in &unread {
            show(source, None)?;
            let log = || Log {
                source: source.clone(),
                first: first.clone(),
                place: Position::default(),
                broken: None,
            };
            self.logs.entry(source.instance.clone()).or_insert_with(log);
        }
        let ready = if unread.len() > 1 { self.catch_up(unread, show).await? } else { unread };
        ready.into_iter().for_each(|source| self.follow(source));
        Ok(all.iter().any(|view| self.scopes.iter().any(|scope| scope.may_be_filled_by(view))))
    }

    /// Shows what several have said until now, in one order; their readers go on behind it.
    ///
    /// # Returns
    /// Those that can be read; none as long as it is worth waiting for the others.
    async fn catch_up(
        &mut self,
        unread: Vec<Source>,
        show: &mut impl FnMut(&Source, Option<LogView>) -> Result<(), Failure>,
    ) -> Result<Vec<Source>, Failure> {
        self.settle(&unread).await;
        let query = |source: &Source| match self.logs.get(&source.instance) {
            Some(log) => LogQuery { follow: false, ..log.place.query(&log.first) },
            None => LogQuery::default(),
        };
        let wanted = unread.iter().map(|source| (source.clone(), query(source))).collect();
        let Ok(opened) = timeout(STALL, past::open(&self.client, wanted)).await else {
            return Ok(unread);
        };
        let mut open = Vec::new();
        let mut absent = false;
        for (source, answer) in opened {
            match answer {
                Ok(lines) => open.push((source, Ok(lines))),
                Err(error) => {
                    let since = self.away(&source.instance, false);
                    absent |= self.was_read(&source.instance);
                    self.explain(&source, error, since)?;
                }
            }
        }
        if absent && self.waiting.get_or_insert_with(Instant::now).elapsed() < TOGETHER {
            return Ok(Vec::new());
        }
        self.waiting = None;
        let ready: Vec<_> = open.iter().map(|(source, _)| source.clone()).collect();
        self.resume(&ready);
        let mut lines = std::pin::pin!(past::merge(&self.client, open));
        while let Ok(Some((source, line))) = timeout(STALL, lines.next()).await {
            let Ok(line) = line else { continue };
            if self.logs.get_mut(&source.instance).is_some_and(|log| log.place.pass(&line)) {
                show(&source, Some(line))?;
            }
        }
        Ok(ready)
    }

    /// Those that broke off before it was known where they are to be read on. Whoever cannot be asked cannot be read
    /// either, and is asked again.
    async fn settle(&mut self, unread: &[Source]) {
        let ask = async |source: &Source| {
            let log = self.logs.get(&source.instance)?;
            let query = log.place.unsettled(&log.first)?;
            let there = past::moment(&self.client, &source.instance, &query).await.ok()?;
            Some((source.instance.clone(), there))
        };
        let Ok(asked) = timeout(STALL, future::join_all(unread.iter().map(ask))).await else { return };
        for (instance, there) in asked.into_iter().flatten() {
            if let Some(log) = self.logs.get_mut(&instance) {
                log.place.settle(&there);
            }
        }
    }

    fn resume(&mut self, sources: &[Source]) {
        for source in sources {
            if let Some(log) = self.logs.get_mut(&source.instance) {
                log.place.resume();
                log.broken = None;
            }
        }
    }

    fn follow(&mut self, source: Source) {
        let Some(log) = self.logs.get(&source.instance) else { return };
        let reader = Reader::default();
        let stop = reader.stop.clone();
        self.read.insert(source.instance.clone(), reader);
        let (client, said) = (self.client.clone(), self.said.clone());
        self.readers.spawn(read(client, source, log.first.clone(), log.place.clone(), said, stop));
    }

    /// The log of an instance that was removed is silent, and does not end.
    fn end_missing(&mut self, all: &[InstanceView]) {
        let listed = |instance: &String| all.iter().any(|view| view.id.as_ref() == Some(instance));
        for (instance, reader) in &mut self.read {
            if listed(instance) {
                reader.missing = None;
            } else if reader.missing.get_or_insert_with(Instant::now).elapsed() >= AFTERWARDS {
                reader.stop.cancel();
            }
        }
        for (instance, log) in &mut self.logs {
            log.broken = log.broken.filter(|_| listed(instance));
        }
    }

    /// Shows what is on the way from the readers: all that a reader which has ended said is there.
    fn show_heard(
        &mut self,
        heard: &mut mpsc::Receiver<(Source, LogView)>,
        show: &mut impl FnMut(&Source, Option<LogView>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for _ in 0..heard.len() {
            let Ok((source, line)) = heard.try_recv() else { break };
            self.heard(&source);
            show(&source, Some(line))?;
        }
        Ok(())
    }

    fn heard(&mut self, source: &Source) {
        self.warned.remove(&source.instance);
        if let Some(log) = self.logs.get_mut(&source.instance) {
            log.broken = None;
        }
    }

    fn ended(&mut self, ended: Ended) -> Result<(), Failure> {
        let Ended { source, place, opened, error } = ended;
        let stopped = self.read.remove(&source.instance).is_none_or(|reader| reader.stop.is_cancelled());
        if let Some(log) = self.logs.get_mut(&source.instance) {
            log.place = place;
        }
        if stopped {
            return Ok(());
        }
        let since = self.away(&source.instance, opened);
        error.map_or(Ok(()), |error| self.explain(&source, error, since))
    }

    fn was_read(&self, instance: &str) -> bool {
        self.logs.get(instance).is_some_and(|log| log.place != Position::default())
    }

    /// The log cannot be read: since when. `anew`: it could be until now.
    fn away(&mut self, instance: &str, anew: bool) -> Instant {
        let now = Instant::now();
        let Some(log) = self.logs.get_mut(instance) else { return now };
        if anew {
            log.broken = Some(now);
        }
        *log.broken.get_or_insert(now)
    }

    /// Says once what keeps a log away for long; what keeps several away is said for the first of them.
    fn explain(&mut self, source: &Source, error: Error, since: Instant) -> Result<(), Failure> {
        if error.is_not_found() {
            return Ok(());
        }
        if !is_for_now(&error) {
            return Err(error.into());
        }
        let text = Failure::from(error).to_string();
        if since.elapsed() >= PATIENCE && !self.warned.values().any(|said| *said == text) {
            eprintln!("warning: no log of {source} for now: {text}");
            self.warned.insert(source.instance.clone(), text);
        }
        Ok(())
    }
}

/// Reads a log until it breaks off, or the reader is stopped; tells how far it came.
async fn read(
    client: Client,
    source: Source,
    first: LogQuery,
    mut place: Position,
    said: mpsc::Sender<(Source, LogView)>,
    stop: CancellationToken,
) -> Ended {
    let mut opened = false;
    let reading = async {
        if let Some(query) = place.unsettled(&first) {
            place.settle(&past::moment(&client, &source.instance, &query).await?);
        }
        let mut lines = client.logs(&source.instance, &place.query(&first)).await?;
        opened = true;
        place.resume();
        while let Some(line) = lines.next().await {
            match line {
                Ok(line) => {
                    // It counts as read once it is sure to be shown: the reader may be stopped while it waits.
                    let Ok(room) = said.reserve().await else { break };
                    if place.pass(&line) {
                        room.send((source.clone(), line));
                    }
                }
                // Whether it is the agent that has gone, or the orchestrator, tells the next try.
                Err(Error::CutOff { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    let error = stop.run_until_cancelled(reading).await.and_then(Result::err);
    Ended { source, place, opened, error }
}

/// Whether only time can cure it: a way that is broken, or a node that does not have the instance yet.
fn is_for_now(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } | Error::CutOff { .. } => true,
        Error::Problem(problem) => problem.status >= 500 || matches!(problem.status, 404 | 422 | 429),
        Error::Protocol { .. } | Error::File { .. } => false,
    }
}
