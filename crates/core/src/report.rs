//! The member's side of facts: a snapshot when a session begins, then what changes.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::fact::{Fact, FactKey};
use holm_model::message::{Facts, FactsPart, Up};

/// The current facts, and what the receiver has not heard of them yet.
#[derive(Debug, Default)]
pub struct Reporter {
    facts: BTreeMap<FactKey, Fact>,
    /// Set or removed since the last message.
    dirty: BTreeSet<FactKey>,
    /// The last word on facts that were removed; they are gone as soon as it was said.
    last_words: BTreeMap<FactKey, Fact>,
    session: Option<Session>,
}

#[derive(Debug)]
struct Session {
    number: u64,
    /// Of the last message.
    sequence: u64,
    /// The snapshot was sent.
    opened: bool,
    /// The kinds of facts that the receiver reads; others are held back.
    reads: u32,
}

/// Facts in one message at most.
const CHUNK: usize = 500;

// === impl Reporter ===

impl Reporter {
    /// Says what is the case now; an equal fact is not sent again.
    pub fn set(&mut self, fact: Fact) {
        let key = fact.key();
        self.last_words.remove(&key);
        if self.facts.get(&key) != Some(&fact) {
            self.dirty.insert(key.clone());
            self.facts.insert(key, fact);
        }
    }

    pub fn remove(&mut self, key: &FactKey) {
        if self.facts.remove(key).is_some() {
            self.dirty.insert(key.clone());
        }
    }

    /// Removes the fact, of which there is something to say: a snapshot tells it, too, if that comes first.
    pub fn remove_with(&mut self, last_word: Fact) {
        let key = last_word.key();
        self.facts.remove(&key);
        self.dirty.insert(key.clone());
        self.last_words.insert(key, last_word);
    }

    #[must_use]
    pub fn get(&self, key: &FactKey) -> Option<&Fact> {
        self.facts.get(key)
    }

    pub fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.facts.values()
    }

    /// A session began with a receiver of these facts ([`READS`](holm_model::message::READS)): the next
    /// [`Reporter::take`] starts with a snapshot.
    pub fn welcome(&mut self, session: u64, reads: u32) {
        self.session = Some(Session { number: session, sequence: 0, opened: false, reads });
    }

    /// The receiver may have passed over what it could not place: the next [`Reporter::take`] starts
    /// with a snapshot again.
    pub fn repeat(&mut self) {
        if let Some(session) = &mut self.session {
            session.opened = false;
        }
    }

    /// There is a session: what is set is sent.
    #[must_use]
    pub const fn is_heard(&self) -> bool {
        self.session.is_some()
    }

    pub fn disconnected(&mut self) {
        self.session = None;
    }

    /// The messages that bring the receiver up to date; `revision` is that of the list which the facts
    /// already reflect. Empty without a session.
    pub fn take(&mut self, revision: u64) -> Vec<Up> {
        let Some(session) = &mut self.session else { return Vec::new() };
        let dirty: Vec<FactKey> = std::mem::take(&mut self.dirty).into_iter().collect();
        let last_words = std::mem::take(&mut self.last_words);
        let told = |key: &FactKey| self.facts.get(key).or_else(|| last_words.get(key)).cloned();
        let change = |session: &mut Session, keys: &[FactKey]| {
            let put = keys.iter().filter_map(told).collect();
            let gone = keys.iter().filter(|key| !self.facts.contains_key(key)).cloned().collect();
            session.message(FactsPart::Change, revision, put, gone)
        };
        if std::mem::replace(&mut session.opened, true) {
            return dirty.chunks(CHUNK).map(|keys| change(session, keys)).collect();
        }
        let all: Vec<Fact> = self.facts.values().chain(last_words.values()).cloned().collect();
        let mut messages = session.snapshot(revision, &all);
        let gone: Vec<FactKey> = last_words.keys().cloned().collect();
        messages.extend(gone.chunks(CHUNK).map(|keys| change(session, keys)));
        messages
    }
}

// === impl Session ===

impl Session {
    fn snapshot(&mut self, revision: u64, all: &[Fact]) -> Vec<Up> {
        let pieces = all.len().div_ceil(CHUNK);
        if pieces <= 1 {
            return vec![self.message(FactsPart::Whole, revision, all.to_vec(), Vec::new())];
        }
        let piece = |(i, facts): (usize, &[Fact])| {
            let part = match i {
                0 => FactsPart::Begin,
                _ if i + 1 == pieces => FactsPart::End,
                _ => FactsPart::More,
            };
            self.message(part, revision, facts.to_vec(), Vec::new())
        };
        all.chunks(CHUNK).enumerate().map(piece).collect()
    }

    fn message(&mut self, part: FactsPart, revision: u64, mut put: Vec<Fact>, mut gone: Vec<FactKey>) -> Up {
        put.retain(|fact| fact.key().since() <= self.reads);
        gone.retain(|key| key.since() <= self.reads);
        self.sequence += 1;
        Up::Facts(Facts { session: self.number, sequence: self.sequence, part, revision, put, gone })
    }
}
