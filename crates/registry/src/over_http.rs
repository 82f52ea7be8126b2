//! A registry above, asked over HTTP/1.1 through whatever way there is to it.

use std::io;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, RANGE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyDataStream, BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::digest::Digest;
use crate::names::{Name, Reference};
use crate::upstream::{FetchedBlob, FetchedManifest, Upstream, UpstreamError};

/// Bytes both ways.
pub trait Way: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Way for T {}

/// Opens ways to the registry above; each is for one request.
pub trait Dial: Send + Sync + 'static {
    /// A new one; the error is for people.
    fn dial(&self) -> BoxFuture<'_, Result<Box<dyn Way>, String>>;
}

/// The registry at the other end.
#[derive(Debug)]
pub struct OverHttp<D> {
    dial: D,
}

// === impl OverHttp ===

impl<D: Dial> OverHttp<D> {
    /// Whoever answers there needs no log-in from us: the way itself says who we are.
    pub fn new(dial: D) -> Self {
        Self { dial }
    }

    async fn get(
        &self,
        path: &str,
        headers: &[(http::HeaderName, String)],
    ) -> Result<Response<Incoming>, UpstreamError> {
        let away = |error: &dyn std::fmt::Display| UpstreamError::Away(error.to_string());
        let way = self.dial.dial().await.map_err(|error| away(&error))?;
        let made = hyper::client::conn::http1::handshake(TokioIo::new(way)).await;
        let (mut sender, connection) = made.map_err(|error| away(&error))?;
        tokio::spawn(async move {
            // Whoever reads the body hears of it.
            let _ = connection.await;
        });
        let mut request = Request::get(path).header(HOST, "registry").header(CONNECTION, "close");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| away(&error))?;
        let answer = sender.send_request(request).await.map_err(|error| away(&error))?;
        match answer.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(answer),
            StatusCode::NOT_FOUND => Err(UpstreamError::Unknown),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(away(&format_args!("it answers {status}")))
            }
            status => Err(UpstreamError::Refused(why(status, answer).await)),
        }
    }
}

/// In its own words, if there are any.
async fn why(status: StatusCode, answer: Response<Incoming>) -> String {
    let said = Limited::new(answer.into_body(), WORDS).collect().await;
    let said = said.ok().and_then(|said| serde_json::from_slice::<serde_json::Value>(&said.to_bytes()).ok());
    let message = said.as_ref().and_then(|said| said["errors"][0]["message"].as_str());
    message.map_or_else(|| status.to_string(), str::to_owned)
}

impl<D: Dial> Upstream for OverHttp<D> {
    fn manifest<'a>(
        &'a self,
        name: &'a Name,
        reference: &'a Reference,
        most: usize,
    ) -> BoxFuture<'a, Result<FetchedManifest, UpstreamError>> {
        async move {
            let headers = [(ACCEPT, "*/*".to_owned())];
            let answer = self.get(&format!("/v2/{name}/manifests/{reference}"), &headers).await?;
            let kind = text(answer.headers(), CONTENT_TYPE).map(str::to_owned);
            let body = Limited::new(answer.into_body(), most).collect().await;
            let bytes = body.map_err(|error| UpstreamError::Away(error.to_string()))?.to_bytes();
            Ok(FetchedManifest { kind, bytes })
        }
        .boxed()
    }

    fn blob<'a>(
        &'a self,
        name: &'a Name,
        digest: &'a Digest,
        from: u64,
    ) -> BoxFuture<'a, Result<FetchedBlob, UpstreamError>> {
        async move {
            let range = (from > 0).then(|| (RANGE, format!("bytes={from}-")));
            let headers: Vec<_> = range.into_iter().collect();
            let answer = self.get(&format!("/v2/{name}/blobs/{digest}"), &headers).await?;
            let size = match answer.status() {
                StatusCode::PARTIAL_CONTENT => {
                    let range = text(answer.headers(), CONTENT_RANGE).unwrap_or_default();
                    let begins = range.starts_with(&format!("bytes {from}-"));
                    range.rsplit_once('/').filter(|_| begins).and_then(|(_, size)| size.parse().ok())
                }
                _ if from == 0 => text(answer.headers(), CONTENT_LENGTH).and_then(|size| size.parse().ok()),
                _ => None,
            };
            let size = size.ok_or_else(|| UpstreamError::Away("its answer has no size".to_owned()))?;
            let bytes = BodyDataStream::new(answer.into_body()).map_err(io::Error::other).boxed();
            Ok(FetchedBlob { size, bytes })
        }
        .boxed()
    }
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Bytes of an error that are read.
const WORDS: usize = 64 * 1024;
