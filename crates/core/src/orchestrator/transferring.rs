//! Nodes that change their orchestrator.
//!
//! ```text
//! old:  emptied ──────────────────────────────────────────────► it leaves: void, forgotten
//! new:           invited ──► joined, expected ──► heard: ours
//!                                 └─ not heard until the invitation ends: it stayed where it was, forgotten
//! ```

use holm_model::id::MemberId;
use holm_model::member::Role;
use holm_model::message::READS_TRANSFERS;
use holm_model::name::Name;
use holm_model::record::AuditRecord;
use holm_model::time::Time;
use holm_model::view::TokenRole;
use holm_model::view::drain::StaysView;

use super::command::{Actor, Refusal, Reply};
use super::rows::Token;
use super::{Orchestrator, Tier};

/// What a node's way to another cluster needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// From here down to the node.
    pub path: Vec<MemberId>,
    /// The cluster that it goes to.
    pub to: MemberId,
}

impl Orchestrator {
    /// Whether this node can go to the cluster of this name.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn transfer_route(&self, node: MemberId, to: &Name) -> Result<Route, Refusal> {
        if self.config.tier == Tier::Cluster {
            return Err(Refusal::Conflict(
                "a cluster knows no other clusters; say `holm node move` to the root".to_owned(),
            ));
        }
        let path = self.way_to(node).ok_or_else(|| Refusal::no_member(node))?;
        let found = self.members.iter().find(|(_, m)| m.role == Role::Cluster && m.name == *to);
        let (to_id, _) = found.ok_or_else(|| Refusal::NotFound { kind: "cluster", name: to.to_string() })?;
        let to_id = *to_id;
        let from = path.first().copied().filter(|first| *first != node);
        if from == Some(to_id) {
            return Err(Refusal::Conflict(format!("the node is in cluster `{to}` already")));
        }
        for cluster in from.into_iter().chain([to_id]) {
            self.takes_part(cluster)?;
        }
        Ok(Route { path, to: to_id })
    }

    /// Whether the cluster is there, and new enough.
    fn takes_part(&self, cluster: MemberId) -> Result<(), Refusal> {
        let name = self.member_name(cluster);
        let why = if !self.can_be_told(cluster) {
            "cannot be told anything now: it is silent, or frozen; try again when it is online"
        } else if self.reads_of(cluster).is_some_and(|reads| reads < READS_TRANSFERS) {
            "has a program that is too old for that; upgrade holm there"
        } else {
            return Ok(());
        };
        Err(Refusal::Conflict(format!("cluster `{name}` {why}")))
    }

    /// A token by which this node alone joins, once. An earlier attempt of it that came to nothing is forgotten.
    pub(super) fn invite(
        &mut self,
        actor: &Actor,
        id: String,
        secret_hash: String,
        name: Name,
        expires: Time,
    ) -> Result<Reply, Refusal> {
        let known = self.members.iter().find(|(_, member)| member.name == name);
        let known = known.map(|(id, member)| (*id, member.role.word(), member.expected.is_some()));
        if let Some((known, kind, expected)) = known {
            if !expected {
                return Err(Refusal::Conflict(format!(
                    "the name `{name}` belongs to a {kind} there already; first `holm {kind} remove {name}` there"
                )));
            }
            self.did_not_come(known);
        }
        let (who, role, uses_left) = (actor.who.clone(), TokenRole::Node, Some(1));
        let token = Token {
            role,
            secret_hash,
            expires,
            uses_left,
            revoked: false,
            who,
            grants: None,
            invites: Some(name),
            guest_of: None,
        };
        self.tokens.put(&mut self.journal, id, token);
        Ok(Reply::Done)
    }

    /// Whether the node can be given away.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn may_let_go(&self, id: MemberId) -> Result<(), Refusal> {
        let Some(member) = self.members.get(&id) else { return Err(Refusal::no_member(id)) };
        let name = &member.name;
        if member.role == Role::Cluster {
            return Err(Refusal::Invalid(format!("{name} is a cluster: only nodes move to other clusters")));
        }
        if member.leaving || member.decommission.is_some() {
            return Err(Refusal::Conflict(format!("{name} is being removed")));
        }
        if !self.can_be_told(id) {
            return Err(Refusal::Conflict(format!(
                "{name} cannot be told anything now: it is silent, or frozen; try again when it is online"
            )));
        }
        if self.reads_of(id).is_some_and(|reads| reads < READS_TRANSFERS) {
            let reason = format!("the program of {name} is too old to go; upgrade holm there");
            return Err(Refusal::Conflict(reason));
        }
        Ok(())
    }

    /// What is still on a node that is emptied; what belongs to the node ends with it. `None`: it is not emptied.
    #[must_use]
    pub fn still_on(&self, id: MemberId) -> Option<Vec<StaysView>> {
        let drain = self.drain_view(id)?;
        Some(if self.has_only_its_own(id) { Vec::new() } else { drain.stays })
    }

    /// Its certificates are void, and it is forgotten: it has said that it is somewhere else.
    pub(super) fn member_leaves(&mut self, id: MemberId) {
        self.record_parting(id, "member.left", "it said that it has left");
        self.cut_off(id);
    }

    /// Nodes that were invited, have joined, and were never heard: they are where they were.
    pub(super) fn forget_who_did_not_come(&mut self) {
        let late = |expected: Option<Time>| expected.is_some_and(|until| until <= self.now.wall);
        let late: Vec<MemberId> =
            self.members.iter().filter(|(_, member)| late(member.expected)).map(|(id, _)| *id).collect();
        late.into_iter().for_each(|id| self.did_not_come(id));
    }

    fn did_not_come(&mut self, id: MemberId) {
        self.record_parting(
            id,
            "member.stayed",
            "it was invited, joined, and did not come: it is where it was",
        );
        self.cut_off(id);
    }

    fn record_parting(&mut self, id: MemberId, verb: &str, outcome: &str) {
        let who = format!("member:{}", self.member_name(id));
        let (at, verb, subject) = (self.now.wall, verb.to_owned(), format!("member {id}"));
        let (from, outcome) = (String::new(), outcome.to_owned());
        self.journal.audit(AuditRecord { at, who, from, verb, subject, outcome });
    }
}
