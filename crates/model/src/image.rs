//! Images that a node has, as it tells them to whoever asks.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::time::Time;

/// What stands before the images of the platform's own registry, in place of a host: `registry.holm/PROJECT/NAME`.
pub const OURS: &str = "registry.holm";

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageView {
    /// As the engine calls it: `sha256:…`
    pub id: String,
    /// With tags or digests, as in `nginx:1.27`; an image may have none.
    pub names: Vec<String>,
    /// Bytes, those of layers that it shares with others included.
    pub size: u64,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<Time>,
    /// Ids of instances of this node that have a container of it, whether or not that runs.
    pub instances: Vec<String>,
    /// Containers of it that are none of ours.
    pub others: u32,
    /// This node has pulled it; of these, those go that nothing uses.
    pub pulled: bool,
}

/// What is wanted of a node's images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImagesWant {
    /// Granted: one frame, all of them as [`ImageView`]s.
    List,
    /// Granted: its name is gone, and with its last name the image. No bytes follow.
    Remove(String),
    /// Granted: one frame, an [`ImagesPruned`].
    Prune(ImagesPrune),
}

/// Removes images that this node has pulled and nothing uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImagesPrune {
    /// So many of each repository stay, the newest ones.
    #[serde(default)]
    #[schema(maximum = 1000)]
    pub keep: u32,
}

/// What is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImagesPruned {
    /// Names.
    pub removed: Vec<String>,
}

/// Which image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImageQuery {
    /// A name or an id.
    #[param(min_length = 1, max_length = 512)]
    pub image: String,
}
