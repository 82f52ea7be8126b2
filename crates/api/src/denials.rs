//! Refused attempts go into the audit log, but nobody fills the disk by being refused: the first few of a kind are
//! written at once, the others of a minute together, with their number and what they were about. Each kind (who, and
//! which operation) counts for itself, so that many harmless ones hide no other.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use holm_core::orchestrator::command::Actor;

use crate::limits::bucket::Buckets;

/// What was refused, as the audit log shall have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) actor: Actor,
    pub(crate) verb: &'static str,
    pub(crate) subject: String,
    pub(crate) reason: String,
}

/// Refusals that are told together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Of {
    /// A person or token, or where strangers come from.
    pub(crate) who: String,
    pub(crate) operation: String,
}

/// What is to be done about a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// It is a record.
    Write(Denied),
    /// It is counted; what was counted is [taken](Denials::take) after [`FOLD`].
    Begin,
    Counted,
}

#[derive(Debug)]
pub(crate) struct Denials(Mutex<Kinds>);

#[derive(Debug)]
struct Kinds {
    /// For which a record may still be written at once.
    records: Buckets<Of>,
    silent: HashMap<Of, Folded>,
}

/// Refusals that are not told yet.
#[derive(Debug)]
struct Folded {
    last: Denied,
    times: u64,
    whos: BTreeSet<String>,
    /// Without ports.
    froms: BTreeSet<String>,
    subjects: BTreeSet<String>,
}

/// Records of a kind that are written at once; one more after so long.
const BURST: u32 = 5;
const REFILL: Duration = Duration::from_secs(60);
/// The others are told after so long.
pub(crate) const FOLD: Duration = Duration::from_secs(60);
/// Kinds that are counted apart; those beyond are counted together.
const MOST: usize = 1_024;
/// Names and subjects of a record that stands for many.
const NAMED: usize = 8;

// === impl Denials ===

impl Default for Denials {
    fn default() -> Self {
        Self(Mutex::new(Kinds { records: Buckets::every(REFILL, BURST), silent: HashMap::new() }))
    }
}

impl Denials {
    /// One more. `of` is told apart from others only while there are few: see [`MOST`].
    pub(crate) fn note(&self, of: &mut Of, denied: Denied, now: Instant) -> Note {
        // Nothing that holds the lock can panic half-way.
        let Kinds { records, silent } = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !silent.contains_key(of) && records.take(of, now).is_ok() {
            return Note::Write(denied);
        }
        if silent.len() >= MOST && !silent.contains_key(of) {
            *of = Of { who: String::new(), operation: String::new() };
        }
        match silent.get_mut(of) {
            Some(folded) => {
                folded.add(denied);
                Note::Counted
            }
            None => {
                silent.insert(of.clone(), Folded::new(denied));
                Note::Begin
            }
        }
    }

    /// What was counted, as one record.
    pub(crate) fn take(&self, of: &Of) -> Option<Denied> {
        let folded = self.0.lock().unwrap_or_else(PoisonError::into_inner).silent.remove(of)?;
        Some(folded.denied())
    }
}

// === impl Folded ===

impl Folded {
    fn new(denied: Denied) -> Self {
        let whos = BTreeSet::from([denied.actor.who.clone()]);
        let (froms, subjects) =
            (BTreeSet::from([host(&denied.actor.from)]), BTreeSet::from([denied.subject.clone()]));
        Self { last: denied, times: 1, whos, froms, subjects }
    }

    fn add(&mut self, denied: Denied) {
        self.times = self.times.saturating_add(1);
        // One more than is named says that there are more.
        if self.whos.len() <= NAMED {
            self.whos.insert(denied.actor.who.clone());
        }
        if self.froms.len() <= NAMED {
            self.froms.insert(host(&denied.actor.from));
        }
        if self.subjects.len() <= NAMED {
            self.subjects.insert(denied.subject.clone());
        }
        self.last = denied;
    }

