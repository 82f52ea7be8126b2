//! Roles as people write them: `--sea viewer --project blue=operator`.

use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use holm_model::access::Role;
use holm_model::name::Name;
use holm_model::view::people::Roles;

#[derive(Args, Clone, Debug)]
pub(super) struct RoleWords {
    /// The role for the whole sea, machines included
    #[arg(long, value_name = "ROLE", value_parser = PossibleValuesParser::new(WORDS).try_map(|word| word.parse::<Given>()))]
    sea: Option<Given>,
    /// The role in a project (viewer, operator, admin, none); may be given several times
    #[arg(short, long, value_name = "PROJECT=ROLE")]
    project: Vec<InProject>,
}

/// A role, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Given(Option<Role>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct InProject {
    project: Name,
    role: Given,
}

const NONE: &str = "none";
const WORDS: [&str; 4] = ["viewer", "operator", "admin", NONE];

// === impl RoleWords ===

impl RoleWords {
    pub(super) const fn is_empty(&self) -> bool {
        self.sea.is_none() && self.project.is_empty()
    }

    /// What somebody has who had `before`.
    pub(super) fn over(&self, before: Roles) -> Roles {
        let mut roles = before;
        if let Some(Given(role)) = self.sea {
            roles.sea = role;
        }
        for InProject { project, role: Given(role) } in &self.project {
            match role {
                Some(role) => roles.projects.insert(project.clone(), *role),
                None => roles.projects.remove(project),
            };
        }
        roles
    }
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            NONE => Ok(Self(None)),
            text => text
                .parse()
                .map(|role| Self(Some(role)))
                .map_err(|e: holm_model::access::WordError| e.to_string()),
        }
    }
}

impl FromStr for InProject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (project, role) = text
            .split_once('=')
            .ok_or("write PROJECT=ROLE, as in `blue=operator`; for the whole sea, `--sea ROLE`")?;
        let project = Name::new(project).map_err(|e| e.to_string())?;
        Ok(Self { project, role: role.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_that_are_not_named_stay() {
        let name = |text| Name::new(text).unwrap();
        let before = Roles {
            sea: Some(Role::Viewer),
            projects: [(name("blue"), Role::Admin), (name("red"), Role::Viewer)].into(),
        };
        let words = RoleWords {
            sea: Some("none".parse().unwrap()),
            project: vec!["red=none".parse().unwrap(), "green=operator".parse().unwrap()],
        };
        let after = words.over(before);
        assert_eq!(after.sea, None);
        assert_eq!(after.projects, [(name("blue"), Role::Admin), (name("green"), Role::Operator)].into());
    }

    #[test]
    fn every_role_has_its_word() {
        for role in Role::ALL {
            assert!(WORDS.contains(&role.word()), "{role}");
        }
        for bad in ["blue", "blue=", "blue=root", "Blue=admin", "=admin"] {
            assert!(bad.parse::<InProject>().is_err(), "{bad}");
        }
    }
}
