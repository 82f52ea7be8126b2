//! What a file of another system refers to: its directory's name, variables, files of variables.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

/// The directory of a file, or where we are.
#[derive(Debug)]
pub(super) struct Beside {
    dir: PathBuf,
    pub(super) name: String,
    /// Of `.env`; what is set for us comes first.
    variables: BTreeMap<String, String>,
}

/// Of a file of variables.
const MOST: u64 = 1 << 20;

// === impl Beside ===

impl Beside {
    pub(super) fn of(file: &Path) -> Self {
        let dir = match file.parent().filter(|_| file != Path::new("-")) {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        let real = dir.canonicalize().unwrap_or_else(|_| dir.clone());
        let name = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut beside = Self { dir: real, name, variables: BTreeMap::new() };
        let text = beside.file(".env").unwrap_or_default();
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let variables = lines.filter_map(|line| line.strip_prefix("export ").unwrap_or(line).split_once('='));
        let plain = |value: &str| value.trim().trim_matches(['"', '\'']).to_owned();
        beside.variables = variables.map(|(name, value)| (name.trim().to_owned(), plain(value))).collect();
        beside
    }

    pub(super) fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().or_else(|| self.variables.get(name).cloned())
    }

    /// Only files of this directory, also through links: what a file from elsewhere names is not sent anywhere.
    pub(super) fn file(&self, path: &str) -> Result<String, String> {
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        let outside = || format!("`{path}` leads out of the directory of this file; copy it there");
        if !Path::new(path).components().all(inside) {
            return Err(outside());
        }
        let failed = |error: std::io::Error| format!("`{path}` cannot be read: {error}");
        let real = self.dir.join(path).canonicalize().map_err(failed)?;
        if !real.starts_with(&self.dir) {
            return Err(outside());
        }
        let mut text = String::new();
        File::open(real).map_err(failed)?.take(MOST + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > MOST {
            return Err(format!("`{path}` has more than {MOST} bytes"));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_beside_are_read_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let shop = dir.path().join("shop");
        std::fs::create_dir(&shop).unwrap();
        std::fs::write(dir.path().join("secret"), "A=1").unwrap();
        std::fs::write(shop.join("web.env"), "B=2").unwrap();
        std::fs::write(shop.join(".env"), "# ours\nHOLM_TEST_BESIDE=\"x y\"\n").unwrap();
        std::os::unix::fs::symlink("../secret", shop.join("link")).unwrap();
        let beside = Beside::of(&shop.join("compose.yaml"));
        assert_eq!((beside.name.as_str(), beside.file("./web.env").as_deref()), ("shop", Ok("B=2")));
        assert_eq!(beside.variable("HOLM_TEST_BESIDE").as_deref(), Some("x y"));
        for outside in ["../secret", "link", "/etc/passwd", "sub/../../secret"] {
            assert!(beside.file(outside).unwrap_err().contains("leads out"), "{outside}");
        }
        assert!(beside.file("nothing").unwrap_err().contains("cannot be read"));
    }
}
