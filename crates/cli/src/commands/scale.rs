//! `holm scale`.

use clap::Args;
use holm_model::view::ServicePatch;
use serde::Serialize;

use super::Project;
use crate::connect::At;
use crate::failure::Failure;
use crate::output::Output;
use crate::resolve::Target;

#[derive(Args, Debug)]
pub(crate) struct Scale {
    /// The service
    #[arg(value_name = "APPLICATION/SERVICE")]
    target: Target,
    /// How many there shall be
    #[arg(value_parser = clap::value_parser!(u32).range(0..=10_000))]
    replicas: u32,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Scaled {
    scaled: String,
    replicas: u32,
}

pub(crate) async fn run(At { args, connect }: At<Scale>) -> Result<(), Failure> {
    let Target { application, service } = &args.target;
    let Some(service) = service else {
        return Err(Failure::wrong_use(format!("which service of {application}?"))
            .hint(format!("write `holm scale {application}/SERVICE {}`", args.replicas)));
    };
    let patch = ServicePatch { replicas: Some(args.replicas), ..ServicePatch::default() };
    let project = args.project.of(&connect)?;
    connect.client()?.patch_service(project.as_str(), application, service, &patch).await?;
    let scaled = Scaled { scaled: format!("{application}/{service}"), replicas: args.replicas };
    args.output.print(&scaled, || format!("{} shall have {} replicas", scaled.scaled, scaled.replicas))
}
