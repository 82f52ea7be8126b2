//! `holm metrics`: what Prometheus would be told.

use clap::Args;

use crate::connect::At;
use crate::failure::Failure;
use crate::output::say;

#[derive(Args, Debug)]
pub(crate) struct Metrics {}

pub(crate) async fn run(At { args: Metrics {}, connect }: At<Metrics>) -> Result<(), Failure> {
    say(&connect.client()?.metrics().await?)
}
