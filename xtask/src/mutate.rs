//! `cargo xtask mutate`: do the tests notice when one line of a crate's code is broken?
//!
//! A copy of the workspace in a temporary directory is broken in one line, built, tested and mended again.
//! Purely textual: what does not build is passed over, and a survivor may say the same as before.

mod chosen;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::chosen::CHOSEN;
use crate::tool::{self, output, succeeds};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The crate's directory in `crates/` or `survey/`.
    #[arg(long = "crate", default_value = "core")]
    name: String,
    /// How many mutations are tested.
    #[arg(long, default_value_t = 20)]
    number: usize,
    /// Chooses them: the same seed breaks the same lines of the same source.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Breaks ten chosen lines of the core instead, and fails unless the simulator's seeds notice each.
    #[arg(long, conflicts_with_all = ["name", "number", "seed"])]
    chosen: bool,
}

/// A copy of the workspace, gone afterwards.
#[derive(Debug)]
struct Workspace {
    dir: PathBuf,
    package: String,
    /// The crate's code, relative to `dir`.
    sources: Vec<String>,
    /// Words for `cargo test`: which tests are asked; all without any.
    tests: &'static [&'static str],
    /// [`SIM_RUNS`], if nobody has set it.
    runs: Option<&'static str>,
}

/// One line, broken.
#[derive(Debug)]
struct Mutation {
    /// Relative to the workspace.
    file: String,
    /// From 0.
    line: usize,
    old: String,
    new: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Caught,
    Survived,
    DoesNotBuild,
}

/// Words and what they become; each also the other way round.
const SWAPS: [(&str, &str); 9] = [
    (" == ", " != "),
    (" < ", " >= "),
    (" > ", " <= "),
    (" && ", " || "),
    (" + ", " - "),
    (" += ", " -= "),
    ("true", "false"),
    (".any(", ".all("),
    (".min(", ".max("),
];

/// Tests may take this much longer than without a mutation.
const SLOWER: u32 = 4;

/// The simulator's seeds, without its stories.
const SEEDS: &[&str] = &["--test", "simulator", "seeds::"];

/// How many of each half of each kind of links, unless `HOLM_SIM_RUNS` says otherwise: a fifth of what the suite runs.
const RUNS: &str = "50";
const SIM_RUNS: &str = "HOLM_SIM_RUNS";

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.chosen { run_chosen() } else { run_random(options) }
}

fn run_chosen() -> Result<()> {
    let mut workspace = Workspace::copy("core")?;
    (workspace.tests, workspace.runs) = (SEEDS, Some(RUNS));
    let limit = workspace.sound()?;
    let mut survivors = 0;
    for chosen in &CHOSEN {
        let (line, old, new) = chosen.find(&fs::read_to_string(workspace.dir.join(chosen.file))?)?;
        let mutation = Mutation { file: chosen.file.to_owned(), line, old, new };
        let outcome = workspace.try_out(&mutation, limit)?;
        println!("{outcome:?}: {}\n    {mutation}", chosen.promise);
        survivors += usize::from(outcome != Outcome::Caught);
    }
    ensure!(survivors == 0, "the simulator did not notice {survivors} of {}", CHOSEN.len());
    println!("\nthe simulator noticed each of {}", CHOSEN.len());
    Ok(())
}

fn run_random(options: &Options) -> Result<()> {
    let workspace = Workspace::copy(&options.name)?;
    let mut all = workspace.mutations()?;
    eprintln!("{} mutations of {} are possible; seed {}", all.len(), workspace.package, options.seed);
    let limit = workspace.sound()?;
    let (mut seed, mut tested, mut survivors) = (options.seed, 0, Vec::new());
    while tested < options.number && !all.is_empty() {
        let mutation = all.swap_remove(draw(&mut seed, all.len()));
        let outcome = workspace.try_out(&mutation, limit)?;
        println!("{outcome:?}: {mutation}");
        tested += usize::from(outcome != Outcome::DoesNotBuild);
        if outcome == Outcome::Survived {
            survivors.push(mutation);
        }
    }
    println!("\n{} of {tested} mutations survived", survivors.len());
    survivors.iter().for_each(|mutation| println!("{mutation}"));
    Ok(())
}

/// SplitMix64: an index below `length`.
fn draw(seed: &mut u64, length: usize) -> usize {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((mixed ^ (mixed >> 31)) % length as u64).unwrap_or(0)
}

// === impl Workspace ===

impl Workspace {
    /// What Git has or would take, as it is on disk now.
    fn copy(name: &str) -> Result<Self> {
        let root = tool::root();
        let dir = std::env::temp_dir().join(format!("holm-mutate-{}", std::process::id()));
        let mut workspace =
            Self { dir, package: format!("holm-{name}"), sources: Vec::new(), tests: &[], runs: None };
        let mut list = Command::new("git");
        list.current_dir(&root).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
        for file in output(&mut list)?.lines().filter(|file| root.join(file).is_file()) {
            let to = workspace.dir.join(file);
            fs::create_dir_all(to.parent().unwrap_or(&workspace.dir))?;
            fs::copy(root.join(file), &to).with_context(|| format!("cannot copy {file}"))?;
            let inside =
                ["crates", "survey"].iter().any(|dir| file.starts_with(&format!("{dir}/{name}/src/")));
            let ours = inside && file.ends_with(".rs");
            if ours && !file.ends_with("tests.rs") {
                workspace.sources.push(file.to_owned());
            }
        }
        ensure!(!workspace.sources.is_empty(), "there is no code in crates/{name}/src nor survey/{name}/src");
        Ok(workspace)
    }

