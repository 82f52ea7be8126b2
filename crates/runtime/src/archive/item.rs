//! What an archive may hold. Pure.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// A way down from the target, of real names only; empty for the target itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beneath(pub(crate) Vec<OsString>);

/// One thing in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) path: Beneath,
    /// Who may do what; never more than the nine usual bits.
    pub(crate) mode: u32,
    /// Seconds since 1970.
    pub(crate) mtime: u64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File {
        size: u64,
    },
    Symlink {
        target: PathBuf,
    },
    /// The same file as an earlier one.
    Again {
        target: Beneath,
    },
}

/// Why something is not copied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("its name begins at the root")]
    Absolute,
    #[error("its name leads upwards")]
    Upwards,
    #[error("its name is longer than a file's can be")]
    Long,
    #[error("it lies deeper than {DEPTH} directories")]
    Deep,
    #[error("its name has a NUL in it, or is empty")]
    NoName,
    #[error("it is a link that leads out of what is copied")]
    LeadsOut,
    #[error("it lies behind a link")]
    BehindLink,
    #[error("it is a device")]
    Device,
    #[error("it is a pipe or a socket")]
    Pipe,
    #[error("nobody knows what it is")]
    Unknown,
    #[error("it is a second thing at the top, where the target names one")]
    Second,
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// Directories above a file at most.
pub(crate) const DEPTH: usize = 256;
/// Bytes of a whole path and of one name at most, as on Linux.
const PATH: usize = 4096;
const NAME: usize = 255;

/// Permissions that travel: no setuid, setgid or sticky.
pub(crate) const MODE: u32 = 0o777;

// === impl Beneath ===

impl Beneath {
    pub(crate) fn parse(name: &[u8]) -> Result<Self, Reason> {
        match name {
            [] => return Err(Reason::NoName),
            [b'/', ..] => return Err(Reason::Absolute),
            _ if name.len() > PATH => return Err(Reason::Long),
            _ if name.contains(&0) => return Err(Reason::NoName),
            _ => {}
        }
        let mut parts = Vec::new();
        for part in name.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(Reason::Upwards),
                _ if part.len() > NAME => return Err(Reason::Long),
                _ => parts.push(OsString::from_vec(part.to_vec())),
            }
        }
        if parts.len() > DEPTH { Err(Reason::Deep) } else { Ok(Self(parts)) }
    }
}

/// Whether a link `depth` directories below the top stays inside. It may begin with steps upwards, which lead
/// over real directories, but make none later: they could lead out behind another link.
pub(crate) fn stays_inside(target: &[u8], depth: usize) -> bool {
    if target.is_empty() || target.starts_with(b"/") || target.contains(&0) || target.len() >= PATH {
        return false;
    }
    let parts = || target.split(|b| *b == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let up = parts().take_while(|part| *part == b"..").count();
    up <= depth && parts().skip(up).all(|part| part != b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_down() {
        let parse = |name: &str| Beneath::parse(name.as_bytes());
        assert_eq!(parse("./a//b/").unwrap().0, ["a", "b"]);
        assert_eq!(parse("./").unwrap().0, [""; 0]);
        assert_eq!(parse("..a/b..").unwrap().0, ["..a", "b.."]);
        for (name, reason) in [
            ("", Reason::NoName),
            ("/etc/passwd", Reason::Absolute),
            ("a/../../b", Reason::Upwards),
            ("..", Reason::Upwards),
            ("a\0b", Reason::NoName),
            (&"x".repeat(256), Reason::Long),
            (&"x/".repeat(3000), Reason::Long),
            (&"x/".repeat(300), Reason::Deep),
        ] {
            assert_eq!(parse(name), Err(reason), "{name}");
        }
    }

    #[test]
    fn links_stay_inside() {
        for (target, depth) in [("b", 0), ("../b", 1), ("./a/b", 0), ("../../x", 2), (".", 0)] {
            assert!(stays_inside(target.as_bytes(), depth), "{target}");
        }
        for (target, depth) in
            [("/b", 3), ("../b", 0), ("", 0), ("a/../b", 3), ("../a/..", 5), ("../../x", 1)]
        {
            assert!(!stays_inside(target.as_bytes(), depth), "{target}");
        }
    }
}
