//! `holm confirm`.

use clap::Args;

use super::Project;
use crate::connect::At;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Confirm {
    /// The application
    application: String,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(At { args, connect }: At<Confirm>) -> Result<(), Failure> {
    let project = args.project.of(&connect)?;
    connect.client()?.confirm(project.as_str(), &args.application).await?;
    let application = &args.application;
    args.output.print_done("confirmed", application, || format!("application {application} is wanted again"))
}
