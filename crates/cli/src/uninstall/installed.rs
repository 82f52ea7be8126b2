//! What `install.sh` put on this machine, by its own list; or the package that has the program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::failure::Failure;

/// What an archive brought.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Installed {
    pub(super) files: Vec<PathBuf>,
    /// Made for orchestrators.
    pub(super) user: Option<String>,
}

/// Written by `install.sh`: a path a line, and `user:NAME`.
const LIST: &str = "/usr/local/share/holm/installed";
const USER: &str = "user:";
/// Directories that are ours alone.
const OWN: [&str; 2] = ["/etc/holm", "/usr/local/share/holm"];

// === impl Installed ===

impl Installed {
    /// Of this machine; nothing where there is no list.
    pub(super) fn read() -> Result<Self, Failure> {
        match fs::read_to_string(LIST) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::from_error(format!("cannot read {LIST}"), &error)),
        }
    }

    fn parse(text: &str) -> Self {
        let mut installed = Self::default();
        for line in text.lines() {
            match line.strip_prefix(USER) {
                Some(user) => installed.user = Some(user.to_owned()),
                // Whatever else somebody wrote there is not removed.
                None if line.starts_with('/') => installed.files.push(line.into()),
                None => {}
            }
        }
        installed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.user.is_none()
    }

    /// Removes it; what cannot be removed is told about. Nothing was installed: its directories are somebody else's.
    pub(super) fn remove(&self) -> Vec<String> {
        if self.is_empty() {
            return Vec::new();
        }
        let removal = |path: &Path, done: io::Result<()>| match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Some(format!("{} cannot be removed: {error}", path.display()))
            }
            _ => None,
        };
        let files = self.files.iter().filter_map(|file| removal(file, fs::remove_file(file)));
        let mut failed: Vec<_> = files.collect();
        let own = OWN.iter().map(Path::new);
        failed.extend(own.filter_map(|dir| removal(dir, fs::remove_dir_all(dir))));
        if let Some(user) = &self.user
            && !quiet("userdel", &[user])
        {
            failed.push(format!("the user {user} cannot be removed; `userdel {user}` says why"));
        }
        failed
    }
}

/// The Debian package that has our program.
pub(super) fn package() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let asked = Command::new("dpkg-query").arg("-S").arg(program).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(asked.stdout).ok()?;
    text.split_once(':').map(|(package, _)| package.to_owned())
}

/// Whether a program ends well; what it says is thrown away.
pub(super) fn quiet(program: &str, words: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_files_and_a_user_and_nothing_else() {
        let installed = Installed::parse("/usr/local/bin/holm\nuser:holm\nrelative\n\n/etc/holm/node.toml\n");
        let files = ["/usr/local/bin/holm", "/etc/holm/node.toml"].map(PathBuf::from).to_vec();
        assert_eq!(installed, Installed { files, user: Some("holm".to_owned()) });
        assert!(Installed::parse("").is_empty());
    }
}
