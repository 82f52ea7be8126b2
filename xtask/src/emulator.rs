//! Programs of arm64 run on this machine while this lives: QEMU's emulator of programs, registered with the kernel
//! (Documentation/admin-guide/binfmt-misc.rst of Linux), unless somebody has done that before.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::tool::succeeds;

const DIR: &str = "/proc/sys/fs/binfmt_misc";
const NAME: &str = "qemu-aarch64";
/// As Debian's qemu-user-static has it. `F`: opened now, so that it is found inside of containers, too.
const LINE: &str = r":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:F";

/// Takes away what it has brought.
#[derive(Debug)]
pub(crate) struct Emulator {
    has_registered: bool,
    has_mounted: bool,
}

impl Emulator {
    pub(crate) fn start() -> Result<Self> {
        let mut emulator = Self { has_registered: false, has_mounted: false };
        if !Path::new(DIR).join("register").exists() {
            let mounted = succeeds("mount", &["-t", "binfmt_misc", "none", DIR]);
            ensure!(mounted, "binfmt_misc cannot be mounted at {DIR}");
            emulator.has_mounted = true;
        }
        if !Path::new(DIR).join(NAME).exists() {
            fs::write(format!("{DIR}/register"), LINE).context("the kernel does not take the emulator")?;
            emulator.has_registered = true;
        }
        Ok(emulator)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if self.has_registered {
            fs::write(format!("{DIR}/{NAME}"), "-1").ok();
        }
        if self.has_mounted {
            succeeds("umount", &[DIR]);
        }
    }
}
