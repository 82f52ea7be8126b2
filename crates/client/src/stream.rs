//! Answers that go on: logs and events. Reading slowly slows the sender down; nothing piles up here.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use holm_model::view::query::{EventQuery, LogQuery};
use holm_model::view::{EventView, LogView};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use crate::Client;
use crate::error::Error;
use crate::http::{Call, Http, chain};
use crate::routes::path;
use crate::sse::{self, Parser};

/// Bytes of a line at most.
const MAX_LINE: usize = 1 << 20;
/// Orchestrators send a comment every 15 s at least: after this silence the connection is gone.
const SILENCE: Duration = Duration::from_secs(45);
/// Between two tries to connect again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Lines of a log, until its end or for ever.
pub struct Logs(BoxStream<'static, Result<LogView, Error>>);

/// What happens, until an error that trying again does not cure.
pub struct Events(BoxStream<'static, Result<Notice, Error>>);

/// One thing said by the stream of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    Event(Box<EventView>),
    /// Events may have been missed: list anew what is of interest. Events go on.
    Resync,
}

impl Client {
    /// The lines of an instance's log.
    ///
    /// # Errors
    /// See [`Error`]; an error after the beginning is the stream's last item.
    pub async fn logs(&self, instance: &str, query: &LogQuery) -> Result<Logs, Error> {
        let call = Call::get(path(&["instances", instance, "logs"])).query(query);
        let body = self.http.stream(call).await?.into_body();
        Ok(Logs(lines(self.http.clone(), body)))
    }

    /// What happens, from `query.after` or from now on. A lost connection is opened again and goes
    /// on behind the last event seen.
    ///
    /// # Errors
    /// See [`Error`]; when the first connection fails.
    pub async fn events(&self, query: &EventQuery) -> Result<Events, Error> {
        let mut watch = Watch {
            http: self.http.clone(),
            query: query.clone(),
            open: None,
            ready: VecDeque::new(),
            wait: RETRY.0,
        };
        watch.connect().await?;
        Ok(Events(stream::unfold(Some(watch), Watch::next).boxed()))
    }
}

// === impl Logs, Events ===

impl Stream for Logs {
    type Item = Result<LogView, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl Stream for Events {
    type Item = Result<Notice, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logs")
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// The bytes of a body that goes on; `None` at its end.
async fn chunk(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(data) = frame?.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// NDJSON that comes in pieces.
struct Lines {
    http: Http,
    body: Incoming,
    rest: Vec<u8>,
    lines: VecDeque<Vec<u8>>,
}

/// One JSON object in each line; an error is the last item.
pub(crate) fn lines<T: DeserializeOwned + 'static>(
    http: Http,
    body: Incoming,
) -> BoxStream<'static, Result<T, Error>> {
    let lines = Lines { http, body, rest: Vec::new(), lines: VecDeque::new() };
    stream::unfold(Some(lines), Lines::next).boxed()
}

impl Lines {
    /// `None` in the place of the state: the stream has ended, or ends with this error.
    async fn next<T: DeserializeOwned>(state: Option<Self>) -> Option<(Result<T, Error>, Option<Self>)> {
        let mut lines = state?;
        match lines.read().await {
            Ok(None) => None,
            Ok(Some(line)) => Some((Ok(line), Some(lines))),
            Err(error) => Some((Err(error), None)),
        }
    }

    async fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                let line = serde_json::from_slice(&line).map_err(|e| self.http.server().protocol(e))?;
                return Ok(Some(line));
            }
            let broken =
                |e: hyper::Error| Error::CutOff { server: self.http.server().to_string(), reason: chain(&e) };
            let Some(bytes) = chunk(&mut self.body).await.map_err(broken)? else { return Ok(None) };
            let mut pieces = bytes.split(|b| *b == b'\n');
            self.rest.extend_from_slice(pieces.next().unwrap_or_default());
            for piece in pieces {
                self.lines.push_back(std::mem::replace(&mut self.rest, piece.to_vec()));
            }
            if self.rest.len() > MAX_LINE {
                return Err(self.http.server().protocol("a line does not end"));
            }
        }
    }
}

/// A subscription to events that survives its connections.
struct Watch {
    http: Http,
    /// `after` moves on with each event.
    query: EventQuery,
    open: Option<(Incoming, Parser)>,
    ready: VecDeque<sse::Event>,
    /// Until the next try to connect.
    wait: Duration,
}

impl Watch {
    async fn next(state: Option<Self>) -> Option<(Result<Notice, Error>, Option<Self>)> {
        let mut watch = state?;
        match watch.read().await {
            Ok(notice) => Some((Ok(notice), Some(watch))),
            Err(error) => Some((Err(error), None)),
        }
    }

    async fn connect(&mut self) -> Result<(), Error> {
        let response = self.http.stream(Call::get("/events").query(&self.query)).await?;
        self.open = Some((response.into_body(), Parser::default()));
        Ok(())
    }

    async fn read(&mut self) -> Result<Notice, Error> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                if let Some(notice) = self.notice(event)? {
                    return Ok(notice);
                }
            }
            self.fill().await?;
        }
    }

    /// Reads more, or connects again. An error that only time cures is none.
    async fn fill(&mut self) -> Result<(), Error> {
        let Some((body, parser)) = &mut self.open else {
            sleep(self.wait).await;
            self.wait = (self.wait * 2).min(RETRY.1);
            return match self.connect().await {
                Err(error @ Error::Protocol { .. }) => Err(error),
                Err(Error::Problem(problem)) if problem.status < 500 && problem.status != 429 => {
                    Err(Error::Problem(problem))
                }
                Ok(()) | Err(_) => Ok(()),
            };
        };
        match timeout(SILENCE, chunk(body)).await {
            Ok(Ok(Some(bytes))) => {
                let events = parser.push(&bytes).map_err(|e| self.http.server().protocol(e))?;
                self.ready.extend(events);
                self.wait = RETRY.0;
            }
            Ok(Ok(None) | Err(_)) | Err(_) => self.open = None,
        }
        Ok(())
    }

    fn notice(&mut self, event: sse::Event) -> Result<Option<Notice>, Error> {
        if !event.id.is_empty() {
            self.query.after = Some(event.id);
        }
        match event.kind.as_str() {
            "resync" => Ok(Some(Notice::Resync)),
            "change" => serde_json::from_str(&event.data)
                .map(|view| Some(Notice::Event(view)))
                .map_err(|e| self.http.server().protocol(e)),
            // `hello` only brings an id; what is unknown is of a newer version.
            _ => Ok(None),
        }
    }
}
