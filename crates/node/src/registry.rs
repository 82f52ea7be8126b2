//! The door through which the engine of this machine pulls images of the platform's registry: plain HTTP on loopback,
//! passed on through the link. Whoever knows the password of a project, which only the engine is told, reads the images
//! of that project that this node runs. Whoever knows that of a build, as long as it lasts, does what the registry allows by the
//! build's token; nobody else changes anything here.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use holm_model::content::RegistryLogin;
use holm_model::name::Name;
use holm_model::transfer::Secret;
use holm_runtime::container::{BuildPass, OwnRegistry};
use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::peers::reach::{Duplex, UpwardError};

/// Opens ways to the registry of the orchestrator.
pub(crate) trait Above: std::fmt::Debug + Send + Sync {
    /// Plain HTTP/1.1 to it.
    fn registry(&self) -> BoxFuture<'_, Result<Box<dyn Duplex>, UpwardError>>;
}

/// The door, as the engine is told of it.
#[derive(Debug)]
pub(crate) struct Door {
    address: SocketAddr,
    /// Of this run: makes the passwords.
    key: [u8; 32],
    builds: Mutex<Vec<Build>>,
}

/// A build that is under way.
#[derive(Debug)]
struct Build {
    password: String,
    token: Secret,
    ended: CancellationToken,
}

/// Who knocks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Guest {
    Project(String),
    Build(Secret),
}

type Body = BoxBody<Bytes, hyper::Error>;

/// The user of builds: no name of a project.
const BUILDER: &str = "+build";
/// Connections at once.
const CONNECTIONS: usize = 32;
/// Until a request's headers are complete.
const HEADER_TIME: Duration = Duration::from_secs(10);

// === impl Door ===

