//! Who may do what, and where.
//!
//! ```text
//! role ──▶ verbs ──┐
//!                  ├──▶ grants ──▶ allows(verb, scope)?
//! project, or sea ─┘
//! ```
//!
//! A *grant* is a set of verbs for one project, for one application in it, or for the whole sea. Machines (nodes, clusters) belong to the
//! sea; everything else to a project.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::name::Name;

/// One kind of action. What a verb allows is one row of the API's table of rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// See things and what happens to them.
    Read,
    /// Read what instances say.
    Logs,
    /// Apply, scale, stop, start and delete applications.
    Apply,
    /// Run commands inside instances.
    Exec,
    /// Copy files into and out of instances.
    Copy,
    /// Reach the ports of instances.
    Forward,
    /// Set and remove secrets and files; nobody reads a secret's value.
    Secrets,
    /// Give roles, make and revoke API tokens of others.
    People,
    /// Read the audit log.
    Audit,
    /// Let machines in and out, adopt and discard, change their labels and capabilities.
    Members,
    /// Open a shell on a machine.
    Shell,
    /// Make and remove projects and their quotas, back the orchestrator up.
    Admin,
}

/// A usual set of verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PersonRole)]
pub enum Role {
    /// Sees, and reads logs.
    Viewer,
    /// Runs applications, too.
    Operator,
    /// Everything in its scope.
    Admin,
}

/// Where something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    Sea,
    Project(&'a str),
    /// One of its applications, by both names.
    Application(&'a str, &'a str),
}

/// What somebody may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grants {
    /// In all projects, and to the sea's machines and people.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sea: BTreeSet<Verb>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, BTreeSet<Verb>>)]
    pub projects: BTreeMap<Name, BTreeSet<Verb>>,
    /// To single applications of projects, and to nothing else there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, BTreeMap<String, BTreeSet<Verb>>>)]
    pub applications: BTreeMap<Name, BTreeMap<Name, BTreeSet<Verb>>>,
}

/// `sea: logs,read; blue: apply,read; red/shop: apply`.
impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words =
            |verbs: &BTreeSet<Verb>| verbs.iter().map(|verb| verb.word()).collect::<Vec<_>>().join(",");
        let sea = (!self.sea.is_empty()).then(|| format!("sea: {}", words(&self.sea)));
        let projects = self.projects.iter().map(|(project, verbs)| format!("{project}: {}", words(verbs)));
        let applications = self.each_application();
        let applications =
            applications.map(|(project, name, verbs)| format!("{project}/{name}: {}", words(verbs)));
        f.write_str(&sea.into_iter().chain(projects).chain(applications).collect::<Vec<_>>().join("; "))
    }
}

/// The word is none of the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is none of `{known}`", crate::name::shorten(.word))]
pub struct WordError {
    word: String,
    known: String,
}

// === impl Verb ===

impl Verb {
    pub const ALL: [Self; 12] = [
        Self::Read,
        Self::Logs,
        Self::Apply,
        Self::Exec,
        Self::Copy,
        Self::Forward,
        Self::Secrets,
        Self::People,
        Self::Audit,
        Self::Members,
        Self::Shell,
        Self::Admin,
    ];

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Logs => "logs",
            Self::Apply => "apply",
            Self::Exec => "exec",
            Self::Copy => "copy",
            Self::Forward => "forward",
            Self::Secrets => "secrets",
            Self::People => "people",
            Self::Audit => "audit",
            Self::Members => "members",
            Self::Shell => "shell",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Verb {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        Self::ALL
            .into_iter()
            .find(|verb| verb.word() == text)
            .ok_or_else(|| WordError { word: text.to_owned(), known: Self::ALL.map(Self::word).join("`, `") })
    }
}

