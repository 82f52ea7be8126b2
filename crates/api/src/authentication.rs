//! How somebody proves who he is: by having opened the Unix socket, by a token, or by a browser's cookie that
//! holds one.

use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use holm_orchestrator::people::login::csrf;
use subtle::ConstantTimeEq as _;

use data_encoding::BASE64;
use holm_model::view::people::{LoginRequest, Password};
use holm_orchestrator::people::login::LoginError;

use crate::guard::changes;
use crate::limits::visits::Asking;
use crate::peer::{Peer, Principal, address, place, seconds};
use crate::problem::{Fault, Kind};
use crate::routes::refused_login as refused;
use crate::state::Api;

/// Of browsers; `__Host-`: never of a subdomain, and over TLS only.
const COOKIE: &str = "__Host-holm";
/// What a token of people and programs begins with.
const TOKEN: &str = "holm-api.";
/// Beside the cookie, with whatever changes something.
const CSRF: &str = "x-holm-csrf";

/// Lets requests pass whose [`Principal`] is proved, and says who it is.
pub(crate) async fn authenticate(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, Fault> {
    let peer = peer(request.extensions())?;
    let principal = match peer {
        Peer::Unix => Principal::owner(),
        Peer::Member(_) => return Err(Fault::new(Kind::Forbidden, "members pull images here, no more")),
        Peer::Tls(_) | Peer::Plain(_) => match by_token(&api, token(&request), peer).await {
            Ok(principal) => principal,
            Err(fault) => {
                api.accounts().stranger(peer)?;
                api.unknown(peer, &fault).await;
                return Err(fault);
            }
        },
    };
    if let Some(asking) = request.extensions().get::<Asking>() {
        asking.prove();
    }
    api.accounts().request(&principal)?;
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

/// Lets requests pass that need no proof, at a bounded rate.
pub(crate) async fn welcome(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Fault> {
    api.accounts().stranger(peer(request.extensions())?)?;
    Ok(next.run(request).await)
}

/// Who the other end of the request's connection is.
pub(crate) fn peer(extensions: &Extensions) -> Result<Peer, Fault> {
    let missing = || Fault::new(Kind::Internal, "the connection has no peer (a bug)");
    extensions.get::<Peer>().copied().ok_or_else(missing)
}

/// The cookie in which a browser keeps the token.
pub(crate) fn cookie(token: &str, seconds: i64) -> Option<HeaderValue> {
    let text = format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict");
    HeaderValue::try_from(text).ok()
}

/// The token that comes with a request.
fn token(request: &Request) -> Result<String, Fault> {
    let headers = request.headers();
    // `curl -u NAME:TOKEN`; a password itself is for logging in only.
    let pair = basic(headers).flatten().filter(|(_, password)| is_token(password));
    if let Some((_, token)) = pair {
        return Ok(token);
    }
    let token = match (bearer(headers), of_cookie(headers)) {
        (Some(token), _) => token,
        (None, Some(token)) => {
            if changes(request) && !is_ours(headers, token) {
                let detail = format!("a browser must send `{CSRF}` beside its cookie, as the log-in told it");
                return Err(Fault::new(Kind::Origin, detail));
            }
            token
        }
        (None, None) => {
            let detail = "show a token: `Authorization: Bearer holm-api.…`; `holm login` gets one";
            return Err(Fault::new(Kind::Unauthenticated, detail));
        }
    };
    Ok(token.to_owned())
}

/// Whoever logs in to the registry: as everywhere, or by name and password as container engines send them, of which
/// the password may be a token. `None`: no proof was shown.
pub(crate) async fn engine(api: &Api, headers: &HeaderMap, peer: Peer) -> Result<Option<Principal>, Fault> {
    let proof = match (bearer(headers), basic(headers)) {
        (Some(token), _) => token.to_owned(),
        (None, Some(pair)) => {
            let (name, password) = pair.ok_or_else(|| {
                Fault::new(Kind::Unauthenticated, "the credentials are not name:password in Base64")
            })?;
            if is_token(&password) { password } else { session(api, name, password, peer).await? }
        }
        (None, None) => return Ok(None),
    };
    by_token(api, Ok(proof), peer).await.map(Some)
}

/// The token for a name and a password. Engines send these with each request: whether they are good is work, and
/// is remembered for a while.
async fn session(api: &Api, name: String, password: String, peer: Peer) -> Result<String, Fault> {
    if let Some(token) = api.logins().find(&name, &password) {
        if api.verify(&token).await.is_ok() {
            return Ok(token);
        }
        api.logins().forget(&name, &password);
    }
    let request = LoginRequest { name: name.clone(), password: Password(password.clone()) };
    match api.handle().log_in(request, address(peer), place(peer)).await {
        Ok(session) => {
            api.logins().remember(&name, &password, &session.token);
            Ok(session.token)
        }
        Err(error) => {
            if let LoginError::Throttled(_) = error {
                api.throttled(peer, &name, &error.to_string()).await;
            }
            Err(refused(error))
        }
    }
}

async fn by_token(api: &Api, token: Result<String, Fault>, peer: Peer) -> Result<Principal, Fault> {
    let unknown = |reason: String| Fault::new(Kind::Unauthenticated, reason);
    let token = token?;
    if is_instances(&token) {
        return by_instance(api, &token, peer).await;
    }
    let claims = api.verify(&token).await.map_err(unknown)?;
    Ok(Principal::by_token(claims, peer))
}

/// A chain is work to verify, which strangers do not get done as often as they like.
async fn by_instance(api: &Api, token: &str, peer: Peer) -> Result<Principal, Fault> {
    api.accounts().worth_verifying(peer, token)?;
    match api.verify_identity(token, None).await {
        Ok(claims) => {
            api.accounts().proved(token, seconds(claims.exp));
            let grants = api.handle().rights_of_instance(&claims).await;
            Ok(Principal::by_workload(claims, grants, peer))
        }
        Err(fault) => {
            api.accounts().disproved(token);
            Err(fault)
        }
    }
}

/// Whether it is a JSON web token, which begins with a JSON object in Base64; people's tokens are no such.
fn is_instances(token: &str) -> bool {
    token.starts_with("eyJ")
}

fn is_token(text: &str) -> bool {
    text.starts_with(TOKEN) || is_instances(text)
}

/// Name and password, if there are any; the inner `None`: they cannot be read.
fn basic(headers: &HeaderMap) -> Option<Option<(String, String)>> {
    let (scheme, pair) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let read = || {
        let pair = String::from_utf8(BASE64.decode(pair.trim().as_bytes()).ok()?).ok()?;
        pair.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
    };
    scheme.eq_ignore_ascii_case("basic").then(read)
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn of_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, token)| token)
}

/// Whether the page that sends it knows what only the log-in's answer said.
fn is_ours(headers: &HeaderMap, token: &str) -> bool {
    let sent = headers.get(CSRF).map(HeaderValue::as_bytes).unwrap_or_default();
    sent.ct_eq(csrf(token).as_bytes()).into()
}
