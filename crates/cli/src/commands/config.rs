//! `holm config check`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::output::say;
use crate::roles::file;

#[derive(Args, Debug)]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Check a configuration file without starting anything
    Check { file: PathBuf },
}

pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    let Action::Check { file: path } = &config.action;
    let roles = file::read(path)?.roles();
    let roles = if roles.is_empty() { "no role".to_owned() } else { roles.join(", ") };
    say(&format!("{}: fine (configures {roles})", path.display()))
}
