//! `CONNECT` (RFC 9110, 9.3.6): a way through a proxy to one address.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Proxy;
use crate::reach;

/// There is no way through the proxy. Each says what an operator can do.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("the proxy `{proxy}` cannot be resolved; check its name and DNS")]
    Resolve { proxy: String, source: io::Error },
    #[error("the proxy `{proxy}` cannot be reached; check its address, and whether it runs")]
    Unreachable { proxy: String, source: io::Error },
    #[error("the proxy `{proxy}` wants credentials (407); give them in a file with --proxy-credentials-file")]
    CredentialsMissing { proxy: String },
    #[error(
        "the proxy `{proxy}` refuses the credentials ({status}); correct those in the proxy's URL or in \
         --proxy-credentials-file"
    )]
    CredentialsWrong { proxy: String, status: u16 },
    #[error(
        "the proxy `{proxy}` forbids CONNECT to `{address}` (403); have that address and port \
         allowed there, or let the orchestrator listen on port 443"
    )]
    Forbidden { proxy: String, address: String },
    #[error(
        "the proxy `{proxy}` cannot reach `{address}` ({status}); check from there the address, its \
         firewall, and whether the orchestrator runs"
    )]
    Beyond { proxy: String, address: String, status: u16 },
    #[error("the proxy `{proxy}` answers CONNECT with {status}; is it an HTTP proxy that allows CONNECT?")]
    Refused { proxy: String, status: u16 },
    #[error("`{proxy}` does not answer as an HTTP proxy does; check its address and port")]
    Protocol { proxy: String, source: hyper::Error },
    #[error("`{proxy}` said something before the orchestrator could; it is no transparent HTTP proxy")]
    Chatter { proxy: String },
    #[error("the proxy `{proxy}` did not answer within {limit:?}; trying again")]
    Late { proxy: String, limit: Duration },
    #[error("`{address}` is not `host:port`; correct the orchestrator's address")]
    Address { address: String },
}

/// Bytes of the proxy's answer at most, without its body, of which nothing is read.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// A TCP connection by `proxy` to `address` (`host:port`), each step within `limit`.
pub(crate) async fn connect(proxy: &Proxy, address: &str, limit: Duration) -> Result<TcpStream, ProxyError> {
    let name = || proxy.address().to_owned();
    let tcp = reach::direct(proxy.address(), limit).await.map_err(|error| match error {
        reach::DirectError::Resolve(source) => ProxyError::Resolve { proxy: name(), source },
        reach::DirectError::Unreachable(source) => ProxyError::Unreachable { proxy: name(), source },
    })?;
    match timeout(limit, ask(proxy, address, tcp)).await {
        Ok(answered) => answered,
        Err(_) => Err(ProxyError::Late { proxy: name(), limit }),
    }
}

async fn ask(proxy: &Proxy, address: &str, tcp: TcpStream) -> Result<TcpStream, ProxyError> {
    let protocol = |source| ProxyError::Protocol { proxy: proxy.address().to_owned(), source };
    let request = request(proxy, address)?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let (mut sender, connection) = builder.handshake(TokioIo::new(tcp)).await.map_err(protocol)?;
    let mut connection = std::pin::pin!(connection.with_upgrades());
    let mut answer = std::pin::pin!(async {
        let response = sender.send_request(request).await.map_err(protocol)?;
        judge(proxy, address, &response)?;
        hyper::upgrade::on(response).await.map_err(protocol)
    });
    let upgraded = tokio::select! {
        answer = &mut answer => answer,
        // The connection ends when it is handed over, or broken; the answer tells which.
        _ = &mut connection => answer.await,
    }?;
    plain(proxy, upgraded)
}

fn request(proxy: &Proxy, address: &str) -> Result<Request<Empty<Bytes>>, ProxyError> {
    let mut request = Request::connect(address).header(header::HOST, address);
    if let Some(authorization) = &proxy.authorization {
        request = request.header(header::PROXY_AUTHORIZATION, authorization);
    }
    let request = request.body(Empty::new());
    request.map_err(|_| ProxyError::Address { address: address.to_owned() })
}

fn judge(proxy: &Proxy, address: &str, response: &Response<Incoming>) -> Result<(), ProxyError> {
    let (status, proxy_name, address) = (response.status(), proxy.address().to_owned(), address.to_owned());
    Err(match status {
        status if status.is_success() => return Ok(()),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED if proxy.authorization.is_none() => {
            ProxyError::CredentialsMissing { proxy: proxy_name }
        }
        // tinyproxy says 401 to credentials that are wrong.
        StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAUTHORIZED => {
            ProxyError::CredentialsWrong { proxy: proxy_name, status: status.as_u16() }
        }
        StatusCode::FORBIDDEN => ProxyError::Forbidden { proxy: proxy_name, address },
        status if status.is_server_error() => {
            ProxyError::Beyond { proxy: proxy_name, address, status: status.as_u16() }
        }
        status => ProxyError::Refused { proxy: proxy_name, status: status.as_u16() },
    })
}

/// The connection itself, on which nothing was said yet: TLS clients speak first.
fn plain(proxy: &Proxy, upgraded: Upgraded) -> Result<TcpStream, ProxyError> {
    let chatter = || ProxyError::Chatter { proxy: proxy.address().to_owned() };
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().map_err(|_| chatter())?;
    if parts.read_buf.is_empty() { Ok(parts.io.into_inner()) } else { Err(chatter()) }
}
