//! Networks that answer in the orchestrator's place: log-in pages of guest networks, filters that
//! break TLS open, a wrong port.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::time::timeout;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificate::Claims;

/// Somebody answers who is no orchestrator of any sea. Passes by itself, or when somebody logs in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this network answers in the orchestrator's place: `{address}` {answer}; log in to the network with a browser, \
     have its filter let this address through unopened, or correct the port. Trying again"
)]
pub struct Captive {
    pub address: String,
    pub answer: Answer,
}

/// How it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// TLS with a certificate that belongs to no sea, for these names.
    Certificate(String),
    /// Plain HTTP.
    Http { status: u16, location: Option<String> },
}

/// For the look at what answers without TLS.
const LOOK: Duration = Duration::from_secs(3);
const MAX_HEAD: usize = 16 * 1024;
/// Characters of what strangers say of themselves.
const MAX_TEXT: usize = 120;

// === impl Answer ===

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(names) => write!(f, "shows a certificate of {names}"),
            Self::Http { status, location: None } => write!(f, "speaks plain HTTP (status {status})"),
            Self::Http { status, location: Some(location) } => {
                write!(f, "speaks plain HTTP (status {status}, to {location})")
            }
        }
    }
}

/// The names in a server's certificate when no certificate of its chain is of any sea.
pub(crate) fn strangers(chain: &[CertificateDer<'_>]) -> Option<String> {
    if chain.iter().any(|der| Claims::parse(der).is_ok()) {
        return None;
    }
    let leaf = chain.first().and_then(|der| X509Certificate::from_der(der).ok());
    let names = leaf.map(|(_, leaf)| names(&leaf)).unwrap_or_default();
    Some(if names.is_empty() { "somebody unknown".to_owned() } else { plain(&names.join(", ")) })
}

/// What answers at the other end of `tcp` when it is asked in plain HTTP; none when that is no HTTP.
pub(crate) async fn look(tcp: TcpStream, address: &str) -> Option<Answer> {
    timeout(LOOK, ask(tcp, address)).await.ok().flatten()
}

async fn ask(tcp: TcpStream, address: &str) -> Option<Answer> {
    let request = Request::get("/").header(header::HOST, address).body(Empty::<Bytes>::new()).ok()?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(tcp)).await.ok()?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    let response = tokio::select! {
        response = &mut answer => response,
        _ = connection => answer.await,
    };
    let response = response.ok()?;
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    Some(Answer::Http { status: response.status().as_u16(), location: location.map(plain) })
}

fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let alternative = leaf.subject_alternative_name().ok().flatten();
    let dns = alternative.iter().flat_map(|names| &names.value.general_names);
    let dns: Vec<_> = dns
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    if dns.is_empty() { vec![leaf.subject().to_string()] } else { dns }
}

/// Short, and without what could steer a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}
