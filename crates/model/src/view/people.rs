//! People, projects, sessions and their tokens, as the API shows and takes them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{Grants, Role};
use crate::name::Name;
use crate::project::ServiceRoles;
use crate::time::Time;

/// A password on its way in: bounded, and never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, min_length = 10, max_length = 256, format = Password)]
pub struct Password(pub String);

/// `POST /projects`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectRequest {
    #[schema(value_type = String)]
    pub name: Name,
    #[serde(default)]
    pub quota: Quota,
}

/// The most that a project may have; what is absent is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Cores, as in `4` or `1500m`: the sum of what its instances ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub cpu: Option<crate::resources::Cpu>,
    /// As in `512Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub memory: Option<crate::resources::Memory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<u32>,
    /// Ports of hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectView {
    pub name: String,
    pub quota: Quota,
    /// What its applications ask for now, measured as the quota is.
    pub used: Quota,
    pub applications: u32,
    #[schema(value_type = String, format = DateTime)]
    pub created: Time,
}

/// `POST /people`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonRequest {
    #[schema(value_type = String)]
    pub name: Name,
    /// To be changed at the first log-in.
    pub password: Password,
    #[serde(default)]
    pub roles: Roles,
}

/// Which roles somebody has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// For the whole sea.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sea: Option<Role>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Role>)]
    pub projects: BTreeMap<Name, Role>,
}

/// `PUT /projects/{project}/roles/…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleRequest {
    pub role: Role,
}

/// Who has which role in one project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectRolesView {
    #[schema(value_type = BTreeMap<String, Role>)]
    pub people: BTreeMap<Name, Role>,
    /// By application and service.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, Role>>)]
    pub services: ServiceRoles,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonView {
    pub name: String,
    pub roles: Roles,
    /// The password must be changed before anything else.
    pub must_change: bool,
    /// Came out of a backup, and cannot log in before an administrator has set a new password.
    #[serde(default)]
    pub held: bool,
    #[schema(value_type = String, format = DateTime)]
    pub created: Time,
}

/// `POST /sessions`: log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    pub name: String,
    pub password: Password,
}

/// `POST /setup`: the first administrator, with the secret of the set-up link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupRequest {
    pub token: String,
    #[schema(value_type = String)]
    pub name: Name,
    pub password: Password,
}

/// A log-in that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionCreated {
    pub token: String,
    pub who: String,
    #[schema(value_type = String, format = DateTime)]
    pub expires: Time,
    /// Nothing is allowed before the password was changed.
    pub must_change: bool,
    /// For browsers, which keep the token in a cookie: to be sent as `X-Holm-CSRF` with every change.
    pub csrf: String,
}

/// `PUT /people/{name}/password`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    /// The present one; needed for one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Password>,
    pub new: Password,
}

/// `POST /backup`: how it is encrypted, by one of both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// 8 characters at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<Password>,
    /// 32 random bytes in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Password>,
}

/// `GET /whoami`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoView {
    /// As the audit log says it.
    pub who: String,
    pub grants: Grants,
    /// `null`: the Unix socket, which does not expire.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Time>,
}

// === impl Password ===

impl Password {
    /// In characters: long enough that guessing at the throttled rate is hopeless.
    pub const LEAST: usize = 10;
    /// In bytes: hashing costs by length, and nobody types more.
    pub const MOST: usize = 256;
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

// === impl Roles ===

impl Roles {
    #[must_use]
    pub fn grants(&self) -> Grants {
        let sea = self.sea.map(Grants::sea).unwrap_or_default();
        self.projects
            .iter()
            .fold(sea, |all, (project, role)| all.and(&Grants::projects(*role, [project.clone()])))
    }
}

/// `sea: viewer; blue: operator`; `none`.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sea = self.sea.map(|role| format!("sea: {role}"));
        let projects = self.projects.iter().map(|(project, role)| format!("{project}: {role}"));
        let all: Vec<String> = sea.into_iter().chain(projects).collect();
        f.write_str(if all.is_empty() { "none" } else { "" })?;
        f.write_str(&all.join("; "))
    }
}

/// `cpu 2, memory 1Gi, instances 5`; `no limit`.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, memory, instances, ports } = self;
        let limits = [
            cpu.map(|cpu| format!("cpu {cpu}")),
            memory.map(|memory| format!("memory {memory}")),
            instances.map(|number| format!("instances {number}")),
            ports.map(|number| format!("ports {number}")),
        ];
        let limits: Vec<String> = limits.into_iter().flatten().collect();
        f.write_str(if limits.is_empty() { "no limit" } else { "" })?;
        f.write_str(&limits.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Scope, Verb};

    #[test]
    fn roles_add_up() {
        let name = |text| Name::new(text).unwrap();
        let roles = Roles {
            sea: Some(Role::Viewer),
            projects: [(name("blue"), Role::Admin), (name("red"), Role::Operator)].into(),
        };
        let grants = roles.grants();
        assert!(grants.allows(Verb::Read, Scope::Sea) && !grants.allows(Verb::Members, Scope::Sea));
        assert!(grants.allows(Verb::Secrets, Scope::Project("blue")));
        assert!(!grants.allows(Verb::Secrets, Scope::Project("red")));
        assert!(grants.allows(Verb::Exec, Scope::Project("red")));
    }

    #[test]
    fn a_password_is_never_printed() {
        let request = LoginRequest { name: "ada".into(), password: Password("correct horse".into()) };
        assert!(!format!("{request:?}").contains("horse"));
    }
}
