//! Pushing blobs: at once, in pieces, or by taking them over from another repository.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::request::Parts;
use http::{HeaderName, StatusCode};
use serde::Deserialize;

use super::answer::{DIGEST, Problem, Result, empty};
use super::lists::query;
use super::{Registry, blocking, header, joined, place};
use crate::content::Draft;
use crate::digest::Digest;
use crate::gate::{Access, Action};
use crate::names::{Name, UploadId};
use crate::store::StoreError;
use crate::uploads::{Data, Turn, Upload};

#[derive(Deserialize)]
struct Begin {
    mount: Option<String>,
    from: Option<String>,
    digest: Option<String>,
}

#[derive(Deserialize)]
struct Finish {
    digest: Option<String>,
}

/// One that is open.
#[derive(Clone)]
pub(super) struct Open {
    id: UploadId,
    upload: Arc<Upload>,
}

pub(super) fn find(registry: &Registry, name: &Name, id: Option<UploadId>) -> Result<Open> {
    let upload = registry.uploads.get(name, id);
    let (id, upload) = id.zip(upload).ok_or_else(Problem::upload_unknown)?;
    Ok(Open { id, upload })
}

/// `POST …/blobs/uploads/`
pub(super) async fn begin(registry: &Registry, parts: Parts, body: Body, name: Name) -> Result<Response> {
    let asked: Begin = query(&parts)?;
    if let (Some(digest), Some(from)) = (&asked.mount, &asked.from) {
        let digest = Digest::parse(digest).map_err(|error| Problem::digest(error.to_string()))?;
        if mount(registry, &parts, &name, from, digest).await? {
            return Ok(created(&name, &digest));
        }
    }
    let digest = asked.digest.as_deref().map(digest_of).transpose()?;
    let project = name.project();
    let (open, _) = registry.uploads.of(&project);
    if open >= registry.store.limits().uploads {
        let message = format!("the project {project} has {open} uploads open; end some of them, or wait");
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message));
    }
    registry.store.room(length(&parts).unwrap_or(0))?;
    let (uploads, repository) = (Arc::clone(&registry.uploads), name.clone());
    let begun = blocking(move || uploads.begin(repository)).await;
    let id = begun.map_err(|error| registry.store.failed(error))?;
    let open = find(registry, &name, Some(id))?;
    let Some(digest) = digest else { return Ok(status_as(StatusCode::ACCEPTED, &name, &open)) };
    let done = write(registry, &parts, body, &name, &open, Some(digest)).await;
    if done.is_err() {
        cancel(registry, open).await?;
    }
    done
}

/// `GET …/blobs/uploads/<id>`
pub(super) fn status(name: &Name, open: &Open) -> Response {
    status_as(StatusCode::NO_CONTENT, name, open)
}

/// `PATCH …/blobs/uploads/<id>`
pub(super) async fn append(
    registry: &Registry,
    parts: Parts,
    body: Body,
    name: Name,
    open: Open,
) -> Result<Response> {
    write(registry, &parts, body, &name, &open, None).await
}

/// `PUT …/blobs/uploads/<id>?digest=`
pub(super) async fn finish(
    registry: &Registry,
    parts: Parts,
    body: Body,
    name: Name,
    open: Open,
) -> Result<Response> {
    let asked: Finish = query(&parts)?;
    let digest = asked.digest.ok_or_else(|| Problem::digest("the end of an upload names its digest"))?;
    let digest = digest_of(&digest)?;
    write(registry, &parts, body, &name, &open, Some(digest)).await
}

/// `DELETE …/blobs/uploads/<id>`
pub(super) async fn cancel(registry: &Registry, open: Open) -> Result<Response> {
    let (uploads, turn) = (Arc::clone(&registry.uploads), open.upload.take().await);
    blocking(move || uploads.end(open.id, turn)).await;
    Ok(empty(StatusCode::NO_CONTENT, []))
}

/// Takes over what `from` shows, if the sender may see that.
async fn mount(registry: &Registry, parts: &Parts, name: &Name, from: &str, digest: Digest) -> Result<bool> {
    let Ok(from) = Name::parse(from) else { return Ok(false) };
    let access = Access { repository: from.clone(), action: Action::Pull };
    if registry.gate.admit(parts, Some(&access)).await.is_err() {
        return Ok(false);
    }
    let quota = registry.gate.quota(&name.project()).await;
    let (store, name) = (Arc::clone(&registry.store), name.clone());
    Ok(blocking(move || store.mount(&name, &from, &digest, quota)).await?)
}

