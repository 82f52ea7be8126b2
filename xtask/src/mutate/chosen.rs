//! Ten lines of the core on which a promise hangs, and how each is broken: `cargo xtask mutate --chosen`.
//!
//! Only the simulator's seeds are asked, not its stories: would chance find it?

use anyhow::{Result, bail};

/// One line and what it becomes.
#[derive(Debug)]
pub(super) struct Chosen {
    /// Relative to the workspace.
    pub(super) file: &'static str,
    /// A part of exactly one line.
    pub(super) old: &'static str,
    pub(super) new: &'static str,
    /// What is not so any more.
    pub(super) promise: &'static str,
}

pub(super) const CHOSEN: [Chosen; 10] = [
    Chosen {
        file: "crates/core/src/held/behind.rs",
        old: "welcome.store == obeyed.store && last.is_some_and(|last| obeyed.revision <= last)",
        new: "last.is_none_or(|_| true)",
        promise: "a parent that has forgotten is not obeyed",
    },
    Chosen {
        file: "crates/core/src/node/decide.rs",
        old: "let Some(wanted) = at.wanted else { return Some(Cause::Scheduler) };",
        new: "let Some(wanted) = at.wanted else { return None };",
        promise: "what is not on its list ends",
    },
    Chosen {
        file: "crates/core/src/orchestrator/facts.rs",
        old: "live.snapshot.insert(fact.key());",
        new: "",
        promise: "what a member tells of is not taken for gone",
    },
    Chosen {
        file: "crates/core/src/orchestrator/facts.rs",
        old: "report.node.first() == Some(&id) && !snapshot.contains(&FactKey::Instance(**instance))",
        new: "false && !snapshot.contains(&FactKey::Instance(**instance))",
        promise: "what a member does not tell of any more is gone",
    },
    Chosen {
        file: "crates/core/src/orchestrator/leasing.rs",
        old: "others.all(|(_, until)| *until <= surely)",
        new: "others.all(|(_, until)| *until <= surely || true)",
        promise: "what is exclusive never runs twice",
    },
    Chosen {
        file: "crates/core/src/orchestrator/reconcile.rs",
        old: "self.set_phase(*id, Phase::Retiring);",
        new: "",
        promise: "what nobody wants any more leaves the lists",
    },
    Chosen {
        file: "crates/core/src/orchestrator/reconcile.rs",
        old: "Phase::Migrating => self.tidy_migrating(slot_id, id, active),",
        new: "Phase::Migrating => {}",
        promise: "an old copy goes when the new one is ready",
    },
    Chosen {
        file: "crates/core/src/orchestrator/reigns.rs",
        old: "let reign = Reign { last_revision, last_id: 0, after: None };",
        new: "let reign = Reign { last_revision: 0, last_id: 0, after: None };",
        promise: "revisions go on over restarts",
    },
    Chosen {
        file: "crates/core/src/orchestrator/returning.rs",
        old: "(_, Replacement::Runs) => Fate::Ends,",
        new: "(_, Replacement::Runs) => Fate::Waits,",
        promise: "nothing is left over after a reunion",
    },
    Chosen {
        file: "crates/core/src/orchestrator/slots.rs",
        old: "for row in self.wishes.values().filter(|row| row.wish.deleted.is_none()) {",
        new: "for row in self.wishes.values() {",
        promise: "nothing deleted comes back",
    },
];

// === impl Chosen ===

impl Chosen {
    /// The line with this number, from 0, and what it becomes.
    ///
    /// # Errors
    /// When the part is not in exactly one line: the code has changed, and this list has to.
    pub(super) fn find(&self, text: &str) -> Result<(usize, String, String)> {
        let mut found = text.lines().enumerate().filter(|(_, line)| line.contains(self.old));
        let (Some((number, line)), None) = (found.next(), found.next()) else {
            bail!("`{}` is not in exactly one line of {}", self.old, self.file);
        };
        Ok((number, line.to_owned(), line.replacen(self.old, self.new, 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chosen_line_is_there() {
        for chosen in &CHOSEN {
            let text = std::fs::read_to_string(crate::tool::root().join(chosen.file)).unwrap();
            chosen.find(&text).unwrap();
        }
    }
}
