//! A test and the facts of a node, or of a class of nodes → the truth.

use std::collections::{BTreeMap, BTreeSet};

use super::{Affix, Condition, Map, Number, Test, Text, Texts};
use crate::capability::Capability;
use crate::member::RuntimeFacts;

/// What a condition is about. Where it is `None`, it is not known here and may differ among those meant.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub labels: &'a BTreeMap<String, String>,
    /// With `arch/…`, `os/…` and `runtime/…`.
    pub capabilities: &'a BTreeSet<Capability>,
    pub name: Option<&'a str>,
    /// `""` at the root itself.
    pub cluster: Option<&'a str>,
    /// `None`: only their names, from `capabilities`.
    pub runtimes: Option<&'a [RuntimeFacts]>,
}

/// The answer to a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    Yes,
    No,
    /// It asks for an entry that is not there, or for the number in a text without one. As in CEL that is no
    /// "no": `!(…)` of it is not "yes".
    Missing,
    /// Not to be known from these facts.
    Open,
}

/// What a text or number is here.
enum Found<T> {
    Is(T),
    Missing,
    Open,
}

impl Condition {
    #[must_use]
    pub fn holds(&self, facts: &Facts<'_>) -> Truth {
        self.test.truth(facts)
    }

    /// The labels that it reads and that are not there.
    #[must_use]
    pub fn missing_labels<'a>(&'a self, facts: &Facts<'_>) -> Vec<&'a str> {
        let mut found = Vec::new();
        self.test.labels(&mut found);
        found.retain(|key| !facts.labels.contains_key(*key));
        found.dedup();
        found
    }
}

// === impl Test ===

impl Test {
    fn truth(&self, facts: &Facts<'_>) -> Truth {
        match self {
            Self::Is(yes) => Truth::from(*yes),
            Self::Not(test) => match test.truth(facts) {
                Truth::Yes => Truth::No,
                Truth::No => Truth::Yes,
                other => other,
            },
            Self::All(tests) => all(tests.iter().map(|test| test.truth(facts)), Truth::No, Truth::Yes),
            Self::Any(tests) => all(tests.iter().map(|test| test.truth(facts)), Truth::Yes, Truth::No),
            Self::Equal(a, b) => a.find(facts).with(&b.find(facts), |a, b| a == b),
            Self::Affix(affix, of, part) => {
                of.find(facts).with(&part.find(facts), |of, part| affix.holds(of, part))
            }
            Self::Within(text, Texts::List(list)) => {
                let text = text.find(facts);
                let same = |other: &Text| text.with(&other.find(facts), |a, b| a == b);
                all(list.iter().map(same), Truth::Yes, Truth::No)
            }
            Self::Within(text, Texts::Capabilities) => text
                .find(facts)
                .test(|text| text.parse().is_ok_and(|text| facts.capabilities.contains(&text))),
            Self::Has(map, key) => key.find(facts).test(|key| facts.has(*map, key)),
            Self::Same(a, b) => a.find(facts).with(&b.find(facts), |a, b| a == b),
            Self::Less(a, b) => a.find(facts).with(&b.find(facts), |a, b| a < b),
        }
    }

    fn labels<'a>(&'a self, found: &mut Vec<&'a str>) {
        let mut text = |text: &'a Text| {
            if let Text::Entry(Map::Labels, key) = text {
                found.push(key);
            }
        };
        match self {
            Self::Is(_) | Self::Has(..) => {}
            Self::Not(test) => test.labels(found),
            Self::All(tests) | Self::Any(tests) => tests.iter().for_each(|test| test.labels(found)),
            Self::Equal(a, b) | Self::Affix(_, a, b) => [a, b].into_iter().for_each(text),
            Self::Within(a, Texts::List(list)) => list.iter().chain([a]).for_each(text),
            Self::Within(a, Texts::Capabilities) => text(a),
            Self::Same(a, b) | Self::Less(a, b) => {
                let of = |number: &'a Number| match number {
                    Number::Of(text) => Some(text),
                    Number::Literal(_) => None,
                };
                [a, b].into_iter().filter_map(of).for_each(text);
            }
        }
    }
}

/// What decides at once, else what is open, else what is missing, else `otherwise`: never surer than the facts.
fn all(truths: impl Iterator<Item = Truth>, decides: Truth, otherwise: Truth) -> Truth {
    let mut found = otherwise;
    for truth in truths {
        match truth {
            truth if truth == decides => return truth,
            Truth::Open => found = Truth::Open,
            Truth::Missing if found != Truth::Open => found = Truth::Missing,
            _ => {}
        }
    }
    found
}

// === impl Affix, Text, Number ===

impl Affix {
    fn holds(self, text: &str, part: &str) -> bool {
        match self {
            Self::Starts => text.starts_with(part),
            Self::Ends => text.ends_with(part),
            Self::Contains => text.contains(part),
        }
    }
}

impl Text {
    fn find<'a>(&'a self, facts: &Facts<'a>) -> Found<&'a str> {
        let known = |text: Option<&'a str>| text.map_or(Found::Open, Found::Is);
        match self {
            Self::Literal(text) => Found::Is(text),
            Self::Arch => facts.of_kind("arch"),
            Self::Os => facts.of_kind("os"),
            Self::Name => known(facts.name),
            Self::Cluster => known(facts.cluster),
            Self::Entry(Map::Labels, key) => {
                facts.labels.get(key).map_or(Found::Missing, |text| Found::Is(text))
            }
            Self::Entry(Map::Runtimes, key) => match facts.runtimes {
                _ if !facts.has(Map::Runtimes, key) => Found::Missing,
                None => Found::Open,
                Some(list) => {
                    let found = list.iter().find(|runtime| runtime.name == *key.as_str());
                    found.map_or(Found::Missing, |runtime| Found::Is(&runtime.version))
                }
            },
        }
    }
}

impl Number {
    fn find(&self, facts: &Facts<'_>) -> Found<i64> {
        match self {
            Self::Literal(number) => Found::Is(*number),
            Self::Of(text) => match text.find(facts) {
                Found::Is(text) => text.trim().parse().map_or(Found::Missing, Found::Is),
                Found::Missing => Found::Missing,
                Found::Open => Found::Open,
            },
        }
    }
}

// === impl Facts ===

impl<'a> Facts<'a> {
    fn has(&self, map: Map, key: &str) -> bool {
        match map {
            Map::Labels => self.labels.contains_key(key),
            Map::Runtimes => self.kind("runtime").any(|name| name == key),
        }
    }

    fn kind(&self, kind: &'static str) -> impl Iterator<Item = &'a str> + use<'a> {
        let of_kind = move |known: &&Capability| known.kind == *kind;
        self.capabilities.iter().filter(of_kind).map(|known| known.name.as_str())
    }

    fn of_kind(&self, kind: &'static str) -> Found<&'a str> {
        self.kind(kind).next().map_or(Found::Missing, Found::Is)
    }
}

// === impl Found, Truth ===

impl<T> Found<T> {
    fn test(&self, test: impl FnOnce(&T) -> bool) -> Truth {
        match self {
            Self::Is(value) => Truth::from(test(value)),
            Self::Missing => Truth::Missing,
            Self::Open => Truth::Open,
        }
    }

    fn with(&self, other: &Self, test: impl FnOnce(&T, &T) -> bool) -> Truth {
        match (self, other) {
            (Self::Is(a), Self::Is(b)) => Truth::from(test(a, b)),
            (Self::Missing, _) | (_, Self::Missing) => Truth::Missing,
            _ => Truth::Open,
        }
    }
}

impl From<bool> for Truth {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}
