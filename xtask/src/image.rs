//! The image that container tests run; made from Debian's busybox, since none can be pulled.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::tool::{output, remove, run};

/// What the tests call it.
pub(crate) const NAME: &str = "holm-test:1";

/// A root directory as an archive; removed with this value.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) tar: PathBuf,
}

impl Image {
    pub(crate) fn make() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("holm-image-{}", std::process::id()));
        root_dir(&dir)?;
        let image = Self { tar: dir.with_extension("tar") };
        run(Command::new("tar").arg("-C").arg(&dir).arg("-cf").arg(&image.tar).arg("."))?;
        remove(&dir);
        Ok(image)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        fs::remove_file(&self.tar).ok();
    }
}

/// Fills `dir` with busybox under all its names, and the users root and nobody.
fn root_dir(dir: &Path) -> Result<()> {
    let bin = dir.join("bin");
    for place in ["bin", "tmp", "etc"] {
        fs::create_dir_all(dir.join(place))?;
    }
    fs::write(dir.join("etc/passwd"), "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")?;
    fs::copy("/bin/busybox", bin.join("busybox")).context("busybox-static is not installed")?;
    let applets = output(Command::new("/bin/busybox").arg("--list"))?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", bin.join(applet))?;
    }
    Ok(())
}