/// Appends the body; with a digest, that was all. Goes on by itself when the client's connection ends, so that nothing is
/// lost of what came.
async fn write(
    registry: &Registry,
    parts: &Parts,
    body: Body,
    name: &Name,
    open: &Open,
    digest: Option<Digest>,
) -> Result<Response> {
    let from = header(&parts.headers, CONTENT_RANGE).map(start).transpose()?;
    let length = length(parts);
    let work =
        Work { registry: registry.clone(), name: name.clone(), open: open.clone(), from, length, digest };
    joined(tokio::spawn(work.run(body))).await
}

struct Work {
    registry: Registry,
    name: Name,
    open: Open,
    /// Where the client believes to go on.
    from: Option<u64>,
    /// Bytes that it announced.
    length: Option<u64>,
    digest: Option<Digest>,
}

// === impl Work ===

impl Work {
    async fn run(self, body: Body) -> Result<Response> {
        let mut turn = Arc::clone(&self.open.upload).take().await;
        let mut draft = self.take(&mut turn).await?;
        let at = draft.length();
        if self.from.is_some_and(|from| from != at) {
            *turn.data = Data::Open(draft);
            let message = format!("{at} bytes of this upload are here; go on after them");
            return Err(self.outside(message));
        }
        let quota = self.registry.gate.quota(&self.name.project()).await;
        let allowed = self.allowed(at, quota);
        let told = match self.length.filter(|length| *length > allowed.saturating_sub(at)) {
            Some(length) => Err(self.too_much(at.saturating_add(length), quota)),
            None => self.registry.store.room(self.length.unwrap_or(0)).map_err(Problem::from),
        };
        let written = match told {
            Ok(()) => {
                let (back, written) = self.append(draft, body, &turn, (allowed, quota)).await;
                draft = back;
                written
            }
            Err(problem) => Err(problem),
        };
        self.open.upload.touch(draft.length());
        let Some(digest) = self.digest.filter(|_| written.is_ok()) else {
            let (draft, synced) = blocking(move || {
                let synced = draft.sync();
                (draft, synced)
            })
            .await;
            *turn.data = Data::Open(draft);
            written?;
            synced.map_err(|error| self.registry.store.failed(error))?;
            return Ok(status_as(StatusCode::ACCEPTED, &self.name, &self.open));
        };
        let Self { registry, name, open, .. } = self;
        let location = created(&name, &digest);
        blocking(move || {
            let sealed = draft.seal(&digest).map_err(|error| registry.store.not_kept(error));
            let done = sealed.and_then(|sealed| registry.store.add_blob(&name, sealed, quota));
            // Also when it is not what it was said to be: going on would not mend that.
            registry.uploads.end(open.id, turn);
            done
        })
        .await?;
        Ok(location)
    }

    async fn take(&self, turn: &mut Turn) -> Result<Draft> {
        match std::mem::replace(&mut *turn.data, Data::Closed) {
            Data::Open(draft) => Ok(draft),
            Data::Closed => {
                let path = self.open.upload.data_path();
                let draft = blocking(move || Draft::at(&path)).await;
                Ok(draft.map_err(|error| self.registry.store.failed(error))?)
            }
            Data::Gone => {
                *turn.data = Data::Gone;
                Err(Problem::upload_unknown())
            }
        }
    }

    /// Bytes that this upload may have: what is left to its project.
    fn allowed(&self, at: u64, quota: Option<u64>) -> u64 {
        let Some(quota) = quota else { return u64::MAX };
        let project = self.name.project();
        let (_, open) = self.registry.uploads.of(&project);
        let others = open.saturating_sub(at);
        quota.saturating_sub(self.registry.store.used(&project)).saturating_sub(others)
    }

    fn too_much(&self, more: u64, quota: Option<u64>) -> Problem {
        let project = self.name.project();
        let wanted = self.registry.store.used(&project).saturating_add(more);
        StoreError::Quota { project, limit: quota.unwrap_or(u64::MAX), wanted }.into()
    }

