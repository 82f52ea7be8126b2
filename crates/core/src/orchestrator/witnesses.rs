//! Nodes of a silent cluster that say here what they run: what is seen to run is neither DANGLING nor replaced.
//!
//! A witness moves nothing: what it runs stays its cluster's, and nobody learns of anything here that its cluster has
//! not told before. Each word of it counts for as long as the silence of a member is borne, so that a link that
//! breaks, or a node that goes to and fro, changes nothing at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_model::fact::InstanceReport;
use holm_model::id::{AssignmentId, MemberId};
use holm_model::member::Role;
use holm_model::state::MemberState;

use super::Orchestrator;
use super::members::Live;

/// The nodes that spoke lately, by cluster and node.
#[derive(Debug, Default)]
pub(super) struct Witnesses(BTreeMap<(MemberId, MemberId), Witness>);

#[derive(Debug)]
struct Witness {
    /// Boot time of its last word.
    heard: Duration,
    /// What it runs, as far as its cluster has told of it.
    runs: BTreeSet<AssignmentId>,
}

impl Witnesses {
    /// After a pause of our own their silence is not theirs.
    pub(super) fn wake(&mut self, now: Duration) {
        self.0.values_mut().for_each(|witness| witness.heard = now);
    }
}

impl Orchestrator {
    /// Whether a node of this cluster that shows certificates with these serial numbers is heard; or why not, for people.
    ///
    /// # Errors
    /// When the cluster is none of ours, or no more, or the node is void.
    pub fn hears_witness(
        &self,
        cluster: MemberId,
        node: MemberId,
        serials: &[String],
    ) -> Result<(), &'static str> {
        let ours = self.members.get(&cluster).is_some_and(|member| member.role == Role::Cluster);
        if !ours || self.is_void(cluster) {
            return Err("its cluster is no member here any more");
        }
        let revoked = serials.iter().any(|serial| self.is_revoked(serial));
        if revoked || self.is_void(node) || self.is_revoked_below(&[cluster, node]) {
            return Err("it was revoked or removed");
        }
        Ok(())
    }

    /// The node of a cluster says itself what it runs.
    pub(super) fn witnessed(&mut self, cluster: MemberId, node: MemberId, runs: &BTreeSet<AssignmentId>) {
        if self.hears_witness(cluster, node, &[]).is_err() {
            return;
        }
        let told_of =
            |id: &&AssignmentId| self.instances.get(id).is_some_and(|report| report.node == [cluster, node]);
        let runs: BTreeSet<AssignmentId> = runs.iter().filter(told_of).copied().collect();
        if !self.is_told_of(cluster, node) {
            self.keep_guest((cluster, node));
        }
        let heard = self.now.boot;
        let before = self.witnesses.0.insert((cluster, node), Witness { heard, runs: runs.clone() });
        if before.is_none() {
            self.note_witness(
                (cluster, node),
                ("by its cluster", "by itself"),
                "its cluster is silent to it",
            );
        }
        let before = before.map(|witness| witness.runs).unwrap_or_default();
        self.seen_otherwise(before.symmetric_difference(&runs));
    }

    /// Its cluster is heard, and hears it.
    pub(super) fn is_told_of(&self, cluster: MemberId, node: MemberId) -> bool {
        let online = |live: &&Live| live.state == MemberState::Online;
        let live = self.live.get(&cluster).filter(online);
        let known = live.and_then(|live| live.nodes.get(&vec![cluster, node]));
        known.is_some_and(|report| report.state == MemberState::Online)
    }

    /// Whoever has said nothing for as long as a member may be silent is no witness any more.
    pub(super) fn forget_witnesses(&mut self) {
        let patience = self.config.deadlines.replace;
        let silent = |witness: &Witness| self.now.boot.saturating_sub(witness.heard) >= patience;
        let over = |(of, witness): (&(MemberId, MemberId), &Witness)| {
            (silent(witness) || self.hears_witness(of.0, of.1, &[]).is_err()).then_some(*of)
        };
        let over: Vec<_> = self.witnesses.0.iter().filter_map(over).collect();
        for of in over {
            let Some(witness) = self.witnesses.0.remove(&of) else { continue };
            self.note_witness(of, ("by itself", "by its cluster"), "it says nothing here any more");
            self.seen_otherwise(witness.runs.iter());
        }
    }

    /// Its node has said lately that it runs.
    pub(super) fn is_witnessed(&self, report: &InstanceReport) -> bool {
        let [cluster, node] = report.node[..] else { return false };
        let witness = self.witnesses.0.get(&(cluster, node));
        witness.is_some_and(|witness| witness.runs.contains(&report.id))
    }

    /// As [`Self::is_witnessed`], of an instance in this share.
    pub(super) fn is_share_witnessed(&self, share: AssignmentId) -> bool {
        let mut of = self.index.by_share.get(&share).into_iter().flatten();
        of.any(|id| self.instances.get(id).is_some_and(|report| self.is_witnessed(report)))
    }

    /// Whether the node is heard here though its cluster is not.
    pub(super) fn is_witness(&self, path: &[MemberId]) -> bool {
        let [cluster, node] = *path else { return false };
        self.witnesses.0.contains_key(&(cluster, node))
    }

    /// They count as DANGLING, or no more: for their slots, and for everybody who looks.
    fn seen_otherwise<'a>(&mut self, instances: impl Iterator<Item = &'a AssignmentId>) {
        let of: Vec<InstanceReport> = instances.filter_map(|id| self.instances.get(id)).cloned().collect();
        for report in &of {
            let placement = report.share.and_then(|share| self.placements.get(&share));
            self.todo.slots.extend(placement.map(Self::slot_of));
        }
        self.report_silence(of);
    }

    fn note_witness(&mut self, (cluster, node): (MemberId, MemberId), heard: (&str, &str), why: &str) {
        let known = self.live.get(&cluster).and_then(|live| live.nodes.get(&vec![cluster, node]));
        let name = known.map_or_else(|| node.to_string(), |report| report.name.to_string());
        let subject = format!("{}/{name}", self.member_name(cluster));
        self.note("node", subject, String::new(), heard, ("node", why));
    }
}
