//! Machines whose cluster is silent, and that are nodes of ours, too, meanwhile.
//!
//! ```text
//! a witness asks ──► invited ──► a node as any other, under a name of its own
//!                                   │
//!                                   └─ its cluster tells that it is back: drained ──► told to wipe itself, forgotten
//! ```
//!
//! Nothing changes hands. What the cluster has placed there stays the cluster's; what we place there is ours, and moves
//! as from any node that is drained. The machine keeps both apart, so that nothing ever has two owners.

use holm_model::id::MemberId;
use holm_model::name::Name;
use holm_model::time::Time;

use super::Orchestrator;
use super::command::{Actor, Refusal, Reply};

/// More machines of one cluster are not taken in: who has a cluster's key could make up any number.
const MOST: usize = 256;

/// The cluster and the node that the machine is there.
pub(super) type Home = (MemberId, MemberId);

impl Orchestrator {
    /// The name under which the machine of a witness, which calls itself `node`, is invited. `None`: it speaks here no
    /// more, is a guest already, or the name is taken.
    #[must_use]
    pub fn would_take_in(&self, (cluster, node): Home, called: &Name) -> Option<Name> {
        if !self.is_witness(&[cluster, node]) || self.guest(cluster, node).is_some_and(|id| self.is_here(id))
        {
            return None;
        }
        // Whoever says that its cluster is silent, while that tells of it, has another reason.
        if self.is_told_of(cluster, node) || self.guests_of(cluster) >= MOST {
            return None;
        }
        let name = Name::new(&format!("{}-{called}", self.members.get(&cluster)?.name)).ok()?;
        let taken = self.members.values().any(|member| member.name == name && member.expected.is_none());
        (!taken).then_some(name)
    }

    pub(super) fn take_in(
        &mut self,
        actor: &Actor,
        (id, secret_hash, expires): (String, String, Time),
        home: Home,
        called: &Name,
    ) -> Result<Reply, Refusal> {
        let Some(name) = self.would_take_in(home, called) else {
            return Err(Refusal::Conflict(
                "the machine is a node here already, or its cluster is back".into(),
            ));
        };
        let stale = self.tokens.iter().filter(|(_, token)| token.guest_of == Some(home));
        for stale in stale.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.tokens.remove(&mut self.journal, &stale);
        }
        self.invite(actor, id.clone(), secret_hash, name, expires)?;
        self.tokens.change(&mut self.journal, &id, |token| token.guest_of = Some(home));
        Ok(Reply::Done)
    }

    /// It is asked again for a machine that is on its way home: it stays.
    pub(super) fn keep_guest(&mut self, (cluster, node): Home) {
        let Some(id) = self.guest(cluster, node) else { return };
        let goes =
            |member: &super::rows::Member| member.decommission.as_ref().is_some_and(|going| !going.wiping);
        if self.members.get(&id).is_some_and(goes) {
            // Only one that wipes itself cannot stay.
            let _ = self.cordon(id, false);
        }
    }

    /// Its cluster tells of it again.
    pub(super) fn send_home(&mut self, cluster: MemberId, node: MemberId) {
        let Some(id) = self.guest(cluster, node) else { return };
        if self
            .members
            .get(&id)
            .is_some_and(|member| member.decommission.is_none() && member.expected.is_none())
        {
            let who = format!("cluster {}", self.member_name(cluster));
            self.retire(&Actor { who, from: "its link".to_owned() }, id);
        }
    }

    fn guests_of(&self, cluster: MemberId) -> usize {
        let of = |member: &&super::rows::Member| member.guest_of.is_some_and(|(whose, _)| whose == cluster);
        self.members.values().filter(of).count()
    }

    /// Whoever is no node there any more, or whose cluster is none, is none here.
    pub(super) fn void_guests(&mut self) {
        let is_shut_out = |(cluster, node): Home| {
            let known = self.live.get(&cluster).and_then(|live| live.nodes.get(&vec![cluster, node]));
            self.is_void(cluster)
                || self.is_void(node)
                || self.is_revoked_below(&[cluster, node])
                || known.is_some_and(|report| report.revoked)
        };
        let guests = self.members.iter().filter_map(|(id, member)| Some((*id, member.guest_of?)));
        let out = guests.filter(|(id, home)| !self.is_void(*id) && is_shut_out(*home)).map(|(id, _)| id);
        for id in out.collect::<Vec<_>>() {
            // It is a member.
            let _ = self.revoke(id);
        }
    }

    fn guest(&self, cluster: MemberId, node: MemberId) -> Option<MemberId> {
        let of = Some((cluster, node));
        self.members.iter().find(|(_, member)| member.guest_of == of).map(|(id, _)| *id)
    }

    /// Invited, it has come.
    fn is_here(&self, id: MemberId) -> bool {
        self.members.get(&id).is_some_and(|member| member.expected.is_none())
    }

    pub(super) fn is_guest(&self, id: MemberId) -> bool {
        self.members.get(&id).is_some_and(|member| member.guest_of.is_some())
    }

    /// The node that the machine of a guest is in its cluster, for people: `vienna/fl-2`.
    pub(super) fn host_of(&self, id: MemberId) -> Option<String> {
        let (cluster, node) = self.members.get(&id)?.guest_of?;
        let known = self.live.get(&cluster).and_then(|live| live.nodes.get(&vec![cluster, node]));
        let node = known.map_or_else(|| node.to_string(), |report| report.name.to_string());
        Some(format!("{}/{node}", self.member_name(cluster)))
    }
}
