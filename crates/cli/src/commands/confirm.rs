//! `holm confirm`.

use clap::Args;

use super::Project;
use crate::connect::At;
use crate::failure::Failure;
use crate::output::say;

#[derive(Args, Debug)]
pub(crate) struct Confirm {
    /// The application
    application: String,
    #[command(flatten)]
    project: Project,
}

pub(crate) async fn run(At { args, connect }: At<Confirm>) -> Result<(), Failure> {
    connect.client()?.confirm(args.project.project.as_str(), &args.application).await?;
    say(&format!("application {} is wanted again", args.application))
}
