//! What building an image from uploaded files answers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The answer to `POST /projects/{project}/builds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildView {
    /// As a manifest names exactly this image: `registry.holm/PROJECT/NAME@sha256:…`.
    pub image: String,
    /// The same by its tag.
    pub tag: String,
    pub digest: String,
    /// One for each platform.
    pub parts: Vec<BuiltPart>,
    /// From the first byte of the request to the image in the registry.
    pub milliseconds: u64,
}

/// The image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuiltPart {
    /// `linux/amd64`
    pub platform: String,
    /// What the uploaded file is, in words.
    pub recognized: String,
    /// Of the uploaded file.
    pub input: String,
    /// Bytes of the uploaded file.
    pub bytes: u64,
    /// Bytes of the layer that it became.
    pub layer: u64,
    /// What is started.
    pub entrypoint: Vec<String>,
}
