//! `holm schema`.

use holm_model::manifest;

use crate::failure::Failure;
use crate::output::say;

pub(crate) fn run() -> Result<(), Failure> {
    say(&format!("{:#}", manifest::schema()))
}
