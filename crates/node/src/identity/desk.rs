//! What an instance asks of its node, and the answers.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /v1/identity` | who the instance is, as JSON |
//! | `GET /v1/bundle` | the sea's root certificate, as PEM |
//! | `POST /v1/token` with `{"audience": "…", "ttl": "10m"}` | `{"token": "…", "expires": "…"}` |
//! | `POST /v1/certificate?ttl=1h` with a signing request as PEM | the chain as PEM, without the root |
//! | `POST /v1/verify` with `{"token": "…", "audience": "…"}` | what another's token says, if it is good |

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use holm_link::certificate::SeaRoot;
use holm_link::clock::Clock;
use holm_link::pem;
use holm_link::revocation::Revocations;
use holm_link::workload::{Workload, token};
use holm_model::duration::Span;
use holm_model::id::AssignmentId;
use holm_model::identity::{CERTIFICATE_LIFE, Proof, TOKEN_LIFE, Want};
use holm_model::pace::Pace;
use holm_model::time::Time;
use http::{Method, StatusCode, header, request};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::sync::watch;

use super::Who;
use crate::local_api::{Answer, json, problem, response};
use crate::peers::reach::UpwardError;

/// Vouches for instances; the link does, by asking the orchestrator.
pub(crate) trait Notary: fmt::Debug + Send + Sync {
    fn prove(&self, instance: AssignmentId, want: Want) -> BoxFuture<'_, Result<Proof, UpwardError>>;
}

/// By what others are believed.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// Of the sea that the node is in now.
    pub(crate) root: watch::Receiver<SeaRoot>,
    pub(crate) revocations: Revocations,
    pub(crate) clock: Clock,
}

/// Answers one instance.
#[derive(Debug)]
pub(super) struct Desk {
    who: Who,
    trust: Trust,
    notary: Arc<dyn Notary>,
    /// What [`Pace`] answered last.
    rested: Mutex<Option<Instant>>,
}

#[derive(Debug, Serialize)]
struct Identity<'a> {
    subject: &'a Workload,
    sea: &'a str,
    project: &'a str,
    application: &'a str,
    service: &'a str,
    instance: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    audience: String,
    ttl: Option<Span>,
}

#[derive(Serialize)]
struct TokenAnswer {
    token: String,
    expires: Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyRequest {
    token: String,
    /// Without it: for the instance that asks.
    audience: Option<String>,
}

/// Questions at once, and the time between two when they are used up.
const BURST: u32 = 20;
const PACE: Duration = Duration::from_millis(200);

const PEM: &str = "application/pem-certificate-chain";
const KNOWN: &str =
    "known are GET /v1/identity and /v1/bundle, POST /v1/token, /v1/certificate and /v1/verify";

/// Why there is no answer.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    detail: String,
}

type Outcome = Result<Answer, Refused>;

impl Desk {
    pub(super) fn new(who: Who, trust: Trust, notary: Arc<dyn Notary>) -> Self {
        Self { who, trust, notary, rested: Mutex::new(None) }
    }

    pub(super) async fn answer(&self, head: &request::Parts, body: &[u8]) -> Answer {
        if let Err(wait) = self.take() {
            return too_fast(wait);
        }
        let outcome = match (&head.method, head.uri.path()) {
            (&Method::GET, "/v1/identity") => self.identity(),
            (&Method::GET, "/v1/bundle") => Ok(self.bundle()),
            (&Method::POST, "/v1/token") => self.token(body).await,
            (&Method::POST, "/v1/certificate") => self.certificate(head.uri.query(), body).await,
            (&Method::POST, "/v1/verify") => self.verify(body),
            (_, "/v1/identity" | "/v1/bundle" | "/v1/token" | "/v1/certificate" | "/v1/verify") => {
                Err(refused(StatusCode::METHOD_NOT_ALLOWED, KNOWN))
            }
            _ => Err(refused(StatusCode::NOT_FOUND, KNOWN)),
        };
        outcome.unwrap_or_else(|Refused { status, detail }| problem(status, &detail))
    }

    fn take(&self) -> Result<(), Duration> {
        // Nothing that holds the lock can panic half-way.
        let mut rested = self.rested.lock().unwrap_or_else(PoisonError::into_inner);
        *rested = Some(Pace::every(PACE, BURST).ask(*rested, Instant::now())?);
        Ok(())
    }

