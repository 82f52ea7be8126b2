//! Columns of who may do what: tokens, people, projects and what they keep.

use std::fmt::Display;

use holm_model::time::Time;
use holm_model::view::TokenView;
use holm_model::view::content::ContentView;
use holm_model::view::people::{PersonView, ProjectView};

use super::C;
use crate::output::rights::{allows, roles};
use crate::output::table::{Column, Listed};
use crate::output::time::{age, left};

impl Listed for TokenView {
    const COLUMNS: &'static [Column<Self>] = &[
        C::new("ID", |t, _| t.id.clone()),
        C::new("ROLE", |t, _| t.role.word().to_owned()),
        C::known("WHO", |t, _| t.who.clone()),
        C::new("STATE", |t, now| {
            match (t.revoked, t.expires <= now, t.uses_left) {
                (true, ..) => "revoked",
                (false, true, _) => "expired",
                (false, false, Some(0)) => "used up",
                (false, false, _) => "valid",
            }
            .to_owned()
        }),
        C::new("EXPIRES IN", |t, now| left(t.expires, now)),
        C::new("USES LEFT", |t, _| t.uses_left.map_or_else(|| "any".to_owned(), |uses| uses.to_string())),
        C::known("ALLOWS", |t, _| t.grants.as_ref().map(allows).unwrap_or_default()),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.id.clone()]
    }
}

impl Listed for PersonView {
    const COLUMNS: &'static [Column<Self>] = &[
        C::new("NAME", |p, _| p.name.clone()),
        C::new("ROLES", |p, _| roles(&p.roles)),
        C::known("NOTE", |p, _| match (p.held, p.must_change) {
            (true, _) => "held since the restore: `holm person password`".to_owned(),
            (false, true) => "has to change the password".to_owned(),
            (false, false) => String::new(),
        }),
        C::new("AGE", |p, now| age(p.created, now)),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}

impl Listed for ProjectView {
    const COLUMNS: &'static [Column<Self>] = &[
        C::new("NAME", |p, _| p.name.clone()),
        C::new("APPLICATIONS", |p, _| p.applications.to_string()),
        C::new("CPU", |p, _| used_of(p.used.cpu.as_ref(), p.quota.cpu.as_ref())),
        C::new("MEMORY", |p, _| used_of(p.used.memory.as_ref(), p.quota.memory.as_ref())),
        C::new("INSTANCES", |p, _| used_of(p.used.instances.as_ref(), p.quota.instances.as_ref())),
        C::new("PORTS", |p, _| used_of(p.used.ports.as_ref(), p.quota.ports.as_ref())),
        C::new("AGE", age_of),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}

impl Listed for ContentView {
    const COLUMNS: &'static [Column<Self>] = &[
        C::new("NAME", |c, _| c.name.clone()),
        C::wide("PROJECT", |c, _| c.project.clone()),
        C::new("VERSION", |c, _| c.version.to_string()),
        C::new("BYTES", |c, _| c.size.to_string()),
        C::new("USED BY", |c, _| c.used_by.join(", ")),
        C::new("CHANGED", |c, now| age(c.changed, now)),
    ];

    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}

/// The first project was made by nobody.
pub(crate) fn age_of(project: &ProjectView, now: Time) -> String {
    if project.created == Time(0) { String::new() } else { age(project.created, now) }
}

/// `2/8`, or `2` where there is no limit.
pub(crate) fn used_of<T: Display>(used: Option<&T>, most: Option<&T>) -> String {
    let used = used.map_or_else(|| "0".to_owned(), T::to_string);
    most.map_or_else(|| used.clone(), |most| format!("{used}/{most}"))
}
