//! Tokens that were good a while ago, by what they hash to. Pure.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use holm_model::time::Time;

/// It says nothing about whether a token is good now; only whether it is worth the work of finding out. Nobody
/// outside can tell what hashes alike.
#[derive(Debug, Default)]
pub(super) struct Familiar {
    keys: RandomState,
    until: HashMap<u64, Time>,
}

/// Tokens that are remembered.
const MOST: usize = 16_384;

impl Familiar {
    pub(super) fn knows(&self, token: &str) -> bool {
        self.until.contains_key(&self.keys.hash_one(token))
    }

    /// It was good, and may be until `until`.
    pub(super) fn learn(&mut self, token: &str, until: Time, now: Time) {
        if self.until.len() >= MOST {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() >= MOST {
            self.until.clear();
        }
        self.until.insert(self.keys.hash_one(token), until);
    }

    /// It is not good any more.
    pub(super) fn forget(&mut self, token: &str) {
        self.until.remove(&self.keys.hash_one(token));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_keeps_what_is_good() {
        let mut familiar = Familiar::default();
        familiar.learn("good", Time(100), Time(0));
        for n in 1..MOST {
            familiar.learn(&n.to_string(), Time(10), Time(0));
        }
        familiar.learn("new", Time(100), Time(10));
        assert_eq!(familiar.until.len(), 2);
        assert!(familiar.knows("good") && familiar.knows("new") && !familiar.knows("1"));
        familiar.forget("good");
        assert!(!familiar.knows("good"));
    }
}
