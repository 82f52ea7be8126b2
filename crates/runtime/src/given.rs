//! What an instance is given that must not lie on a disk: secrets, and files in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use holm_model::content::RegistryLogin;

/// Part of a [`crate::Launch`]. Debug shows no secret.
#[derive(Clone, Default)]
pub struct Given {
    /// Added to the environment. A driver hands these on in memory only; an engine for containers keeps
    /// them in its own records.
    pub env: BTreeMap<String, String>,
    /// For [`Access::Mounted`].
    pub mounts: Vec<Mount>,
    /// For the pull of the image.
    pub registry: Option<RegistryLogin>,
}

/// A file or directory of the node that an instance finds at another path, read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub source: PathBuf,
    pub target: String,
}

/// How instances get at files that the node keeps for them in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// They see the node's own files, as this user and group; `None`: as the agent's.
    Shared { owner: Option<(u32, u32)> },
    /// They are mounted there.
    Mounted { secrets: &'static str, files: &'static str },
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env: Vec<&String> = self.env.keys().collect();
        let Self { mounts, registry, .. } = self;
        f.debug_struct("Given")
            .field("env", &env)
            .field("mounts", mounts)
            .field("registry", registry)
            .finish()
    }
}
