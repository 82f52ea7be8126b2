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

pub(super) const CHOSEN: &[Chosen] = &[
    Chosen {
        file: "crates/core/src/held/behind.rs",
        old: "welcome.store == obeyed.store && last.is_some_and(|last| obeyed.revision <= last)",
        new: "last.is_none_or(|_| true)",
        promise: "a parent that has forgotten is not obeyed",
    },
    Chosen {
        file: "crates/core/src/held.rs",
        old: "let equal = outcome == change.digest;",
        new: "let equal = true;",
        promise: "a list that differs from its digest is asked for again",
    },
    Chosen {
        file: "crates/core/src/node/decide.rs",
        old: "let Some(wanted) = at.wanted else { return Some(Cause::Scheduler) };",
        new: "let Some(wanted) = at.wanted else { return None };",
        promise: "what is not on its list ends",
    },
    Chosen {
        file: "crates/core/src/node/decide.rs",
        old: "_ if at.record.is_outdated(wanted) => Some(Cause::Scheduler),",
        new: "_ if false => Some(Cause::Scheduler),",
        promise: "what runs is of the generation that is wished",
    },
    Chosen {
        file: "crates/core/src/orchestrator/facts.rs",
        old: "if facts.sequence > live.sequence + 1 {",
        new: "if false {",
        promise: "facts that were lost on the way are told again",
    },
    Chosen {
        file: "crates/core/src/orchestrator/facts.rs",
        old: "if facts.session != live.session || facts.sequence <= live.sequence {",
        new: "if facts.session != live.session {",
        promise: "what was heard late does not undo what is newer",
    },
    Chosen {
        file: "crates/core/src/orchestrator/reconcile.rs",
        old: "Some(active) if back => self.reconcile_returned(slot_id, id, active),",
        new: "Some(_) if back => {}",
        promise: "nothing is left over after a reunion",
    },
    Chosen {
        file: "crates/core/src/orchestrator/reconcile.rs",
        old: "} else if clearing {",
        new: "} else if false {",
        promise: "a slot's next instance waits for the one before",
    },
    Chosen {
        file: "crates/core/src/orchestrator/reigns.rs",
        old: "let reign = Reign { last_revision, last_id: 0, after: None };",
        new: "let reign = Reign { last_revision: 0, last_id: 0, after: None };",
        promise: "revisions go on over restarts",
    },
    Chosen {
        file: "crates/core/src/orchestrator/slots.rs",
        old: "for row in self.wishes.values().filter(|row| row.wish.deleted.is_none()) {",
        new: "for row in self.wishes.values() {",
        promise: "nothing deleted comes back",
    },
    Chosen {
        file: "crates/core/src/orchestrator/lists.rs",
        old: "if list.changed > shown {",
        new: "if false {",
        promise: "a catalog that is out of date is shown anew",
    },
    Chosen {
        file: "crates/core/src/orchestrator/shares.rs",
        old: "slot.refuse(placement.member, no, reason.to_owned(), now, deadlines);",
        new: "",
        promise: "a cluster that has no place is not asked again at once",
    },
    Chosen {
        file: "crates/core/src/orchestrator/upward.rs",
        old: "self.unreport(&FactKey::Share(id));",
        new: "",
        promise: "what is said of a share ends with it",
    },
    Chosen {
        file: "crates/core/src/report.rs",
        old: "self.session = None;",
        new: "",
        promise: "a new session begins with all facts",
    },
    Chosen {
        file: "crates/core/src/table.rs",
        old: "std::mem::take(&mut self.undo).into_iter().rev()",
        new: "std::mem::take(&mut self.undo).into_iter()",
        promise: "what a full disk refused has not happened",
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
        for chosen in CHOSEN {
            let text = std::fs::read_to_string(crate::tool::root().join(chosen.file)).unwrap();
            chosen.find(&text).unwrap();
        }
    }
}
