//! What `cargo xtask dist` makes of the program under test.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::command::PROGRAM;

pub(crate) const VERSION: &str = "1.0.0";
/// Its machine, by everybody and by Debian.
const MACHINE: (&str, &str) =
    if cfg!(target_arch = "x86_64") { ("x86_64", "amd64") } else { ("aarch64", "arm64") };

/// The directory of a release, made once for each program: several tests use it.
#[derive(Debug)]
pub(crate) struct Release(PathBuf);

// === impl Release ===

impl Release {
    /// None, which is said, when the tests were not told how.
    pub(crate) fn make() -> Option<Self> {
        let Ok(xtask) = std::env::var("HOLM_TEST_XTASK") else {
            println!("skipped: HOLM_TEST_XTASK does not name the program xtask");
            return None;
        };
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("release");
        fs::create_dir_all(&dir).expect("a directory");
        // Held to the end of the function: another test may be making it.
        let lock = File::create(dir.join("lock")).expect("a lock file");
        lock.lock().expect("the lock");
        let now = [PROGRAM, &xtask].map(age).join("-");
        let out = dir.join(&now);
        if !out.join("SHA256SUMS").exists() {
            // Of programs that are no more.
            let old = fs::read_dir(&dir).expect("our own directory").flatten().map(|entry| entry.path());
            old.filter(|path| path.is_dir()).for_each(|path| drop(fs::remove_dir_all(path)));
            dist(&xtask, &dir.join("holm"), &out);
        }
        Some(Self(out))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    pub(crate) fn deb(&self, package: &str) -> PathBuf {
        self.0.join(format!("{package}_{VERSION}_{}.deb", MACHINE.1))
    }

    pub(crate) fn archive(&self) -> String {
        format!("holm-{VERSION}-{}-linux.tar.gz", MACHINE.0)
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.0.join(format!("holm-{VERSION}-{}-images.tar", MACHINE.0))
    }

    /// The package with a higher version and other settings of a root, below `dir`.
    pub(crate) fn newer_deb(&self, package: &str, dir: &Path) -> PathBuf {
        let (tree, next) = (dir.join(format!("{package}-next")), dir.join(format!("{package}_2.0.0.deb")));
        ran(Command::new("dpkg-deb").arg("-R").arg(self.deb(package)).arg(&tree));
        replace(&tree.join("DEBIAN/control"), &format!("Version: {VERSION}"), "Version: 2.0.0");
        for file in ["etc/holm/root.toml", "etc/holm/node.toml"].map(|file| tree.join(file)) {
            if file.exists() {
                replace(&file, "# ", "# New: ");
            }
        }
        ran(Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Zgzip", "-z1", "-b"])
            .arg(&tree)
            .arg(&next));
        fs::remove_dir_all(tree).expect("our own directory");
        next
    }
}

fn dist(xtask: &str, stripped: &Path, out: &Path) {
    // What tests are built with has hundreds of megabytes that nobody installs.
    ran(Command::new("strip").arg("-o").arg(stripped).arg(PROGRAM));
    let mut dist = Command::new(xtask);
    // The whole program holds the words of the agent, too: the package is about where files go.
    dist.args(["dist", "--quick", "--version", VERSION])
        .arg("--binary")
        .arg(stripped)
        .arg("--agent")
        .arg(stripped);
    ran(dist.arg("--out").arg(out));
}

fn age(file: &str) -> String {
    let file = fs::metadata(file).expect("a program");
    format!("{}.{}", file.mtime(), file.mtime_nsec())
}

pub(crate) fn replace(file: &Path, what: &str, with: &str) {
    let text = fs::read_to_string(file).expect("a text");
    assert!(text.contains(what), "{} has no {what:?}", file.display());
    fs::write(file, text.replacen(what, with, 1)).expect("our own file");
}

/// Fails unless it ends well; what it said.
#[track_caller]
pub(crate) fn ran(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}\n{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}
