//! Joining: a machine with a token becomes a member.
//!
//! ```text
//! machine                                          orchestrator
//!   │  TLS; accepts only a chain to the root whose      │
//!   │  fingerprint the token has, of the token's maker  │
//!   │ ───────── POST /api/v1/join {token, CSR} ───────▶ │  checks the token, signs
//!   │ ◀──────── {identity, chain, root} ─────────────── │
//!   │  checks that all of it fits, keeps it             │
//! ```

use std::time::Duration;

use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::authority::{Authority, AuthorityRequest, CreateAuthorityError, SignError};
use crate::certificate::{CertificateError, SeaRoot};
use crate::clock::Clock;
use crate::credentials::{CredentialRequest, Credentials, InstallError};
use crate::dial::{ConnectError, DialError, secured};
use crate::identity::Identity;
use crate::proxy::Proxies;
use crate::revocation::Revocations;
use crate::tls::{self, PinnedPolicy};
use crate::token::{JoinToken, Role, Secret, TokenId};
use crate::verify::{MemberPolicy, VerifyError};

/// Where an orchestrator takes [`JoinRequest`]s.
pub const JOIN_PATH: &str = "/api/v1/join";

/// What a machine says of itself when it joins; nothing of it is believed without the token.
#[derive(Clone, Debug, Default)]
pub struct Proposal {
    /// The name people are to see.
    pub name: String,
    /// The machine's host name.
    pub host: String,
    /// Whatever else the shells agree on.
    pub details: serde_json::Value,
}

/// The body of the request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JoinRequest {
    pub token_id: TokenId,
    pub secret: Secret,
    pub kind: Role,
    pub csr: Der,
    /// For a cluster: the request for its own authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_csr: Option<Der>,
    pub name: String,
    pub host: String,
    #[serde(default)]
    pub proposal: serde_json::Value,
}

/// The body of the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The member's id at the orchestrator.
    pub member: String,
    pub identity: Identity,
    /// Leaf first, without the root.
    pub chain: Vec<Der>,
    /// For a cluster: the chain of its own authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_chain: Option<Vec<Der>>,
    pub root: Der,
    pub orchestrator: Identity,
}

/// Bytes in DER; standard base64 as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Der(pub Vec<u8>);

/// The machine is a member now.
#[derive(Debug)]
pub struct Joined {
    pub member: String,
    pub orchestrator: Identity,
    pub credentials: Credentials,
    /// For a cluster: the authority for its own members.
    pub authority: Option<Authority>,
}

