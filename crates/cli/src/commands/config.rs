//! `holm config check`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::roles::file;

#[derive(Args, Debug)]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Check a configuration file without starting anything
    Check {
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Serialize)]
struct Checked<'a> {
    file: &'a Path,
    /// Which roles it configures.
    roles: Vec<&'static str>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    let Action::Check { file, output } = &config.action;
    let read = match file::read(file) {
        Ok(read) => read,
        Err(failure) => {
            let checked = Checked { file, roles: Vec::new(), error: Some(failure.to_string()) };
            // People read the reason below.
            output.print(&checked, String::new)?;
            return Err(failure.failed());
        }
    };
    let checked = Checked { file, roles: read.roles(), error: None };
    output.print(&checked, || {
        let roles = if checked.roles.is_empty() { "no role".to_owned() } else { checked.roles.join(", ") };
        format!("{}: fine (configures {roles})", file.display())
    })
}
