//! What handlers take from a request; what does not fit is a problem, like any other refusal.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::MAX_BODY;
use crate::problem::{Fault, Kind};

/// For a body, which has [`MAX_BODY`] bytes at most: a slow line takes a tenth.
const BODY_TIME: Duration = Duration::from_secs(20);

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

/// The fields of the query.
pub(crate) struct Query<T>(pub(crate) T);

/// The segments of the path that have names.
pub(crate) struct Path<T>(pub(crate) T);

/// A body as bytes, bounded.
pub(crate) struct Body(pub(crate) Bytes);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        if media_type(request.headers()) != Some("application/json") {
            return Err(Fault::new(Kind::MediaType, "the body must be `Content-Type: application/json`"));
        }
        let Body(bytes) = Body::from_request(request, state).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let kind = if error.is_data() { Kind::Invalid } else { Kind::BadRequest };
            Fault::new(kind, format_args!("the body does not fit: {error}"))
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        whole(Bytes::from_request(request, state)).await?.map(Self).map_err(|error| too_large(&error))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Fault> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|query| Self(query.0)).map_err(|error| {
            Fault::new(Kind::BadRequest, format_args!("the query does not fit: {}", error.body_text()))
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|error| Fault::new(Kind::NotFound, error.body_text()))
    }
}

/// A request's body, which has to come in time: whoever sends a byte now and then holds nothing.
pub(crate) async fn whole<T>(body: impl Future<Output = T>) -> Result<T, Fault> {
    let late =
        |_| Fault::new(Kind::Slow, format_args!("the body did not come within {} s", BODY_TIME.as_secs()));
    timeout(BODY_TIME, body).await.map_err(late)
}

/// The value of a filter that has a fixed vocabulary. A word that nothing can match is a typing error,
/// and an empty list would hide it.
pub(crate) fn one_of(filter: &str, value: Option<&str>, words: &[&str]) -> Result<(), Fault> {
    match value {
        Some(value) if !words.contains(&value) => {
            let (value, words): (String, _) = (value.chars().take(100).collect(), words.join("`, `"));
            Err(Fault::new(Kind::BadRequest, format_args!("`{filter}` is one of `{words}`, not `{value}`")))
        }
        _ => Ok(()),
    }
}

/// The media type of a body, without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim())
}

fn too_large(error: &BytesRejection) -> Fault {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let limit = MAX_BODY;
        return Fault::new(Kind::TooLarge, format_args!("a body has {limit} bytes at most"));
    }
    Fault::new(Kind::BadRequest, "the body was cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let fault = whole(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(fault.kind(), Kind::Slow);
        assert!(whole(std::future::ready(())).await.is_ok());
    }
}
