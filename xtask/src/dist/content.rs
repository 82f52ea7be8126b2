//! Which files a release has, and where each of its forms puts them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::tree::Tree;
use crate::tool::{output, root};

/// What is shipped: everything, or the agent of a node alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Full,
    Agent,
}

/// A program, and what it is.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) kind: Kind,
    pub(crate) file: PathBuf,
}

/// A shell, the place of its completions in a package, and their name in an archive.
const SHELLS: [(&str, &str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/holm", "holm.bash"),
    ("zsh", "usr/share/zsh/vendor-completions/_holm", "_holm"),
    ("fish", "usr/share/fish/vendor_completions.d/holm.fish", "holm.fish"),
];

// === impl Kind ===

impl Kind {
    /// Of the package.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Full => "holm",
            Self::Agent => "holm-agent",
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Full => Self::Agent,
            Self::Agent => Self::Full,
        }
    }

    pub(crate) const fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Full => &["root", "cluster", "node"],
            Self::Agent => &["node"],
        }
    }
}

// === impl Program ===

impl Program {
    /// The archive, below `top`.
    pub(crate) fn archive(&self, top: &str) -> Result<Tree> {
        let mut tree = Tree::default();
        tree.program(&format!("{top}/bin/holm"), &self.file);
        for file in ["LICENSE", "README.md"] {
            tree.copy(&format!("{top}/{file}"), &root().join(file));
        }
        for role in self.kind.roles() {
            tree.copy(&format!("{top}/etc/{role}.toml"), &settings(role));
            tree.copy(&format!("{top}/systemd/{}", unit(role)), &packaging("systemd").join(unit(role)));
        }
        // `holm uninstall` takes the user away again, also where no role needs it.
        tree.copy(&format!("{top}/sysusers.d/holm.conf"), &packaging("sysusers/holm.conf"));
        if self.kind == Kind::Full {
            tree.copy_all(&format!("{top}/examples"), &root().join("examples"))?;
            for (shell, _, name) in SHELLS {
                tree.text(&format!("{top}/completions/{name}"), self.completions(shell)?);
            }
        }
        Ok(tree)
    }

    /// The files of a Debian package.
    pub(crate) fn package(&self) -> Result<Tree> {
        let mut tree = Tree::default();
        tree.program("usr/bin/holm", &self.file);
        tree.copy(&format!("usr/share/doc/{}/copyright", self.kind.name()), &root().join("LICENSE"));
        for role in self.kind.roles() {
            tree.copy(&format!("etc/holm/{role}.toml"), &settings(role));
            tree.copy(
                &format!("usr/lib/systemd/system/{}", unit(role)),
                &packaging("systemd").join(unit(role)),
            );
        }
        if self.kind == Kind::Full {
            tree.copy("usr/lib/sysusers.d/holm.conf", &packaging("sysusers/holm.conf"));
            tree.copy_all("usr/share/doc/holm/examples", &root().join("examples"))?;
            for (shell, place, _) in SHELLS {
                tree.text(place, self.completions(shell)?);
            }
        }
        Ok(tree)
    }

    fn completions(&self, shell: &str) -> Result<String> {
        output(Command::new(&self.file).args(["completions", shell]))
    }

    /// The oldest C library that it runs with: the newest version that it names.
    pub(crate) fn oldest_glibc(&self) -> Result<String> {
        let bytes = fs::read(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        newest_glibc(&bytes).with_context(|| format!("{} was not linked with glibc", self.file.display()))
    }
}

pub(crate) fn unit(role: &str) -> String {
    format!("holm-{role}.service")
}

pub(crate) fn packaging(path: &str) -> PathBuf {
    root().join("packaging").join(path)
}

fn settings(role: &str) -> PathBuf {
    packaging("config").join(format!("{role}.toml"))
}

/// Of `GLIBC_2.17`, `GLIBC_2.34`, … in the symbols' versions.
fn newest_glibc(program: &[u8]) -> Option<String> {
    const WORD: &[u8] = b"GLIBC_";
    let named = program.windows(WORD.len()).enumerate().filter(|(_, window)| *window == WORD);
    let version = |(at, _): (usize, &[u8])| {
        let rest = &program[at + WORD.len()..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
        let (major, minor) = std::str::from_utf8(&rest[..end]).ok()?.split_once('.')?;
        let minor = minor.split('.').next()?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    named.filter_map(version).max().map(|(major, minor)| format!("{major}.{minor}"))
}

/// The libraries that `program` loads and what loads them, by their places on this machine.
pub(crate) fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    Ok(listed(&output(Command::new("ldd").arg(program))?))
}

/// Of `libc.so.6 => /lib/… (0x…)` and `/lib64/ld-linux… (0x…)`.
fn listed(said: &str) -> Vec<PathBuf> {
    said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_counts_as_a_number() {
        let program = b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE\0";
        assert_eq!(newest_glibc(program).as_deref(), Some("2.34"));
        assert_eq!(newest_glibc(b"static"), None);
    }

    #[test]
    fn libraries_are_those_with_a_place() {
        let said = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\t/lib64/ld.so.2 (0x3)\n";
        assert_eq!(listed(said), [PathBuf::from("/lib/libc.so.6"), "/lib64/ld.so.2".into()]);
    }

    #[test]
    fn every_role_has_its_settings_and_its_unit() {
        for role in Kind::Full.roles() {
            assert!(settings(role).is_file() && packaging("systemd").join(unit(role)).is_file(), "{role}");
        }
    }
}