/// The machine is no member.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(transparent)]
    Unreachable(#[from] ConnectError),
    #[error("`{address}` is not the orchestrator that made the token; nothing was sent to it")]
    WrongServer { address: String, source: VerifyError },
    /// Nothing was sent. A clock that is wrong may be set right at any time.
    #[error(
        "here it is {today}, and `{address}` shows a certificate that is not of that time: set the clock of this \
         machine (NTP); only if it is right, look at the orchestrator"
    )]
    Dates { address: String, today: time::Date, source: VerifyError },
    /// The token is used up, and the orchestrator knows the machine.
    #[error(
        "here it is {today}, and the certificate that was just made for this machine is not of that time: set the \
         clock of this machine (NTP), remove it above (`holm node remove`, `holm cluster remove`), and join with a new \
         token"
    )]
    Ahead { today: time::Date, source: VerifyError },
    #[error("no TLS connection to the orchestrator")]
    Handshake(#[source] DialError),
    #[error("the orchestrator refused ({status}): {reason}")]
    Refused { status: u16, reason: String },
    #[error("the connection to `{address}` broke while joining; if the token was used up, make a new one")]
    Broken { address: String, source: hyper::Error },
    #[error("`{address}` did not answer within {limit:?}; if the token was used up, make a new one")]
    Late { address: String, limit: Duration },
    #[error("the orchestrator's answer cannot be used: {0}")]
    Answer(&'static str),
    #[error("the orchestrator's answer is no join answer; do both sides have the same version?")]
    Json(#[source] serde_json::Error),
    #[error("the certificate received is not accepted")]
    Certificate(#[from] VerifyError),
    #[error("the certificate received cannot be installed")]
    Install(#[from] InstallError),
    #[error("the authority received cannot be installed")]
    Authority(#[from] CreateAuthorityError),
    #[error("no key could be made on this machine")]
    Key(#[from] SignError),
    #[error("TLS cannot be set up (a bug)")]
    Tls(#[source] rustls::Error),
}

/// The problem document (RFC 9457) of a refusal, as far as it is used here.
#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

/// The keys that wait for their certificates.
struct Keys {
    member: CredentialRequest,
    authority: Option<AuthorityRequest>,
}

/// Bytes of an answer at most.
const MAX_ANSWER: usize = 256 * 1024;
/// For each of: connecting, the proxy's answer, handshake, answer.
const JOIN_TIME: Duration = Duration::from_secs(30);

/// Joins the orchestrator at `address` (`host:port`), which is called as the rules of the process say.
///
/// # Errors
/// See [`JoinError`].
pub async fn join(
    address: &str,
    token: &JoinToken,
    proposal: Proposal,
    clock: &Clock,
) -> Result<Joined, JoinError> {
    join_by(&Proxies::of_process(), address, token, proposal, clock).await
}

/// [`join`] by rules of the caller's choice.
///
/// Keys are made here and never sent. The secret is sent only to a server that has proved to be the
/// orchestrator that made the token.
pub async fn join_by(
    proxies: &Proxies,
    address: &str,
    token: &JoinToken,
    proposal: Proposal,
    clock: &Clock,
) -> Result<Joined, JoinError> {
    let keys = Keys::new(token.role)?;
    let pinned = PinnedPolicy { fingerprint: token.fingerprint, expected: token.orchestrator.clone() };
    let config = tls::pinned_client(pinned, clock).map_err(JoinError::Tls)?;
    let stream = secured(config.into(), address, proxies, JOIN_TIME).await.map_err(|e| match e {
        DialError::Connect(error) => JoinError::Unreachable(error),
        DialError::Untrusted {
            address,
            source: source @ (VerifyError::Expired { .. } | VerifyError::NotYetValid { .. }),
        } => JoinError::Dates { address, today: day(clock.now()), source },
        DialError::Untrusted { address, source } => JoinError::WrongServer { address, source },
        other => JoinError::Handshake(other),
    })?;
    let request = keys.request(token, proposal);
    let late = || JoinError::Late { address: address.to_owned(), limit: JOIN_TIME };
    let answer = timeout(JOIN_TIME, post(address, stream, &request)).await.map_err(|_| late())??;
    keys.install(token, answer, clock)
}

fn day(now: UnixTime) -> time::Date {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    time::OffsetDateTime::from_unix_timestamp(seconds).map_or(time::Date::MAX, time::OffsetDateTime::date)
}

impl Keys {
    fn new(role: Role) -> Result<Self, SignError> {
        let authority = match role {
            Role::Node => None,
            Role::Cluster => Some(AuthorityRequest::new()?),
        };
        Ok(Self { member: CredentialRequest::new()?, authority })
    }

    fn request(&self, token: &JoinToken, proposal: Proposal) -> JoinRequest {
        JoinRequest {
            token_id: token.id,
            secret: token.secret.clone(),
            kind: token.role,
            csr: Der(self.member.csr().to_vec()),
            authority_csr: self.authority.as_ref().map(|a| Der(a.csr().to_vec())),
            name: proposal.name,
            host: proposal.host,
            proposal: proposal.details,
        }
    }

    /// Believes nothing of the answer that its certificates do not prove.
    fn install(self, token: &JoinToken, answer: JoinAnswer, clock: &Clock) -> Result<Joined, JoinError> {
        let unusable = |e: CertificateError| JoinError::Certificate(e.into());
        let root = SeaRoot::from_der(answer.root.into()).map_err(unusable)?;
        if root.fingerprint() != token.fingerprint {
            return Err(VerifyError::Fingerprint(token.fingerprint).into());
        }
        if answer.orchestrator != token.orchestrator {
            return Err(JoinError::Answer("it is of another orchestrator than the token"));
        }
        let credentials = self.member.install(certificates(answer.chain), root.clone())?;
        if *credentials.identity() != answer.identity {
            return Err(JoinError::Answer("certificate and answer name different identities"));
        }
        prove(&credentials, &token.orchestrator, clock).map_err(|error| match error {
            source @ (VerifyError::Expired { .. } | VerifyError::NotYetValid { .. }) => {
                JoinError::Ahead { today: day(clock.now()), source }
            }
            other => other.into(),
        })?;
        let authority = match (self.authority, answer.authority_chain) {
            (None, _) => None,
            (Some(_), None) => return Err(JoinError::Answer("it has no authority for the cluster")),
            (Some(request), Some(chain)) => {
                let authority = request.install(certificates(chain), root)?;
                if *authority.identity() != answer.identity {
                    return Err(JoinError::Answer("the authority is for another identity"));
                }
                Some(authority)
            }
        };
        let (member, orchestrator) = (answer.member, answer.orchestrator);
        Ok(Joined { member, orchestrator, credentials, authority })
    }
}

/// That the orchestrator would accept what it has signed.
fn prove(credentials: &Credentials, parent: &Identity, clock: &Clock) -> Result<(), VerifyError> {
    let policy = MemberPolicy {
        root: credentials.root().clone(),
        parent: parent.clone(),
        revocations: Revocations::default(),
        rejoin_window: Duration::ZERO,
        below: crate::verify::Below::Directly,
    };
    // The local clock may be years behind; the fresh certificate tells the time.
    let now = clock.now().max(credentials.not_before());
    policy.judge(credentials.chain(), now).map(drop)
}

async fn post<IO: crate::session::Transport>(
    address: &str,
    stream: IO,
    request: &JoinRequest,
) -> Result<JoinAnswer, JoinError> {
    let broken = |source| JoinError::Broken { address: address.to_owned(), source };
    let body = serde_json::to_vec(request).map_err(JoinError::Json)?;
    let request = Request::post(JOIN_PATH)
        .header(header::HOST, address)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, application/problem+json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| JoinError::Answer("the address is no HTTP host"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = read(response.into_body()).await?;
        if status.is_success() {
            serde_json::from_slice(&body).map_err(JoinError::Json)
        } else {
            Err(JoinError::Refused { status: status.as_u16(), reason: reason(&body) })
        }
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection ends when the answer has come, or breaks; the exchange tells which.
        _ = connection => exchange.await,
    }
}

async fn read(body: Incoming) -> Result<Bytes, JoinError> {
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    Ok(body.map_err(|_| JoinError::Answer("it is too large or was cut off"))?.to_bytes())
}

fn reason(body: &[u8]) -> String {
    let problem = serde_json::from_slice(body).ok();
    let text = problem.and_then(|p: Problem| p.detail.or(p.title));
    text.unwrap_or_else(|| "no reason given".to_owned())
}

fn certificates(chain: Vec<Der>) -> Vec<CertificateDer<'static>> {
    chain.into_iter().map(Into::into).collect()
}

// === impl Der ===

impl From<Der> for CertificateDer<'static> {
    fn from(der: Der) -> Self {
        der.0.into()
    }
}

impl From<&CertificateDer<'_>> for Der {
    fn from(der: &CertificateDer<'_>) -> Self {
        Self(der.to_vec())
    }
}

impl Serialize for Der {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&data_encoding::BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Der {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = data_encoding::BASE64.decode(text.as_bytes());
        bytes.map(Self).map_err(|_| serde::de::Error::custom("not base64"))
    }
}
