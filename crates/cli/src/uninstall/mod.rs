//! `holm uninstall`: takes a node off its machine, and leaves nothing of it.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`plan`] | what is there, and so what goes |
//! | [`installed`] | what an installation from an archive, or a package, put where |
//! | [`orchestrators`] | which data directories of orchestrators are here: those need the program |
//! | [`steps`] | stopping, ending, removing |

mod installed;
mod orchestrators;
mod plan;
mod steps;

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::output::Output;
use plan::{Extent, Plan};

#[derive(Args, Debug)]
pub(crate) struct Uninstall {
    /// The node's data directory [default: as its settings say]
    ///
    /// One that the machine's own settings do not name is removed alone: program, units and settings stay.
    #[arg(long, env = "HOLM_DATA_DIR", value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// The node's settings [default: /etc/holm/node.toml, if it is there]
    #[arg(long, env = "HOLM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Stop the agent and end what it runs, and remove nothing
    #[arg(long)]
    keep_data: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Go on although something cannot be ended, as containers of an engine that does not answer
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(uninstall: Uninstall) -> Result<(), Failure> {
    let extent = if uninstall.keep_data { Extent::Instances } else { Extent::All };
    let plan = Plan::find(uninstall.data_dir.as_deref(), uninstall.config.as_deref(), extent)?;
    if uninstall.dry_run {
        return uninstall.output.print(&plan, || plan.text());
    }
    if plan.is_empty() {
        return uninstall.output.print(&plan, || "no node is here; nothing was changed".to_owned());
    }
    if !uninstall.yes {
        eprint!("{}", plan.text());
        if !agreed()? {
            return Err(Failure::new("nothing was changed"));
        }
    }
    steps::carry_out(&plan, uninstall.force).await?;
    uninstall.output.print(&plan, || plan.farewell())
}

#[cfg(feature = "full")]
fn agreed() -> Result<bool, Failure> {
    crate::prompt::yes("Go on?")
}

/// The agent alone asks nobody anything.
#[cfg(not(feature = "full"))]
fn agreed() -> Result<bool, Failure> {
    Err(Failure::wrong_use("nobody has agreed to this").hint("say it again with --yes"))
}
