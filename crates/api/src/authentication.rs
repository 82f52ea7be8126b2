//! How somebody proves who he is: by having opened the Unix socket, or by an API token.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use holm_core::orchestrator::command::Actor;

use crate::peer::{Caller, Peer, place};
use crate::problem::{Fault, Kind};
use crate::state::Api;

/// Lets requests pass whose [`Caller`] is proved, and says who it is.
pub(crate) async fn authenticate(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, Fault> {
    let peer = peer(&request)?;
    let who = match peer {
        Peer::Unix => "admin".to_owned(),
        Peer::Tls(_) | Peer::Plain(_) => by_token(&api, request.headers())
            .await
            .inspect_err(|reason| api.attempts().refused(peer, reason))
            .map_err(|reason| Fault::new(Kind::Unauthenticated, reason))?,
    };
    request.extensions_mut().insert(Caller(Actor { who, from: place(peer) }));
    Ok(next.run(request).await)
}

/// Who the other end of the request's connection is.
pub(crate) fn peer(request: &Request) -> Result<Peer, Fault> {
    let missing = || Fault::new(Kind::Internal, "the connection has no peer (a bug)");
    request.extensions().get::<Peer>().copied().ok_or_else(missing)
}

async fn by_token(api: &Api, headers: &HeaderMap) -> Result<String, String> {
    let missing = "show an API token: `Authorization: Bearer holm-api.…`";
    let header = headers.get(header::AUTHORIZATION).ok_or(missing)?;
    let (scheme, token) = header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing.to_owned());
    }
    let id = api.verify(token.trim()).await?;
    Ok(format!("token:{id}"))
}
