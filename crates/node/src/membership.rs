//! Credentials: those on disk, or new ones by joining with a token.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use holm_link::backoff::Backoff;
use holm_link::clock::Clock;
use holm_link::credentials::{Credentials, LoadCredentialsError};
use holm_link::dial::DialError;
use holm_link::join::{self, JoinError, Proposal};
use holm_link::token::{JoinToken, ParseTokenError, Role};
use holm_model::member::{self, NodeFacts};
use holm_model::message;
use holm_model::name::Name;

use crate::random;

/// This machine is no member and cannot become one as it was started.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    #[error("the node's credentials on disk are unusable")]
    Load(#[from] LoadCredentialsError),
    #[error("this machine has not joined yet; give it a token made by `holm token create --role node`")]
    NoToken,
    #[error("the join token cannot be read")]
    Token(#[from] ParseTokenError),
    #[error("the token is for a cluster; make one with `holm token create --role node`")]
    Role,
    #[error("`{orchestrator}` did not take this node")]
    Join { orchestrator: String, source: JoinError },
    #[error("the new credentials cannot be kept; free some space and join again with a new token")]
    Save(#[source] Box<dyn Error + Send + Sync>),
}

/// Who wants to join, and where.
#[derive(Debug)]
pub(crate) struct Applicant<'a> {
    pub(crate) data_dir: &'a Path,
    /// `host:port`
    pub(crate) orchestrator: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) name: &'a Name,
    pub(crate) facts: &'a NodeFacts,
}

/// Waits between tries while the orchestrator cannot be reached.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

// === impl Applicant ===

impl Applicant<'_> {
    /// Credentials, however long the orchestrator is away; cancel by dropping.
    pub(crate) async fn credentials(&self, clock: &Clock) -> Result<Credentials, MembershipError> {
        if let Some(credentials) = Credentials::load(self.data_dir)? {
            return Ok(credentials);
        }
        let token: JoinToken = self.token.ok_or(MembershipError::NoToken)?.trim().parse()?;
        if token.role != Role::Node {
            return Err(MembershipError::Role);
        }
        let credentials = self.join(&token, clock).await?;
        credentials.save(self.data_dir).map_err(|error| MembershipError::Save(error.into()))?;
        Ok(credentials)
    }

    async fn join(&self, token: &JoinToken, clock: &Clock) -> Result<Credentials, MembershipError> {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        let mut told = false;
        loop {
            let error = match join::join(self.orchestrator, token, self.proposal(), clock).await {
                Ok(joined) => {
                    tracing::info!(identity = %joined.credentials.identity(), "This node has joined.");
                    return Ok(joined.credentials);
                }
                Err(error) => error,
            };
            if !is_passing(&error) {
                let orchestrator = self.orchestrator.to_owned();
                return Err(MembershipError::Join { orchestrator, source: error });
            }
            if !std::mem::replace(&mut told, true) {
                let reason = crate::link::chain(&error);
                tracing::warn!(orchestrator = self.orchestrator, reason, "Cannot join yet; trying again.");
            }
            tokio::time::sleep(backoff.failed(random())).await;
        }
    }

    fn proposal(&self) -> Proposal {
        let details = message::Proposal {
            role: member::Role::Node,
            name: self.name.clone(),
            facts: Some(self.facts.clone()),
            usage: None,
        };
        Proposal {
            name: self.name.to_string(),
            host: self.facts.hostname.clone(),
            // Plain data; without it the orchestrator hears the same over the link.
            details: serde_json::to_value(details).unwrap_or_default(),
        }
    }
}

/// Whether the same token may be taken later: nothing was sent, or the orchestrator said so.
fn is_passing(error: &JoinError) -> bool {
    match error {
        JoinError::Unreachable(_) => true,
        JoinError::Handshake(error) => matches!(error, DialError::Handshake { .. } | DialError::Late { .. }),
        JoinError::Refused { status, .. } => *status == 429 || *status >= 500,
        _ => false,
    }
}
