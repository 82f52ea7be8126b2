//! One request and its answer. Connections are kept for the next request while they are idle, one at
//! a time: a CLI asks one thing after the other, and streams need connections of their own anyway.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use futures::TryFutureExt as _;
use holm_model::view::Problem;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use crate::builds::{Streamed, sensitive};
use crate::error::Error;
use crate::server::Server;

/// Of nearly all paths.
pub(crate) const PREFIX: &str = "/api/v1";
/// Until an answer begins, and until a whole one is read: longer than an orchestrator takes at most.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// Bytes of an answer that is read as a whole.
const MAX_ANSWER: usize = 64 << 20;

/// What a request waits in all when it is told to slow down.
const PATIENCE: Duration = Duration::from_secs(30);
/// The problem of asking too much in too short a time: nothing was done.
const TOO_FAST: &str = "too-fast";

type Sender = SendRequest<Full<Bytes>>;

/// Sends requests to one server.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    server: Server,
    idle: Mutex<Option<Sender>>,
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    prefix: &'static str,
    /// Below the prefix, with a query.
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

// === impl Call ===

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, prefix: PREFIX, path: path.into(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// What is not below the usual prefix.
    pub(crate) fn plain(path: &str) -> Self {
        Self { prefix: "", ..Self::get(path) }
    }

    /// Adds the fields of `query` that are there.
    pub(crate) fn query<T: Serialize>(mut self, query: &T) -> Self {
        let fields = serde_json::to_value(query).unwrap_or_default();
        for (key, value) in fields.as_object().into_iter().flatten() {
            match value {
                serde_json::Value::Null => {}
                serde_json::Value::String(text) => self = self.field(key, text),
                other => self = self.field(key, &other.to_string()),
            }
        }
        self
    }

    /// Adds one field to the query.
    pub(crate) fn field(mut self, key: &str, value: &str) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(&format!("{}={}", encode(key), encode(value)));
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) fn body(mut self, kind: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header(header::CONTENT_TYPE, HeaderValue::from_static(kind))
    }

    fn request(&self, server: &Server) -> Result<Request<Full<Bytes>>, ::http::Error> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(format!("{}{}", self.prefix, self.path))
            .header(header::HOST, server.host())
            .header(header::USER_AGENT, concat!("holm/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = server.authorization() {
            let mut value = HeaderValue::try_from(authorization)?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body.clone()))
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters, so that any text is one path segment or
/// one field of a query.
pub(crate) fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

// === impl Http ===

impl Http {
    pub(crate) fn new(server: Server) -> Self {
        Self { inner: Arc::new(Inner { server, idle: Mutex::default() }) }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.inner.server
    }

