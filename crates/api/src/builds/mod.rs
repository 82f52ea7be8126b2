//! Images made of uploaded files, straight into the registry: no daemon, no copy on a disk of its own.
//!
//! ```text
//! multipart ──► drafts ──► what is it? ──► what becomes of it? ──► layer ──► configuration ──► manifest (── index)
//!  [`form`]                 holm-image                              [`assemble`], all of it in the registry's store
//! ```

mod assemble;
mod form;

use tokio::task::{JoinError, spawn_blocking};

pub(crate) use assemble::{Asked, BuildError, build};
pub(crate) use form::{Form, FormError};

/// Runs what blocks where it may. It ends otherwise by a panic, which goes on here, or with the whole program.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => std::future::pending().await,
    }
}
