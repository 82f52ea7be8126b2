//! `holm rollback`: an application says again what it said before.

use clap::Args;
use holm_model::duration::Span;
use holm_model::view::ApplyView;
use holm_model::view::generation::RollbackRequest;

use super::wait::{self, Patience, Seen, Wanted};
use super::{Project, apply};
use crate::connect::At;
use crate::failure::Failure;
use crate::output::{Format, Output};

#[derive(Args, Debug)]
pub(crate) struct Rollback {
    /// The application
    #[arg(value_name = "APPLICATION")]
    application: String,
    /// What to go back to [default: the one before the present one that has not failed]; `holm history` lists them
    #[arg(value_name = "GENERATION")]
    generation: Option<u64>,
    /// Only show what would change
    #[arg(long, conflicts_with = "wait")]
    plan: bool,
    /// Wait until it runs and stays so, for 5m or as long as is said
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "5m")]
    wait: Option<Span>,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

/// How long all of it must stay RUNNING, as for `apply`.
const STABLE: std::time::Duration = std::time::Duration::from_secs(2);

pub(crate) async fn run(At { args, connect }: At<Rollback>) -> Result<(), Failure> {
    let (client, project) = (connect.client()?, args.project.of(&connect)?);
    let (project, name) = (project.as_str(), args.application.as_str());
    let request = RollbackRequest { generation: args.generation };
    let view = client.roll_back(project, name, request, args.plan).await?;
    apply::warn(&view);
    args.output.print(&view, || people(&view, args.plan))?;
    let Some(Span(limit)) = args.wait else { return Ok(()) };
    let wanted = Wanted { project, name, generation: view.generation };
    let patience = Patience { limit, stable: STABLE };
    match args.output.format {
        Format::Table | Format::Wide => {
            wait::until_running(&client, wanted, patience, &mut Seen::default()).await
        }
        Format::Json | Format::Yaml => wait::until_running_quietly(&client, wanted, patience).await,
    }
}

fn people(view: &ApplyView, plan: bool) -> String {
    if view.changes.iter().all(|change| change.action == "keep") {
        return format!("{} says just that already; nothing is changed\n", view.application);
    }
    apply::people(view, if plan { "would be" } else { "is" })
}