    /// The tests pass as long as nothing is broken.
    ///
    /// # Returns
    /// How long they may take with a mutation.
    fn sound(&self) -> Result<Duration> {
        ensure!(self.builds()?, "{} does not build", self.package);
        let started = Instant::now();
        let sound = self.passes(Duration::MAX)?;
        ensure!(sound, "the tests of {} fail without any mutation; mend that first", self.package);
        Ok(started.elapsed() * SLOWER)
    }

    fn mutations(&self) -> Result<Vec<Mutation>> {
        let mut all = Vec::new();
        for file in &self.sources {
            let of_file = mutations(&fs::read_to_string(self.dir.join(file))?).into_iter();
            all.extend(of_file.map(|(line, old, new)| Mutation { file: file.clone(), line, old, new }));
        }
        Ok(all)
    }

    fn try_out(&self, mutation: &Mutation, limit: Duration) -> Result<Outcome> {
        let path = self.dir.join(&mutation.file);
        let text = fs::read_to_string(&path)?;
        let mut lines: Vec<&str> = text.lines().collect();
        lines[mutation.line] = &mutation.new;
        fs::write(&path, lines.join("\n"))?;
        let outcome = match self.builds()? {
            false => Outcome::DoesNotBuild,
            true if self.passes(limit)? => Outcome::Survived,
            true => Outcome::Caught,
        };
        fs::write(&path, text)?;
        Ok(outcome)
    }

    fn builds(&self) -> Result<bool> {
        Ok(self.cargo().arg("--no-run").status().context("cannot start cargo")?.success())
    }

    /// Tests that do not end within the limit fail.
    fn passes(&self, limit: Duration) -> Result<bool> {
        // A group of its own, so that the tests end with cargo.
        let mut child = self.cargo().process_group(0).spawn().context("cannot start cargo")?;
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Some(status) = child.try_wait()? {
                return Ok(status.success());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        succeeds("kill", &["-KILL", "--", &format!("-{}", child.id())]);
        child.wait()?;
        Ok(false)
    }

    /// `cargo test` there, without a word, and without symbols, which would take most of the time.
    fn cargo(&self) -> Command {
        let mut command = tool::cargo();
        command.current_dir(&self.dir).args(["test", "--quiet", "--package", &self.package]);
        command.args(self.tests);
        if let Some(runs) = self.runs.filter(|_| std::env::var_os(SIM_RUNS).is_none()) {
            command.env(SIM_RUNS, runs);
        }
        command.env("CARGO_TARGET_DIR", self.dir.join("target")).env("CARGO_PROFILE_DEV_DEBUG", "0");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        tool::remove(&self.dir);
    }
}

// === impl Mutation ===

impl std::fmt::Display for Mutation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: `{}` → `{}`", self.file, self.line + 1, self.old.trim(), self.new.trim())
    }
}

/// Every way to break one line before the tests begin: its number from 0, as it is, as it could be.
fn mutations(text: &str) -> Vec<(usize, String, String)> {
    let mut all = Vec::new();
    // Whether a statement begins in this line.
    let mut begins = false;
    for (number, line) in text.lines().enumerate() {
        let code = line.trim();
        if code.starts_with("#[cfg(test)]") {
            break;
        }
        if !["//", "#", "use "].iter().any(|start| code.starts_with(start)) {
            all.extend(broken(line, begins).into_iter().map(|new| (number, line.to_owned(), new)));
        }
        begins = code.is_empty() || code.starts_with("//") || code.ends_with([';', '{', '}']);
    }
    all
}

fn broken(line: &str, begins: bool) -> Vec<String> {
    let mut all = Vec::new();
    for (from, to) in SWAPS.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]) {
        // What stands in quotes is for people.
        let in_code = |at: &usize| line[..*at].matches('"').count().is_multiple_of(2);
        if let Some(at) = line.match_indices(from).map(|(at, _)| at).find(in_code) {
            all.push(format!("{}{to}{}", &line[..at], &line[at + from.len()..]));
        }
    }
    let code = line.trim();
    if begins && code.starts_with("self.") && code.ends_with(';') {
        all.push(String::new());
    }
    if code.starts_with("return Err(") && code.ends_with(");") {
        all.push("return Ok(Default::default());".to_owned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_broken_at_a_time_and_tests_are_left_alone() {
        let text = "fn f(&mut self) -> Result<(), E> {\n    // a == b\n    self.seen += 1;\n    \
                    if self.a != b { say(\"a < b\") }\n    return Err(E);\n}\n#[cfg(test)]\nmod tests { true }";
        let new: Vec<_> = mutations(text).into_iter().map(|(line, _, new)| (line, new)).collect();
        let expected = [
            (2, "    self.seen -= 1;"),
            (2, ""),
            (3, "    if self.a == b { say(\"a < b\") }"),
            (4, "return Ok(Default::default());"),
        ];
        assert_eq!(new, expected.map(|(line, new)| (line, new.to_owned())));
    }
}
