//! `holm schema`.

use clap::Args;
use holm_model::manifest;

use crate::failure::Failure;
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Schema {
    #[command(flatten)]
    output: Output,
}

/// A schema has one form for people and programs, unless they ask for YAML.
pub(crate) fn run(schema: &Schema) -> Result<(), Failure> {
    let text = manifest::schema();
    schema.output.print(&text, || format!("{text:#}"))
}
