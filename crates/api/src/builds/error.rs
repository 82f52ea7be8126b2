//! Why there is no image.

use holm_image::archive::ArchiveError;
use holm_image::dockerfile::{DockerfileError, GenerateError};
use holm_image::document::BaseError;
use holm_image::plan::PlanError;
use holm_image::platform::Platform;
use holm_image::recognize::RecognizeError;
use holm_registry::StoreError;

use super::builders::NoBuilder;
use crate::problem::{Fault, Kind};

/// Each says what to do, where that is not plain.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Recognize(#[from] RecognizeError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Base(#[from] BaseError),
    #[error("the base {image} is no image that can be built on: {why}")]
    NoBase { image: String, why: String },
    #[error(
        "the base {0} is of another registry, which is asked by builders only; push it here first (`skopeo copy`), or send sources"
    )]
    Foreign(String),
    #[error("the file is for {own}, and the base for {base}")]
    Platform { own: Platform, base: String },
    #[error("two of the files are for {0}")]
    Twice(Platform),
    #[error("none of the files is for {asked}: {there}")]
    Missing { asked: Platform, there: String },
    #[error("a source tree is built alone: send one file")]
    Mixed,
    #[error("it is {0}, in which nothing can be built; leave `build` out")]
    NoTree(String),
    #[error(transparent)]
    Dockerfile(#[from] DockerfileError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error(transparent)]
    Builder(#[from] NoBuilder),
    #[error("the Dockerfile names {0} by its digest; name a tag, which is looked up for each build")]
    ByDigest(String),
    #[error("the Dockerfile says itself how the image is run; leave out {0}, or write it there")]
    Said(&'static str),
    /// In the builder's words, with the line of the Dockerfile where that is known.
    #[error("{node} could not build it: {why}")]
    Failed { node: String, why: String },
    #[error("the builder has pushed no image: {0}")]
    NoImage(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}", .0.detail())]
    Fault(Fault),
}

impl From<BuildError> for Fault {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Fault(fault) => fault,
            BuildError::Store(error) => stored(&error),
            BuildError::Builder(error) => Self::new(Kind::Conflict, error),
            other => Self::new(Kind::Invalid, other),
        }
    }
}

/// What the registry's store refuses.
pub(crate) fn stored(error: &StoreError) -> Fault {
    match error {
        StoreError::Quota { .. } => Fault::new(Kind::TooLarge, error),
        StoreError::Full { .. } => Fault::new(Kind::ReadOnly, error),
        StoreError::Disk { .. } => Fault::new(Kind::Internal, error),
        _ => Fault::new(Kind::Invalid, error),
    }
}
