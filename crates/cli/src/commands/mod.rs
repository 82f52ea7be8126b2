//! One file per command for people. Each asks by [`holm_client`] or works on files, and prints.

pub(crate) mod adopt;
pub(crate) mod amend;
pub(crate) mod apply;
mod attached;
pub(crate) mod audit;
pub(crate) mod backup;
mod beside;
pub(crate) mod build;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod confirm;
pub(crate) mod consent;
pub(crate) mod contents;
pub(crate) mod context;
pub(crate) mod convert;
pub(crate) mod cp;
pub(crate) mod decommission;
pub(crate) mod delete;
pub(crate) mod deploy;
pub(crate) mod describe;
pub(crate) mod diff;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod identity;
pub(crate) mod images;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod logs;
pub(crate) mod manifest;
pub(crate) mod metrics;
pub(crate) mod moving;
pub(crate) mod person;
mod pick;
pub(crate) mod port_forward;
pub(crate) mod project;
pub(crate) mod promote;
pub(crate) mod pulse;
pub(crate) mod remove;
pub(crate) mod restart;
pub(crate) mod rollback;
pub(crate) mod run_state;
pub(crate) mod scale;
pub(crate) mod schema;
pub(crate) mod shell;
pub(crate) mod slots;
pub(crate) mod status;
mod steady;
pub(crate) mod token;
pub(crate) mod top;
pub(crate) mod transfer;
pub(crate) mod version;
pub(crate) mod wait;
pub(crate) mod when;
pub(crate) mod whoami;

use clap::Args;
use holm_model::name::Name;

use crate::connect::Connect;
use crate::failure::Failure;

/// Who owns what the command is about.
#[derive(Args, Clone, Debug)]
pub(crate) struct Project {
    /// The project that owns the application [default: the context's, or `default`]
    #[arg(short, long, env = "HOLM_PROJECT", value_name = "NAME")]
    project: Option<Name>,
}

// === impl Project ===

impl Project {
    pub(crate) fn of(&self, connect: &Connect) -> Result<Name, Failure> {
        connect.project(self.project.as_ref())
    }
}
