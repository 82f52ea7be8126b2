//! `cargo xtask drill`: what people do on a day, over real processes and nothing but the command line and the REST API.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`operator`] | the day of a new administrator: its steps, one after the other |
//! | [`refusals`] | what must be refused: verb × person × project, and forged proofs |
//! | [`upgrade`] | a sea goes from one version to the next, and back |
//! | [`healing`] | what is lost and cut off, and what costs whoever asks nothing |
//! | [`load`] | whoever asks a service all the time |
//! | [`strait`] | a network namespace, and the cable to it |
//! | [`island`] | that sea, and what must work in it whatever its versions are |
//! | [`previous`] | the program of an earlier commit |
//! | [`steps`] | the steps of a drill, and their table |
//! | [`sea`] | daemons, a proxy, and people with a command line each |
//! | [`rest`] | one HTTP request, written by hand |
//!
//! Anything that is not as it must be ends it with an error.

mod healing;
mod island;
mod load;
mod operator;
mod previous;
mod refusals;
mod rest;
mod sea;
mod steps;
mod strait;
mod upgrade;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::tool::{cargo, run as run_tool, target};

/// Which drill.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
    /// A program that is there already, as one of a release [default: it is built]
    #[arg(long, value_name = "FILE", global = true)]
    program: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// A sea from its first administrator to its restored root
    Operator,
    /// A node dies, a cluster orchestrator dies in the middle of an update, a cluster is cut off; updates, migrations and
    /// drains under load
    Healing {
        /// How many seconds the cluster is cut off
        #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
        partition: u64,
        /// Times are shown and not judged: the machine does other things as well
        #[arg(long)]
        untimed: bool,
    },
    /// A sea from an earlier version to this one, both side by side, and the way back
    Upgrade {
        /// The commit or tag to upgrade from [default: the newest tag `v*` before HEAD]
        #[arg(long, value_name = "REV", conflicts_with = "previous")]
        from: Option<String>,
        /// The program to upgrade from, which is there already
        #[arg(long, value_name = "FILE")]
        previous: Option<PathBuf>,
    },
}

/// Nothing in a drill takes longer, on a busy machine either.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(options: &Options) -> Result<()> {
    let program = || options.program.clone().map_or_else(current, Ok);
    match &options.what {
        What::Operator => operator::run(&program()?),
        What::Healing { partition, untimed } => {
            healing::run(&program()?, Duration::from_secs(*partition), *untimed)
        }
        What::Upgrade { from, previous } => {
            let previous = previous.clone();
            let previous = previous.map_or_else(|| previous::program(from.as_deref()), Ok)?;
            upgrade::run(&previous, &program()?)
        }
    }
}

/// The operator's day with the program as it is built now.
pub(crate) fn operator() -> Result<()> {
    operator::run(&current()?)
}

fn current() -> Result<PathBuf> {
    run_tool(cargo().args(["build", "--quiet", "--package", "holm-cli", "--bin", "holm"]))?;
    Ok(target().join("debug/holm"))
}

/// What `look` finds, once it finds something.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match look() {
            Ok(Some(found)) => return Ok(found),
            Err(error) if Instant::now() > deadline => bail!("not within {LIMIT:?}: {what}: {error:#}"),
            Ok(None) if Instant::now() > deadline => bail!("not within {LIMIT:?}: {what}"),
            Ok(None) | Err(_) => std::thread::sleep(LOOK),
        }
    }
}
