//! Logging in and out, and who one is.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use holm_core::orchestrator::command::Command;
use holm_model::view::people::{LoginRequest, SessionCreated, SetupRequest, WhoView};
use holm_orchestrator::people::login::LoginError;
use holm_orchestrator::people::password::PasswordError;
use utoipa_axum::routes;

use crate::authentication::cookie;
use crate::extract::Json;
use crate::peer::{Peer, Principal, address, place};
use crate::problem::{Common, Fault, Kind, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(log_out), || routes!(whoami)];
/// For whoever has no token yet.
pub(super) const OPEN: super::Routes = &[|| routes!(log_in), || routes!(set_up)];

/// Log in.
///
/// A browser gets a cookie, too; whatever it changes needs `X-Holm-CSRF` with the `csrf` of this answer.
#[utoipa::path(post, path = "/sessions", operation_id = "log_in", tag = "people", request_body = LoginRequest,
    responses((status = 201, body = SessionCreated), Common, OfWrite))]
async fn log_in(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Json(request): Json<LoginRequest>,
) -> Result<(StatusCode, HeaderMap, axum::Json<SessionCreated>), Fault> {
    let name = request.name.clone();
    let session = match api.handle().log_in(request, address(peer), place(peer)).await {
        Ok(session) => session,
        Err(error) => {
            if let LoginError::Throttled(_) = error {
                api.throttled(peer, &name, &error.to_string()).await;
            }
            return Err(refused(error));
        }
    };
    Ok((StatusCode::CREATED, cookies(&headers, &session), axum::Json(session)))
}

/// Make the first administrator, with the link that the first start printed.
#[utoipa::path(post, path = "/setup", tag = "people", request_body = SetupRequest,
    responses((status = 201, body = SessionCreated), Common, OfWrite))]
async fn set_up(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Json(request): Json<SetupRequest>,
) -> Result<(StatusCode, HeaderMap, axum::Json<SessionCreated>), Fault> {
    let session = api.handle().set_up(request, place(peer)).await.map_err(refused)?;
    Ok((StatusCode::CREATED, cookies(&headers, &session), axum::Json(session)))
}

/// Log out: the token that was shown is void.
#[utoipa::path(delete, path = "/sessions/current", tag = "people",
    responses((status = 204), Common, OfWrite))]
async fn log_out(State(api): State<Api>, principal: Principal) -> Result<(StatusCode, HeaderMap), Fault> {
    let session = principal.claims().map(|claims| claims.id.clone()).ok_or_else(|| {
        Fault::new(Kind::Invalid, "the socket needs no log-in, so there is nothing to log out of")
    })?;
    api.command(principal.actor, Command::LogOut { session }).await?;
    Ok((StatusCode::NO_CONTENT, cookie("", 0).map(|c| (header::SET_COOKIE, c)).into_iter().collect()))
}

/// Who one is, and what one may do.
#[utoipa::path(get, path = "/whoami", tag = "people", responses((status = 200, body = WhoView), Common))]
async fn whoami(principal: Principal) -> axum::Json<WhoView> {
    let expires = principal.expires();
    axum::Json(WhoView { who: principal.actor.who, grants: principal.grants, expires })
}

/// For browsers, which say where a request comes from; programs keep the token themselves.
fn cookies(headers: &HeaderMap, session: &SessionCreated) -> HeaderMap {
    let browser = headers.contains_key("sec-fetch-site");
    let seconds = (session.expires.0 - holm_orchestrator::now().0) / 1000;
    let cookie = cookie(&session.token, seconds).filter(|_| browser);
    cookie.map(|cookie| (header::SET_COOKIE, cookie)).into_iter().collect()
}

pub(crate) fn refused(error: LoginError) -> Fault {
    match error {
        LoginError::Wrong => Fault::new(Kind::Unauthenticated, error),
        LoginError::Throttled(wait) => Fault::new(Kind::TooMany, error).after(wait),
        LoginError::Password(PasswordError::Busy) => Fault::new(Kind::TooMany, error),
        LoginError::NotRoot
        | LoginError::Same
        | LoginError::Password(PasswordError::Length | PasswordError::Simple) => {
            Fault::new(Kind::Invalid, error)
        }
        LoginError::SetUp => Fault::new(Kind::Forbidden, error),
        LoginError::Refused(refusal) => refusal.into(),
        LoginError::Password(PasswordError::Random) | LoginError::Sign(_) | LoginError::Random(_) => {
            Fault::new(Kind::Internal, error)
        }
    }
}
