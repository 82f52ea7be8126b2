//! What people ask an orchestrator to do, and why it may say no.

use holm_model::id::{MemberId, WishId};
use holm_model::member::{NodeFacts, Role};
use holm_model::name::Name;
use holm_model::service::Application;
use holm_model::state::RunState;
use holm_model::time::Time;
use holm_model::view::{ApplyView, TokenRole};
use holm_model::wish::AppKey;

/// Who asks, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `admin` by Unix socket, `token:<id>`, `join:<token id>`.
    pub who: String,
    /// `unix`, or the peer's address.
    pub from: String,
}

/// One request that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Apply {
        project: Name,
        application: Application,
    },
    Delete {
        app: AppKey,
    },
    /// `service: None`: all services of the application.
    Patch {
        app: AppKey,
        service: Option<Name>,
        replicas: Option<u32>,
        run: Option<RunState>,
        restart: bool,
    },
    /// A join token, or an API token that can be revoked by its id.
    CreateToken {
        id: String,
        role: TokenRole,
        secret_hash: String,
        expires: Time,
        uses: Option<u32>,
    },
    RevokeToken {
        id: String,
    },
    /// Somebody shows a join token.
    Join {
        token: String,
        secret_hash: String,
        role: Role,
        name: Name,
        facts: Option<Box<NodeFacts>>,
    },
    /// A certificate was signed for the member; its serial number must be known before it is handed out.
    Issued {
        member: MemberId,
        serial: String,
    },
    /// The member's certificates are void and it is forgotten; its instances are placed elsewhere.
    RemoveMember {
        member: MemberId,
    },
    /// The member's certificates are void; it stays known (a stolen machine).
    RevokeMember {
        member: MemberId,
    },
    /// What the member runs replaces what this store believes of it.
    Adopt {
        member: MemberId,
    },
    /// What this store says replaces what the member runs.
    Discard {
        member: MemberId,
    },
    /// A restored wish is wanted again.
    Confirm {
        app: AppKey,
    },
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    Applied(ApplyView),
    Deleted(WishId),
    Joined { member: MemberId, name: Name },
}

/// Why not. Display says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no {kind} `{name}`; `holm get {kind}s` lists what there is")]
    NotFound { kind: &'static str, name: String },
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Invalid(String),
    /// Join and token refusals; the text never helps to guess.
    #[error("{0}")]
    Forbidden(String),
    #[error("the orchestrator is read-only: {0}; nothing was changed")]
    ReadOnly(String),
}
