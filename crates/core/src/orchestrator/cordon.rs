//! Members that people keep new work away from: what is there stays.

use holm_model::id::MemberId;
use holm_model::member::Role;

use super::Orchestrator;
use super::command::{Refusal, Reply};

impl Orchestrator {
    pub(super) fn cordon(&mut self, id: MemberId, cordoned: bool) -> Result<Reply, Refusal> {
        let Some(member) = self.members.get(&id) else { return Err(self.not_ours_to_cordon(id, "cordon")) };
        if member.cordoned == cordoned && (cordoned || member.draining.is_none()) {
            return Ok(Reply::Done);
        }
        if !cordoned && member.decommission.as_ref().is_some_and(|decommission| decommission.wiping) {
            return Err(Refusal::Conflict(format!(
                "{} wipes itself; that cannot be taken back",
                member.name
            )));
        }
        let kind = if member.role == Role::Node { "node" } else { "cluster" };
        let words = if cordoned { ("", "cordoned") } else { ("cordoned", "") };
        self.members.change(&mut self.journal, &id, |member| {
            member.cordoned = cordoned;
            member.draining = member.draining.filter(|_| cordoned);
            member.decommission = member.decommission.take().filter(|_| cordoned);
        });
        self.todo.retiring.retain(|retiring| cordoned || *retiring != id);
        self.note(kind, self.member_name(id), String::new(), words, ("person", ""));
        self.takes_changed(id);
        Ok(Reply::Done)
    }

    pub(super) fn not_ours_to_cordon(&self, id: MemberId, verb: &str) -> Refusal {
        let below = self.live.iter().find(|(_, live)| live.nodes.keys().any(|path| path.last() == Some(&id)));
        let Some((cluster, _)) = below else { return Refusal::no_member(id) };
        let cluster = self.member_name(*cluster);
        Refusal::Conflict(format!(
            "the node belongs to cluster `{cluster}`, which places its own work: {verb} it there, or the whole cluster \
             here (`holm cluster {verb} {cluster}`)"
        ))
    }
}
