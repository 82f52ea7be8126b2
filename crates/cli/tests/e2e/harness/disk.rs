//! Small file systems in memory. Root only.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::command::{command, run};

/// Mounted until it is dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: tempfile::TempDir,
}

const BALLAST: &str = "ballast";

// === impl Disk ===

impl Disk {
    /// `size` as `mount` takes it.
    pub(crate) fn mount(size: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("holm-e2e-disk-").tempdir().expect("a directory");
        let mut call = command("mount");
        call.args(["-t", "tmpfs", "-o", &format!("size={size},mode=711"), "none"]).arg(dir.path());
        run(call, "").done();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).expect("our own directory");
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Takes all that is free.
    pub(crate) fn fill(&self) {
        use std::io::Write as _;
        let mut file = fs::File::options().create(true).append(true).open(self.ballast()).expect("a file");
        for size in [64 * 1024, 4096] {
            let block = vec![0_u8; size];
            while file.write_all(&block).is_ok() {}
        }
    }

    /// Takes so many MiB.
    pub(crate) fn take(&self, mib: usize) {
        fs::write(self.ballast(), vec![0_u8; mib << 20]).expect("there is room");
    }

    pub(crate) fn free(&self) {
        fs::remove_file(self.ballast()).expect("our own file");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join(BALLAST)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whatever still uses it is about to end.
        let _ = command("umount").arg("-l").arg(self.path()).output();
    }
}
