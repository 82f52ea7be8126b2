//! `cargo xtask drill operator`: the day of a new administrator, over real processes and nothing but the command
//! line and the REST API.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`operator`] | the day: its steps, one after the other |
//! | [`refusals`] | what must be refused: verb × person × project, and forged proofs |
//! | [`sea`] | daemons, a proxy, and people with a command line each |
//! | [`rest`] | one HTTP request, written by hand |
//!
//! Anything that is not as it must be ends it with an error.

mod operator;
mod refusals;
mod rest;
mod sea;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::tool::{cargo, run as run_tool, target};

/// Which drill.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    what: Drill,
    /// A program that is there already, as one of a release [default: it is built]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Drill {
    /// A sea from its first administrator to its restored root.
    Operator,
}

/// Nothing in a drill takes longer, on a busy machine either.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(options: &Options) -> Result<()> {
    match (options.what, &options.program) {
        (Drill::Operator, None) => operator(),
        (Drill::Operator, Some(program)) => operator::run(program),
    }
}

/// The operator's day with the program as it is built now.
pub(crate) fn operator() -> Result<()> {
    run_tool(cargo().args(["build", "--quiet", "--package", "holm-cli", "--bin", "holm"]))?;
    operator::run(&target().join("debug/holm"))
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
