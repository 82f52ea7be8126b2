//! The program of an earlier commit, built in a work tree of its own and kept for the next time.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use crate::tool::{cargo, output, root, run, target};

/// The program as it was at `revision`, or at the newest release before HEAD.
pub(super) fn program(revision: Option<&str>) -> Result<PathBuf> {
    let revision = match revision {
        Some(revision) => revision.to_owned(),
        None => newest_release()?,
    };
    let place = target().join("previous");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let commit = commit(&revision)?;
    let program = place.join(format!("holm-{commit}"));
    if program.exists() {
        println!("{revision} was built before: {}", program.display());
        return Ok(program);
    }
    // One place for all commits: what does not differ is not compiled again.
    let (source, build) = (place.join("source"), place.join("target"));
    check_out(&commit, &source)?;
    println!("building holm as of {revision}; that takes minutes the first time");
    let mut build_it = cargo();
    build_it.current_dir(&source).env("CARGO_TARGET_DIR", &build);
    run(build_it.args(["build", "--locked", "--package", "holm-cli", "--bin", "holm"]))?;
    // Whole or not there: a copy that was cut off would be taken for it the next time.
    let unfinished = program.with_extension("new");
    fs::copy(build.join("debug/holm"), &unfinished).context("cannot keep what was built")?;
    fs::rename(&unfinished, &program)?;
    Ok(program)
}

fn newest_release() -> Result<String> {
    let tag = output(git().args(["describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD~"]));
    let tag = tag.map_err(|error| {
        anyhow!(
            "there is no release before HEAD to upgrade from ({}); name a commit with `--from REV`, or a \
             program with `--previous FILE`",
            format!("{error:#}").trim()
        )
    })?;
    Ok(tag.trim().to_owned())
}

/// Its short name, which no tag or branch can change.
fn commit(revision: &str) -> Result<String> {
    let named = format!("{revision}^{{commit}}");
    let commit = output(git().args(["rev-parse", "--verify", "--quiet", "--short=12", &named]));
    let commit =
        commit.map_err(|_| anyhow!("`{revision}` is no commit here; `git fetch --tags` may bring it"))?;
    Ok(commit.trim().to_owned())
}

fn check_out(commit: &str, source: &PathBuf) -> Result<()> {
    if source.join(".git").exists() {
        return run(git().arg("-C").arg(source).args(["checkout", "--quiet", "--force", "--detach", commit]));
    }
    // Somebody may have removed the directory and not told git.
    run(git().args(["worktree", "prune"]))?;
    run(git().args(["worktree", "add", "--quiet", "--force", "--detach"]).arg(source).arg(commit))
}

fn git() -> Command {
    let mut command = Command::new("git");
    command.current_dir(root());
    command
}
