//! What people ask an orchestrator to do, and why it may say no.

use holm_model::access::{self, Grants};
use holm_model::amendment::Amendment;
use holm_model::content::{ContentKey, ContentKind};
use holm_model::id::{MemberId, WishId};
use holm_model::member::{NodeFacts, Role};
use holm_model::name::Name;
use holm_model::service::Application;
use holm_model::state::RunState;
use holm_model::time::Time;
use holm_model::view::build::PhaseView;
use holm_model::view::drain::DecommissionView;
use holm_model::view::people::{Quota, Roles};
use holm_model::view::{ApplyView, RemovalView, TokenRole};
use holm_model::wish::AppKey;

use super::moving::Migration;

/// Who asks, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `admin` by Unix socket, a person's name, `<who made it>/token:<id>`, `join:<token id>`.
    pub who: String,
    /// `unix`, or the peer's address.
    pub from: String,
}

/// In which generation of an application a command is carried out (RFC 9110 §13.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    #[default]
    Anything,
    /// It is there, in one of these generations (any, if empty): `If-Match`.
    OneOf(Vec<u64>),
    /// It is in none of these generations (not there at all, if empty): `If-None-Match`.
    NoneOf(Vec<u64>),
}

/// One request that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Apply {
        project: Name,
        application: Application,
        expected: Expected,
    },
    Delete {
        app: AppKey,
        expected: Expected,
    },
    /// What a kept generation said is wished again; `to: None`: the one before the present one.
    Rollback {
        app: AppKey,
        to: Option<u64>,
        expected: Expected,
    },
    /// The canary is good: all slots get the new specification.
    Promote {
        app: AppKey,
        expected: Expected,
    },
    /// A deployment is over: how long each part of it took.
    NotePhases {
        app: AppKey,
        generation: u64,
        phases: Vec<PhaseView>,
    },
    /// `service: None`: all services of the application.
    Patch {
        app: AppKey,
        service: Option<Name>,
        replicas: Option<u32>,
        run: Option<RunState>,
        restart: bool,
        expected: Expected,
    },
    /// A join token, or an API token that can be revoked by its id.
    CreateToken {
        id: String,
        role: TokenRole,
        secret_hash: String,
        expires: Time,
        uses: Option<u32>,
        /// What an API token allows.
        grants: Option<Grants>,
    },
    /// A node of another orchestrator is to become a member here: a join token for it alone.
    Invite {
        id: String,
        secret_hash: String,
        name: Name,
        expires: Time,
    },
    /// The machine of a node whose cluster is silent is to become a member here, too: a join token for it alone.
    TakeIn {
        id: String,
        secret_hash: String,
        expires: Time,
        cluster: MemberId,
        node: MemberId,
        /// As it calls itself.
        called: Name,
    },
    RevokeToken {
        id: String,
    },
    People(PeopleCommand),
    Project(ProjectCommand),
    Content(ContentCommand),
    /// Somebody proved who they are by a password. For the audit log.
    LoggedIn,
    /// Somebody opens a way into a node or an instance, or it has ended. For the audit log.
    Way {
        way: Way,
        subject: String,
    },
    /// An operator says something about a node, which keeps it. For the audit log.
    Amend {
        node: String,
        amendment: Amendment,
    },
    /// Images go from a node: one of this name, or all that nothing uses. For the audit log.
    RemoveImages {
        node: String,
        image: Option<String>,
    },
    /// The registry of this orchestrator was changed: `image`, as clients name it. For the audit log.
    Registry {
        change: RegistryChange,
        image: String,
    },
    /// A node is given to another cluster. For the audit log.
    Transfer {
        node: String,
        to: Name,
    },
    /// One instance begins anew, as its node was told. For the audit log.
    Restart {
        app: AppKey,
        /// `web/2`
        slot: String,
    },
    /// A backup of everything is made. For the audit log.
    Backup,
    /// A session ends before its time.
    LogOut {
        session: String,
    },
    /// Somebody tried what they may not. For the audit log: it is always refused.
    Denied {
        verb: String,
        subject: String,
        reason: String,
    },
    /// Somebody shows a join token.
    Join {
        token: String,
        secret_hash: String,
        role: Role,
        name: Name,
        facts: Option<Box<NodeFacts>>,
    },
    /// A certificate was signed for the member; its serial number must be known before it is handed out.
    Issued {
        member: MemberId,
        serial: String,
    },
    /// The member ends what it owes to us and leaves; one that cannot be told, or was told before, is cut
    /// off at once. Its certificates are void then, it is forgotten, its slots are filled elsewhere.
    RemoveMember {
        member: MemberId,
    },
    /// The member's certificates are void; it stays known (a stolen machine).
    RevokeMember {
        member: MemberId,
    },
    /// New work is kept away from the member, or may come again.
    Cordon {
        member: MemberId,
        cordoned: bool,
    },
    /// All that can move away from the member moves, and nothing new comes, until it is uncordoned.
    Drain {
        member: MemberId,
        /// Named volumes are left behind.
        lose_volumes: bool,
    },
    /// A node is emptied, wipes itself, tells what it wiped, and is forgotten.
    Decommission {
        member: MemberId,
        /// What cannot move ends with it; one that cannot be told is forgotten without proof.
        force: bool,
    },
    /// One slot moves to another member.
    Migrate(Migration),
    /// What the member runs replaces what this store believes of it.
    Adopt {
        member: MemberId,
    },
    /// What this store says replaces what the member runs.
    Discard {
        member: MemberId,
    },
    /// A restored wish is wanted again.
    Confirm {
        app: AppKey,
    },
}

