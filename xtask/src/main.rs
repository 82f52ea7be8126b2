//! Tasks of the project that are more than one cargo command: `cargo xtask <task>`.

mod bench;
mod check;
mod debian;
mod dist;
mod drill;
mod emulator;
mod engine;
mod image;
mod mutate;
mod packages;
mod podman;
mod schemathesis;
mod test;
mod tool;
mod vm;

use std::process::ExitCode;

use clap::Parser;

/// What to do.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Tasks of the project", disable_version_flag = true)]
enum Task {
    /// Install or start what the tests need, then run all of them.
    Test(test::Options),
    /// Format, lints, licences: what must hold before the tests.
    Check,
    /// Make what people install: archives, Debian packages, container images, their sums.
    Dist(dist::Options),
    /// Measure what docs/benchmarks.md promises; prints Markdown.
    Bench(bench::Options),
    /// Do what people do on a day, and check everything that must be so.
    Drill(drill::Options),
    /// Break single lines of a crate and list what its tests do not notice.
    Mutate(mutate::Options),
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Test(options) => test::run(&options),
        Task::Check => check::run(),
        Task::Dist(options) => dist::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Drill(options) => drill::run(&options),
        Task::Mutate(options) => mutate::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The test runner has said the rest; its summary stays the last word.
            if !matches!(error.downcast_ref(), Some(tool::Failed)) {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
