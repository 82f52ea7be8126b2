//! schemathesis, which asks an API everything that its document allows: of PyPI, in an environment of its own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::tool::{output, root};

const VERSION: &str = "4.32.5";

/// The program; made once for each version.
pub(crate) fn program() -> Result<PathBuf> {
    let dir = root().join("target").join(format!("schemathesis-{VERSION}"));
    let program = dir.join("bin/st");
    // The last thing that is made: an attempt that was cut off is begun again.
    if program.exists() && output(Command::new(&program).arg("--version")).is_ok() {
        return Ok(program);
    }
    eprintln!("installing schemathesis {VERSION} below {}", dir.display());
    output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))
        .context("there is no python3 with venv; Debian has it in `python3-venv`")?;
    let wanted = format!("schemathesis=={VERSION}");
    output(Command::new(dir.join("bin/pip")).args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        &wanted,
    ]))?;
    Ok(program)
}