/// What happens in a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryChange {
    Pushed,
    /// From an uploaded file.
    Built,
    Deleted,
}

/// A way into a machine that people open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Shell,
    Exec,
    Copy,
    Forward,
}

/// About people. Passwords are Argon2id, in the PHC string format.
#[derive(Clone, PartialEq, Eq)]
pub enum PeopleCommand {
    /// The first administrator; refused as soon as there is anybody.
    First {
        name: Name,
        password: String,
    },
    Create {
        name: Name,
        password: String,
        roles: Roles,
    },
    SetRoles {
        name: Name,
        roles: Roles,
    },
    /// In one project; `None`: none any more.
    SetProjectRole {
        name: Name,
        project: Name,
        role: Option<access::Role>,
    },
    SetPassword {
        name: Name,
        password: String,
        must_change: bool,
    },
    Delete {
        name: Name,
    },
    /// All tokens that were made for them are void.
    LogOut {
        name: Name,
    },
}

/// About projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectCommand {
    Create {
        name: Name,
        quota: Quota,
    },
    SetQuota {
        name: Name,
        quota: Quota,
    },
    Delete {
        name: Name,
    },
    /// What a service may do in its project; `None`: nothing any more.
    SetServiceRole {
        app: AppKey,
        service: Name,
        role: Option<access::Role>,
    },
}

/// About secrets and files.
#[derive(Clone, PartialEq, Eq)]
pub enum ContentCommand {
    Set { key: ContentKey, bytes: Vec<u8> },
    Delete { key: ContentKey },
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    Applied(ApplyView),
    Deleted(WishId),
    Joined { member: MemberId, name: Name },
    Removed(RemovalView),
    Decommission(DecommissionView),
}

/// Why not. Display says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no {kind} `{name}`; `{}` lists what there is", listing(kind))]
    NotFound { kind: &'static str, name: String },
    #[error("application {app} has no service `{service}`; it has `{known}`")]
    NoService { app: AppKey, service: Name, known: String },
    /// It never was, or is kept no longer.
    #[error(
        "application {app} has no generation {generation} that could be gone back to; there is {kept}: `holm history {}` \
         tells more",
        app.application
    )]
    NoGeneration { app: AppKey, generation: u64, kept: String },
    /// A cluster has not heard of it.
    #[error(
        "the root has told this cluster of no project `{project}`; make it there: `holm project create {project}`"
    )]
    NotTold { project: Name },
    /// Somebody else owns an application of this name.
    #[error("application {app} belongs to {owner}, and is changed there")]
    OtherOwner { app: AppKey, owner: String },
    /// It is not in the [`Expected`] generation; `None`: it is not there.
    #[error("application {app} is {}; read it again and decide anew", generation(*.current))]
    Changed { app: AppKey, current: Option<u64> },
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Invalid(String),
    /// A frozen member may know a newer version of what is to be changed.
    #[error(
        "application {app} may be newer on member `{member}`, which is frozen because this store is older \
         than what it obeyed; decide first: `holm adopt {member}` or `holm discard {member}`"
    )]
    Frozen { app: AppKey, member: String },
    /// Join and token refusals; the text never helps to guess.
    #[error("{0}")]
    Forbidden(String),
    #[error("the orchestrator is read-only: {0}; nothing was changed")]
    ReadOnly(String),
}

