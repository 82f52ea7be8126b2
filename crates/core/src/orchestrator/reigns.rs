//! The reigns of this store: one for each start.

use holm_model::id::Epoch;

use super::Orchestrator;
use super::rows::Reign;

impl Orchestrator {
    /// Revisions go on over reigns, so that one number orders the lists of one store.
    pub(super) fn begin_reign(&mut self) {
        let last_revision = self.reigns.values().map(|reign| reign.last_revision).max().unwrap_or(0);
        let reign = Reign { last_revision, last_id: 0, after: None };
        self.reigns.put(&mut self.journal, self.epoch, reign);
    }

    /// This reign's changes are numbered from behind `change`, the last one in the history.
    pub fn begins_after(&mut self, change: u64) {
        self.reigns.change(&mut self.journal, &self.epoch, |reign| reign.after = Some(change));
    }

    /// Behind which number of the history somebody reads on who was told up to `change` of a reign. It
    /// may be lower: what was told and not written before a crash has given its number to others. `None`:
    /// it was a reign of another store, or of a version that did not note it.
    #[must_use]
    pub fn reads_on_after(&self, reign: Epoch, change: u64) -> Option<u64> {
        if reign == self.epoch {
            return Some(change);
        }
        let mut from = self.reigns.from(Some(reign)).map(|(epoch, reign)| (*epoch, reign.after));
        from.next().filter(|(epoch, _)| *epoch == reign)?;
        let (_, after) = from.next()?;
        after.map(|after| after.min(change))
    }
}
