//! What building an image from uploaded files answers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;

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
    /// The Dockerfile that was built, or that says the same.
    #[serde(default)]
    pub dockerfile: String,
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
    /// The node whose engine has built it; `null`: no engine was needed.
    #[serde(default)]
    pub builder: Option<String>,
    /// That node runs programs of this platform in an emulator only.
    #[serde(default)]
    pub emulated: bool,
    /// Nothing had changed: it is the image of before.
    #[serde(default)]
    pub cached: bool,
}

/// What happens meanwhile, as lines of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BuildEvent {
    /// What begins, in words.
    Phase(String),
    /// What a builder says.
    Log(String),
    /// The image is there; nothing follows but what a deployment does with it.
    Built(BuildView),
    /// The application says it; nothing follows unless its start is waited for.
    Deployed(DeployView),
    /// It is over.
    #[schema(value_type = Object)]
    Failed(Box<Problem>),
}

/// What a deployment has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployView {
    pub project: String,
    pub application: String,
    pub generation: u64,
    /// As in [`BuildView`].
    pub image: String,
    /// All of its instances run; false as long as nobody waited for it.
    pub running: bool,
    /// How long each took.
    pub phases: Vec<PhaseView>,
}

/// A part of a deployment, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhaseView {
    /// `build`, `apply`, `place`, `pull`, `start`
    pub name: String,
    pub milliseconds: u64,
}
