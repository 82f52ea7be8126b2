//! `holm convert`: a manifest in its normal form.

use std::path::PathBuf;

use clap::Args;
use holm_model::manifest::show;

use super::manifest;
use crate::failure::Failure;
use crate::output::say;

#[derive(Args, Debug)]
pub(crate) struct Convert {
    /// A manifest; `-` for standard input
    file: PathBuf,
}

pub(crate) fn run(convert: &Convert) -> Result<(), Failure> {
    say(&show(&manifest::read(&convert.file)?.application))
}
