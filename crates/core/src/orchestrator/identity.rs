//! For which instances their nodes may ask for a proof of who they are, which are still there, and what they may do.

use holm_model::access::Grants;
use holm_model::cron::of_run;
use holm_model::id::{AssignmentId, MemberId};
use holm_model::member::Role;
use holm_model::name::Name;
use holm_model::wish::AppKey;

use super::Orchestrator;
use super::rows::Phase;

/// What an instance is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName {
    pub app: AppKey,
    pub service: Name,
}

/// Nothing is proved for this instance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// Whether it is elsewhere is nothing that a node may learn.
    #[error("instance {0} is not on the list of this node (any more)")]
    NotYours(AssignmentId),
    #[error(
        "this orchestrator's store does not know whether this node was revoked; its people decide: `holm adopt {0}`"
    )]
    Unconfirmed(Name),
    #[error("service `{0}` has no identity; write `identity: true` into its manifest")]
    NotWished(Name),
}

impl Orchestrator {
    /// What the instance is a part of, if it is on the member's list now and its service has an identity.
    ///
    /// # Errors
    /// See [`NoIdentity`].
    pub fn identity_for(&self, member: MemberId, instance: AssignmentId) -> Result<ServiceName, NoIdentity> {
        if let Some(unconfirmed) = self.members.get(&member).filter(|member| member.unconfirmed) {
            return Err(NoIdentity::Unconfirmed(unconfirmed.name.clone()));
        }
        let placed = self.placements.get(&instance).filter(|placement| {
            let lives = placement.role == Role::Node && placement.phase != Phase::Retiring;
            placement.member == member && lives
        });
        let part = &placed.ok_or(NoIdentity::NotYours(instance))?.part;
        // Bytes that cannot be read ask for nothing.
        if !part.spec.decode().is_ok_and(|spec| spec.identity) {
            return Err(NoIdentity::NotWished(part.service.clone()));
        }
        Ok(ServiceName { app: part.app.clone(), service: part.known_as().clone() })
    }

    /// Whether the instance is there, as a part of this service and on this node: ids from our member down.
    #[must_use]
    pub fn is_there(&self, instance: AssignmentId, of: &ServiceName, path: &[MemberId]) -> bool {
        if let Some(placement) = self.placements.get(&instance) {
            // Our own node's.
            return placement.phase != Phase::Retiring
                && placement.role == Role::Node
                && path == [placement.member]
                && (&placement.part.app, placement.part.known_as()) == (&of.app, &of.service);
        }
        self.instances.get(&instance).is_some_and(|report| {
            // What its cluster proves of its own, it says itself.
            let known_as = of_run(&report.service).filter(|service| *service == of.service);
            let named = report.service == of.service || known_as.is_some();
            report.node == path && report.app == of.app && named
        }) && !self.is_revoked_below(path)
    }

    /// A node of a cluster, which has said so.
    pub(super) fn is_revoked_below(&self, path: &[MemberId]) -> bool {
        let live = path.first().and_then(|cluster| self.live.get(cluster));
        live.and_then(|live| live.nodes.get(path)).is_some_and(|node| node.revoked)
    }

    /// What the instance may do by the API: the role of its service, where we have placed it ourselves. What a cluster
    /// says of instances that we have not given it counts for nothing here.
    #[must_use]
    pub fn rights_of(&self, instance: AssignmentId, of: &ServiceName, path: &[MemberId]) -> Grants {
        let placed = if let Some(placement) = self.placements.get(&instance) {
            Some(placement)
        } else {
            let share = self.instances.get(&instance).and_then(|report| report.share);
            share.and_then(|share| self.placements.get(&share))
        };
        let ours = placed.is_some_and(|placement| {
            path.first() == Some(&placement.member)
                && placement.phase != Phase::Retiring
                && (&placement.part.app, placement.part.known_as()) == (&of.app, &of.service)
        });
        if !ours || path.iter().any(|id| self.is_unconfirmed(*id)) || !self.is_there(instance, of, path) {
            return Grants::default();
        }
        let role = self.service_role(&of.app, &of.service);
        role.map(|role| Grants::projects(role, [of.app.project.clone()])).unwrap_or_default()
    }
}
