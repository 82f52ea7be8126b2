//! Reading, putting and removing manifests.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::answer::{DIGEST, Problem, Result, empty, with};
use super::{Registry, blocking, header, place};
use crate::gate::Change;
use crate::names::{Name, Reference};
use crate::store::Found;

pub(super) async fn head(registry: &Registry, name: &Name, reference: &Reference) -> Result<Response> {
    Ok(found(&find(registry, name, reference).await?, Body::empty()))
}

pub(super) async fn get(registry: &Registry, name: &Name, reference: &Reference) -> Result<Response> {
    let known = find(registry, name, reference).await?;
    let (store, digest) = (Arc::clone(&registry.store), known.digest);
    let bytes = blocking(move || store.manifest_bytes(&digest)).await?;
    Ok(found(&known, Body::from(bytes)))
}

async fn find(registry: &Registry, name: &Name, reference: &Reference) -> Result<Found> {
    match &registry.cache {
        Some(cache) => Ok(cache.manifest(name, reference).await?),
        None => Ok(registry.store.manifest(name, reference)?),
    }
}

pub(super) async fn put(
    registry: &Registry,
    parts: &Parts,
    body: Body,
    repository: Name,
    reference: Reference,
) -> Result<Response> {
    let limit = registry.store.limits().manifest;
    let bytes = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let message = format!("a manifest has at most {limit} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
        } else {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "MANIFEST_INVALID",
                format!("it did not come whole: {error}"),
            )
        }
    });
    let bytes = bytes?.to_bytes();
    let quota = registry.gate.quota(&repository.project()).await;
    let content_type = header(&parts.headers, CONTENT_TYPE).map(str::to_owned);
    let (store, name, wanted) = (Arc::clone(&registry.store), repository.clone(), reference.clone());
    // The work goes on though the client leaves: what it did is told.
    let added =
        blocking(move || store.add_manifest(&name, &bytes, content_type.as_deref(), &wanted, quota)).await?;
    let tags = match &reference {
        Reference::Tag(tag) => vec![tag.clone()],
        Reference::Digest(_) => Vec::new(),
    };
    let location = place(&repository, &format!("manifests/{reference}"));
    let digest = added.digest;
    registry.gate.changed(parts, &Change::Pushed { repository, digest, tags });
    let mut answer = empty(StatusCode::CREATED, [(LOCATION, location), (DIGEST, digest.to_string())]);
    if let Some(subject) = added.manifest.subject
        && let Ok(subject) = HeaderValue::try_from(subject.to_string())
    {
        answer.headers_mut().insert(SUBJECT, subject);
    }
    Ok(answer)
}

pub(super) async fn delete(
    registry: &Registry,
    parts: &Parts,
    repository: Name,
    reference: Reference,
) -> Result<Response> {
    let (store, name, gone) = (Arc::clone(&registry.store), repository.clone(), reference.clone());
    blocking(move || store.delete_manifest(&name, &gone)).await?;
    registry.gate.changed(parts, &Change::Deleted { repository, reference });
    Ok(empty(StatusCode::ACCEPTED, []))
}

fn found(found: &Found, body: Body) -> Response {
    let headers = [
        (CONTENT_LENGTH, found.size.to_string()),
        (CONTENT_TYPE, found.manifest.media_type.as_str().to_owned()),
        (DIGEST, found.digest.to_string()),
        (ETAG, format!("\"{}\"", found.digest)),
    ];
    with(StatusCode::OK, headers, body)
}

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