// === impl Role ===

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// What the role allows in one project.
    fn in_project(self) -> &'static [Verb] {
        use Verb::{Apply, Audit, Copy, Exec, Forward, Logs, People, Read, Secrets};
        match self {
            Self::Viewer => &[Read, Logs],
            Self::Operator => &[Read, Logs, Apply, Exec, Copy, Forward],
            Self::Admin => &[Read, Logs, Apply, Exec, Copy, Forward, Secrets, People, Audit],
        }
    }

    /// What the role allows for the whole sea.
    fn in_sea(self) -> &'static [Verb] {
        match self {
            Self::Admin => &Verb::ALL,
            Self::Viewer | Self::Operator => self.in_project(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Role {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        Self::ALL
            .into_iter()
            .find(|role| role.word() == text)
            .ok_or_else(|| WordError { word: text.to_owned(), known: Self::ALL.map(Self::word).join("`, `") })
    }
}

// === impl Grants ===

impl Grants {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self::sea(Role::Admin)
    }

    /// A role for the whole sea.
    #[must_use]
    pub fn sea(role: Role) -> Self {
        Self { sea: role.in_sea().iter().copied().collect(), ..Self::default() }
    }

    /// The same role in each of the projects.
    #[must_use]
    pub fn projects(role: Role, projects: impl IntoIterator<Item = Name>) -> Self {
        let verbs: BTreeSet<_> = role.in_project().iter().copied().collect();
        let projects = projects.into_iter().map(|project| (project, verbs.clone())).collect();
        Self { projects, ..Self::default() }
    }

    /// The same role for the application of this name in each of the projects.
    #[must_use]
    pub fn application(role: Role, projects: impl IntoIterator<Item = Name>, application: &Name) -> Self {
        let verbs: BTreeSet<_> = role.in_project().iter().copied().collect();
        let of = |project| (project, BTreeMap::from([(application.clone(), verbs.clone())]));
        Self { applications: projects.into_iter().map(of).collect(), ..Self::default() }
    }

    fn each_application(&self) -> impl Iterator<Item = (&Name, &Name, &BTreeSet<Verb>)> {
        let each = |(project, all)| {
            (all as &BTreeMap<Name, _>).iter().map(move |(name, verbs)| (project, name, verbs))
        };
        self.applications.iter().flat_map(each)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sea.is_empty()
            && self.projects.values().all(BTreeSet::is_empty)
            && self.each_application().all(|(_, _, verbs)| verbs.is_empty())
    }

    #[must_use]
    pub fn allows(&self, verb: Verb, scope: Scope<'_>) -> bool {
        let in_project = |name: &str| self.projects.get(name).is_some_and(|verbs| verbs.contains(&verb));
        self.sea.contains(&verb)
            || match scope {
                Scope::Sea => false,
                Scope::Project(project) => in_project(project),
                Scope::Application(project, name) => {
                    let verbs = self.applications.get(project).and_then(|all| all.get(name));
                    in_project(project) || verbs.is_some_and(|verbs| verbs.contains(&verb))
                }
            }
    }

    /// Whether they allow it to the project, or to some application of it.
    #[must_use]
    pub fn allows_within(&self, verb: Verb, project: &str) -> bool {
        let some = |all: &BTreeMap<Name, BTreeSet<Verb>>| all.values().any(|verbs| verbs.contains(&verb));
        self.allows(verb, Scope::Project(project)) || self.applications.get(project).is_some_and(some)
    }

    /// Whether the project's very being there may be known.
    #[must_use]
    pub fn sees(&self, project: &str) -> bool {
        !self.sea.is_empty() || self.projects.get(project).is_some_and(|verbs| !verbs.is_empty())
    }

    /// Whether the application's very being there may be known.
    #[must_use]
    pub fn sees_application(&self, project: &str, name: &str) -> bool {
        let verbs = self.applications.get(project).and_then(|all| all.get(name));
        self.sees(project) || verbs.is_some_and(|verbs| !verbs.is_empty())
    }

    /// Whether `other` allows all that these do.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let in_projects = |(project, verbs): (&Name, &BTreeSet<Verb>)| {
            verbs.iter().all(|verb| other.allows(*verb, Scope::Project(project.as_str())))
        };
        let in_applications = |(project, name, verbs): (&Name, &Name, &BTreeSet<Verb>)| {
            let scope = Scope::Application(project.as_str(), name.as_str());
            verbs.iter().all(|verb| other.allows(*verb, scope))
        };
        self.sea.is_subset(&other.sea)
            && self.projects.iter().all(in_projects)
            && self.each_application().all(in_applications)
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.sea.extend(&other.sea);
        for (project, verbs) in &other.projects {
            self.projects.entry(project.clone()).or_default().extend(verbs);
        }
        for (project, name, verbs) in other.each_application() {
            let all = self.applications.entry(project.clone()).or_default();
            all.entry(name.clone()).or_default().extend(verbs);
        }
        self
    }

    /// Only these verbs.
    #[must_use]
    pub fn only(mut self, verbs: &BTreeSet<Verb>) -> Self {
        self.sea.retain(|verb| verbs.contains(verb));
        for granted in self.projects.values_mut() {
            granted.retain(|verb| verbs.contains(verb));
        }
        self.projects.retain(|_, granted| !granted.is_empty());
        for all in self.applications.values_mut() {
            for granted in all.values_mut() {
                granted.retain(|verb| verbs.contains(verb));
            }
            all.retain(|_, granted| !granted.is_empty());
        }
        self.applications.retain(|_, all| !all.is_empty());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn a_role_in_one_project_says_nothing_of_others() {
        let grants = Grants::projects(Role::Admin, [name("blue")]);
        assert!(grants.allows(Verb::Exec, Scope::Project("blue")));
        for verb in Verb::ALL {
            assert!(!grants.allows(verb, Scope::Project("red")), "{verb}");
            assert!(!grants.allows(verb, Scope::Sea), "{verb}");
        }
        assert!(grants.sees("blue") && !grants.sees("red"));
    }

    #[test]
    fn a_role_for_one_application_says_nothing_of_its_project() {
        let shop = Grants::application(Role::Operator, [name("blue")], &name("shop"));
        assert!(shop.allows(Verb::Apply, Scope::Application("blue", "shop")));
        assert!(!shop.allows(Verb::Secrets, Scope::Application("blue", "shop")));
        assert!(shop.allows_within(Verb::Apply, "blue") && shop.sees_application("blue", "shop"));
        for verb in Verb::ALL {
            for scope in [
                Scope::Application("blue", "other"),
                Scope::Application("red", "shop"),
                Scope::Project("blue"),
                Scope::Sea,
            ] {
                assert!(!shop.allows(verb, scope), "{verb} {scope:?}");
            }
            assert!(!shop.allows_within(verb, "red"));
        }
        assert!(!shop.sees("blue") && !shop.sees_application("blue", "other") && !shop.is_empty());
        let blue = Grants::projects(Role::Operator, [name("blue")]);
        assert!(shop.is_within(&blue) && !blue.is_within(&shop) && shop.is_within(&shop));
        assert!(!Grants::application(Role::Operator, [name("blue")], &name("other")).is_within(&shop));
        assert!(!Grants::application(Role::Admin, [name("blue")], &name("shop")).is_within(&blue));
        assert!(blue.allows(Verb::Apply, Scope::Application("blue", "any")));
        let both = shop.clone().and(&Grants::application(Role::Viewer, [name("red")], &name("web")));
        let less = both.only(&BTreeSet::from([Verb::Logs]));
        assert_eq!(less.to_string(), "blue/shop: logs; red/web: logs");
        assert!(shop.only(&BTreeSet::from([Verb::Shell])).is_empty());
        // Whoever does not know of applications reads no right in it.
        let json =
            serde_json::to_value(Grants::application(Role::Viewer, [name("red")], &name("web"))).unwrap();
        assert_eq!(json, serde_json::json!({ "applications": { "red": { "web": ["read", "logs"] } } }));
    }

    #[test]
    fn each_role_allows_more_than_the_one_before() {
        for pair in Role::ALL.windows(2) {
            let [less, more] = [Grants::sea(pair[0]), Grants::sea(pair[1])];
            assert!(less.is_within(&more) && !more.is_within(&less), "{pair:?}");
            let [less, more] =
                [Grants::projects(pair[0], [name("a")]), Grants::projects(pair[1], [name("a")])];
            assert!(less.is_within(&more) && !more.is_within(&less), "{pair:?}");
        }
    }

    #[test]
    fn a_viewer_reads_logs_and_runs_nothing() {
        let grants = Grants::sea(Role::Viewer);
        assert!(grants.allows(Verb::Logs, Scope::Project("any")));
        for verb in [Verb::Exec, Verb::Apply, Verb::Shell, Verb::Members, Verb::Audit] {
            assert!(!grants.allows(verb, Scope::Sea), "{verb}");
        }
        assert!(!Grants::sea(Role::Operator).allows(Verb::Shell, Scope::Sea));
    }

    #[test]
    fn nobody_gives_more_than_he_has() {
        let blue = Grants::projects(Role::Operator, [name("blue")]);
        assert!(blue.is_within(&Grants::all()));
        assert!(!Grants::all().is_within(&blue));
        assert!(!Grants::projects(Role::Viewer, [name("red")]).is_within(&blue));
        assert!(blue.clone().only(&BTreeSet::from([Verb::Logs])).is_within(&blue));
        assert!(
            !Grants::sea(Role::Viewer).is_within(&blue.and(&Grants::projects(Role::Admin, [name("red")])))
        );
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for verb in Verb::ALL {
            assert_eq!(verb.word().parse(), Ok(verb));
            assert_eq!(serde_json::to_value(verb).unwrap(), verb.word());
        }
        for role in Role::ALL {
            assert_eq!(role.word().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.word());
        }
        assert!("root".parse::<Role>().unwrap_err().to_string().contains("viewer"));
    }
}
