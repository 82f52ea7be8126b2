//! Answers, and errors as the specification writes them.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::cache::CacheError;
use crate::gate::{Access, Refusal};
use crate::names::NameError;
use crate::path::PathError;
use crate::store::StoreError;
use crate::upstream::UpstreamError;

pub(super) type Result<T> = std::result::Result<T, Problem>;

/// Why a request was not done.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    detail: Option<Value>,
    headers: Vec<(HeaderName, String)>,
}

pub(super) const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// An answer without a body.
pub(super) fn empty<const N: usize>(status: StatusCode, headers: [(HeaderName, String); N]) -> Response {
    with(status, headers, Body::empty())
}

pub(super) fn with<const N: usize>(
    status: StatusCode,
    headers: [(HeaderName, String); N],
    body: Body,
) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(VERSION, HeaderValue::from_static("registry/2.0"));
    insert(&mut response, headers);
    response
}

fn insert(response: &mut Response, headers: impl IntoIterator<Item = (HeaderName, String)>) {
    for (name, value) in headers {
        // All of them are made of parsed names and numbers.
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
}

pub(super) fn json(status: StatusCode, value: &Value) -> Response {
    with(status, [(CONTENT_TYPE, "application/json".to_owned())], Body::from(value.to_string()))
}

// === impl Problem ===

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), detail: None, headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "there is no such operation here")
    }

    pub(super) fn cache() -> Self {
        let message = "this registry is a cache of the root's: push and delete there";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
    }

    pub(super) fn upload_unknown() -> Self {
        let message = "there is no such upload; it ended, was given up, or idled too long: begin again";
        Self::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", message)
    }

    pub(super) fn upload_invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message)
    }

    pub(super) fn manifest_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "the repository has no such manifest")
    }

    pub(super) fn reference(error: NameError) -> Self {
        let code = if matches!(error, NameError::Digest(_)) { "DIGEST_INVALID" } else { "TAG_INVALID" };
        Self::new(StatusCode::BAD_REQUEST, code, error.to_string())
    }

    pub(super) fn digest(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    }

    pub(super) fn refused(refusal: Refusal, access: Option<&Access>) -> Self {
        match refusal {
            Refusal::Unauthorized(challenge) => {
                let message =
                    "log in to the registry with your user and password, or with a token as the password";
                Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
                    .with(WWW_AUTHENTICATE, challenge.header(access))
            }
            Refusal::Denied(why) => Self::new(StatusCode::FORBIDDEN, "DENIED", why),
            Refusal::TooMany(why) => Self::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", why)
                .with(RETRY_AFTER, "5".to_owned()),
            Refusal::Unavailable(why) => Self::unavailable(why),
        }
    }

    pub(super) fn unavailable(why: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", why).with(RETRY_AFTER, "5".to_owned())
    }

    pub(super) fn into_response(self) -> Response {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(detail) = self.detail {
            error["detail"] = detail;
        }
        let mut response = json(self.status, &json!({ "errors": [error] }));
        insert(&mut response, self.headers);
        response
    }
}

impl From<PathError> for Problem {
    fn from(error: PathError) -> Self {
        let message = error.to_string();
        match error {
            PathError::Unknown => Self::new(StatusCode::NOT_FOUND, "UNSUPPORTED", message),
            PathError::Name(_) => Self::new(StatusCode::BAD_REQUEST, "NAME_INVALID", message),
            PathError::Digest(_) => Self::digest(message),
        }
    }
}

impl From<CacheError> for Problem {
    fn from(error: CacheError) -> Self {
        let message = error.to_string();
        match error {
            CacheError::Store(error) => Self::from(&*error),
            CacheError::Upstream(UpstreamError::Unknown) => {
                Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message)
            }
            CacheError::Upstream(UpstreamError::Refused(_)) => {
                Self::new(StatusCode::FORBIDDEN, "DENIED", message)
            }
            CacheError::Upstream(UpstreamError::Away(_)) => Self::unavailable(message),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        use StoreError as E;
        let (status, code) = match error {
            E::BlobUnknown(_) => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            E::ManifestUnknown(_) => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            E::NameUnknown(_) => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
            E::Missing(_) => (StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN"),
            E::Size { .. } => (StatusCode::BAD_REQUEST, "SIZE_INVALID"),
            E::Manifest(_) => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
            E::Digest { .. } => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
            E::Needed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "DENIED"),
            E::Quota { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "DENIED"),
            E::Full { .. } => (StatusCode::INSUFFICIENT_STORAGE, "DISK_FULL"),
            E::Disk { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        };
        let detail = match error {
            E::Missing(digests) => Some(json!(digests.iter().map(ToString::to_string).collect::<Vec<_>>())),
            _ => None,
        };
        if let E::Disk { dir, source } = error {
            tracing::error!(dir = %dir.display(), error = %source, "the registry's disk refuses");
        }
        Self { detail, ..Self::new(status, code, error.to_string()) }
    }
}
