//! For which instances their nodes may ask for a proof of who they are, and which are still there.

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
    #[error("service `{0}` has no identity; write `identity: true` into its manifest")]
    NotWished(Name),
}

impl Orchestrator {
    /// What the instance is a part of, if it is on the member's list now and its service has an identity.
    ///
    /// # Errors
    /// See [`NoIdentity`].
    pub fn identity_for(&self, member: MemberId, instance: AssignmentId) -> Result<ServiceName, NoIdentity> {
        let placed = self.placements.get(&instance).filter(|placement| {
            let lives = placement.role == Role::Node && placement.phase != Phase::Retiring;
            placement.member == member && lives && !self.is_unconfirmed(member)
        });
        let part = &placed.ok_or(NoIdentity::NotYours(instance))?.part;
        // Bytes that cannot be read ask for nothing.
        if !part.spec.decode().is_ok_and(|spec| spec.identity) {
            return Err(NoIdentity::NotWished(part.service.clone()));
        }
        Ok(ServiceName { app: part.app.clone(), service: part.service.clone() })
    }

    /// Whether the instance is there, as a part of this service and on this node: ids from our member down.
    #[must_use]
    pub fn is_there(&self, instance: AssignmentId, of: &ServiceName, path: &[MemberId]) -> bool {
        if let Some(placement) = self.placements.get(&instance) {
            // Our own node's.
            return placement.phase != Phase::Retiring
                && placement.role == Role::Node
                && path == [placement.member]
                && (&placement.part.app, &placement.part.service) == (&of.app, &of.service);
        }
        self.instances.get(&instance).is_some_and(|report| {
            report.node == path && (&report.app, &report.service) == (&of.app, &of.service)
        })
    }
}
