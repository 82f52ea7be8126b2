//! `holm project roles|grant|withdraw`: who may what in one project.

use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use holm_model::access::Role;
use holm_model::name::Name;
use holm_model::view::people::ProjectRolesView;

use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::{Output, stdout_ink, table};

#[derive(Args, Debug)]
pub(super) struct Grant {
    /// The project
    project: Name,
    /// viewer, operator or admin; a service is never admin
    #[arg(value_parser = PossibleValuesParser::new(Role::ALL.map(Role::word)).try_map(|word| word.parse::<Role>()))]
    role: Role,
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    output: Output,
}

#[derive(Args, Debug)]
pub(super) struct Withdraw {
    /// The project
    project: Name,
    #[command(flatten)]
    from: To,
    #[command(flatten)]
    output: Output,
}

/// Whose role it is.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct To {
    /// Somebody who logs in
    #[arg(long, value_name = "NAME")]
    person: Option<Name>,
    /// A service of the project: its instances use the API with their token
    #[arg(long, value_name = "APPLICATION/SERVICE")]
    service: Option<ServicePath>,
}

/// `shop/web`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ServicePath {
    application: Name,
    service: Name,
}

// === impl ServicePath ===

impl FromStr for ServicePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (application, service) =
            text.split_once('/').ok_or("write APPLICATION/SERVICE, as in `shop/web`")?;
        let name = |text| Name::new(text).map_err(|e| e.to_string());
        Ok(Self { application: name(application)?, service: name(service)? })
    }
}

// === impl To ===

impl To {
    fn named(&self) -> String {
        match (&self.person, &self.service) {
            (_, Some(path)) => format!("service {}/{}", path.application, path.service),
            (Some(person), None) => person.to_string(),
            (None, None) => String::new(),
        }
    }

    async fn set(&self, project: &Name, role: Option<Role>, connect: &Connect) -> Result<(), Failure> {
        let (client, project) = (connect.client()?, project.as_str());
        if let Some(ServicePath { application, service }) = &self.service {
            let service = (application.as_str(), service.as_str());
            client.set_service_role(project, service, role).await?;
        } else if let Some(person) = &self.person {
            client.set_project_role(project, person.as_str(), role).await?;
        }
        Ok(())
    }
}

pub(super) async fn grant(grant: Grant, connect: &Connect) -> Result<(), Failure> {
    let Grant { project, role, to, output } = grant;
    to.set(&project, Some(role), connect).await?;
    let name = to.named();
    output.print_done("granted", &name, || format!("{name} is {role} in project {project}"))
}

pub(super) async fn withdraw(withdraw: Withdraw, connect: &Connect) -> Result<(), Failure> {
    let Withdraw { project, from, output } = withdraw;
    from.set(&project, None, connect).await?;
    let name = from.named();
    output.print_done("withdrawn", &name, || format!("{name} has no role in project {project} any more"))
}

pub(super) async fn list(project: &str, output: Output, connect: &Connect) -> Result<(), Failure> {
    let view = connect.client()?.project_roles(project).await?;
    output.print(&view, || show(&view))
}

fn show(ProjectRolesView { people, services }: &ProjectRolesView) -> String {
    let mut pairs: Vec<(String, String)> =
        people.iter().map(|(name, role)| (name.to_string(), role.to_string())).collect();
    for (application, services) in services {
        pairs.extend(
            services
                .iter()
                .map(|(service, role)| (format!("service {application}/{service}"), role.to_string())),
        );
    }
    if pairs.is_empty() {
        return "Nobody has a role in this project alone; `holm project grant` gives one.".to_owned();
    }
    table::pairs(&pairs, stdout_ink())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_with_its_application() {
        let path: ServicePath = "shop/web".parse().unwrap();
        assert_eq!((path.application.as_str(), path.service.as_str()), ("shop", "web"));
        for bad in ["shop", "shop/", "/web", "shop/web/0", "Shop/web"] {
            assert!(bad.parse::<ServicePath>().is_err(), "{bad}");
        }
    }
}