fn listing(kind: &str) -> String {
    match kind {
        "secret" | "file" | "project" | "person" | "token" => format!("holm {kind} ls"),
        kind => format!("holm get {kind}s"),
    }
}

fn generation(current: Option<u64>) -> String {
    current.map_or_else(|| "not there".to_owned(), |now| format!("of generation {now} now"))
}

// === impl Way ===

impl Way {
    /// For the audit log: as people ask for it.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Exec => "exec",
            Self::Copy => "cp",
            Self::Forward => "port-forward",
        }
    }
}

// === impl PeopleCommand ===

impl PeopleCommand {
    /// Verb and person, for the audit log.
    pub(super) const fn words(&self) -> (&'static str, &Name) {
        match self {
            Self::First { name, .. } => ("set-up", name),
            Self::Create { name, .. } => ("person.create", name),
            Self::SetRoles { name, .. } => ("person.roles", name),
            Self::SetProjectRole { name, role: Some(_), .. } => ("project.grant", name),
            Self::SetProjectRole { name, role: None, .. } => ("project.withdraw", name),
            Self::SetPassword { name, .. } => ("person.password", name),
            Self::Delete { name } => ("person.delete", name),
            Self::LogOut { name } => ("person.log-out", name),
        }
    }
}

/// Without the password.
impl std::fmt::Debug for PeopleCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (verb, name) = self.words();
        write!(f, "{verb} {name}")
    }
}

// === impl ContentCommand ===

impl ContentCommand {
    /// For the audit log: `secret.set` and `secret default/db`.
    pub(super) fn words(&self) -> (&'static str, String) {
        let (Self::Set { key, .. } | Self::Delete { key }) = self;
        let verb = match (self, key.kind) {
            (Self::Set { .. }, ContentKind::Secret) => "secret.set",
            (Self::Set { .. }, ContentKind::File) => "file.set",
            (Self::Delete { .. }, ContentKind::Secret) => "secret.delete",
            (Self::Delete { .. }, ContentKind::File) => "file.delete",
        };
        (verb, format!("{} {}/{}", key.kind.word(), key.project, key.name))
    }
}

/// Without the bytes.
impl std::fmt::Debug for ContentCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (verb, subject) = self.words();
        write!(f, "{verb} {subject}")
    }
}

// === impl Refusal ===

impl Refusal {
    pub(super) fn no_project(name: &Name) -> Self {
        Self::NotFound { kind: "project", name: name.to_string() }
    }

    /// One that nobody has a name for.
    pub(super) fn no_member(id: MemberId) -> Self {
        Self::NotFound { kind: "member", name: id.to_string() }
    }
}

// === impl Expected ===

impl Expected {
    /// Whether it holds for the generation that is there; `None`: nothing is.
    #[must_use]
    pub fn holds(&self, current: Option<u64>) -> bool {
        match (self, current) {
            (Self::Anything, _) | (Self::NoneOf(_), None) => true,
            (Self::OneOf(_), None) => false,
            (Self::OneOf(list), Some(now)) => list.is_empty() || list.contains(&now),
            (Self::NoneOf(list), Some(now)) => !list.is_empty() && !list.contains(&now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Expected::{Anything, NoneOf, OneOf};

    #[test]
    fn conditions_hold_as_the_rfc_says() {
        assert!(Anything.holds(None) && Anything.holds(Some(1)));
        assert!(OneOf(vec![3]).holds(Some(3)) && !OneOf(vec![3]).holds(Some(4)));
        assert!(OneOf(vec![]).holds(Some(3)) && !OneOf(vec![]).holds(None) && !OneOf(vec![3]).holds(None));
        assert!(NoneOf(vec![]).holds(None) && !NoneOf(vec![]).holds(Some(1)));
        assert!(NoneOf(vec![3]).holds(Some(4)) && !NoneOf(vec![3]).holds(Some(3)));
    }
}
