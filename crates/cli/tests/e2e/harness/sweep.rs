//! What is left of a sea when it ends: programs that were meant to survive their agent, and what the
//! kernel and the engine keep for them.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::command::command;
use super::{proc, wait_for};

/// Ends every process that belongs to `dir`; returns when there is none.
pub(crate) fn processes(dir: &Path) {
    wait_for("everything below a directory ends", || {
        let left = proc::touching(dir);
        for pid in &left {
            // It may have ended just now.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        left.is_empty().then_some(())
    });
}

/// Ends the programs and containers of a node, and removes its control groups.
pub(crate) fn node(data: &Path) {
    processes(data);
    // No label: it has never started an instance.
    let Ok(label) = fs::read_to_string(data.join("label")) else { return };
    groups(label.trim());
    containers(label.trim());
}

fn groups(label: &str) {
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
    for dir in hierarchies.chain([top.to_owned()]).map(|dir| dir.join("holm").join(label)) {
        for inner in fs::read_dir(&dir).into_iter().flatten().flatten() {
            // Files cannot be removed; directories go with the last process.
            let _ = fs::remove_dir(inner.path());
        }
        let _ = fs::remove_dir(dir);
    }
}

fn containers(label: &str) {
    let Ok(engine) = std::env::var("HOLM_TEST_DOCKER") else { return };
    let docker = |words: &[&str]| command("docker").args(["-H", &engine]).args(words).output();
    let Ok(listed) = docker(&["ps", "-aq", "--filter", &format!("label=holm.node={label}")]) else {
        return;
    };
    for id in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
        let _ = docker(&["rm", "-f", "-v", id]);
    }
}
