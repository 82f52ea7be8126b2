//! Images made of uploaded files, straight into the registry: no daemon, no copy on a disk of its own.
//!
//! ```text
//! multipart ──► drafts ──► what is it? ──► what becomes of it? ──► layer ──► configuration ──► manifest (── index)
//!  [`form`]                 holm-image                              [`assemble`], all of it in the registry's store
//! ```

mod assemble;
mod form;

pub(crate) use assemble::{Asked, BuildError, build};
pub(crate) use form::{Form, FormError};
