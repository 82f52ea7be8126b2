//! Names and passwords that were good a short while ago, and the token that each of them got: container engines send
//! a password with each request, and proving one is work on purpose.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ring::digest::{SHA256, digest};
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::SystemRandom;

/// Of one orchestrator, in memory only.
#[derive(Debug)]
pub(crate) struct Logins {
    /// Of this run: what is kept cannot be compared with a list of passwords elsewhere. Without one, nothing is kept.
    key: Option<hmac::Key>,
    known: Mutex<HashMap<[u8; 32], (String, Instant)>>,
}

/// How long a password is not proved anew. A token that is void meanwhile is not good any more all the same.
const TIME: Duration = Duration::from_secs(600);
const MOST: usize = 1024;

// === impl Logins ===

impl Logins {
    pub(crate) fn new() -> Self {
        let key = hmac::Key::generate(HMAC_SHA256, &SystemRandom::new()).ok();
        Self { key, known: Mutex::default() }
    }

    pub(crate) fn find(&self, name: &str, password: &str) -> Option<String> {
        let known = self.known();
        let (token, since) = known.get(&self.mark(name, password)?)?;
        (since.elapsed() < TIME).then(|| token.clone())
    }

    pub(crate) fn remember(&self, name: &str, password: &str, token: &str) {
        let Some(mark) = self.mark(name, password) else { return };
        let mut known = self.known();
        if known.len() >= MOST {
            known.retain(|_, (_, since)| since.elapsed() < TIME);
        }
        if known.len() < MOST {
            known.insert(mark, (token.to_owned(), Instant::now()));
        }
    }

    pub(crate) fn forget(&self, name: &str, password: &str) {
        if let Some(mark) = self.mark(name, password) {
            self.known().remove(&mark);
        }
    }

    fn mark(&self, name: &str, password: &str) -> Option<[u8; 32]> {
        // Both have one length each: no two pairs have one text.
        let mut text = digest(&SHA256, name.as_bytes()).as_ref().to_vec();
        text.extend(digest(&SHA256, password.as_bytes()).as_ref());
        hmac::sign(self.key.as_ref()?, &text).as_ref().try_into().ok()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], (String, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_name_and_password_are_remembered() {
        let logins = Logins::new();
        logins.remember("ann", "secret", "token");
        assert_eq!(logins.find("ann", "secret").as_deref(), Some("token"));
        for (name, password) in [("ann", "Secret"), ("an", "nsecret"), ("", "annsecret")] {
            assert_eq!(logins.find(name, password), None);
        }
        logins.forget("ann", "secret");
        assert_eq!(logins.find("ann", "secret"), None);
    }
}
