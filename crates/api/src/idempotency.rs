//! Requests sent twice, done once: `Idempotency-Key`.
//!
//! ```text
//! unknown ──▶ in progress ──▶ done (status < 500): the same answer for an hour
//!                   └────────▶ forgotten (a failure that trying again may cure)
//! ```
//!
//! Every request that changes something may have a key. Outcomes live in memory, as [`PROMISE`] says:
//! after a restart a second request is a new one. The request runs in a task of its own, so that a
//! client that goes away does not leave it half done and unremembered.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ring::digest;

use crate::MAX_BODY;
use crate::extract::whole;
use crate::peer::Caller;
use crate::problem::{Fault, Kind};
use crate::state::Api;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// What callers are told; in the description of the API.
pub(crate) const PROMISE: &str = "Every POST, PUT, PATCH and DELETE may have an `Idempotency-Key` (1 to 128 \
    visible characters): sent again with the same key and body, it is not done again but answered as before, \
    for an hour, while the orchestrator runs. Outcomes are forgotten when it starts anew.";
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Bytes of a key at most.
const MAX_KEY: usize = 128;
/// Outcomes kept at most, and for how long.
const MOST: usize = 1_024;
const AGE: Duration = Duration::from_secs(60 * 60);
/// Bytes of an answer that is remembered; the answers to creations are far smaller.
const MAX_ANSWER: usize = 64 * 1024;

/// The outcomes that are remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    entries: HashMap<Slot, Entry>,
    /// By age; a slot may be gone or renewed already.
    ages: VecDeque<(Instant, Slot)>,
}

/// Whose key for which route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Slot {
    who: String,
    method: Method,
    target: String,
    key: String,
}

#[derive(Clone, Debug)]
struct Entry {
    /// SHA-256 of the body: the same key with another body is a mistake.
    body: [u8; 32],
    outcome: Option<Outcome>,
}

#[derive(Clone, Debug)]
struct Outcome {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// What is known of a request.
#[derive(Debug)]
enum Known {
    New,
    InProgress,
    OtherBody,
    Done(Outcome),
}

/// Carries out a request that changes something and has a key, unless its outcome is known.
pub(crate) async fn once(
    State(api): State<Api>,
    Caller(actor): Caller,
    request: Request,
    next: Next,
) -> Result<Response, Fault> {
    let Some(key) = key(&request)? else { return Ok(next.run(request).await) };
    let target = request.uri().to_string();
    let slot = Slot { who: actor.who, method: request.method().clone(), target, key };
    let (parts, body) = request.into_parts();
    let body = whole(to_bytes(body, MAX_BODY))
        .await?
        .map_err(|_| Fault::new(Kind::TooLarge, format_args!("a body has {MAX_BODY} bytes at most")))?;
    let outcomes = api.outcomes().clone();
    match outcomes.begin(&slot, hash(&body), Instant::now()) {
        Known::Done(outcome) => Ok(outcome.replay()),
        Known::InProgress => Err(Fault::new(Kind::InProgress, "wait for its answer, or ask again later")),
        Known::OtherBody => Err(Fault::new(Kind::KeyReused, "take a new key for each new request")),
        Known::New => {
            let request = Request::from_parts(parts, Body::from(body));
            let task = tokio::spawn(async move { outcomes.end(&slot, next.run(request).await).await });
            task.await.map_err(|_| Fault::new(Kind::Internal, "the request met a bug; see the log"))
        }
    }
}

fn key(request: &Request) -> Result<Option<String>, Fault> {
    if request.method().is_safe() {
        return Ok(None);
    }
    let Some(key) = request.headers().get(KEY) else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=MAX_KEY).contains(&key.len()));
    let wrong =
        || Fault::new(Kind::BadRequest, format_args!("`{KEY}` has 1 to {MAX_KEY} visible characters"));
    key.map(|key| Some(key.to_owned())).ok_or_else(wrong)
}

fn hash(body: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, body).as_ref());
    hash
}

// === impl Outcomes ===

