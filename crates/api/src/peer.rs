//! Who sends a request, and what they may do.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use holm_core::orchestrator::command::Actor;
use holm_link::workload::token;
use holm_model::access::{Grants, Scope, Verb};
use holm_model::time::Time;
use holm_model::view::EventView;
pub use holm_orchestrator::Peer;
use holm_orchestrator::people::token::{Claims, Kind as TokenKind};

use crate::problem::{Fault, Kind};

/// Who asks, after it was proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) actor: Actor,
    pub(crate) grants: Grants,
    pub(crate) peer: Peer,
    pub(crate) proof: Proof,
}

/// How it was proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// By having opened the Unix socket.
    Socket,
    /// A token of a person, or of a program.
    Token(Box<Claims>),
    /// A token of an instance, which is nobody's but its own.
    Workload(Box<token::Claims>),
}

/// Who asks, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller(pub(crate) Actor);

/// The peer as the audit log names it.
pub(crate) fn place(peer: Peer) -> String {
    match peer {
        Peer::Unix => "unix".to_owned(),
        Peer::Tls(address) | Peer::Plain(address) => address.to_string(),
        Peer::Member(member) => format!("member {member}"),
    }
}

/// The peer's machine, if it is another.
pub(crate) const fn address(peer: Peer) -> Option<IpAddr> {
    match peer {
        Peer::Unix | Peer::Member(_) => None,
        Peer::Tls(address) | Peer::Plain(address) => Some(address.ip()),
    }
}

// === impl Principal ===

impl Principal {
    /// Whoever opened the Unix socket: the data directory is theirs.
    pub(crate) fn owner() -> Self {
        let actor = Actor { who: "admin".to_owned(), from: place(Peer::Unix) };
        Self { actor, grants: Grants::all(), peer: Peer::Unix, proof: Proof::Socket }
    }

    pub(crate) fn by_token(claims: Claims, peer: Peer) -> Self {
        let who = match claims.kind {
            TokenKind::Api => format!("{}/token:{}", claims.who, claims.id),
            TokenKind::Session | TokenKind::Renewal | TokenKind::Setup => claims.who.clone(),
        };
        let actor = Actor { who, from: place(peer) };
        Self { actor, grants: claims.grants.clone(), peer, proof: Proof::Token(Box::new(claims)) }
    }

    /// An instance may ask who somebody is, and do in its project what the role of its service allows.
    pub(crate) fn by_workload(claims: token::Claims, grants: Grants, peer: Peer) -> Self {
        let actor = Actor { who: claims.sub.to_string(), from: place(peer) };
        Self { actor, grants, peer, proof: Proof::Workload(Box::new(claims)) }
    }

    /// What a person's or program's token says.
    pub(crate) fn claims(&self) -> Option<&Claims> {
        match &self.proof {
            Proof::Token(claims) => Some(claims),
            Proof::Socket | Proof::Workload(_) => None,
        }
    }

    /// When this proof ends, if it does.
    pub(crate) fn expires(&self) -> Option<Time> {
        match &self.proof {
            Proof::Socket => None,
            Proof::Token(claims) => Some(claims.exp),
            Proof::Workload(claims) => Some(seconds(claims.exp)),
        }
    }

    pub(crate) const fn is_workload(&self) -> bool {
        matches!(self.proof, Proof::Workload(_))
    }

    /// The person, or `admin`; a workload's own name.
    pub(crate) fn person(&self) -> &str {
        self.claims().map_or(&self.actor.who, |claims| &claims.who)
    }

    pub(crate) fn must_change(&self) -> bool {
        self.claims().is_some_and(|claims| claims.kind == TokenKind::Renewal)
    }

    /// Whether this is a person, not a program with a token.
    pub(crate) fn is_person(&self) -> bool {
        match &self.proof {
            Proof::Socket => true,
            Proof::Token(claims) => claims.kind != TokenKind::Api,
            Proof::Workload(_) => false,
        }
    }

    pub(crate) fn allows(&self, verb: Verb, scope: Scope<'_>) -> bool {
        self.grants.allows(verb, scope)
    }

    pub(crate) fn require(&self, verb: Verb, scope: Scope<'_>) -> Result<(), Fault> {
        if self.allows(verb, scope) {
            return Ok(());
        }
        let place = match scope {
            Scope::Sea => "for the whole sea".to_owned(),
            Scope::Project(project) => format!("in project `{project}`"),
            Scope::Application(project, name) => format!("for `{name}` in project `{project}`"),
        };
        let detail = format!("this needs the right `{verb}` {place}; `holm whoami` shows what you have");
        Err(Fault::new(Kind::Forbidden, detail))
    }

    /// As [`Self::require`], for the project or some application of it; without any right there, there is no such project.
    pub(crate) fn require_within(&self, verb: Verb, project: &str) -> Result<(), Fault> {
        if self.grants.allows_within(verb, project) {
            return Ok(());
        }
        if !self.grants.sees(project) && !self.grants.allows_within(Verb::Read, project) {
            return Err(Fault::no_such("project", project));
        }
        self.require(verb, Scope::Project(project))
    }

    /// May they see what belongs to the project?
    pub(crate) fn reads(&self, project: &str) -> bool {
        self.allows(Verb::Read, Scope::Project(project))
    }

    /// May they see what belongs to the application?
    pub(crate) fn reads_application(&self, project: &str, name: &str) -> bool {
        self.allows(Verb::Read, Scope::Application(project, name))
    }

    /// May they see that this happened? Machines are the sea's.
    pub(crate) fn sees(&self, event: &EventView) -> bool {
        match event.application.split_once('/') {
            Some((project, name)) => self.reads_application(project, name),
            None => self.allows(Verb::Read, Scope::Sea),
        }
    }
}

/// Unix seconds.
pub(crate) fn seconds(at: u64) -> Time {
    Time(i64::try_from(at).unwrap_or(i64::MAX / 1000).saturating_mul(1000))
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Fault;

    /// The middleware put it there; a route without it takes no [`Principal`].
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Fault> {
        let missing = || Fault::new(Kind::Unauthenticated, "this route needs to know who you are");
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        Ok(Self(Principal::from_request_parts(parts, state).await?.actor))
    }
}
