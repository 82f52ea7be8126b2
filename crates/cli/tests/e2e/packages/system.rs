//! A Debian system below a directory of its own, entered by chroot: nothing of it reaches this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::release::ran;

#[derive(Debug)]
pub(crate) struct System {
    dir: TempDir,
}

/// Dpkg's own records; and Stockholm.
const RECORDS: [&str; 5] = ["/usr/share/zoneinfo/", "/var/lib/dpkg/", "/var/log/", "/var/cache/", "/proc/"];

// === impl System ===

impl System {
    pub(crate) fn new() -> Self {
        let archive = std::env::var("HOLM_TEST_DEBIAN").expect("HOLM_TEST_DEBIAN names an archive");
        let dir = tempfile::Builder::new().prefix("holm-debian-").tempdir().expect("a directory");
        let system = Self { dir };
        ran(Command::new("tar").args(["--numeric-owner", "-xpf", &archive, "-C"]).arg(system.root()));
        ran(Command::new("mount").args(["-t", "proc", "proc"]).arg(system.path("/proc")));
        system
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// Copies `file` to `/tmp`; its name there.
    pub(crate) fn bring(&self, file: &Path) -> String {
        let name = format!("/tmp/{}", file.file_name().expect("a name").to_string_lossy());
        fs::copy(file, self.path(&name)).expect("a copy");
        name
    }

    /// Copies a program of this machine there, with the libraries that are missing.
    pub(crate) fn bring_program(&self, program: &str) {
        let said = ran(Command::new("ldd").arg(program));
        let libraries = said.split_whitespace().filter(|word| word.starts_with('/'));
        for file in libraries.chain([program]) {
            let target = self.path(file);
            if !target.exists() {
                fs::create_dir_all(target.parent().expect("a path of a file")).expect("a directory");
                fs::copy(file, target).expect("a copy");
            }
        }
    }

    pub(crate) fn call(&self, words: &[&str]) -> Output {
        let mut command = Command::new("chroot");
        command.arg(self.root()).args(words).env_clear().env("DEBIAN_FRONTEND", "noninteractive");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.output().expect("chroot starts")
    }

    /// Fails unless it ends well; all that it said.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let output = self.call(words);
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "{words:?}: {}\n{}", output.status, said.concat());
        said.concat()
    }

    /// Fails unless it fails; what it said.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let output = self.call(words);
        assert!(!output.status.success(), "{words:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Files and directories that have our name in theirs, but those that were brought.
    pub(crate) fn traces(&self) -> Vec<String> {
        let found = self.run(&["find", "/", "-xdev", "-name", "*holm*", "-not", "-path", "/tmp/*"]);
        let paths = found.lines().filter(|path| !RECORDS.iter().any(|record| path.starts_with(record)));
        paths.map(str::to_owned).collect()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // What cannot be unmounted keeps the directory, which then says so.
        let _ = Command::new("umount").arg(self.path("/proc")).status();
    }
}
