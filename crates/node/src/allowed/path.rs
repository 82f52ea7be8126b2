//! A directory or file of the machine that instances may mount, with all that is below it.

use std::fmt;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use holm_model::service::Volume;
use serde::{Deserialize, Serialize};

/// Text: `/srv/data`, or `/etc/ssl:ro` to be read only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPath {
    path: PathBuf,
    read_only: bool,
}

/// The text is no [`HostPath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no path that can be allowed: write an absolute one without `..`, as in `/srv/data` or `/etc/ssl:ro`"
)]
pub struct HostPathError(String);

impl HostPath {
    /// Looks at where both really are: a link inside of what is allowed leads nowhere else.
    pub(super) fn allows(&self, volume: &Volume) -> bool {
        let (Some(asked), Some(own)) = (real(Path::new(&volume.source)), real(&self.path)) else {
            return false;
        };
        asked.starts_with(own) && (volume.read_only || !self.read_only)
    }
}

/// Without links; of what is not there yet, the part that is. `None`: nobody knows.
fn real(path: &Path) -> Option<PathBuf> {
    if path.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    // One that leads nowhere is there as well, and is not followed to where an engine would make something.
    if fs::symlink_metadata(path).is_ok() {
        return fs::canonicalize(path).ok();
    }
    Some(real(path.parent()?)?.join(path.file_name()?))
}

impl FromStr for HostPath {
    type Err = HostPathError;

    fn from_str(text: &str) -> Result<Self, HostPathError> {
        let (path, read_only) = text.strip_suffix(":ro").map_or((text, false), |path| (path, true));
        let plain = Path::new(path).components().all(|part| part != Component::ParentDir);
        if path.starts_with('/') && plain && !path.contains(':') && !path.contains(',') {
            Ok(Self { path: path.into(), read_only })
        } else {
            Err(HostPathError(text.chars().take(100).collect()))
        }
    }
}

impl TryFrom<String> for HostPath {
    type Error = HostPathError;

    fn try_from(text: String) -> Result<Self, HostPathError> {
        text.parse()
    }
}

impl From<HostPath> for String {
    fn from(path: HostPath) -> Self {
        path.to_string()
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.path.display(), if self.read_only { ":ro" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn allows(path: &str, source: &str, read_only: bool) -> bool {
        let volume = Volume { source: source.to_owned(), target: "/x".to_owned(), read_only };
        path.parse::<HostPath>().unwrap().allows(&volume)
    }

    #[test]
    fn texts() {
        for text in ["/srv/data", "/etc/ssl:ro", "/"] {
            assert_eq!(text.parse::<HostPath>().unwrap().to_string(), text);
        }
        for wrong in ["", "srv", "/srv/../etc", "/srv:rw", "/a,/b"] {
            assert!(wrong.parse::<HostPath>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_below_is_allowed_and_no_way_out_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let at = |path: &str| base.join(path).display().to_string();
        fs::create_dir_all(base.join("data/in")).unwrap();
        fs::create_dir(base.join("database")).unwrap();
        symlink("/etc", base.join("data/out")).unwrap();
        symlink("/nowhere", base.join("data/dangling")).unwrap();
        symlink(base.join("data"), base.join("alias")).unwrap();
        for below in ["data", "data/in", "data/not/yet", "alias/in"] {
            assert!(allows(&at("data"), &at(below), false), "{below}");
        }
        for outside in ["database", "", "data/out", "data/out/passwd", "data/dangling", "data/../database"] {
            assert!(!allows(&at("data"), &at(outside), false), "{outside}");
        }
        assert!(allows(&at("alias"), &at("data/in"), false), "the owner may say it by a link");
        assert!(!allows(&format!("{}:ro", at("data")), &at("data"), false));
        assert!(allows(&format!("{}:ro", at("data")), &at("data"), true));
    }
}
