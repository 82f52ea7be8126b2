//! Building an image on a node, as it travels through links.

use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::name::Name;
use crate::transfer::Secret;

/// One image for one platform. Granted: the frames of an exec. Its input is the context, a gzip'd tar archive; its output what
/// the builder says; its exit code 0 once the image is in the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildWant {
    /// Where it is pushed to, in the platform's registry: `PROJECT/NAME:TAG`.
    pub image: String,
    /// `linux/arm64`
    pub platform: String,
    /// Where the Dockerfile is in the context.
    pub dockerfile: String,
    /// All images that it stands on, as the Dockerfile names them; those of the platform's registry as
    /// `registry.holm/PROJECT/NAME[:TAG]`.
    pub bases: Vec<String>,
    /// Nothing is taken from builds before.
    pub fresh: bool,
    /// Lets the engine pull `bases` and push `image`, and nothing else, as long as the build lasts.
    pub token: Secret,
}

/// The type of capabilities that an operator gives to nodes that may build: any name, as in `build/images`.
pub const BUILD: &str = "build";
/// The type of capabilities of nodes that run programs of another architecture: `emulation/arm64`.
pub const EMULATION: &str = "emulation";

/// Whether a node with these capabilities builds images.
pub fn builds<'a>(capabilities: impl IntoIterator<Item = &'a Capability>) -> bool {
    capabilities.into_iter().any(|capability| capability.kind.as_str() == BUILD)
}

/// That a node emulates this architecture; `None`: that is no name of one.
#[must_use]
pub fn emulation(arch: &str) -> Option<Capability> {
    Some(Capability::new(Name::new(EMULATION).ok()?, Name::new(arch).ok()?))
}
