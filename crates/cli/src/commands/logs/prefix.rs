//! How lines of several instances are told apart.

use std::fmt;

use holm_model::tunnel::LogStream;
use holm_model::view::{InstanceView, LogView};

use crate::output::clean;

/// Whose a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) application: String,
    pub(super) slot: String,
    pub(super) instance: String,
    /// `vienna/fl-1`
    pub(super) place: String,
}

/// What stands before each line: nothing as long as there is only one slot.
#[derive(Debug)]
pub(super) struct Prefixes {
    /// Applications and slots, in the order in which they came.
    known: Vec<(String, String)>,
    ink: bool,
}

/// ANSI colours of prefixes, one after the other.
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];
const DIM: u8 = 2;

// === impl Source ===

impl Source {
    /// `None` for a slot that nothing fills.
    pub(super) fn of(view: &InstanceView) -> Option<Self> {
        let InstanceView { id, application, slot, cluster, node, .. } = view;
        let place: Vec<_> = [cluster, node].into_iter().flatten().map(String::as_str).collect();
        let (application, slot, place) = (application.clone(), slot.clone(), place.join("/"));
        Some(Self { application, slot, instance: id.clone()?, place })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { application, slot, place, .. } = self;
        write!(f, "{application}/{slot} on {place}")
    }
}

// === impl Prefixes ===

impl Prefixes {
    pub(super) const fn new(ink: bool) -> Self {
        Self { known: Vec::new(), ink }
    }

    /// From now on this one is told apart from the others, too.
    pub(super) fn add(&mut self, source: &Source) {
        let name = (source.application.clone(), source.slot.clone());
        if !self.known.contains(&name) {
            self.known.push(name);
        }
    }

    pub(super) fn line(&self, source: &Source, line: &LogView) -> String {
        let text = clean(&line.text);
        let text = match line.stream {
            // Said by the node about the instance.
            LogStream::Node => self.painted(&format!("[{text}]"), DIM),
            LogStream::Stdout | LogStream::Stderr => text,
        };
        format!("{}{text}\n", self.prefix(source))
    }

    fn prefix(&self, source: &Source) -> String {
        if self.known.len() < 2 {
            return String::new();
        }
        let apart = self.known.iter().any(|(application, _)| *application != self.known[0].0);
        let name =
            |(app, slot): &(String, String)| if apart { format!("{app}/{slot}") } else { slot.clone() };
        let width = self.known.iter().map(|known| name(known).len()).max().unwrap_or(0);
        let own = (source.application.clone(), source.slot.clone());
        let place = self.known.iter().position(|known| *known == own).unwrap_or(0);
        self.painted(&format!("{:width$} | ", name(&own)), COLOURS[place % COLOURS.len()])
    }

    fn painted(&self, text: &str, colour: u8) -> String {
        if self.ink { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::instance;
    use holm_model::time::Time;

    fn line(text: &str) -> LogView {
        LogView { at: Time(0), stream: LogStream::Stdout, text: text.to_owned() }
    }

    fn source(id: &str, slot: &str) -> Source {
        Source::of(&instance(id, slot)).unwrap()
    }

    fn prefixes(sources: &[&Source], ink: bool) -> Prefixes {
        let mut prefixes = Prefixes::new(ink);
        sources.iter().for_each(|source| prefixes.add(source));
        prefixes
    }

    #[test]
    fn one_slot_needs_no_prefix_whoever_fills_it() {
        let (one, next) = (source("1", "web/0"), source("2", "web/0"));
        assert_eq!(prefixes(&[&one, &next], true).line(&next, &line("hello")), "hello\n");
    }

    #[test]
    fn several_are_told_apart() {
        let (a, b) = (source("1", "web/0"), source("2", "web/10"));
        let both = prefixes(&[&a, &b], false);
        assert_eq!(both.line(&a, &line("a")), "web/0  | a\n");
        assert_eq!(both.line(&b, &line("b")), "web/10 | b\n");
        assert!(prefixes(&[&a, &b], true).line(&a, &line("a")).starts_with("\u{1b}[36mweb/0"));
    }

    #[test]
    fn slots_of_two_applications_have_longer_names() {
        let (a, b) = (source("1", "web/0"), Source { application: "shop".into(), ..source("2", "web/0") });
        assert_eq!(prefixes(&[&a, &b], false).line(&b, &line("b")), "shop/web/0     | b\n");
    }
}