    fn outside(&self, message: String) -> Problem {
        let at = self.open.upload.length();
        Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message)
            .with(LOCATION, place(&self.name, &format!("blobs/uploads/{}", self.open.id)))
            .with(RANGE, range(at))
    }

    /// Writes what comes; gives the draft back with what became of it.
    async fn append(
        &self,
        mut draft: Draft,
        body: Body,
        turn: &Turn,
        (allowed, quota): (u64, Option<u64>),
    ) -> (Draft, Result<()>) {
        let mut stream = body.into_data_stream();
        let mut came = 0_u64;
        loop {
            let (pieces, end) = self.gather(&mut stream, turn).await;
            let more: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
            if draft.length().saturating_add(more) > allowed {
                let wanted = draft.length() + more;
                return (draft, Err(self.too_much(wanted, quota)));
            }
            if more > 0 {
                let room = self.registry.store.room(more);
                if let Err(error) = room {
                    return (draft, Err(error.into()));
                }
                let written = blocking(move || {
                    let written = pieces.iter().try_for_each(|piece| draft.append(piece));
                    (draft, written)
                });
                let (back, written) = written.await;
                draft = back;
                if let Err(error) = written {
                    return (draft, Err(self.registry.store.failed(error).into()));
                }
                came += more;
                self.open.upload.touch(draft.length());
            }
            match end {
                None => {}
                Some(Ok(())) if self.length.is_some_and(|length| length != came) => {
                    let message = "the body is not as long as Content-Length and Content-Range say";
                    return (draft, Err(Problem::upload_invalid(message)));
                }
                Some(end) => return (draft, end),
            }
        }
    }

    /// Some of what comes, and how it ended, if it did.
    async fn gather(
        &self,
        stream: &mut axum::body::BodyDataStream,
        turn: &Turn,
    ) -> (Vec<Bytes>, Option<Result<()>>) {
        let (mut pieces, mut size) = (Vec::new(), 0);
        while size < PIECE {
            let next = tokio::select! {
                biased;
                () = turn.over.cancelled() => {
                    let message = "somebody else goes on with this upload";
                    return (pieces, Some(Err(Problem::new(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", message))));
                }
                next = tokio::time::timeout(SILENCE, stream.next()) => next,
            };
            match next {
                Ok(Some(Ok(piece))) => {
                    size += piece.len();
                    pieces.push(piece);
                }
                Ok(None) => return (pieces, Some(Ok(()))),
                Ok(Some(Err(error))) => {
                    let message =
                        format!("the connection was cut: {error}; ask for the upload's state and go on");
                    return (pieces, Some(Err(Problem::upload_invalid(message))));
                }
                Err(_) => {
                    let message = "nothing came for a minute; ask for the upload's state and go on";
                    let slow = Problem::new(StatusCode::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID", message);
                    return (pieces, Some(Err(slow)));
                }
            }
        }
        (pieces, None)
    }
}

fn status_as(status: StatusCode, name: &Name, open: &Open) -> Response {
    let headers = [
        (LOCATION, place(name, &format!("blobs/uploads/{}", open.id))),
        (RANGE, range(open.upload.length())),
        (UUID, open.id.to_string()),
        (CONTENT_LENGTH, "0".to_owned()),
    ];
    empty(status, headers)
}

fn created(name: &Name, digest: &Digest) -> Response {
    let location = place(name, &format!("blobs/{digest}"));
    empty(StatusCode::CREATED, [(LOCATION, location), (DIGEST, digest.to_string())])
}

/// Bytes `0` to the last, both included; the specification cannot say "none".
fn range(length: u64) -> String {
    format!("0-{}", length.saturating_sub(1))
}

fn digest_of(text: &str) -> Result<Digest> {
    Digest::parse(text).map_err(|error| Problem::digest(error.to_string()))
}

/// The first number of `<first>-<last>`.
fn start(range: &str) -> Result<u64> {
    let range = range.strip_prefix("bytes ").unwrap_or(range);
    let first = range.split_once('-').and_then(|(first, _)| first.parse().ok());
    first.ok_or_else(|| Problem::upload_invalid("Content-Range is written <first>-<last>"))
}

fn length(parts: &Parts) -> Option<u64> {
    header(&parts.headers, CONTENT_LENGTH)?.parse().ok()
}

const UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// Written at once.
const PIECE: usize = 256 * 1024;
/// A body of which nothing came for so long is given up; what came stays.
const SILENCE: Duration = Duration::from_secs(60);
