//! `cargo xtask bench`: builds what is measured and runs the parts of the benchmark, one after the other.
//!
//! Each part is bounded in time, prints what it does, and leaves Markdown and JSON under `target/bench`.
//! A part that fails does not stop the others.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::engine::Engine;
use crate::tool::{cargo, root, run as run_tool, target};
use crate::{dist, packages};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these; all but `cold` when none is named.
    parts: Vec<Part>,
    /// Few repetitions: to try the benchmark itself, not what it measures.
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// First-fit of the pure machines alone, per second.
    Decisions,
    /// The strategies of placement side by side: rate, latency, packing.
    Schedule,
    /// What a commit of the store costs.
    Commit,
    /// Apply → RUNNING, beside the engine's own API and `docker run`.
    Deploy,
    /// The same beside Swarm, and fifty containers at once.
    Swarm,
    /// Slots decided, committed and sent per second.
    Fleet,
    /// Idle memory of each role and per member, and bytes on the wire.
    Memory,
    /// Of the binaries.
    Size,
    /// Latency of control messages beside bulk.
    Control,
    /// Workloads that notice the restart of a daemon: none.
    Restart,
    /// Bytes through ways in, two tiers deep, beside plain TLS.
    Tunnel,
    /// The README's first command in a clean clone; takes many minutes.
    Cold,
}

/// What the parts of this run need; made once.
#[derive(Debug)]
struct Bench {
    quick: bool,
    engine: Option<Engine>,
}

const ALL: [Part; 11] = [
    Part::Decisions,
    Part::Schedule,
    Part::Commit,
    Part::Size,
    Part::Memory,
    Part::Control,
    Part::Tunnel,
    Part::Fleet,
    Part::Restart,
    Part::Deploy,
    Part::Swarm,
];

pub(crate) fn run(options: &Options) -> Result<()> {
    let parts = if options.parts.is_empty() { ALL.to_vec() } else { options.parts.clone() };
    build(&parts)?;
    let engine = parts.iter().any(|part| part.uses_engine()).then(engine).flatten();
    let bench = Bench { quick: options.quick, engine };
    let mut failed = Vec::new();
    for part in parts {
        if let Err(error) = bench.measure(part) {
            eprintln!("{}: {error:#}", part.name());
            failed.push(part.name());
        }
    }
    if !failed.is_empty() {
        bail!("not measured, or not as promised: {}", failed.join(", "));
    }
    Ok(())
}

// === impl Part ===

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Decisions => "decisions",
            Self::Schedule => "schedule",
            Self::Commit => "commit",
            Self::Deploy => "deploy",
            Self::Swarm => "swarm",
            Self::Fleet => "fleet",
            Self::Memory => "memory",
            Self::Size => "size",
            Self::Control => "control",
            Self::Restart => "restart",
            Self::Tunnel => "tunnel",
            Self::Cold => "cold",
        }
    }

    /// The crate whose example of the given name this part is; the others are scripts in `bench/`.
    const fn example(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Decisions => Some(("holm-core", "decisions")),
            Self::Schedule => Some(("holm-core", "schedule")),
            Self::Commit => Some(("holm-store", "commit")),
            Self::Control => Some(("holm-link", "bulk")),
            _ => None,
        }
    }

    const fn uses_engine(self) -> bool {
        matches!(self, Self::Deploy | Self::Swarm | Self::Restart)
    }

    const fn uses_fleet(self) -> bool {
        matches!(self, Self::Fleet | Self::Memory)
    }

    const fn uses_plain(self) -> bool {
        matches!(self, Self::Tunnel)
    }

    const fn uses_dist(self) -> bool {
        matches!(self, Self::Memory | Self::Size)
    }

    const fn uses_holm(self) -> bool {
        self.example().is_none() && !matches!(self, Self::Cold)
    }
}

// === impl Bench ===

impl Bench {
    fn measure(&self, part: Part) -> Result<()> {
        match part.example() {
            Some((package, example)) => measure_example(part, package, example),
            None => self.script(part),
        }
    }

    fn script(&self, part: Part) -> Result<()> {
        let mut command = Command::new("python3");
        command.arg(root().join("bench").join(part.name()).with_extension("py")).current_dir(root());
        for (variable, built) in BUILT {
            if std::env::var_os(variable).is_none() {
                command.env(variable, target().join(built));
            }
        }
        command.env("HOLM_BENCH_OUT", out()).env("PYTHONDONTWRITEBYTECODE", "1");
        if self.quick {
            command.env("HOLM_BENCH_QUICK", "1");
        }
        if let Some(engine) = &self.engine {
            command.env("HOLM_TEST_DOCKER", &engine.socket);
        }
        run_tool(&mut command)
    }
}

/// Who sets one of these measures that binary, and nothing is built for it.
const BUILT: [(&str, &str); 5] = [
    ("HOLM_BIN", "release/holm"),
    ("HOLM_DIST", "dist-programs/program-holm"),
    ("HOLM_DIST_AGENT", "dist-programs/program-holm-agent"),
    ("HOLM_FLEET", "release/examples/fleet"),
    ("HOLM_PLAIN", "release/examples/plain"),
];

fn build(parts: &[Part]) -> Result<()> {
    let wanted = |uses: fn(Part) -> bool, variable| {
        parts.iter().any(|part| uses(*part)) && std::env::var_os(variable).is_none()
    };
    if wanted(Part::uses_holm, "HOLM_BIN") {
        run_tool(cargo().args(["build", "--release", "--package", "holm-cli"]))?;
    }
    if wanted(Part::uses_dist, "HOLM_DIST") {
        dist::programs()?;
    }
    if wanted(Part::uses_fleet, "HOLM_FLEET") {
        let example = ["build", "--release", "--package", "holm-orchestrator", "--example", "fleet"];
        run_tool(cargo().args(example))?;
    }
    if wanted(Part::uses_plain, "HOLM_PLAIN") {
        run_tool(cargo().args(["build", "--release", "--package", "holm-link", "--example", "plain"]))?;
    }
    Ok(())
}

/// An example that prints what it measures; its words are kept beside the others' results.
fn measure_example(part: Part, package: &str, example: &str) -> Result<()> {
    let mut command = cargo();
    command.args(["run", "--release", "--quiet", "--package", package, "--example", example]);
    let measured = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&measured.stdout);
    print!("{text}");
    if !measured.status.success() {
        bail!("example `{example}` of {package} ended with {}", measured.status);
    }
    fs::create_dir_all(out())?;
    let kept = out().join(part.name()).with_extension("md");
    fs::write(&kept, text.as_bytes()).with_context(|| format!("cannot write {}", kept.display()))
}

/// A private engine; without one the parts say what they leave out.
fn engine() -> Option<Engine> {
    packages::install();
    Engine::start().inspect_err(|error| eprintln!("without containers: {error:#}")).ok()
}

fn out() -> PathBuf {
    target().join("bench")
}
