//! Tokens: for joining, and for the API.

use axum::extract::OriginalUri;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use holm_core::orchestrator::command::Command;
use holm_model::view::query::PageQuery;
use holm_model::view::{Page, TokenCreated, TokenRequest, TokenView};
use utoipa_axum::routes;

use super::list::{Listing, link};
use crate::extract::{Json, Path, Query};
use crate::page::page;
use crate::peer::Caller;
use crate::problem::{Common, Fault, OfThing, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(list, create), || routes!(revoke)];

/// Tokens that were made; no secrets.
#[utoipa::path(get, path = "/tokens", operation_id = "list_tokens", tag = "tokens", params(PageQuery),
    responses((status = 200, body = Page<TokenView>), Common))]
async fn list(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> Result<Listing<TokenView>, Fault> {
    let tokens = api.query(|machine| machine.tokens()).await?;
    let page = page(tokens, |token| token.id.clone(), query.limit, query.cursor.as_deref())?;
    Ok(Listing::new(uri, page))
}

/// Make a token. The answer is the only time that it is shown.
#[utoipa::path(post, path = "/tokens",
    operation_id = "create_token", tag = "tokens", request_body = TokenRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key makes one token only")),
    responses((status = 201, body = TokenCreated), Common, OfWrite))]
async fn create(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Caller(actor): Caller,
    Json(request): Json<TokenRequest>,
) -> Result<(StatusCode, HeaderMap, axum::Json<TokenCreated>), Fault> {
    let created = api.create_token(actor, &request).await?;
    Ok((StatusCode::CREATED, links(&uri, &created.id), axum::Json(created)))
}

/// Make a token void.
#[utoipa::path(delete, path = "/tokens/{id}",
    operation_id = "revoke_token", tag = "tokens", params(("id" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn revoke(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    api.command(actor, Command::RevokeToken { id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn links(uri: &Uri, id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    link(&mut headers, &format!("{}/{id}", uri.path()), "self");
    headers
}
