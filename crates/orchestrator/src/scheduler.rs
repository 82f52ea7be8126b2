//! Schedulers of people's own: one `POST` for each question, within bounds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holm_core::orchestrator::{ConsultId, Event, QUESTIONS_AT_ONCE};
use holm_model::id::MemberId;
use holm_model::name::Name;
use holm_model::view::scheduler::{ConsultView, CounselView};
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use crate::describe::describe;
use crate::handle::Inputs;

/// Where a scheduler is: by TLS, or on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

/// The text names no place where a scheduler may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("`{0}` is no URL: write it as in `https://scheduler.example:8080/rank`")]
    Url(String),
    #[error(
        "`{0}` has neither `https://` nor a loopback address: what is asked must not be changed on the way"
    )]
    Plain(String),
}

/// The certificates by which schedulers are known cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("the certificates of schedulers cannot be read from {path}")]
    Read { path: String, source: rustls::pki_types::pem::Error },
    #[error(
        "{0} holds no certificate; `--scheduler-ca` names the PEM file of the CA that signed the scheduler's"
    )]
    None(String),
    #[error(
        "a scheduler with `https://` needs `--scheduler-ca`, the PEM file of the CA that signed its certificate"
    )]
    Missing,
}

/// What an orchestrator is told of schedulers.
#[derive(Clone, Debug)]
pub struct Schedulers {
    pub endpoints: BTreeMap<Name, Endpoint>,
    /// PEM; needed for `https`.
    pub ca: Option<std::path::PathBuf>,
    /// For one question, all included.
    pub timeout: Duration,
    /// Without an answer nobody is taken, instead of whom the built-in strategy takes.
    pub required: bool,
}

/// Asks.
#[derive(Debug)]
pub(crate) struct Consultants {
    endpoints: BTreeMap<Name, Endpoint>,
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
    /// One that hangs keeps the others waiting for nothing.
    permits: BTreeMap<Name, Arc<Semaphore>>,
    inputs: Inputs,
}

/// There is no answer, or none of use.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("it cannot be reached at {0}")]
    Connect(String, #[source] std::io::Error),
    #[error("the connection broke")]
    Http(#[from] hyper::Error),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("its answer has more than {MOST_BYTES} bytes, or broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("its answer is not `{{\"ranking\": [ids]}}`")]
    Json(#[from] serde_json::Error),
    #[error("its answer holds `{0}`, which is no id of a member")]
    Id(String),
    #[error("it gave no answer within {0:?}")]
    Late(Duration),
}

/// Of an answer: 500 ids have less than a tenth.
const MOST_BYTES: usize = 256 * 1024;
/// How long a scheduler is given if nobody says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(2);

// === impl Endpoint ===

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let wrong = || EndpointError::Url(text.chars().take(100).collect());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_loopback(&host) => false,
            Some("http") => return Err(EndpointError::Plain(text.chars().take(100).collect())),
            _ => return Err(wrong()),
        };
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { uri, host, port, tls })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

// === impl Schedulers ===

impl Default for Schedulers {
    fn default() -> Self {
        Self { endpoints: BTreeMap::new(), ca: None, timeout: TIMEOUT, required: false }
    }
}

impl Schedulers {
    /// # Errors
    /// When one is called by TLS and nobody says by which CA it is known.
    pub(crate) fn tls(&self) -> Result<Option<Arc<ClientConfig>>, TrustError> {
        match &self.ca {
            Some(path) => Ok(Some(trusting(path)?)),
            None if self.endpoints.values().any(|endpoint| endpoint.tls) => Err(TrustError::Missing),
            None => Ok(None),
        }
    }
}

