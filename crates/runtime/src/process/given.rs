//! Secrets in the environment of programs. `plan.json` lies on a disk, so they travel in the supervisor's
//! own environment: readable for the agent's user in `/proc` while the instance runs, and nowhere else.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// Before the name of each: none of them means anything to the supervisor (`LD_PRELOAD`, `PATH`).
const PREFIX: &str = "HOLM_GIVEN_";

/// For the supervisor's environment.
pub(super) fn wrap(env: &BTreeMap<String, String>) -> impl Iterator<Item = (String, &String)> {
    env.iter().map(|(name, value)| (format!("{PREFIX}{name}"), value))
}

/// Those of this supervisor.
pub(super) fn own() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter_map(|(name, value)| Some((unwrap(&name)?, value)))
}

/// Those of the supervisor with this pid, for a command beside its program; none when it has ended.
pub(super) fn of(supervisor: i32) -> Vec<(String, String)> {
    let environ = std::fs::read(format!("/proc/{supervisor}/environ")).unwrap_or_default();
    let entries = environ.split(|byte| *byte == 0).filter_map(|entry| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        let name = unwrap(OsStr::from_bytes(&entry[..at]))?.into_string().ok()?;
        Some((name, String::from_utf8(entry[at + 1..].to_vec()).ok()?))
    });
    entries.collect()
}

fn unwrap(name: &OsStr) -> Option<OsString> {
    let name = name.as_bytes().strip_prefix(PREFIX.as_bytes())?;
    Some(OsString::from_vec(name.to_vec()))
}
