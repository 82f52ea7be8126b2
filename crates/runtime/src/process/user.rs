//! Under which user a program runs.

use std::ffi::CString;

use nix::unistd::{Gid, Uid, User, getgrouplist};
use serde::{Deserialize, Serialize};

use crate::error::RunError;

/// What a program's process becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// `user:` of the service, or `fallback` for a root agent; `None`: as the agent itself.
///
/// # Errors
/// When the user does not exist, or the agent is not root and cannot become it.
pub(crate) fn identity(user: Option<&str>, fallback: &str) -> Result<Option<Identity>, RunError> {
    let own = Uid::effective();
    match user {
        None if !own.is_root() => Ok(None),
        None => find(fallback).map(Some),
        Some(user) if own.is_root() => find(user).map(Some),
        Some(user) if find(user)?.uid == own.as_raw() => Ok(None),
        Some(user) => Err(RunError::User {
            user: user.to_owned(),
            reason: format!("cannot be used: the agent runs as user {own} and not as root"),
        }),
    }
}

fn find(user: &str) -> Result<Identity, RunError> {
    let number = user.parse().ok();
    let known = match number {
        Some(number) => User::from_uid(Uid::from_raw(number)),
        None => User::from_name(user),
    };
    let refuse = |reason: String| RunError::User { user: user.to_owned(), reason };
    match (known, number) {
        (Ok(Some(known)), _) => Ok(Identity {
            uid: known.uid.as_raw(),
            gid: known.gid.as_raw(),
            groups: groups(&known.name, known.gid),
        }),
        (Ok(None), Some(number)) => Ok(Identity { uid: number, gid: number, groups: Vec::new() }),
        (Ok(None), None) => Err(refuse("does not exist on this node".into())),
        (Err(error), _) => Err(refuse(format!("cannot be looked up: {error}"))),
    }
}

fn groups(name: &str, gid: Gid) -> Vec<u32> {
    let Ok(name) = CString::new(name) else { return Vec::new() };
    getgrouplist(&name, gid).unwrap_or_default().into_iter().map(Gid::as_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(find("root").unwrap().uid, 0);
        assert_eq!(find("0").unwrap().gid, 0);
        assert_eq!(find("54321").unwrap(), Identity { uid: 54321, gid: 54321, groups: Vec::new() });
        let error = find("no-such-user").unwrap_err();
        assert_eq!(error.to_string(), "user `no-such-user` does not exist on this node");
        assert!(!error.retry());
    }
}