impl Door {
    /// Opens it at a free port of loopback.
    ///
    /// # Errors
    /// When the system gives no port or no random numbers.
    pub(crate) fn open() -> io::Result<(Arc<Self>, StdListener)> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let address = listener.local_addr()?;
        Ok((Arc::new(Self { address, key, builds: Mutex::default() }), listener))
    }

    fn password(&self, project: &str) -> String {
        // A key before a text of any length is no good with SHA-256 alone; after it was hashed, it is.
        let inner = Sha256::new().chain_update(self.key).chain_update(project).finalize();
        let outer = Sha256::new().chain_update(self.key).chain_update(inner).finalize();
        outer.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whose password comes with a request.
    fn guest(&self, headers: &HeaderMap) -> Option<Guest> {
        let (scheme, pair) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        let pair = scheme.eq_ignore_ascii_case("basic").then(|| basic(pair.trim()))??;
        let (user, password) = pair.split_once(':')?;
        // Compared by their digests: how far they agree takes the same time, whatever was sent.
        let is_same = |expected: &str| Sha256::digest(expected) == Sha256::digest(password);
        if user == BUILDER {
            let builds = self.builds();
            let build = builds.iter().find(|build| !build.ended.is_cancelled() && is_same(&build.password));
            return build.map(|build| Guest::Build(build.token.clone()));
        }
        is_same(&self.password(user)).then(|| Guest::Project(user.to_owned()))
    }

    /// What a request may do.
    fn admit(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Guest, StatusCode> {
        let guest = self.guest(headers).ok_or(StatusCode::UNAUTHORIZED)?;
        let rest = path.strip_prefix("/v2").ok_or(StatusCode::NOT_FOUND)?;
        // What a build may is the registry's to say.
        let Guest::Project(project) = &guest else { return Ok(guest) };
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        if rest.is_empty() || rest == "/" {
            return Ok(guest);
        }
        let own = rest.strip_prefix('/').and_then(|rest| rest.strip_prefix(project.as_str()));
        // The first part of a repository's name is its project.
        if own.is_some_and(|rest| rest.starts_with('/')) { Ok(guest) } else { Err(StatusCode::FORBIDDEN) }
    }

    fn builds(&self) -> MutexGuard<'_, Vec<Build>> {
        self.builds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OwnRegistry for Door {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn login(&self, project: &Name) -> RegistryLogin {
        let (user, password) = (project.to_string(), self.password(project.as_str()));
        RegistryLogin { server: Some(self.address.to_string()), user, password }
    }

    fn admit_build(&self, token: &Secret) -> BuildPass {
        // Made as those of projects are, which have no such name.
        let password = self.password(&format!("{BUILDER} {}", token.0));
        let ended = CancellationToken::new();
        let mut builds = self.builds();
        builds.retain(|build| !build.ended.is_cancelled());
        builds.push(Build { password: password.clone(), token: token.clone(), ended: ended.clone() });
        let (server, user) = (Some(self.address.to_string()), BUILDER.to_owned());
        let login = RegistryLogin { server, user, password };
        BuildPass { address: self.address, login, end: ended.drop_guard() }
    }
}

/// Serves the door until it is dropped.
pub(crate) async fn serve(door: Arc<Door>, listener: StdListener, above: Arc<dyn Above>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "The engine cannot reach the platform's registry."),
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let (door, above) = (Arc::clone(&door), Arc::clone(&above));
                tokio::spawn(async move {
                    serve_one(stream, door, above).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "A connection to the registry could not be accepted.");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_one(stream: TcpStream, door: Arc<Door>, above: Arc<dyn Above>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let (door, above) = (Arc::clone(&door), Arc::clone(&above));
        async move { Ok::<_, Infallible>(answer(&door, &*above, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "A connection of the engine to the registry broke.");
    }
}

async fn answer(door: &Door, above: &dyn Above, request: Request<Incoming>) -> Response<Body> {
    let guest = match door.admit(request.method(), request.uri().path(), request.headers()) {
        Ok(guest) => guest,
        Err(status) => return refused(status, "this is for the container engine of this machine"),
    };
    match pass(above, guest, request).await {
        Ok(answer) => answer,
        Err(reason) => refused(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

/// Each request has a tunnel of its own, which ends with the answer.
async fn pass(above: &dyn Above, guest: Guest, request: Request<Incoming>) -> Result<Response<Body>, String> {
    let tunnel = above.registry().await.map_err(|error| error.to_string())?;
    let made = hyper::client::conn::http1::handshake(TokioIo::new(tunnel)).await;
    let (mut sender, connection) = made.map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "A way to the registry broke.");
        }
    });
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(AUTHORIZATION);
    parts.headers.insert(HOST, HeaderValue::from_static(holm_model::image::OURS));
    parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let body = match guest {
        Guest::Project(_) => empty(),
        Guest::Build(token) => {
            let mut bearer =
                HeaderValue::try_from(format!("Bearer {}", token.0)).map_err(|error| error.to_string())?;
            bearer.set_sensitive(true);
            parts.headers.insert(AUTHORIZATION, bearer);
            body.boxed()
        }
    };
    let asked = Request::from_parts(parts, body);
    let mut answer = sender.send_request(asked).await.map_err(|error| error.to_string())?;
    answer.headers_mut().remove(CONNECTION);
    Ok(answer.map(|body| body.boxed()))
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// In the registry's own form.
fn refused(status: StatusCode, message: &str) -> Response<Body> {
    let code = if status == StatusCode::UNAUTHORIZED { "UNAUTHORIZED" } else { "UNAVAILABLE" };
    let body = serde_json::json!({ "errors": [{ "code": code, "message": message }] }).to_string();
    let mut answer = Response::new(Full::from(body).map_err(|never| match never {}).boxed());
    *answer.status_mut() = status;
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"holm\""));
    }
    answer
}

fn basic(text: &str) -> Option<String> {
    String::from_utf8(data_encoding::BASE64.decode(text.as_bytes()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(login: &RegistryLogin) -> HeaderMap {
        let pair = data_encoding::BASE64.encode(format!("{}:{}", login.user, login.password).as_bytes());
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::try_from(format!("Basic {pair}")).unwrap())])
    }

    #[test]
    fn a_project_reads_its_own_images_and_nothing_else() {
        let (door, _listener) = Door::open().unwrap();
        let red = door.login(&Name::new("red").unwrap());
        let ask = |method: Method, path: &str, login: &RegistryLogin| {
            door.admit(&method, path, &with(login)).map(drop)
        };
        assert_eq!(ask(Method::GET, "/v2/", &red), Ok(()));
        assert_eq!(ask(Method::HEAD, "/v2/red/web/manifests/1", &red), Ok(()));
        assert_eq!(ask(Method::GET, "/v2/redder/web/manifests/1", &red), Err(StatusCode::FORBIDDEN));
        assert_eq!(ask(Method::GET, "/v2/blue/web/manifests/1", &red), Err(StatusCode::FORBIDDEN));
        assert_eq!(ask(Method::PUT, "/v2/red/web/manifests/1", &red), Err(StatusCode::METHOD_NOT_ALLOWED));
        assert_eq!(ask(Method::GET, "/api/v1/nodes", &red), Err(StatusCode::NOT_FOUND));
        let forged = RegistryLogin { user: "blue".into(), ..red.clone() };
        assert_eq!(ask(Method::GET, "/v2/blue/web/manifests/1", &forged), Err(StatusCode::UNAUTHORIZED));
        assert_eq!(door.admit(&Method::GET, "/v2/", &HeaderMap::new()), Err(StatusCode::UNAUTHORIZED));
        let (other, _listener) = Door::open().unwrap();
        assert_ne!(other.login(&Name::new("red").unwrap()).password, red.password);
    }

    #[test]
    fn a_build_comes_in_as_long_as_it_lasts_and_only_its_token_goes_on() {
        let (door, _listener) = Door::open().unwrap();
        let (one, two) = (Secret("one".into()), Secret("two".into()));
        let (first, second) = (door.admit_build(&one), door.admit_build(&two));
        let ask = |pass: &RegistryLogin| door.admit(&Method::PUT, "/v2/red/web/manifests/1", &with(pass));
        assert_eq!(ask(&first.login), Ok(Guest::Build(one)));
        assert_eq!(ask(&second.login), Ok(Guest::Build(two)));
        assert_eq!(door.admit(&Method::PUT, "/metrics", &with(&first.login)), Err(StatusCode::NOT_FOUND));
        let login = first.login.clone();
        drop(first);
        assert_eq!(ask(&login), Err(StatusCode::UNAUTHORIZED));
        // Whoever knows how passwords of projects are made has none of a build by it.
        let named = RegistryLogin { password: door.password(BUILDER), ..login };
        assert_eq!(ask(&named), Err(StatusCode::UNAUTHORIZED));
    }
}
