//! Under which user a program runs.

use std::ffi::CString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

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
/// When no program can be started without `user:`, or could not reach its own directory below `root`.
pub(super) fn usable(users: &Users, root: &Path) -> Result<(), RunError> {
    let identity = match &users.choice {
        _ if !Uid::effective().is_root() => return Ok(()),
        ProcessUsers::One(user) => find(user)?,
        ProcessUsers::Each(range) => {
            range::usable(*range)?;
            Identity::alone(range.first())
        }
    };
    closed(root, &identity).map_or(Ok(()), |dir| Err(RunError::Closed { dir }))
}

/// The highest directory above `root` that `user` cannot pass through, by its mode alone.
fn closed(root: &Path, user: &Identity) -> Option<PathBuf> {
    // The directory of all instances is made with the first of them.
    let data_dir = fs::canonicalize(root.parent()?).ok()?;
    let above: Vec<_> = data_dir.ancestors().collect();
    let closed = |dir: &&&Path| fs::metadata(dir).is_ok_and(|found| !user.passes(&found));
    above.iter().rev().find(closed).map(|dir| dir.to_path_buf())
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

    fn passes(&self, dir: &Metadata) -> bool {
        let bit = if self.uid == dir.uid() {
            0o100
        } else if self.gid == dir.gid() || self.groups.contains(&dir.gid()) {
            0o010
        } else {
            0o001
        };
        self.uid == 0 || dir.mode() & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_closed_directory_above_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("a/node");
        fs::create_dir_all(&data).unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let (above, root) = (dir.path().join("a"), data.join("instances"));
        let stranger = Identity::alone(2_010_000_000);
        let ours = above.metadata().unwrap();
        let member = Identity { groups: vec![ours.gid()], ..stranger };
        let owner = Identity { uid: ours.uid(), ..stranger.clone() };
        mode(dir.path(), 0o711);
        mode(&above, 0o711);
        assert_eq!(closed(&root, &stranger), None);
        mode(&above, 0o710);
        assert_eq!(closed(&root, &stranger), Some(above.canonicalize().unwrap()));
        assert_eq!(closed(&root, &member), None);
        mode(&above, 0o701);
        assert_eq!(
            closed(&root, &member),
            Some(above.canonicalize().unwrap()),
            "the group counts before others"
        );
        assert_eq!(closed(&root, &stranger), None);
        mode(dir.path(), 0o700);
        assert_eq!(
            closed(&root, &stranger),
            Some(dir.path().canonicalize().unwrap()),
            "the highest is named"
        );
        assert_eq!(closed(&root, &owner), None);
    }

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
