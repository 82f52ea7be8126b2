//! Who an instance is, as the API shows it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Time;

/// `POST /identities/verify`
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyIdentity {
    /// As an instance showed it.
    pub token: String,
    /// For whom the token must have been made; without it, for this API: `holm://<sea>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// Whom a token speaks for, who vouches for that, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IdentityView {
    /// `holm://<sea>/<project>/<application>/<service>`
    pub subject: String,
    pub project: String,
    pub application: String,
    pub service: String,
    /// The instance that asked for the token.
    pub instance: String,
    /// On which node it ran then.
    pub node: String,
    /// The orchestrator that vouches for it.
    pub issuer: String,
    pub audience: String,
    #[schema(value_type = String, format = DateTime)]
    pub issued: Time,
    #[schema(value_type = String, format = DateTime)]
    pub expires: Time,
    /// Of the token, for whoever takes each only once.
    pub id: String,
}

impl std::fmt::Debug for VerifyIdentity {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyIdentity").field("audience", &self.audience).finish_non_exhaustive()
    }
}
