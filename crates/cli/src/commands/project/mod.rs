//! `holm project`: what belongs together, how much it may have, and who may what in it.

mod roles;

use clap::{Args, Subcommand};
use holm_model::name::Name;
use holm_model::resources::{Cpu, Memory};
use holm_model::view::people::{ProjectRequest, ProjectView, Quota};

use crate::connect::{At, Connect};
use crate::failure::Failure;
use crate::output::time::now;
use crate::output::{Output, rows, stdout_ink, table};

#[derive(Args, Debug)]
pub(crate) struct Projects {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Make a project
    Create {
        /// Its name
        name: Name,
        #[command(flatten)]
        limits: Limits,
        #[command(flatten)]
        output: Output,
    },
    /// List the projects that you may see, with what they use
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        output: Output,
    },
    /// Show a project
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Delete a project that has no applications any more
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Change how much a project may have; what is not named stays as it is
    ///
    /// What a project has above a new quota goes on; nothing may be added until there is room.
    Quota {
        /// Its name
        name: String,
        #[command(flatten)]
        limits: Limits,
        #[command(flatten)]
        output: Output,
    },
    /// Show who has which role in a project
    Roles {
        /// Its name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Give somebody, or a service, a role in a project
    ///
    /// As an administrator of the project you give no more than you have. Whoever may apply in the project can act as
    /// any of its services, which is why a service is viewer or operator.
    Grant(roles::Grant),
    /// Take a role in a project away
    Withdraw(roles::Withdraw),
}

/// Parts of a quota.
#[derive(Args, Clone, Debug)]
struct Limits {
    /// Cores, as in `4` or `1500m`; `none` lifts the limit
    #[arg(long, value_name = "CORES")]
    cpu: Option<Limit<Cpu>>,
    /// As in `512Mi`; `none` lifts the limit
    #[arg(long, value_name = "BYTES")]
    memory: Option<Limit<Memory>>,
    /// Instances at a time; `none` lifts the limit
    #[arg(long, value_name = "NUMBER")]
    instances: Option<Limit<u32>>,
    /// Ports of hosts; `none` lifts the limit
    #[arg(long, value_name = "NUMBER")]
    ports: Option<Limit<u32>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit<T> {
    None,
    Most(T),
}

impl<T: std::str::FromStr> std::str::FromStr for Limit<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "none" { Ok(Self::None) } else { text.parse().map(Self::Most) }
    }
}

impl<T> Limit<T> {
    /// The limit after what was said, if anything was.
    fn or(said: Option<Self>, before: Option<T>) -> Option<T> {
        match said {
            None => before,
            Some(Self::None) => None,
            Some(Self::Most(most)) => Some(most),
        }
    }
}

impl Limits {
    fn over(self, before: &Quota) -> Quota {
        Quota {
            cpu: Limit::or(self.cpu, before.cpu),
            memory: Limit::or(self.memory, before.memory),
            instances: Limit::or(self.instances, before.instances),
            ports: Limit::or(self.ports, before.ports),
        }
    }

    const fn is_empty(&self) -> bool {
        self.cpu.is_none() && self.memory.is_none() && self.instances.is_none() && self.ports.is_none()
    }
}

pub(crate) async fn run(At { args, connect }: At<Projects>) -> Result<(), Failure> {
    match args.action {
        Action::Create { name, limits, output } => {
            let request = ProjectRequest { name, quota: limits.over(&Quota::default()) };
            let view = connect.client()?.create_project(&request).await?;
            output.print(&view, || {
                format!("project {} is there; give roles in it with `holm project grant`", view.name)
            })
        }
        Action::Ls { output } => {
            let projects = connect.client()?.projects().await?;
            output.print(&projects, || table::render(&projects, output.is_wide(), now(), stdout_ink()))
        }
        Action::Show { name, output } => {
            let view = connect.client()?.project(&name).await?;
            output.print(&view, || show(&view))
        }
        Action::Delete { name, output } => {
            connect.client()?.delete_project(&name).await?;
            output.print_done("deleted", &name, || format!("project {name} is deleted"))
        }
        Action::Quota { name, limits, output } => quota(&name, limits, output, &connect).await,
        Action::Roles { name, output } => roles::list(&name, output, &connect).await,
        Action::Grant(grant) => roles::grant(grant, &connect).await,
        Action::Withdraw(withdraw) => roles::withdraw(withdraw, &connect).await,
    }
}

async fn quota(name: &str, limits: Limits, output: Output, connect: &Connect) -> Result<(), Failure> {
    if limits.is_empty() {
        return Err(Failure::wrong_use("nothing was said to change")
            .hint("give --cpu, --memory, --instances or --ports; `holm project show` shows the quota"));
    }
    let client = connect.client()?;
    let quota = limits.over(&client.project(name).await?.quota);
    client.set_quota(name, &quota).await?;
    let view = client.project(name).await?;
    output.print(&view, || show(&view))
}

fn show(view: &ProjectView) -> String {
    let ProjectView { name, quota, used, applications, .. } = view;
    let pairs = [
        ("name", name.clone()),
        ("applications", applications.to_string()),
        ("cpu", rows::used_of(used.cpu.as_ref(), quota.cpu.as_ref())),
        ("memory", rows::used_of(used.memory.as_ref(), quota.memory.as_ref())),
        ("instances", rows::used_of(used.instances.as_ref(), quota.instances.as_ref())),
        ("ports", rows::used_of(used.ports.as_ref(), quota.ports.as_ref())),
        ("age", rows::age_of(view, now())),
    ];
    table::pairs(&pairs, stdout_ink())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays_and_none_lifts_a_limit() {
        let before = Quota { instances: Some(5), ports: Some(2), ..Quota::default() };
        let limits =
            Limits { cpu: "1500m".parse().ok(), memory: None, instances: "none".parse().ok(), ports: None };
        let after = limits.over(&before);
        assert_eq!((after.instances, after.ports), (None, Some(2)));
        assert_eq!(after.cpu.map(|cpu| cpu.to_string()).as_deref(), Some("1500m"));
        assert!("many".parse::<Limit<u32>>().is_err());
    }
}