    /// Sends `call` and reads the answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let body = self.answer(call).await?;
        serde_json::from_slice(&body).map_err(|e| self.server().protocol(e))
    }

    /// Sends `call` and reads the whole answer, which says that it was done; the connection is used
    /// again.
    pub(crate) async fn answer(&self, call: Call) -> Result<Bytes, Error> {
        let mut patience = PATIENCE;
        loop {
            let (response, sender) = match self.idle() {
                Some(sender) => self.reuse(sender, &call).await?,
                None => self.fresh(&call).await?,
            };
            let wait = retry_after(response.headers());
            match self.read(response).await {
                Err(error) if slow_down(&error, wait, &mut patience).await => {}
                Err(error) => return Err(error),
                Ok(answer) => {
                    if !sender.is_closed() {
                        self.keep(sender);
                    }
                    return Ok(answer);
                }
            }
        }
    }

    /// Sends `call`, which is to be answered with the place where it is to be sent instead.
    pub(crate) async fn location(&self, call: Call) -> Result<String, Error> {
        let (response, _) = self.fresh(&call).await?;
        if response.status() != StatusCode::TEMPORARY_REDIRECT {
            self.read(response).await?;
            return Err(self.server().protocol("it was asked for a redirect, and has not redirected"));
        }
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        location.map(str::to_owned).ok_or_else(|| self.server().protocol("a redirect to nowhere"))
    }

    /// Sends `call` on a connection of its own; refusals are errors, the body of the answer follows
    /// as it comes.
    pub(crate) async fn stream(&self, call: Call) -> Result<Response<Incoming>, Error> {
        let mut patience = PATIENCE;
        loop {
            let (response, _) = self.fresh(&call).await?;
            if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(response);
            }
            let wait = retry_after(response.headers());
            match self.read(response).await {
                Ok(_) => return Err(self.server().protocol("neither done nor refused")),
                Err(error) if slow_down(&error, wait, &mut patience).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a request whose body comes in pieces, on a connection of its own; refusals are errors, the body of the answer follows
    /// as it comes. There is no limit of time: what is large takes as long as it takes.
    pub(crate) async fn upload(&self, mut request: Streamed) -> Result<Response<Incoming>, Error> {
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::try_from(self.server().host()) {
            headers.insert(header::HOST, host);
        }
        if let Some(value) = self.server().authorization().and_then(sensitive) {
            headers.insert(header::AUTHORIZATION, value);
        }
        let stream = self.server().connect().await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.lost(&e))?;
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|e| self.lost(&e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        self.read(response).await?;
        Err(self.server().protocol("neither done nor refused"))
    }

    /// A kept connection may have been closed by the server meanwhile; then the request is sent
    /// anew if it never went out or does no harm when done twice.
    async fn reuse(&self, mut sender: Sender, call: &Call) -> Result<(Response<Incoming>, Sender), Error> {
        if sender.ready().await.is_err() {
            return self.fresh(call).await;
        }
        let request = call.request(self.server()).map_err(|e| self.server().protocol(e))?;
        match self.within(sender.try_send_request(request).map_err(Lost::from)).await? {
            Ok(response) => Ok((response, sender)),
            Err(lost) if lost.unsent || call.method.is_idempotent() => self.fresh(call).await,
            Err(lost) => Err(self.lost(&lost.error)),
        }
    }

    async fn fresh(&self, call: &Call) -> Result<(Response<Incoming>, Sender), Error> {
        let stream = self.server().connect().await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.lost(&e))?;
        // Ends with the sender and its last answer, or with the WebSocket that it became.
        tokio::spawn(connection.with_upgrades());
        let request = call.request(self.server()).map_err(|e| self.server().protocol(e))?;
        match self.within(sender.send_request(request)).await? {
            Ok(response) => Ok((response, sender)),
            Err(error) => Err(self.lost(&error)),
        }
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Bytes, Error> {
        let (parts, body) = response.into_parts();
        let body = self.within(Limited::new(body, MAX_ANSWER).collect()).await?;
        let body = body.map_err(|e| self.server().protocol(e))?.to_bytes();
        if parts.status.is_success() {
            return Ok(body);
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(Error::Problem(Box::new(problem))),
            Err(_) => Err(self.server().protocol(format_args!("status {}", parts.status))),
        }
    }

    async fn within<T>(&self, future: impl Future<Output = T>) -> Result<T, Error> {
        timeout(ANSWER_TIME, future).await.map_err(|_| Error::Unreachable {
            server: self.server().to_string(),
            reason: format!("no answer within {} s", ANSWER_TIME.as_secs()),
            hint: "look whether the request was carried out before sending it again",
        })
    }

    fn lost(&self, error: &hyper::Error) -> Error {
        if error.is_parse() {
            return self.server().protocol(error);
        }
        Error::Unreachable {
            server: self.server().to_string(),
            reason: format!("the connection broke ({})", chain(error)),
            hint: "look whether the request was carried out before sending it again",
        }
    }

    fn idle(&self) -> Option<Sender> {
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, sender: Sender) {
        *self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }
}

/// When the server wants to be asked again.
fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}

/// Waits as the server says, if all that is wrong is that too much was asked; false when it is something else, or
/// would take too long.
async fn slow_down(error: &Error, wait: Duration, patience: &mut Duration) -> bool {
    let too_fast = error.problem().is_some_and(|problem| problem.word() == TOO_FAST);
    let Some(left) = patience.checked_sub(wait).filter(|_| too_fast) else { return false };
    *patience = left;
    sleep(wait).await;
    true
}

/// A request that got no answer.
struct Lost {
    unsent: bool,
    error: hyper::Error,
}

impl<T> From<hyper::client::conn::TrySendError<T>> for Lost {
    fn from(mut error: hyper::client::conn::TrySendError<T>) -> Self {
        Self { unsent: error.take_message().is_some(), error: error.into_error() }
    }
}

/// `error` and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::view::query::LogQuery;

    #[test]
    fn queries_hold_what_is_there_and_are_encoded() {
        let query = LogQuery { tail: Some(5), follow: true, ..LogQuery::default() };
        let call = Call::get("/x").query(&query).field("command", "a b&c=ä");
        assert_eq!(call.path, "/x?follow=true&tail=5&command=a%20b%26c%3D%C3%A4");
    }
}
