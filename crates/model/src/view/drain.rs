//! Members that are emptied, and slots that are moved.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::name::Name;
use crate::time::Time;

/// A member that people empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrainView {
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
    /// Named volumes are left behind.
    pub lose_volumes: bool,
    /// What is still there; empty: it is drained.
    pub stays: Vec<StaysView>,
}

/// Something that is still on a member that is emptied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StaysView {
    /// `default/shop`
    pub application: String,
    /// `web/2`
    pub slot: String,
    /// Why; empty: it was not looked at yet.
    pub reason: String,
}

/// Empties a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// Instances with named volumes move, too, and leave their data behind.
    #[serde(default)]
    pub lose_volumes: bool,
}

/// Moves one slot of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrateRequest {
    /// `web/2`
    pub slot: String,
    /// A node or a cluster; without it, whoever is best.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub to: Option<Name>,
    /// Its named volumes are left behind.
    #[serde(default)]
    pub lose_volume: bool,
}

/// Gives a node to another cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferRequest {
    /// The cluster.
    #[schema(value_type = String)]
    pub to: Name,
    /// What has named volumes leaves the node, too, and leaves its data behind.
    #[serde(default)]
    pub lose_volumes: bool,
    /// Where the node calls that cluster, `host:port`; without it, at the address that the cluster tells.
    #[serde(default)]
    #[schema(max_length = 300)]
    pub address: Option<String>,
}

/// How far a node is on its way to another cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransferView {
    /// `true`: it is a member of the other cluster, and leaves the old one as soon as it was heard there. `false`: it is
    /// emptied; ask again.
    pub moved: bool,
    /// What is still there, and why.
    pub stays: Vec<StaysView>,
}

/// Takes a node out of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecommissionRequest {
    /// What cannot move ends with it, and a node that cannot be told is forgotten without proof.
    #[serde(default)]
    pub force: bool,
}

/// What taking a node out of service leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecommissionView {
    /// `true`: it could not be told, and was forgotten at once: nobody proves what is left on it. `false`: it is
    /// emptied, wipes itself, and is forgotten when it has told what it wiped; the audit log has that as `node.wiped`.
    pub forgotten: bool,
}
