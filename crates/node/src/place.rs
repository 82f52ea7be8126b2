//! Where this node is in the sea, as its orchestrator told it last; kept on disk for a start without
//! a link.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use holm_model::id::MemberId;
use holm_model::name::Name;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) member: MemberId,
    pub(crate) name: Name,
    /// Names of the orchestrators above, from the root's member down; empty for a node of the root.
    pub(crate) path: Vec<Name>,
}

// === impl Place ===

impl Place {
    /// None when the orchestrator has not spoken yet, or the file is damaged: it will speak again.
    pub(crate) fn load(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file(dir)).ok()?).ok()
    }

    /// Replaces the file in one step; losing it is harmless.
    pub(crate) fn save(&self, dir: &Path) -> io::Result<()> {
        let path = file(dir);
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        fs::rename(new, path)
    }

    /// Name of the cluster; empty for a node of the root.
    pub(crate) fn cluster(&self) -> String {
        self.path.last().map(ToString::to_string).unwrap_or_default()
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("place.json")
}
