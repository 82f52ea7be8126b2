//! `cargo xtask bench`: builds the release binary and runs the measurements in `bench/`.

use anyhow::Result;

use crate::engine::Engine;
use crate::packages;
use crate::tool::{cargo, root, run as run_tool};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this one: `decisions`, `size`, …
    name: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    run_tool(cargo().args(["build", "--release", "--package", "holm-cli"]))?;
    let wanted = |name: &str| options.name.as_deref().is_none_or(|only| only == name);
    if wanted("decisions") {
        run_tool(cargo().args(["run", "--release", "--quiet", "-p", "holm-core", "--example", "decisions"]))?;
    }
    if wanted("commit") {
        run_tool(cargo().args(["run", "--release", "--quiet", "-p", "holm-store", "--example", "commit"]))?;
    }
    if wanted("deploy") {
        packages::install();
        let engine = Engine::start().inspect_err(|error| eprintln!("without containers: {error:#}")).ok();
        let mut command = std::process::Command::new("python3");
        command.arg(root().join("bench/deploy.py")).current_dir(root());
        if let Some(engine) = &engine {
            command.env("HOLM_TEST_DOCKER", &engine.socket);
        }
        run_tool(&mut command)?;
    }
    Ok(())
}