fn trusting(path: &Path) -> Result<Arc<ClientConfig>, TrustError> {
    let place = path.display().to_string();
    let read = |source| TrustError::Read { path: place.clone(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(read)? {
        // One that cannot be used trusts nobody.
        let _ = roots.add(certificate.map_err(read)?);
    }
    if roots.is_empty() {
        return Err(TrustError::None(place));
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}

// === impl Consultants ===

/// Of one scheduler: as many as the machine asks at once.
fn permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(QUESTIONS_AT_ONCE))
}

impl Consultants {
    pub(crate) fn new(schedulers: &Schedulers, tls: Option<Arc<ClientConfig>>, inputs: Inputs) -> Self {
        Self {
            endpoints: schedulers.endpoints.clone(),
            tls,
            timeout: schedulers.timeout,
            permits: schedulers.endpoints.keys().cloned().map(|name| (name, permits())).collect(),
            inputs,
        }
    }

    /// Asks in a task of its own; the answer comes as an event.
    pub(crate) fn consult(self: &Arc<Self>, id: ConsultId, scheduler: &Name, question: Box<ConsultView>) {
        let Some(endpoint) = self.endpoints.get(scheduler).cloned() else { return };
        let Some(permits) = self.permits.get(scheduler).cloned() else { return };
        let consultants = Arc::clone(self);
        tokio::spawn(async move {
            // It is never closed.
            let _permit = permits.acquire().await.ok();
            let asked =
                tokio::time::timeout(consultants.timeout, consultants.ask(&endpoint, &question)).await;
            let answer = asked.unwrap_or(Err(AskError::Late(consultants.timeout)));
            let answer = answer.map_err(|error| describe(&error));
            // Without the owner nobody wants to know.
            consultants.inputs.event(Event::Consulted { id, answer }).await;
        });
    }

    async fn ask(&self, endpoint: &Endpoint, question: &ConsultView) -> Result<Vec<MemberId>, AskError> {
        let place = format!("{}:{}", endpoint.host, endpoint.port);
        let unreachable = |error| AskError::Connect(place.clone(), error);
        let stream = TcpStream::connect((&*endpoint.host, endpoint.port)).await.map_err(unreachable)?;
        let body = Bytes::from(serde_json::to_vec(question)?);
        let bytes = match &self.tls {
            Some(tls) if endpoint.tls => {
                let name = ServerName::try_from(endpoint.host.clone());
                let name = name.map_err(|error| unreachable(std::io::Error::other(error)))?;
                exchange(
                    TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(unreachable)?,
                    endpoint,
                    body,
                )
                .await?
            }
            _ => exchange(stream, endpoint, body).await?,
        };
        let CounselView { ranking } = serde_json::from_slice(&bytes)?;
        let id = |text: String| text.parse().map_err(|_| AskError::Id(text.chars().take(50).collect()));
        ranking.into_iter().map(id).collect()
    }
}

async fn exchange<IO>(stream: IO, endpoint: &Endpoint, body: Bytes) -> Result<Bytes, AskError>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender.
    tokio::spawn(connection);
    let path = endpoint.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    // Both were part of a URL that was read at the start.
    *request.uri_mut() = path.parse().unwrap_or_default();
    if let Some(authority) = endpoint.uri.authority().and_then(|a| a.as_str().parse().ok()) {
        request.headers_mut().insert(header::HOST, authority);
    }
    let json = header::HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, json);
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(AskError::Status(response.status()));
    }
    let body = Limited::new(response.into_body(), MOST_BYTES).collect().await.map_err(AskError::Body)?;
    Ok(body.to_bytes())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::owner::{Input, Queued};

    #[test]
    fn a_scheduler_is_called_by_tls_or_on_this_machine() {
        for fine in
            ["https://a.example/rank", "http://127.0.0.1:81", "http://localhost:8080/x", "http://[::1]:1/"]
        {
            fine.parse::<Endpoint>().unwrap();
        }
        for wrong in ["http://a.example/rank", "http://10.0.0.1", "ftp://127.0.0.1", "rank", ""] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
        let far = Schedulers {
            endpoints: BTreeMap::from([(Name::new("x").unwrap(), "https://a.example".parse().unwrap())]),
            ..Schedulers::default()
        };
        assert!(matches!(far.tls(), Err(TrustError::Missing)));
        assert!(Schedulers::default().tls().unwrap().is_none());
    }

    /// Where a scheduler is that gives each question the same answer, or none.
    async fn answering(answer: &'static str) -> Endpoint {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/rank", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut unanswered = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 4096];
                let read = stream.read(&mut head).await.unwrap();
                assert!(head[..read].starts_with(b"POST /rank HTTP/1.1\r\n"));
                if answer.is_empty() {
                    unanswered.push(stream);
                    continue;
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
                // A body without a length ends with its connection.
                drop(stream);
            }
        });
        url.parse().unwrap()
    }

    async fn consultants(
        answers: &[(&str, &'static str)],
    ) -> (Arc<Consultants>, tokio::sync::mpsc::Receiver<Queued>) {
        let mut schedulers = Schedulers { timeout: Duration::from_millis(500), ..Schedulers::default() };
        for (name, answer) in answers {
            schedulers.endpoints.insert(Name::new(name).unwrap(), answering(answer).await);
        }
        let (inputs, heard) = tokio::sync::mpsc::channel(64);
        (Arc::new(Consultants::new(&schedulers, None, Inputs::new(inputs))), heard)
    }

    fn ask(consultants: &Arc<Consultants>, id: u64, scheduler: &str) {
        let question = ConsultView {
            orchestrator: "vienna".to_owned(),
            project: "default".to_owned(),
            application: "shop".to_owned(),
            service: "web".to_owned(),
            slot: "0".to_owned(),
            runtime: "process".to_owned(),
            cpu_millis: 1,
            memory: 1,
            candidates: Vec::new(),
        };
        consultants.consult(ConsultId(id), &Name::new(scheduler).unwrap(), Box::new(question));
    }

    async fn next(heard: &mut tokio::sync::mpsc::Receiver<Queued>) -> (u64, Result<Vec<MemberId>, String>) {
        match heard.recv().await.unwrap().input {
            Input::Event(Event::Consulted { id: ConsultId(id), answer }) => (id, answer),
            other => panic!("{other:?}"),
        }
    }

    async fn asked(answer: &'static str) -> Result<Vec<MemberId>, String> {
        let (consultants, mut heard) = consultants(&[("green", answer)]).await;
        ask(&consultants, 7, "green");
        next(&mut heard).await.1
    }

    #[tokio::test]
    async fn one_that_hangs_costs_the_others_nothing_and_who_waits_for_it_no_time() {
        let fine = "HTTP/1.1 200 OK\r\n\r\n{\"ranking\":[\"1-0123456789ab-2\"]}";
        let (consultants, mut heard) = consultants(&[("green", fine), ("hangs", "")]).await;
        let many = u64::try_from(2 * QUESTIONS_AT_ONCE).unwrap();
        (0..many).for_each(|id| ask(&consultants, id, "hangs"));
        let begun = tokio::time::Instant::now();
        ask(&consultants, many, "green");
        let (first, answer) = next(&mut heard).await;
        assert!(first == many && answer.is_ok(), "{first}: {answer:?}");
        for _ in 0..many {
            assert!(next(&mut heard).await.1.is_err());
        }
        // The second half had its whole time, too.
        assert!(begun.elapsed() >= Duration::from_millis(900));
    }

    #[tokio::test]
    async fn an_answer_is_a_ranking_or_a_reason() {
        let id = "1-0123456789ab-2";
        let ranking = asked("HTTP/1.1 200 OK\r\n\r\n{\"ranking\":[\"1-0123456789ab-2\"]}").await.unwrap();
        assert_eq!(ranking, [id.parse().unwrap()]);
        for (answer, reason) in [
            ("HTTP/1.1 500 Oh\r\n\r\n", "it answers 500"),
            ("HTTP/1.1 200 OK\r\n\r\n[1]", "its answer is not"),
            ("HTTP/1.1 200 OK\r\n\r\n{\"ranking\":[\"me\"]}", "no id of a member"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "broke off"),
            ("nonsense\r\n\r\n", "the connection broke"),
            ("", "it gave no answer within 500ms"),
        ] {
            let told = asked(answer).await.unwrap_err();
            assert!(told.contains(reason), "{answer:?}: {told}");
        }
        let endless: &str =
            Box::leak(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(MOST_BYTES + 1)).into_boxed_str());
        assert!(asked(endless).await.unwrap_err().contains("more than 262144 bytes"));
    }
}
