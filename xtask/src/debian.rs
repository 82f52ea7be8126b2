//! A Debian system to install packages in: this machine's release, made once by debootstrap and kept as an archive
//! for the next run.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::packages;
use crate::tool::{self, root, run};

/// The archive of its files.
pub(crate) fn archive() -> Result<PathBuf> {
    let dir = root().join("target/debian");
    let release = release()?;
    let archive = dir.join(format!("{release}.tar"));
    if archive.exists() {
        return Ok(archive);
    }
    ensure!(packages::is_root(), "debootstrap needs root");
    fs::create_dir_all(&dir)?;
    let made = dir.join("new");
    if made.exists() {
        tool::remove(&made);
    }
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", "--include=systemd-sysv", &release]).arg(&made);
    run(debootstrap.stdout(Stdio::null()))?;
    // Packages that were downloaded, and lists of those that were not.
    for superfluous in ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"] {
        tool::remove(&made.join(superfluous));
    }
    let next = dir.join("next.tar");
    run(Command::new("tar").args(["--numeric-owner", "-cf"]).arg(&next).arg("-C").arg(&made).arg("."))?;
    tool::remove(&made);
    fs::rename(next, &archive)?;
    Ok(archive)
}

/// Programs that were linked here run there.
fn release() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("/etc/os-release says which Debian this is")?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("/etc/os-release has no VERSION_CODENAME")?.trim_matches('"').to_owned())
}
