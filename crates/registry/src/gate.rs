//! What the registry asks of whoever mounts it: who may do what, how much a project may keep, and who is told.

use futures::future::BoxFuture;
use http::request::Parts;

use crate::digest::Digest;
use crate::names::{Name, Project, Reference, Tag};

/// Authorization, quotas and audit.
pub trait Gate: Send + Sync + 'static {
    /// May the sender of `request` do this? `None` asks for `/v2/` alone, which clients use to learn how to log in.
    ///
    /// It is asked before anything is looked up, so that a refusal says nothing about what there is.
    fn admit<'a>(
        &'a self,
        request: &'a Parts,
        access: Option<&'a Access>,
    ) -> BoxFuture<'a, Result<(), Refusal>>;

    /// Bytes that a project may keep; `None` if any number.
    fn quota<'a>(&'a self, project: &'a Project) -> BoxFuture<'a, Option<u64>>;

    /// Does somebody still need this manifest, though no tag names it?
    fn uses(&self, _repository: &Name, _digest: &Digest) -> bool {
        false
    }

    /// Something was changed for the sender of `request`, and is on the disk.
    fn changed(&self, _request: &Parts, _change: &Change) {}
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Where.
    pub repository: Name,
    /// What.
    pub action: Action,
}

/// What can be done to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read.
    Pull,
    /// Add.
    Push,
    /// Take away.
    Delete,
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody knows yet who it is: 401 with this challenge.
    Unauthorized(Challenge),
    /// It is known who it is, and he may not: 403 with this sentence.
    Denied(String),
    /// Too many tries: 429 with this sentence.
    TooMany(String),
    /// It cannot be decided now: 503 with this sentence.
    Unavailable(String),
}

/// How to log in, as `WWW-Authenticate` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// User and password with each request.
    Basic {
        /// Shown to people.
        realm: String,
    },
    /// A token from another address; the scope is added by the registry.
    Bearer {
        /// URL of whoever gives tokens.
        realm: String,
        /// What the token is for.
        service: String,
    },
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A manifest can be pulled now.
    Pushed {
        /// Where.
        repository: Name,
        /// What.
        digest: Digest,
        /// Under which names.
        tags: Vec<Tag>,
    },
    /// A tag or manifest cannot be pulled any more.
    Deleted {
        /// Where.
        repository: Name,
        /// What.
        reference: Reference,
    },
    /// A blob cannot be pulled any more.
    DeletedBlob {
        /// Where.
        repository: Name,
        /// What.
        digest: Digest,
    },
}

// === impl Action ===

impl Action {
    /// As scopes of tokens name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
            Self::Delete => "delete",
        }
    }
}

// === impl Challenge ===

impl Challenge {
    /// The header's value. Quotes and control characters of the callback's words are left out.
    #[must_use]
    pub fn header(&self, access: Option<&Access>) -> String {
        let clean =
            |text: &str| text.chars().filter(|c| !c.is_control() && !"\"\\".contains(*c)).collect::<String>();
        match self {
            Self::Basic { realm } => format!("Basic realm=\"{}\", charset=\"UTF-8\"", clean(realm)),
            Self::Bearer { realm, service } => {
                let scope = access.map_or_else(String::new, |access| {
                    format!(",scope=\"repository:{}:{}\"", access.repository, access.action.as_str())
                });
                format!("Bearer realm=\"{}\",service=\"{}\"{scope}", clean(realm), clean(service))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_name_the_scope_and_cannot_be_broken_out_of() {
        let access = Access { repository: Name::parse("red/web").unwrap(), action: Action::Push };
        let bearer = Challenge::Bearer { realm: "https://x/token".into(), service: "ho\"\r\nlm".into() };
        assert_eq!(
            bearer.header(Some(&access)),
            "Bearer realm=\"https://x/token\",service=\"holm\",scope=\"repository:red/web:pull,push\""
        );
        assert_eq!(bearer.header(None), "Bearer realm=\"https://x/token\",service=\"holm\"");
        let basic = Challenge::Basic { realm: "holm".into() };
        assert_eq!(basic.header(Some(&access)), "Basic realm=\"holm\", charset=\"UTF-8\"");
    }
}
