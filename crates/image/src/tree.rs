//! A directory as an archive that is the same for the same files: sorted, without times and owners.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::ignore::{Ignore, IgnoreError};
use crate::layer::Layer;

/// Why a directory cannot be packed; names the file.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A rule that is none.
    #[error(transparent)]
    Ignore(#[from] IgnoreError),
    /// It cannot be read, or the archive not be written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No file, directory or link.
    #[error("{} is a device, a pipe or a socket; leave it out by .dockerignore", .0.display())]
    Kind(PathBuf),
    /// Its name is no UTF-8.
    #[error("{} has a name that is not UTF-8", .0.display())]
    Name(PathBuf),
}

/// Files that are sent whatever the rules say: the builder reads them.
const ALWAYS: [&str; 2] = ["Dockerfile", "Containerfile"];

/// Writes what is below `dir`, but for what its `.dockerignore` leaves out, as a gzip'd tar archive.
///
/// # Errors
/// At the first file that cannot be taken.
pub fn pack<W: Write>(dir: &Path, out: W) -> Result<W, PackError> {
    let rules = dir.join(".dockerignore");
    let text = match fs::read_to_string(&rules) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(PackError::File { path: rules, source }),
    };
    let mut packed = Layer::new(out);
    let ignore = Ignore::parse(&text)?;
    walk(dir, "", &ignore, &mut packed)?;
    let failed = |source| PackError::File { path: dir.to_owned(), source };
    packed.finish().map(|(out, _)| out).map_err(failed)
}

fn walk<W: Write>(dir: &Path, below: &str, ignore: &Ignore, into: &mut Layer<W>) -> Result<(), PackError> {
    let unreadable = |source| PackError::File { path: dir.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        names.push(entry.file_name().into_string().map_err(|_| PackError::Name(entry.path()))?);
    }
    names.sort_unstable();
    for name in names {
        let path = dir.join(&name);
        let place = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let failed = |source| PackError::File { path: path.clone(), source };
        let out = ignore.leaves_out(&place) && !ALWAYS.contains(&place.as_str());
        let found = fs::symlink_metadata(&path).map_err(failed)?;
        let (kind, mode) = (found.file_type(), found.permissions().mode());
        if kind.is_dir() {
            if !out {
                into.dir(&place, mode).map_err(failed)?;
            }
            if !out || ignore.takes_back() {
                walk(&path, &place, ignore, into)?;
            }
        } else if out {
        } else if kind.is_symlink() {
            let to = fs::read_link(&path).map_err(failed)?;
            into.symlink(&place, &to).map_err(failed)?;
        } else if kind.is_file() {
            let mut file = File::open(&path).map_err(failed)?;
            into.file(&place, mode, found.len(), &mut file).map_err(failed)?;
        } else {
            return Err(PackError::Kind(path));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Packing, top};
    use std::io::Cursor;
    use std::time::{Duration, SystemTime};

    #[test]
    fn the_same_files_make_the_same_archive_and_ignored_ones_none() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let main = write("src/main.rs", "fn main() {}");
        write("Cargo.toml", "[package]");
        write("target/debug/x", "large");
        write(".git/HEAD", "x");
        write(".dockerignore", "target\nDockerfile\n");
        write("Dockerfile", "FROM scratch");
        let first = pack(dir.path(), Vec::new()).unwrap();
        let old = SystemTime::now() - Duration::from_secs(1000);
        File::options().write(true).open(main).unwrap().set_modified(old).unwrap();
        write("target/debug/y", "more");
        assert!(first == pack(dir.path(), Vec::new()).unwrap());
        let names = top(&mut Cursor::new(first), Packing::TarGz).unwrap().names;
        assert_eq!(
            names.into_iter().collect::<Vec<_>>(),
            [".dockerignore", "Cargo.toml", "Dockerfile", "src"]
        );
    }
}
