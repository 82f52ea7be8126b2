//! Roles and rights in words.

use std::collections::BTreeSet;

use holm_model::access::{Grants, Role as PersonRole, Verb};
use holm_model::name::Name;
use holm_model::view::people::Roles;

/// `sea: viewer; blue: operator; red: logs,read`.
pub(crate) fn allows(grants: &Grants) -> String {
    let what = |role: Option<&str>, verbs| role.map_or_else(|| rights(verbs), str::to_owned);
    let sea =
        (!grants.sea.is_empty()).then(|| format!("sea: {}", what(role_of(&grants.sea, None), &grants.sea)));
    let projects = grants.projects.iter();
    let projects =
        projects.map(|(name, verbs)| format!("{name}: {}", what(role_of(verbs, Some(name)), verbs)));
    sea.into_iter().chain(projects).collect::<Vec<_>>().join("; ")
}

/// The role that allows exactly this, in the project or for the whole sea.
pub(crate) fn role_of(verbs: &BTreeSet<Verb>, project: Option<&Name>) -> Option<&'static str> {
    let is = |role: &PersonRole| match project {
        None => Grants::sea(*role).sea == *verbs,
        Some(name) => Grants::projects(*role, [name.clone()]).projects.get(name) == Some(verbs),
    };
    PersonRole::ALL.into_iter().find(is).map(PersonRole::word)
}

pub(crate) fn rights(verbs: &BTreeSet<Verb>) -> String {
    verbs.iter().map(|verb| verb.word()).collect::<Vec<_>>().join(",")
}

/// `sea: viewer; blue: operator`.
pub(crate) fn roles(roles: &Roles) -> String {
    if roles.sea.is_none() && roles.projects.is_empty() { String::new() } else { roles.to_string() }
}
