//! Reading and removing blobs.

use std::io::{Seek as _, SeekFrom};
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use http::request::Parts;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::answer::{DIGEST, Problem, Result, empty, with};
use super::{Registry, blocking, header};
use crate::digest::Digest;
use crate::gate::Change;
use crate::names::Name;
use crate::range::Range;
use crate::store::StoreError;

pub(super) async fn head(registry: &Registry, name: &Name, digest: &Digest) -> Result<Response> {
    let size = match (registry.store.blob(name, digest), &registry.cache) {
        (Some(size), _) => size,
        (None, Some(cache)) => cache.size(name, digest).await?,
        (None, None) => return Err(StoreError::BlobUnknown(*digest).into()),
    };
    // Whoever asks this leaves out sending it.
    registry.store.counted_on(name, digest);
    Ok(found(StatusCode::OK, digest, size, Body::empty()))
}

pub(super) async fn get(
    registry: &Registry,
    parts: &Parts,
    name: &Name,
    digest: &Digest,
) -> Result<Response> {
    let coming = match (registry.store.blob(name, digest), &registry.cache) {
        (None, Some(cache)) => cache.blob(name, digest).await?,
        _ => None,
    };
    let size = coming.as_ref().map(|coming| coming.size).or_else(|| registry.store.blob(name, digest));
    let size = size.ok_or(StoreError::BlobUnknown(*digest))?;
    let (status, first, last) = match Range::read(header(&parts.headers, RANGE), size) {
        Range::Whole => (StatusCode::OK, 0, size.saturating_sub(1)),
        Range::Part(first, last) => (StatusCode::PARTIAL_CONTENT, first, last),
        Range::Outside => {
            let message = format!("the blob has {size} bytes");
            return Err(Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", message)
                .with(CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    let length = if size == 0 { 0 } else { last - first + 1 };
    let body = match coming {
        Some(coming) => Body::from_stream(coming.bytes(first, last)),
        None => kept(registry, digest, first, length).await?,
    };
    let mut response = found(status, digest, length, body);
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(range) = format!("bytes {first}-{last}/{size}").try_into()
    {
        response.headers_mut().insert(CONTENT_RANGE, range);
    }
    Ok(response)
}

async fn kept(registry: &Registry, digest: &Digest, first: u64, length: u64) -> Result<Body> {
    let (store, wanted) = (Arc::clone(&registry.store), *digest);
    let file = blocking(move || {
        let (mut file, _) = store.open_content(&wanted)?;
        file.seek(SeekFrom::Start(first)).map_err(|error| store.failed(error))?;
        Ok::<_, StoreError>(file)
    });
    let file = tokio::fs::File::from_std(file.await?);
    Ok(Body::from_stream(ReaderStream::with_capacity(file.take(length), PIECE)))
}

fn found(status: StatusCode, digest: &Digest, length: u64, body: Body) -> Response {
    let headers = [
        (CONTENT_LENGTH, length.to_string()),
        (CONTENT_TYPE, OCTETS.to_owned()),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (DIGEST, digest.to_string()),
        (ETAG, format!("\"{digest}\"")),
    ];
    with(status, headers, body)
}

pub(super) async fn delete(
    registry: &Registry,
    parts: &Parts,
    repository: Name,
    digest: Digest,
) -> Result<Response> {
    let (store, name) = (Arc::clone(&registry.store), repository.clone());
    blocking(move || store.delete_blob(&name, &digest)).await?;
    registry.gate.changed(parts, &Change::DeletedBlob { repository, digest });
    Ok(empty(StatusCode::ACCEPTED, []))
}

const OCTETS: &str = "application/octet-stream";
/// Read at once.
const PIECE: usize = 64 * 1024;
