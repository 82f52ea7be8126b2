//! One file per command for people. Each asks by [`holm_client`] or works on files, and prints.

pub(crate) mod adopt;
pub(crate) mod apply;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod confirm;
pub(crate) mod convert;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod get;
pub(crate) mod logs;
pub(crate) mod manifest;
pub(crate) mod pulse;
pub(crate) mod remove;
pub(crate) mod run_state;
pub(crate) mod scale;
pub(crate) mod schema;
pub(crate) mod status;
mod steady;
pub(crate) mod token;
pub(crate) mod version;
pub(crate) mod wait;

use clap::Args;

/// Who owns what the command is about.
#[derive(Args, Clone, Debug)]
pub(crate) struct Project {
    /// The project that owns the application
    #[arg(long, env = "HOLM_PROJECT", default_value = "default", value_name = "NAME")]
    pub(crate) project: holm_model::name::Name,
}
