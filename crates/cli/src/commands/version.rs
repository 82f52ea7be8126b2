//! `holm version`.

use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Version {
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Facts {
    version: &'static str,
    os: &'static str,
    arch: &'static str,
}

pub(crate) fn run(version: &Version) -> Result<(), Failure> {
    let facts =
        Facts { version: env!("CARGO_PKG_VERSION"), os: std::env::consts::OS, arch: std::env::consts::ARCH };
    version.output.print(&facts, || format!("holm {} ({}/{})", facts.version, facts.os, facts.arch))
}
