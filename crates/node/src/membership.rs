//! Credentials: those on disk, or new ones by joining with a token.
//!
//! A token lets this machine in once: one that stays in the node's configuration must not undo that its
//! certificate was revoked.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use holm_link::backoff::Backoff;
use holm_link::clock::Clock;
use holm_link::credentials::{Credentials, LoadCredentialsError};
use holm_link::dial::DialError;
use holm_link::identity::Identity;
use holm_link::join::{self, JoinError, Proposal};
use holm_link::token::{JoinToken, ParseTokenError, Role, TokenId};
use holm_model::member::{self, NodeFacts};
use holm_model::message;
use holm_model::name::Name;

use crate::memberships::Memberships;
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
    #[error(
        "this machine is a member of `{own}`, and the token is for `{other}`; to move it there, start it once \
         with --rejoin, and say `holm node remove {name}` at the old one; without the token it stays"
    )]
    Elsewhere { own: String, other: Identity, name: Name },
    #[error("the new credentials cannot be kept; free some space and join again with a new token")]
    Save(#[source] Box<dyn Error + Send + Sync>),
}

/// Who wants to join, and where.
#[derive(Clone)]
pub(crate) struct Applicant {
    pub(crate) data_dir: PathBuf,
    /// `host:port`
    pub(crate) orchestrator: String,
    pub(crate) token: Option<String>,
    /// Join with the token although there are credentials.
    pub(crate) rejoin: bool,
    pub(crate) name: Name,
    pub(crate) facts: NodeFacts,
}

/// Holds the id of the token that was used last.
const USED: &str = "join-token";

/// Waits between tries while the orchestrator cannot be reached.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

// === impl Applicant ===

impl Applicant {
    /// Credentials, however long the orchestrator is away; cancel by dropping.
    pub(crate) async fn credentials(&self, clock: &Clock) -> Result<Credentials, MembershipError> {
        if let Some(credentials) = Credentials::load(&self.data_dir)? {
            return match self.token_beside(&credentials)? {
                None => Ok(credentials),
                Some(token) => self.join(&token, clock).await,
            };
        }
        self.join(&self.token()?.ok_or(MembershipError::NoToken)?, clock).await
    }

    /// New credentials in place of those that are void; none without a token that was not used here yet.
    /// As patient as [`Applicant::credentials`].
    pub(crate) async fn anew(&self, clock: &Clock) -> Result<Option<Credentials>, MembershipError> {
        match self.token()?.filter(|token| self.used() != Some(token.id)) {
            None => Ok(None),
            Some(token) => self.join(&token, clock).await.map(Some),
        }
    }

    /// A token that was not used here, and with which a machine that is a member shall join anew. One that
    /// could do no more than the credentials is left alone.
    fn token_beside(&self, credentials: &Credentials) -> Result<Option<JoinToken>, MembershipError> {
        let unused = |token: &JoinToken| self.used() != Some(token.id);
        // Without need of it, a token that cannot be read does no harm.
        let Some(token) = self.token().ok().flatten().filter(unused) else { return Ok(None) };
        if self.rejoin {
            return Ok(Some(token));
        }
        let own = credentials.identity().parent();
        if token.fingerprint == credentials.root().fingerprint() && own.as_ref() == Some(&token.orchestrator)
        {
            tracing::info!("This node is a member already; the token is not needed.");
            return Ok(None);
        }
        if own.as_ref().is_some_and(|own| self.memberships().led_to(own)) {
            tracing::warn!(
                "This node was moved since it was configured: the token of its orchestrator before is left alone. Take it \
                 out of the configuration, or say --rejoin."
            );
            return Ok(None);
        }
        let own = own.unwrap_or_else(|| credentials.identity().clone()).to_string();
        Err(MembershipError::Elsewhere { own, other: token.orchestrator, name: self.name.clone() })
    }

    fn token(&self) -> Result<Option<JoinToken>, MembershipError> {
        let token: Option<JoinToken> = self.token.as_deref().map(|text| text.trim().parse()).transpose()?;
        match token {
            Some(token) if token.role != Role::Node => Err(MembershipError::Role),
            token => Ok(token),
        }
    }

    fn memberships(&self) -> Memberships {
        Memberships::new(self.data_dir.clone(), self.orchestrator.clone())
    }

    /// None, too, when it cannot be read: then the orchestrator says whether it was used.
    fn used(&self) -> Option<TokenId> {
        std::fs::read_to_string(self.data_dir.join(USED)).ok()?.trim().parse().ok()
    }

    async fn join(&self, token: &JoinToken, clock: &Clock) -> Result<Credentials, MembershipError> {
        let credentials = self.ask(token, clock).await?;
        // First: without credentials it is not looked at.
        std::fs::write(self.data_dir.join(USED), token.id.to_string())
            .map_err(|error| MembershipError::Save(error.into()))?;
        credentials.save(&self.data_dir).map_err(|error| MembershipError::Save(error.into()))?;
        Ok(credentials)
    }

    async fn ask(&self, token: &JoinToken, clock: &Clock) -> Result<Credentials, MembershipError> {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        let mut told = false;
        loop {
            let error = match join::join(&self.orchestrator, token, self.proposal(), clock).await {
                Ok(joined) => {
                    tracing::info!(identity = %joined.credentials.identity(), "This node has joined.");
                    return Ok(joined.credentials);
                }
                Err(error) => error,
            };
            if !is_passing(&error) {
                let orchestrator = self.orchestrator.clone();
                return Err(MembershipError::Join { orchestrator, source: error });
            }
            if !std::mem::replace(&mut told, true) {
                let reason = crate::link::chain(&error);
                tracing::warn!(orchestrator = %self.orchestrator, reason, "Cannot join yet; trying again.");
            }
            tokio::time::sleep(backoff.failed(random())).await;
        }
    }

    pub(crate) fn proposal(&self) -> Proposal {
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

impl fmt::Debug for Applicant {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Applicant").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether the same token may be taken later: nothing was sent, or the orchestrator said so.
fn is_passing(error: &JoinError) -> bool {
    match error {
        JoinError::Unreachable(_) | JoinError::Dates { .. } => true,
        JoinError::Handshake(error) => matches!(error, DialError::Handshake { .. } | DialError::Late { .. }),
        JoinError::Refused { status, .. } => *status == 429 || *status >= 500,
        _ => false,
    }
}
