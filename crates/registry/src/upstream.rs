//! The registry that another one is a cache of.

use std::io;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::digest::Digest;
use crate::names::{Name, Reference};

/// Where a cache gets from what it has not.
pub trait Upstream: Send + Sync + 'static {
    /// A manifest, whole: `most` bytes of it at most.
    fn manifest<'a>(
        &'a self,
        name: &'a Name,
        reference: &'a Reference,
        most: usize,
    ) -> BoxFuture<'a, Result<FetchedManifest, UpstreamError>>;

    /// The bytes of a blob, beginning with the one at `from`.
    fn blob<'a>(
        &'a self,
        name: &'a Name,
        digest: &'a Digest,
        from: u64,
    ) -> BoxFuture<'a, Result<FetchedBlob, UpstreamError>>;
}

/// A manifest as it came.
#[derive(Clone, Debug)]
pub struct FetchedManifest {
    /// Its `Content-Type`.
    pub kind: Option<String>,
    /// All of it.
    pub bytes: Bytes,
}

/// A blob that comes.
pub struct FetchedBlob {
    /// Of the whole blob.
    pub size: u64,
    /// What was asked for.
    pub bytes: BoxStream<'static, io::Result<Bytes>>,
}

impl std::fmt::Debug for FetchedBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchedBlob").field("size", &self.size).finish_non_exhaustive()
    }
}

/// Why nothing came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// There is no such thing.
    #[error("the registry above does not have it")]
    Unknown,
    /// It may not be had.
    #[error("the registry above refuses: {0}")]
    Refused(String),
    /// Nobody answers.
    #[error("the registry above cannot be reached: {0}")]
    Away(String),
}