impl Outcomes {
    fn begin(&self, slot: &Slot, body: [u8; 32], now: Instant) -> Known {
        let mut memory = self.memory();
        memory.forget_old(now);
        match memory.entries.get(slot) {
            Some(entry) if entry.body != body => Known::OtherBody,
            Some(Entry { outcome: Some(outcome), .. }) => Known::Done(outcome.clone()),
            Some(_) => Known::InProgress,
            None => {
                memory.entries.insert(slot.clone(), Entry { body, outcome: None });
                memory.ages.push_back((now, slot.clone()));
                Known::New
            }
        }
    }

    /// Remembers the outcome; what trying again may cure is forgotten.
    async fn end(&self, slot: &Slot, response: Response) -> Response {
        let guard = ForgetOnDrop { outcomes: self, slot };
        let final_word =
            !response.status().is_server_error() && response.status() != StatusCode::TOO_MANY_REQUESTS;
        if !final_word {
            return response;
        }
        let (parts, body) = response.into_parts();
        let Ok(body) = to_bytes(body, MAX_ANSWER).await else {
            return Fault::new(Kind::Internal, "the answer is too large to be remembered (a bug)")
                .into_response();
        };
        let outcome = Outcome { status: parts.status, headers: parts.headers.clone(), body: body.clone() };
        if let Some(entry) = self.memory().entries.get_mut(slot) {
            entry.outcome = Some(outcome);
        }
        std::mem::forget(guard);
        Response::from_parts(parts, Body::from(body))
    }

    /// Nothing that holds the lock can panic half-way.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a request whose outcome was not kept.
struct ForgetOnDrop<'a> {
    outcomes: &'a Outcomes,
    slot: &'a Slot,
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        self.outcomes.memory().entries.remove(self.slot);
    }
}

// === impl Memory ===

impl Memory {
    fn forget_old(&mut self, now: Instant) {
        while let Some((made, slot)) = self.ages.front() {
            if self.ages.len() < MOST && now.duration_since(*made) < AGE {
                return;
            }
            self.entries.remove(slot);
            self.ages.pop_front();
        }
    }
}

// === impl Outcome ===

impl Outcome {
    fn replay(self) -> Response {
        let mut response = (self.status, self.headers, self.body).into_response();
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(key: &str) -> Slot {
        let (who, target) = ("admin".to_owned(), "/x".to_owned());
        Slot { who, method: Method::POST, target, key: key.to_owned() }
    }

    #[tokio::test]
    async fn a_second_request_gets_the_first_ones_answer() {
        let (outcomes, now, slot) = (Outcomes::default(), Instant::now(), slot("k"));
        assert!(matches!(outcomes.begin(&slot, [1; 32], now), Known::New));
        assert!(matches!(outcomes.begin(&slot, [1; 32], now), Known::InProgress));
        assert!(matches!(outcomes.begin(&slot, [2; 32], now), Known::OtherBody));
        outcomes.end(&slot, (StatusCode::CREATED, "made").into_response()).await;
        let Known::Done(outcome) = outcomes.begin(&slot, [1; 32], now) else { panic!("forgotten") };
        assert_eq!((outcome.status, &outcome.body[..]), (StatusCode::CREATED, &b"made"[..]));
        assert!(matches!(outcomes.begin(&slot, [1; 32], now + AGE), Known::New));
    }

    #[tokio::test]
    async fn a_failure_may_be_tried_again() {
        let (outcomes, now, slot) = (Outcomes::default(), Instant::now(), slot("k"));
        assert!(matches!(outcomes.begin(&slot, [1; 32], now), Known::New));
        outcomes.end(&slot, StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
        assert!(matches!(outcomes.begin(&slot, [1; 32], now), Known::New));
    }

    #[test]
    fn memory_is_bounded() {
        let outcomes = Outcomes::default();
        for i in 0..3 * MOST {
            outcomes.begin(&slot(&i.to_string()), [0; 32], Instant::now());
        }
        let memory = outcomes.memory();
        assert!(memory.entries.len() <= MOST && memory.ages.len() <= MOST);
    }
}
