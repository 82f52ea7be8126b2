//! `holm adopt` and `holm discard`: who is right after an orchestrator forgot something.

use clap::Args;

use crate::connect::At;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Adopt {
    /// Name or id of a node or cluster of this orchestrator; `holm get members` shows them
    #[arg(value_name = "MEMBER")]
    member: String,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn adopt(At { args, connect }: At<Adopt>) -> Result<(), Failure> {
    connect.client()?.adopt(&args.member).await?;
    args.output.print_done("adopted", &args.member, || {
        format!("{} is adopted: what it runs is now what the orchestrator believes.", args.member)
    })
}

pub(crate) async fn discard(At { args, connect }: At<Adopt>) -> Result<(), Failure> {
    connect.client()?.discard(&args.member).await?;
    args.output.print_done("discarded", &args.member, || {
        format!("{} obeys again: what the orchestrator does not believe is ended there.", args.member)
    })
}
