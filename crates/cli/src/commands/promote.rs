//! `holm promote`: the canary is good, the others follow.

use clap::Args;

use super::Project;
use crate::connect::At;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Promote {
    /// The application
    #[arg(value_name = "APPLICATION")]
    application: String,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(At { args, connect }: At<Promote>) -> Result<(), Failure> {
    let (project, name) = (args.project.of(&connect)?, &args.application);
    connect.client()?.promote(project.as_str(), name).await?;
    args.output
        .print_done("promoted", name, || format!("the canary of {name} is promoted; the others follow"))
}
