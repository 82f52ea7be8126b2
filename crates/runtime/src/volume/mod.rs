//! Named volumes as directories of this machine: listed where they are, mirrored where they go.
//!
//! Everything is opened below the volume's root and through no link: a program that swaps a directory for a link
//! while it is read, or sends a name with `..`, reaches nothing else of the machine.

mod entry;
mod mirror;
mod tree;

use holm_model::id::WishId;
use holm_model::service::{ServiceSpec, Volume};

pub use entry::{Entry, Kind, MOST_ENTRIES};
pub use mirror::{Mirror, Part};
pub use tree::Tree;

/// A volume that a runtime keeps; anything else is a directory of the node.
#[must_use]
pub fn is_named(volume: &Volume) -> bool {
    !volume.source.starts_with('/')
}

/// What a named volume of an application is called on a machine.
#[must_use]
pub fn key(wish: WishId, source: &str) -> String {
    format!("holm-{wish}-{source}")
}

/// The keys of all named volumes of a service, each once.
#[must_use]
pub fn keys(wish: WishId, spec: &ServiceSpec) -> Vec<String> {
    let mut keys: Vec<String> = spec
        .volumes
        .iter()
        .filter(|volume| is_named(volume))
        .map(|volume| key(wish, &volume.source))
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// The variable in which an instance finds a named volume.
pub(crate) fn variable(source: &str) -> String {
    format!("HOLM_VOLUME_{}", source.to_ascii_uppercase().replace(['-', '.'], "_"))
}