    fn workload(&self) -> Result<Workload, Refused> {
        let root = self.trust.root.borrow();
        let Who { app, service, .. } = &self.who;
        Workload::new(root.identity().sea(), app.project.as_str(), app.application.as_str(), service.as_str())
            .map_err(|error| refused(StatusCode::INTERNAL_SERVER_ERROR, error))
    }

    fn identity(&self) -> Outcome {
        let subject = &self.workload()?;
        let instance = self.who.instance.to_string();
        let (sea, project) = (subject.sea(), subject.project());
        let (application, service) = (subject.application(), subject.service());
        Ok(json(&Identity { subject, sea, project, application, service, instance }))
    }

    fn bundle(&self) -> Answer {
        response(StatusCode::OK, PEM, pem::certificate(self.trust.root.borrow().der()).into_bytes())
    }

    async fn token(&self, body: &[u8]) -> Outcome {
        let TokenRequest { audience, ttl } = read(body)?;
        let life = ttl.map_or(TOKEN_LIFE, |Span(life)| life);
        match self.prove(Want::Token { audience, life }).await? {
            Proof::Token { token, expires } => Ok(json(&TokenAnswer { token, expires })),
            Proof::Certificate { .. } => Err(odd()),
        }
    }

    async fn certificate(&self, query: Option<&str>, body: &[u8]) -> Outcome {
        let life = ttl(query)?;
        let csr = pem::signing_request(body).ok_or_else(|| {
            let detail = "expected a signing request as PEM (-----BEGIN CERTIFICATE REQUEST-----)";
            refused(StatusCode::BAD_REQUEST, detail)
        })?;
        match self.prove(Want::Certificate { csr: ByteBuf::from(csr), life }).await? {
            Proof::Certificate { chain, .. } => {
                let text: String = chain.iter().map(|der| pem::certificate(der)).collect();
                Ok(response(StatusCode::OK, PEM, text.into_bytes()))
            }
            Proof::Token { .. } => Err(odd()),
        }
    }

    async fn prove(&self, want: Want) -> Result<Proof, Refused> {
        want.check().map_err(|error| refused(StatusCode::BAD_REQUEST, error))?;
        self.notary.prove(self.who.instance, want).await.map_err(|error| match error {
            UpwardError::Refused(reason) => refused(StatusCode::FORBIDDEN, reason),
            UpwardError::NoLink | UpwardError::Broken(_) => {
                let detail =
                    format!("the orchestrator, which signs, cannot be asked: {error}; try again later");
                refused(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
        })
    }

    /// Needs no orchestrator. Whether the other instance is still there is not known here.
    fn verify(&self, body: &[u8]) -> Outcome {
        let VerifyRequest { token, audience } = read(body)?;
        let audience = match audience {
            Some(audience) => audience,
            None => self.workload()?.to_string(),
        };
        let Trust { root, revocations, clock } = &self.trust;
        let claims = token::verify(&token, &audience, &root.borrow(), revocations, clock.now());
        let no = |error: token::TokenError| refused(StatusCode::FORBIDDEN, error);
        Ok(json(&claims.map_err(no)?))
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| {
        refused(StatusCode::BAD_REQUEST, format!("the body is not the JSON that is expected: {error}"))
    })
}

/// `ttl=…`, which is all that a query may say.
fn ttl(query: Option<&str>) -> Result<Duration, Refused> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(CERTIFICATE_LIFE) };
    let text = query.strip_prefix("ttl=").ok_or("expected `?ttl=1h` and nothing else".to_owned());
    let span = text.and_then(|text| text.parse::<Span>().map_err(|error| format!("ttl: {error}")));
    span.map(|Span(life)| life).map_err(|detail| refused(StatusCode::BAD_REQUEST, detail))
}

fn too_fast(wait: Duration) -> Answer {
    let mut answer =
        problem(StatusCode::TOO_MANY_REQUESTS, "too many requests; a proof may be used until it expires");
    let seconds = wait.as_secs().max(1);
    answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    answer
}

/// An orchestrator of another mind.
fn odd() -> Refused {
    refused(StatusCode::BAD_GATEWAY, "the orchestrator proved something else; is it of another version?")
}

#[expect(clippy::needless_pass_by_value, reason = "errors are given away")]
fn refused(status: StatusCode, detail: impl ToString) -> Refused {
    Refused { status, detail: detail.to_string() }
}
