//! Who is there, and who lags.

use holm_core::orchestrator::Figures;
use holm_metrics::{Bounded, Family};
use holm_model::state::MemberState;
use holm_model::view::StatusView;

use super::MOST_MEMBERS;

pub(super) fn families(status: &StatusView, figures: &Figures) -> Vec<Family> {
    let mut members = Family::gauge("holm_members", "Own nodes and clusters, by role and state.");
    let mut up = Family::gauge("holm_member_up", "Whether the member is online.");
    let mut frozen = Family::gauge(
        "holm_members_frozen",
        "Members that take nothing until a person says `holm adopt` or `holm discard`.",
    );
    let mut cordoned = Family::gauge("holm_members_cordoned", "Members that people keep new work away from.");
    let mut lag = Family::gauge(
        "holm_member_list_lag_revisions",
        "Between the last change of the member's list and what it has obeyed.",
    );
    let mut names = Bounded::new(MOST_MEMBERS);
    for member in &figures.members {
        let role = ("role", member.role.word());
        members.add(&[role, ("state", member.state.word())], true);
        frozen.add(&[role], member.frozen);
        cordoned.add(&[role], member.cordoned);
        let [name] = names.admit([&member.name]);
        let labels = [role, ("member", &*name)];
        up.add(&labels, member.state == MemberState::Online);
        lag.add(&labels, member.lag);
    }
    let mut below = Family::gauge("holm_cluster_nodes", "Nodes of the clusters below, by state.");
    for ((cluster, state), number) in &figures.nodes_below {
        below.add(&[("cluster", cluster), ("state", state.word())], *number);
    }
    let revision = Family::gauge("holm_list_revision", "The newest revision of members' lists.")
        .with(&[], figures.revision);
    let mut all = vec![members, up, frozen, cordoned, lag, below, revision];
    if status.parent != "none" {
        let connected = Family::gauge("holm_parent_connected", "Whether the link to the parent is open.");
        all.push(connected.with(&[], status.parent == "connected"));
    }
    all
}
