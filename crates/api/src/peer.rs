//! Who sends a request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use holm_core::orchestrator::command::Actor;
pub use holm_orchestrator::Peer;

use crate::problem::{Fault, Kind};

/// Who asks, after it was proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller(pub(crate) Actor);

/// The peer as the audit log names it.
pub(crate) fn place(peer: Peer) -> String {
    match peer {
        Peer::Unix => "unix".to_owned(),
        Peer::Tls(address) | Peer::Plain(address) => address.to_string(),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Fault;

    /// The middleware put it there; a route without it takes no [`Caller`].
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Fault> {
        let missing = || Fault::new(Kind::Unauthenticated, "this route needs to know who you are");
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}
