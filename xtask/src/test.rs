//! `cargo xtask test`: everything that the tests need, then all of them.

use std::process::Command;

use anyhow::Result;

use crate::engine::Engine;
use crate::packages;
use crate::tool::{self, cargo, succeeds};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Ten times as many simulated worlds.
    #[arg(long)]
    long: bool,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// Names of tests end in these when they need more than a toolchain.
const NEEDS_ENGINE: &str = "needs_engine";
const NEEDS_ROOT: &str = "needs_root";

pub(crate) fn run(options: &Options) -> Result<()> {
    let missing = packages::install();
    let mut without = Vec::new();
    if !missing.is_empty() {
        eprintln!("not installed (and not root, or no apt-get): {}", missing.join(", "));
    }
    let engine = if packages::is_root() && missing.is_empty() {
        match Engine::start() {
            Ok(engine) => Some(engine),
            Err(error) => {
                eprintln!("no container engine: {error:#}");
                None
            }
        }
    } else {
        None
    };
    if engine.is_none() {
        without.push(NEEDS_ENGINE);
    }
    if !packages::is_root() {
        without.push(NEEDS_ROOT);
    }
    // Doc examples first: the run ends with the summary of the real test runner.
    run_doc_tests()?;
    let mut command = test_command(options, &without);
    if let Some(engine) = &engine {
        command.env("HOLM_TEST_DOCKER", &engine.socket);
    }
    if options.long {
        command.env("HOLM_SIM_RUNS", "10000");
    }
    tool::run_to_the_last_word(&mut command)
}

fn run_doc_tests() -> Result<()> {
    tool::run(cargo().args(["test", "--workspace", "--doc", "--quiet"]))
}

/// nextest where there is one (it counts what is skipped), cargo's own runner otherwise.
fn test_command(options: &Options, without: &[&str]) -> Command {
    let mut command = cargo();
    if succeeds("cargo", &["nextest", "--version"]) {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "slow"]);
        if !without.is_empty() {
            eprintln!("left out, counted as skipped: tests named *{}*", without.join("*, *"));
            let filter: Vec<_> = without.iter().map(|name| format!("not test({name})")).collect();
            command.args(["-E", &filter.join(" and ")]);
        }
        command.args(&options.filter);
    } else {
        command.args(["test", "--workspace", "--no-fail-fast"]);
        command.args(&options.filter).arg("--");
        without.iter().for_each(|name| {
            command.args(["--skip", name]);
        });
    }
    command
}
