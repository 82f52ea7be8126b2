//! Tokens: for joining, and for the API.

use axum::extract::OriginalUri;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use holm_core::orchestrator::command::Command;
use holm_model::access::{Scope, Verb};
use holm_model::view::query::PageQuery;
use holm_model::view::{Page, TokenCreated, TokenRequest, TokenRole, TokenView};
use utoipa_axum::routes;

use super::list::{Listing, link};
use crate::extract::{Json, Path, Query};
use crate::page::page;
use crate::peer::Principal;
use crate::problem::{Common, Fault, OfThing, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(list, create), || routes!(revoke)];

/// Tokens that were made, one's own or those that one may make void; no secrets.
#[utoipa::path(get, path = "/tokens", operation_id = "list_tokens", tag = "tokens", params(PageQuery),
    responses((status = 200, body = Page<TokenView>), Common))]
async fn list(
    State(api): State<Api>,
    principal: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> Result<Listing<TokenView>, Fault> {
    let mut tokens = api.query(|machine| machine.tokens()).await?;
    tokens.retain(|token| may_touch(&principal, token));
    let page = page(tokens, |token| token.id.clone(), query.limit, query.cursor.as_deref())?;
    Ok(Listing::new(uri, page))
}

/// Make a token. The answer is the only time that it is shown.
#[utoipa::path(post, path = "/tokens",
    operation_id = "create_token", tag = "tokens", request_body = TokenRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key makes one token only, for an hour, while the orchestrator runs")),
    responses((status = 201, body = TokenCreated), Common, OfWrite))]
async fn create(
    State(api): State<Api>,
    principal: Principal,
    OriginalUri(uri): OriginalUri,
    Json(request): Json<TokenRequest>,
) -> Result<(StatusCode, HeaderMap, axum::Json<TokenCreated>), Fault> {
    match request.role {
        TokenRole::Node | TokenRole::Cluster => principal.require(Verb::Members, Scope::Sea)?,
        // A token that makes tokens would outlive itself.
        TokenRole::Viewer | TokenRole::Operator | TokenRole::Admin if !principal.is_person() => {
            principal.require(Verb::People, Scope::Sea)?;
        }
        TokenRole::Viewer | TokenRole::Operator | TokenRole::Admin => {}
    }
    let created = api.create_token(&principal, &request).await?;
    Ok((StatusCode::CREATED, links(&uri, &created.id), axum::Json(created)))
}

/// Make a token void.
#[utoipa::path(delete, path = "/tokens/{id}",
    operation_id = "revoke_token", tag = "tokens", params(("id" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn revoke(
    State(api): State<Api>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    let tokens = api.query(|machine| machine.tokens()).await?;
    if !tokens.iter().any(|token| token.id == id && may_touch(&principal, token)) {
        return Err(Fault::no_such("token", &id));
    }
    api.command(principal.actor, Command::RevokeToken { id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One's own, or those of a kind that one is in charge of.
fn may_touch(principal: &Principal, token: &TokenView) -> bool {
    let verb = if token.grants.is_some() { Verb::People } else { Verb::Members };
    let maker = token.who.split_once('/').map_or(token.who.as_str(), |(person, _)| person);
    principal.allows(verb, Scope::Sea) || (principal.is_person() && maker == principal.person())
}

fn links(uri: &Uri, id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    link(&mut headers, &format!("{}/{id}", uri.path()), "self");
    headers
}
