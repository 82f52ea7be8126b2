//! Which file the first word of a command means.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::RunError;

/// `holm` is the agent's own program; a word with a slash is a path, relative to `workdir`; any other
/// is looked up in `path`, separated by colons.
///
/// # Errors
/// When no executable file is there.
pub(crate) fn find(word: &str, own: &Path, path: &str, workdir: &Path) -> Result<PathBuf, RunError> {
    if word == "holm" {
        return Ok(own.to_owned());
    }
    let missing = |path: &str| RunError::ProgramMissing { program: word.to_owned(), path: path.to_owned() };
    if word.contains('/') {
        let file = workdir.join(word);
        let Ok(meta) = file.metadata() else {
            let place = if word.starts_with('/') {
                "this node's files".into()
            } else {
                workdir.display().to_string()
            };
            return Err(missing(&place));
        };
        return match unfit(&meta) {
            None => Ok(file),
            Some(what) => Err(RunError::NoProgram { program: word.to_owned(), what }),
        };
    }
    let found = path.split(':').filter(|dir| dir.starts_with('/')).map(|dir| Path::new(dir).join(word));
    found.into_iter().find(|file| executable(file)).ok_or_else(|| missing(path))
}

fn executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| unfit(&meta).is_none())
}

/// What a file is that cannot be executed.
fn unfit(meta: &Metadata) -> Option<&'static str> {
    if meta.is_dir() {
        return Some("a directory");
    }
    if !meta.is_file() {
        return Some("no regular file");
    }
    (meta.permissions().mode() & 0o111 == 0).then_some("a file that nobody may execute")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_paths() {
        let look =
            |word| find(word, Path::new("/opt/holm"), "relative:/nowhere:/bin:/usr/bin", Path::new("/"));
        assert_eq!(look("holm").unwrap(), Path::new("/opt/holm"));
        assert_eq!(look("sh").unwrap(), Path::new("/bin/sh"));
        assert_eq!(look("bin/sh").unwrap(), Path::new("/bin/sh"));
        assert_eq!(look("/bin/sh").unwrap(), Path::new("/bin/sh"));
        let error = look("no-such-program").unwrap_err();
        assert!(error.to_string().starts_with("program `no-such-program` was not found in"), "{error}");
        for (word, what) in [
            ("/etc/passwd", "a file that nobody may execute"),
            ("/etc", "a directory"),
            ("/dev/null", "no regular file"),
        ] {
            assert!(look(word).unwrap_err().to_string().contains(&format!("it is {what}")), "{word}");
        }
        assert!(look("no/such").unwrap_err().to_string().contains("was not found in /;"));
        assert!(look("/no/such").unwrap_err().to_string().contains("was not found in this node's files;"));
    }
}