    fn denied(self) -> Denied {
        let Self { mut last, times, whos, froms, subjects } = self;
        let as_whom = if whos.len() > 1 {
            "?".clone_into(&mut last.actor.who);
            format!(" as {}", named(&whos))
        } else {
            String::new()
        };
        let from = if froms.len() > 1 { format!(" from {}", named(&froms)) } else { String::new() };
        let about = named(&subjects);
        let about = if about.is_empty() { about } else { format!(": {about}") };
        last.subject = format!("{times} more times{as_whom}{from}{about}");
        last
    }
}

fn host(from: &str) -> String {
    from.parse::<SocketAddr>().map_or_else(|_| from.to_owned(), |address| address.ip().to_string())
}

fn named(all: &BTreeSet<String>) -> String {
    let more = if all.len() > NAMED { ", …" } else { "" };
    format!("{}{more}", all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(who: &str, subject: &str) -> Denied {
        let actor = Actor { who: who.to_owned(), from: "unix".to_owned() };
        Denied { actor, verb: "request", subject: subject.to_owned(), reason: "no".to_owned() }
    }

    fn of(who: &str, operation: &str) -> Of {
        Of { who: who.to_owned(), operation: operation.to_owned() }
    }

    #[test]
    fn many_refusals_make_few_records_and_none_is_lost() {
        let (denials, start) = (Denials::default(), Instant::now());
        let reads = || of("ada", "GET /audit");
        let notes: Vec<_> =
            (0..1000).map(|_| denials.note(&mut reads(), denied("ada", "GET /audit"), start)).collect();
        let written = notes.iter().filter(|note| matches!(note, Note::Write(_))).count();
        assert_eq!((written, &notes[BURST as usize]), (BURST as usize, &Note::Begin));
        assert!(notes[BURST as usize + 1..].iter().all(|note| *note == Note::Counted));
        // What comes after a thousand reads is told apart from them.
        let other = denials.note(&mut of("ada", "POST /tokens"), denied("ada", "POST /tokens"), start);
        assert!(matches!(other, Note::Write(_)), "{other:?}");
        assert!(matches!(
            denials.note(&mut of("bob", "GET /audit"), denied("bob", ""), start),
            Note::Write(_)
        ));
        assert_eq!(denials.take(&reads()).unwrap().subject, "995 more times: GET /audit");
        assert_eq!(denials.take(&reads()), None);
    }

    #[test]
    fn what_is_told_together_names_each_subject_and_name_up_to_a_bound() {
        let (denials, start) = (Denials::default(), Instant::now());
        let kind = || of("192.0.2.7", "log-in");
        for n in 0..BURST + 3 {
            denials.note(&mut kind(), denied("ada", &format!("/tokens/{n}")), start);
        }
        let told = denials.take(&kind()).unwrap();
        assert_eq!(
            (told.actor.who.as_str(), told.subject.as_str()),
            ("ada", "3 more times: /tokens/5, /tokens/6, /tokens/7")
        );
        for n in 0..20 {
            denials.note(&mut kind(), denied(&format!("p{n:02}"), ""), start);
        }
        let told = denials.take(&kind()).unwrap();
        assert_eq!(told.actor.who, "?");
        assert_eq!(told.subject, "20 more times as p00, p01, p02, p03, p04, p05, p06, p07, …");
    }

    #[test]
    fn what_is_told_together_names_each_place() {
        let (denials, start) = (Denials::default(), Instant::now());
        for n in 0..BURST + 4 {
            let mut denied = denied("ada", "");
            denied.actor.from = format!("192.0.2.{}:{}", n % 2, 4000 + n);
            denials.note(&mut of("ada", "log-in"), denied, start);
        }
        let told = denials.take(&of("ada", "log-in")).unwrap();
        assert_eq!(told.subject, "4 more times from 192.0.2.0, 192.0.2.1");
    }

    #[test]
    fn kinds_are_bounded() {
        let (denials, now) = (Denials::default(), Instant::now());
        for n in 0..2 * MOST {
            for _ in 0..=BURST {
                denials.note(&mut of(&n.to_string(), "GET /"), denied("x", "GET /"), now);
            }
        }
        assert_eq!(denials.0.lock().unwrap().silent.len(), MOST + 1);
        let rest = denials.take(&of("", "")).unwrap();
        assert!(rest.subject.starts_with("1024 more times"), "{rest:?}");
    }
}
