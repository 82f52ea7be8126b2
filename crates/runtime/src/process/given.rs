//! Secrets in the environment of programs. `plan.json` lies on a disk, so they travel in an anonymous file in
//! memory, which is the supervisor's standard input: readable for the agent's user in `/proc` while the
//! instance runs, and nowhere else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;

/// For the supervisor.
///
/// # Errors
/// Those of the kernel.
pub(super) fn file(env: &BTreeMap<String, String>) -> io::Result<OwnedFd> {
    let make = |flags| memfd_create(c"holm-given", MemfdFlags::CLOEXEC | flags);
    let made = match make(MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3.
        Err(Errno::INVAL) => make(MemfdFlags::empty()),
        made => made,
    };
    let mut file = File::from(made?);
    // Most are given nothing, which takes no page of memory.
    if !env.is_empty() {
        file.write_all(&serde_json::to_vec(env)?)?;
    }
    Ok(file.into())
}

/// # Errors
/// When it is no such file.
pub(super) fn read(file: OwnedFd) -> io::Result<BTreeMap<String, String>> {
    let file = File::from(file);
    let mut text = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
    // Whoever else has it open shares the position in it.
    file.read_exact_at(&mut text, 0)?;
    parse(&text)
}

/// What the supervisor with this pid was handed, for a command beside its program; none when it has ended.
pub(super) fn of(supervisor: i32) -> BTreeMap<String, String> {
    let text = fs::read(format!("/proc/{supervisor}/fd/0")).unwrap_or_default();
    parse(&text).unwrap_or_default()
}

fn parse(text: &[u8]) -> io::Result<BTreeMap<String, String>> {
    if text.is_empty() { Ok(BTreeMap::new()) } else { Ok(serde_json::from_slice(text)?) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_read_more_than_once() {
        let long = "x".repeat(300_000);
        let given = BTreeMap::from([("TOKEN".to_owned(), "a=b\nc".to_owned()), ("LONG".to_owned(), long)]);
        let given_file = file(&given).unwrap();
        for _ in 0..2 {
            assert_eq!(read(given_file.try_clone().unwrap()).unwrap(), given);
        }
        assert_eq!(read(file(&BTreeMap::new()).unwrap()).unwrap(), BTreeMap::new());
    }
}
