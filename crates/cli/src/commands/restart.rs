//! `holm restart`: an application, a service, or one instance alone.

use clap::Args;
use holm_model::id::AssignmentId;

use super::Project;
use super::run_state::{self, Wish};
use crate::connect::At;
use crate::failure::Failure;
use crate::output::Output;
use crate::resolve::{self, Target};

#[derive(Args, Debug)]
pub(crate) struct Restart {
    /// An application, a service (`app/web`), or one instance: its slot (`app/web/2`) or its id
    #[arg(value_name = "WHAT")]
    what: What,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    All(Target),
    /// A slot or an id.
    One(String),
}

impl std::str::FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let slot = text.split('/').count() > 2 && text.split('/').all(|part| !part.is_empty());
        if slot || text.parse::<AssignmentId>().is_ok() {
            return Ok(Self::One(text.to_owned()));
        }
        text.parse().map(Self::All)
    }
}

pub(crate) async fn run(At { args, connect }: At<Restart>) -> Result<(), Failure> {
    let Restart { what, project, output } = args;
    match what {
        What::All(target) => run_state::change(&connect, &project, &target, &output, Wish::Restart).await,
        What::One(text) => {
            let client = connect.client()?;
            let instance = resolve::instance(&client, &project.of(&connect)?, &text).await?;
            let (id, slot) = (instance.id.unwrap_or_default(), instance.slot);
            client.restart_instance(&id).await?;
            let name = format!("{}/{slot}", instance.application);
            output.print_done(Wish::Restart.done(), &name, || format!("{name} restarts"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instance_is_a_slot_or_an_id() {
        for one in ["shop/web/0", "shop/web/vienna/fl-1", "3-0123456789ab-17"] {
            assert_eq!(one.parse(), Ok(What::One(one.to_owned())), "{one}");
        }
        assert!(matches!("shop".parse(), Ok(What::All(Target { service: None, .. }))));
        assert!(matches!("shop/web".parse(), Ok(What::All(Target { service: Some(_), .. }))));
        assert!("shop//0".parse::<What>().is_err());
    }
}
