//! Under which user a program runs.

use std::ffi::CString;

use holm_model::name::Name;
use nix::unistd::{Gid, Uid, User, getgrouplist};
use serde::{Deserialize, Serialize};

use super::range;
use super::users::{ProcessUsers, Users};
use crate::error::RunError;

/// What a program's process becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// `user:` of the service, or the user of its `project` for a root agent; `None`: as the agent itself.
///
/// # Errors
/// When the user does not exist or is another project's, or the agent is not root and cannot become it.
pub(super) fn identity(
    project: &Name,
    user: Option<&str>,
    users: &Users,
) -> Result<Option<Identity>, RunError> {
    let own = Uid::effective();
    match user {
        None if !own.is_root() => Ok(None),
        None => match &users.choice {
            ProcessUsers::One(user) => find(user).map(Some),
            ProcessUsers::Each(range) => users.of(project, *range).map(|user| Some(Identity::alone(user))),
        },
        Some(user) if own.is_root() => named(user, users).map(Some),
        Some(user) if find(user)?.uid == own.as_raw() => Ok(None),
        Some(user) => {
            Err(refused(user, &format!("cannot be used: the agent runs as user {own} and not as root")))
        }
    }
}

/// # Errors
/// When no program can be started without `user:`.
pub(super) fn usable(users: &Users) -> Result<(), RunError> {
    match &users.choice {
        _ if !Uid::effective().is_root() => Ok(()),
        ProcessUsers::One(user) => find(user).map(drop),
        ProcessUsers::Each(range) => range::usable(*range),
    }
}

fn named(user: &str, users: &Users) -> Result<Identity, RunError> {
    let found = find(user)?;
    match &users.choice {
        ProcessUsers::Each(range) if range.contains(found.uid) || range.contains(found.gid) => {
            Err(refused(user, "is of those that this node gives to projects by itself; leave `user:` out"))
        }
        _ => Ok(found),
    }
}

fn refused(user: &str, reason: &str) -> RunError {
    RunError::User { user: user.to_owned(), reason: reason.to_owned() }
}

fn find(user: &str) -> Result<Identity, RunError> {
    let number = user.parse().ok();
    let known = match number {
        Some(number) => User::from_uid(Uid::from_raw(number)),
        None => User::from_name(user),
    };
    match (known, number) {
        (Ok(Some(known)), _) => Ok(Identity {
            uid: known.uid.as_raw(),
            gid: known.gid.as_raw(),
            groups: groups(&known.name, known.gid),
        }),
        (Ok(None), Some(number)) => Ok(Identity::alone(number)),
        (Ok(None), None) => Err(refused(user, "does not exist on this node")),
        (Err(error), _) => Err(refused(user, &format!("cannot be looked up: {error}"))),
    }
}

fn groups(name: &str, gid: Gid) -> Vec<u32> {
    let Ok(name) = CString::new(name) else { return Vec::new() };
    getgrouplist(&name, gid).unwrap_or_default().into_iter().map(Gid::as_raw).collect()
}

// === impl Identity ===

impl Identity {
    /// In no group but its own.
    const fn alone(user: u32) -> Self {
        Self { uid: user, gid: user, groups: Vec::new() }
    }
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

    #[test]
    fn nobody_names_the_user_of_a_project() {
        let dir = tempfile::tempdir().unwrap();
        let users = Users::new(ProcessUsers::Each("70000-70009".parse().unwrap()), dir.path().join("users"));
        let error = named("70003", &users).unwrap_err();
        assert_eq!(
            error.to_string(),
            "user `70003` is of those that this node gives to projects by itself; leave `user:` out"
        );
        assert_eq!(named("70010", &users).unwrap().uid, 70010);
    }
}
