//! What must survive: rows of the store, audit records, changes of the history.
//!
//! The core says *what* is written as [`Write`]s; the store only knows tables of keys and bytes, so
//! that one transaction per batch and the undo of a failed one stay simple.

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// Tables of a store. The names are the SQL names; renaming one is a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Single values: store id, counters, who we are.
    Meta,
    /// Reigns of this store with the last revision of each.
    Reign,
    Member,
    Wish,
    Placement,
    /// Items of the list received from a parent.
    Item,
    /// Join tokens (hashes only).
    Token,
    Revocation,
    /// A node's instances: incarnation, handle, ports.
    Instance,
    /// A cluster's verdicts on the shares it was given.
    Verdict,
    /// Last known facts; written behind, never gating.
    Fact,
    /// What members said of themselves, and when they were heard last; written behind, never gating.
    Seen,
    Project,
    Person,
    /// Secrets and plain files of projects. Secrets are sealed by the store.
    Content,
    /// What each generation of an application said.
    Generation,
}

/// One row put (`Some`) or removed (`None`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub table: Table,
    pub key: String,
    pub value: Option<Vec<u8>>,
}

/// Who did what, when, with which outcome. Written in the transaction of the change itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    pub at: Time,
    /// `admin` (Unix socket), `token:<id>`, `set-up`, …
    pub who: String,
    /// Where the request came from: `unix`, `192.0.2.7:41234`, …
    pub from: String,
    /// `apply`, `scale`, `token.create`, …
    pub verb: String,
    /// What it was done to: `application default/building`, `node 1-…-3`.
    pub subject: String,
    /// `done`, or the refusal's text.
    pub outcome: String,
}

/// One change of something's state, for the history and for watchers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub at: Time,
    /// `application`, `cluster`, `instance` or `node`.
    pub kind: String,
    /// The id of an instance, `default/building` for an application, the name of a member.
    pub subject: String,
    /// Where it belongs, for filters: `default/building`; empty for nodes and clusters.
    pub application: String,
    /// What an instance fills: `web/2`; empty for others.
    #[serde(default)]
    pub slot: String,
    pub from: String,
    pub to: String,
    /// `person`, `scheduler`, `node`, `policy`.
    pub cause: String,
    pub reason: String,
}

/// All that one batch of events changed; committed in one transaction or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub writes: Vec<Write>,
    pub audit: Vec<AuditRecord>,
    pub changes: Vec<Change>,
}

// === impl Table ===

impl Table {
    pub const ALL: [Self; 16] = [
        Self::Meta,
        Self::Reign,
        Self::Member,
        Self::Wish,
        Self::Placement,
        Self::Item,
        Self::Token,
        Self::Revocation,
        Self::Instance,
        Self::Verdict,
        Self::Fact,
        Self::Seen,
        Self::Project,
        Self::Person,
        Self::Content,
        Self::Generation,
    ];

    /// The SQL name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Reign => "reign",
            Self::Member => "member",
            Self::Wish => "wish",
            Self::Placement => "placement",
            Self::Item => "item",
            Self::Token => "token",
            Self::Revocation => "revocation",
            Self::Instance => "instance",
            Self::Verdict => "verdict",
            Self::Fact => "fact",
            Self::Seen => "seen",
            Self::Project => "project",
            Self::Person => "person",
            Self::Content => "content",
            Self::Generation => "generation",
        }
    }
}

/// The project that a record of the audit log is about, by its words. None: the whole sea, a machine, a person, or
/// several projects at once, as in a record that stands for many refusals.
#[must_use]
pub fn project_of<'a>(verb: &str, subject: &'a str) -> Option<&'a str> {
    let (kind, rest) = subject.split_once(' ')?;
    match (verb, kind) {
        ("request", _) => rest.strip_prefix("/api/v1/projects/")?.split('/').next(),
        ("project.grant" | "project.withdraw", "person") => rest.split_once(": ")?.1.split(' ').next(),
        (_, "project") => rest.split(": ").next(),
        (_, "application" | "secret" | "file" | "service") => Some(rest.split_once('/')?.0),
        _ => None,
    }
}

// === impl Batch ===

impl Batch {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.audit.is_empty() && self.changes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_say_which_project_they_are_about() {
        for (verb, subject, project) in [
            ("apply", "application blue/shop", Some("blue")),
            ("restart", "application blue/shop/web/0", Some("blue")),
            ("exec", "application blue/shop/web/0: cat red/x", Some("blue")),
            ("secret.set", "secret blue/db", Some("blue")),
            ("file.delete", "file blue/conf", Some("blue")),
            ("project.quota", "project blue", Some("blue")),
            ("project.quota", "project blue: cpu 2, ports 3", Some("blue")),
            ("project.grant", "service blue/shop/web: viewer", Some("blue")),
            ("project.grant", "person ada: blue admin", Some("blue")),
            ("project.withdraw", "person ada: blue", Some("blue")),
            ("request", "PUT /api/v1/projects/blue/applications/shop", Some("blue")),
            ("request", "DELETE /api/v1/projects/blue", Some("blue")),
            ("request", "GET /api/v1/people/project/blue", None),
            ("request", "5 more times: GET /api/v1/projects/blue", None),
            ("person.roles", "person ada", None),
            ("node.label.add", "node n: project=blue/x", None),
            ("shell", "node application: blue/x", None),
            ("token.create", "token 0", None),
            ("log-in", "", None),
        ] {
            assert_eq!(project_of(verb, subject), project, "{verb} {subject}");
        }
    }
}
