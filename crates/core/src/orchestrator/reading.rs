//! Members of other versions: what they cannot read is held back, and told to people.

use std::collections::BTreeSet;

use holm_model::id::MemberId;
use holm_model::item::ItemError;
use holm_model::member::Role;

use super::Orchestrator;
use super::lists::List;

impl Orchestrator {
    /// The member greets, and says what it reads.
    pub(super) fn reads(&mut self, id: MemberId, reads: u32) {
        let Some(list) = self.lists.get_mut(&id) else { return };
        list.is_read_with(reads);
        if self.members.get(&id).is_some_and(|member| member.role == Role::Cluster) {
            self.put_revocations(&[id]);
        }
        self.note_withheld(id);
    }

    /// What the member said that it reads.
    pub(super) fn reads_of(&self, id: MemberId) -> Option<u32> {
        self.lists.get(&id).map(List::reads)
    }

    /// For people, once there is something: their member has to be upgraded.
    pub(super) fn note_withheld(&mut self, id: MemberId) {
        let (Some(member), Some(list)) = (self.members.get(&id), self.lists.get(&id)) else { return };
        let kinds: BTreeSet<&str> = list.withheld().map(|item| item.key.kind()).collect();
        if kinds.is_empty() {
            return;
        }
        let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
        let reason = format!(
            "its program cannot read everything that it should be told ({kinds}); upgrade holm there, and it is told"
        );
        let (kind, name) = (member.role.word(), member.name.to_string());
        self.note(kind, name, String::new(), ("", "too old"), ("policy", &reason));
    }

    /// Our parent sent what this version cannot read.
    pub(super) fn note_unreadable(&mut self, errors: &[ItemError]) {
        let Some(first) = errors.first() else { return };
        let more = match errors.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let reason =
            format!("our parent sent what this version cannot read: {first}{more}; upgrade holm here");
        let name = self.config.name.to_string();
        self.note(Role::Cluster.word(), name, String::new(), ("", "too old"), ("policy", &reason));
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
