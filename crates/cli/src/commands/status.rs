//! `holm status`.

use clap::Args;
use holm_model::view::StatusView;

use crate::connect::At;
use crate::failure::Failure;
use crate::output::{Output, stdout_ink, table};

#[derive(Args, Debug)]
pub(crate) struct Status {
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(At { args, connect }: At<Status>) -> Result<(), Failure> {
    let status = connect.client()?.status().await?;
    args.output.print(&status, || people(&status))
}

fn people(status: &StatusView) -> String {
    let writes = status.read_only.as_ref().map_or_else(|| "yes".to_owned(), |why| format!("no: {why}"));
    let rows = [
        ("orchestrator", format!("{} ({})", status.name, status.role)),
        ("sea", status.sea.clone()),
        ("version", status.version.clone()),
        ("parent", status.parent.clone()),
        ("takes writes", writes),
        ("epoch", status.epoch.clone()),
        ("revision", status.revision.to_string()),
        ("fingerprint", status.fingerprint.clone()),
    ];
    table::pairs(&rows, stdout_ink())
}
