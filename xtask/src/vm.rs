//! A kernel for the tests that need another one than the host's: Debian's for clouds, unpacked and not
//! installed, kept for the next run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::tool::{output, root, run, succeeds};

/// Depends on the newest one.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// The kernel's image, downloaded if it is not there.
pub(crate) fn kernel() -> Result<PathBuf> {
    ensure!(std::env::consts::ARCH == "x86_64", "the virtual machine for tests is an x86_64");
    ensure!(succeeds("qemu-system-x86_64", &["--version"]), "qemu-system-x86 is not installed");
    let dir = root().join("target/vm");
    match unpacked(&dir) {
        Some(kernel) => Ok(kernel),
        None => {
            // A fresh machine may not know what packages there are.
            download(&dir).or_else(|_| {
                succeeds("apt-get", &["update"]);
                download(&dir)
            })?;
            unpacked(&dir).context("the kernel's package holds no kernel")
        }
    }
}

fn unpacked(dir: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(dir.join("boot")).ok()?.flatten().map(|entry| entry.path());
    files
        .into_iter()
        .find(|file| file.file_name().is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz")))
}

fn download(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    let depends = output(Command::new("apt-cache").args(["depends", PACKAGE]))?;
    let name = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    let name = format!("linux-image-{}", name.with_context(|| format!("`{PACKAGE}` names no kernel"))?);
    // As another user it could not write here, which it says and which is fine.
    run(Command::new("apt-get").args(["download", &name]).current_dir(dir).stderr(Stdio::null()))?;
    let packages = fs::read_dir(dir)?.flatten().map(|entry| entry.path());
    let package = packages.into_iter().find(|file| file.extension().is_some_and(|kind| kind == "deb"));
    let package = package.with_context(|| format!("`{name}` was not downloaded"))?;
    run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(dir))?;
    fs::remove_file(package)?;
    Ok(())
}
