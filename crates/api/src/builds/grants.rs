//! What the registry allows the engine that builds an image, by a token of that build, as long as it lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use holm_model::transfer::Secret;
use holm_registry::{Access, Action, Name};
use ring::digest::{SHA256, digest};
use ring::error::Unspecified;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Builds that are under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grants(Arc<Mutex<BTreeMap<Hash, Arc<Grant>>>>);

/// Tokens are kept as their hashes, so that how long a search takes says nothing of them.
type Hash = Vec<u8>;

/// What one build may.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) push: Name,
    pub(crate) pull: BTreeSet<Name>,
}

/// Ends what was granted when it is dropped.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) token: Secret,
    hash: Hash,
    of: Grants,
}

// === impl Grants ===

impl Grants {
    /// # Errors
    /// When the system has no random numbers.
    pub(crate) fn grant(&self, grant: Grant) -> Result<Granted, Unspecified> {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random)?;
        let token = HEXLOWER.encode(&random);
        let hash = hash(&token);
        self.all().insert(hash.clone(), Arc::new(grant));
        Ok(Granted { token: Secret(token), hash, of: self.clone() })
    }

    pub(crate) fn find(&self, token: &str) -> Option<Arc<Grant>> {
        self.all().get(&hash(token)).cloned()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Hash, Arc<Grant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(token: &str) -> Hash {
    digest(&SHA256, token.as_bytes()).as_ref().to_vec()
}

// === impl Grant ===

impl Grant {
    pub(crate) fn allows(&self, access: &Access) -> bool {
        match access.action {
            Action::Pull => access.repository == self.push || self.pull.contains(&access.repository),
            Action::Push => access.repository == self.push,
            Action::Delete => false,
        }
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        self.of.all().remove(&self.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn a_build_pushes_its_image_reads_its_bases_and_nothing_afterwards() {
        let all = Grants::default();
        let granted =
            all.grant(Grant { push: name("red/web"), pull: BTreeSet::from([name("red/base")]) }).unwrap();
        let token = granted.token.0.clone();
        let may = |action, repository: &str| {
            let access = Access { action, repository: name(repository) };
            all.find(&token).is_some_and(|grant| grant.allows(&access))
        };
        assert!(
            may(Action::Push, "red/web") && may(Action::Pull, "red/web") && may(Action::Pull, "red/base")
        );
        assert!(!may(Action::Push, "red/base") && !may(Action::Pull, "red/other"));
        assert!(!may(Action::Delete, "red/web"));
        assert!(all.find("").is_none());
        drop(granted);
        assert!(!may(Action::Pull, "red/web"));
    }
}
