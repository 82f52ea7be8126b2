//! `cargo xtask dist`: what people install. Archives, Debian packages, container images, an install script, and the
//! sums of all of them; the same bytes from the same programs and commit.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`content`] | which files a release has, and where each form puts them |
//! | [`tree`] | files with modes, packed always the same |
//! | [`deb`] | Debian packages |
//! | [`image`] | container images |
//! | [`order`] | where functions lie in the program |
//! | [`sums`] | digests, and whose they are |

mod content;
mod deb;
mod image;
mod order;
mod sums;
mod tree;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::tool::{self, cargo, output, root};
use content::{Kind, Program, packaging};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How to build: `dist`, `release` or `dev`
    #[arg(long, default_value = "dist")]
    profile: String,
    /// Take this program instead of building one; no agent alone is made then, unless that is given, too
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Take this program as the agent alone (`--no-default-features`)
    #[arg(long, requires = "binary")]
    agent: Option<PathBuf>,
    /// Where the files go
    #[arg(long, default_value = "target/dist-out")]
    out: PathBuf,
    /// For tests: compress in a hurry, and take any program for the agent
    #[arg(long)]
    quick: bool,
    /// Sign the sums with this private key of `ssh-keygen`
    #[arg(long, value_name = "FILE")]
    sign_key: Option<PathBuf>,
    /// Another version than the workspace's
    #[arg(long)]
    version: Option<String>,
    /// Make nothing, but find out anew which functions daemons at rest use, and write packaging/order.txt (takes valgrind)
    #[arg(long)]
    learn_order: bool,
}

/// What all files of a release share.
#[derive(Debug)]
struct Release {
    out: PathBuf,
    version: String,
    homepage: String,
    machine: Machine,
    /// On everything, in seconds since 1970.
    time: u64,
    /// Size matters less than time.
    quick: bool,
}

/// What a machine is called, by everybody and by Debian.
#[derive(Clone, Copy, Debug)]
struct Machine {
    name: &'static str,
    debian: &'static str,
}

/// Beside the packages.
const SCRIPT: &str = "install.sh";

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.learn_order {
        return order::learn(&packaging(order::FILE));
    }
    let release = Release::new(options)?;
    fs::create_dir_all(release.work())?;
    let made = release.make(options);
    tool::remove(&release.work());
    for name in made? {
        println!("{}", release.out.join(name).display());
    }
    Ok(())
}

// === impl Release ===

impl Release {
    fn new(options: &Options) -> Result<Self> {
        let manifest: toml::Table = toml::from_str(&fs::read_to_string(root().join("Cargo.toml"))?)?;
        let package = &manifest["workspace"]["package"];
        let word = |key: &str| package[key].as_str().map(str::to_owned).context("a text in Cargo.toml");
        let version = options.version.clone().map_or_else(|| word("version"), Ok)?;
        Ok(Self {
            out: std::path::absolute(&options.out)?,
            version,
            homepage: word("repository")?,
            machine: Machine::own()?,
            time: time()?,
            quick: options.quick,
        })
    }

    /// For what is needed meanwhile.
    fn work(&self) -> PathBuf {
        self.out.join(".work")
    }

    /// The names of all files of the release.
    fn make(&self, options: &Options) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for program in self.programs(options)? {
            let (kind, version, machine) = (program.kind.name(), &self.version, self.machine);
            let top = format!("{kind}-{version}-{}-linux", machine.name);
            let archive = format!("{top}.tar.gz");
            self.gzip(&program.archive(&top)?.tar(Vec::new(), self.time)?, &archive)?;
            names.push(archive);
            let package = format!("{kind}_{version}_{}.deb", machine.debian);
            deb::make(self, &program, &package)?;
            names.push(package);
            if program.kind == Kind::Full {
                let images = format!("{kind}-{version}-{}-images.tar", machine.name);
                image::make(self, &program, &images)?;
                names.push(images);
            }
        }
        fs::copy(packaging(SCRIPT), self.out.join(SCRIPT))?;
        names.push(SCRIPT.to_owned());
        fs::write(self.out.join(sums::FILE), sums::list(&self.out, &names)?)?;
        names.push(sums::FILE.to_owned());
        names.extend(sums::sign(&self.out, options.sign_key.as_deref())?);
        Ok(names)
    }

    /// Compressed without a name and time of its own.
    fn gzip(&self, bytes: &[u8], name: &str) -> Result<()> {
        let to = self.out.join(name);
        let file = File::create(&to).with_context(|| format!("cannot write {}", to.display()))?;
        let mut command = Command::new("gzip");
        command.args(["-n", if self.quick { "-1" } else { "-9" }]).stdin(Stdio::piped()).stdout(file);
        let mut gzip = command.spawn().context("cannot start gzip")?;
        gzip.stdin.take().context("a pipe")?.write_all(bytes)?;
        ensure!(gzip.wait()?.success(), "gzip did not write {}", to.display());
        Ok(())
    }

    fn programs(&self, options: &Options) -> Result<Vec<Program>> {
        let given = |kind, file: &PathBuf| Program { kind, file: file.clone() };
        if let Some(full) = &options.binary {
            options.agent.iter().filter(|_| !options.quick).try_for_each(|agent| agent_alone(agent))?;
            let agent = options.agent.iter().map(|file| given(Kind::Agent, file));
            return Ok([given(Kind::Full, full)].into_iter().chain(agent).collect());
        }
        let full = self.build(Kind::Full, &options.profile)?;
        Ok(vec![full, self.build(Kind::Agent, &options.profile)?])
    }

    fn build(&self, kind: Kind, profile: &str) -> Result<Program> {
        build(kind, profile, &self.work())
    }
}

/// Both are called `holm`: each is put aside, into `work`, before the next one is built.
fn build(kind: Kind, profile: &str, work: &Path) -> Result<Program> {
    let mut command = cargo();
    command.args(["build", "--package", "holm-cli", "--bin", "holm", "--profile", profile]);
    if kind == Kind::Agent {
        command.arg("--no-default-features");
    }
    match profile {
        // In a hurry, nobody looks at memory.
        "dev" | "release" => tool::run(&mut command)?,
        _ => order::build(&mut command, work, &packaging(order::FILE))?,
    }
    let dir = if profile == "dev" { "debug" } else { profile };
    let built = tool::target().join(dir).join("holm");
    let file = work.join(format!("program-{}", kind.name()));
    fs::copy(&built, &file).with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(Program { kind, file })
}

/// The programs as people get them, for benchmarks: the full one and the agent alone.
pub(crate) fn programs() -> Result<[PathBuf; 2]> {
    let work = tool::target().join("dist-programs");
    fs::create_dir_all(&work)?;
    let made = |kind| build(kind, "dist", &work).map(|program| program.file);
    Ok([made(Kind::Full)?, made(Kind::Agent)?])
}

// === impl Machine ===

impl Machine {
    fn own() -> Result<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self { name: "x86_64", debian: "amd64" }),
            "aarch64" => Ok(Self { name: "aarch64", debian: "arm64" }),
            other => bail!("nobody has said what Debian calls {other}; see {}", file!()),
        }
    }
}

/// Refuses a program that has the commands for people: machines would get six times what they need.
fn agent_alone(program: &Path) -> Result<()> {
    let help = output(Command::new(program).arg("--help"))?;
    let full = help.lines().any(|line| line.split_whitespace().next() == Some("apply"));
    ensure!(
        !full,
        "{} is the full program, not the agent alone; build that with `--no-default-features`",
        program.display()
    );
    Ok(())
}

/// As others told us, or that of the commit.
fn time() -> Result<u64> {
    let said = std::env::var("SOURCE_DATE_EPOCH").ok();
    let said = said.map_or_else(
        || output(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root())),
        Ok,
    )?;
    said.trim().parse().context("SOURCE_DATE_EPOCH and git count seconds since 1970")
}

/// As in `1970-01-01T00:00:00Z`.
fn rfc3339(time: u64) -> Result<String> {
    let date = output(Command::new("date").args(["--utc", "+%FT%TZ", "--date"]).arg(format!("@{time}")))?;
    Ok(date.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_program_is_no_agent() {
        let work = root().join("target/tmp").join(format!("dist-agent-{}", std::process::id()));
        fs::create_dir_all(&work).unwrap();
        let program = |name: &str, help: &str| {
            let file = work.join(name);
            // By another process: one that has just closed a program may find it busy.
            let text = format!("#!/bin/sh\necho '{help}'\n");
            tool::run(
                Command::new("/bin/sh")
                    .args(["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "-", &text])
                    .arg(&file),
            )
            .unwrap();
            file
        };
        agent_alone(&program("agent", "Commands:\n  node  Run the agent")).unwrap();
        let refused = agent_alone(&program("full", "Commands:\n  apply  Apply manifests")).unwrap_err();
        assert!(refused.to_string().contains("is the full program"), "{refused}");
        tool::remove(&work);
    }

    #[test]
    fn times_are_read_by_everybody() {
        assert_eq!(rfc3339(951_782_400).unwrap(), "2000-02-29T00:00:00Z");
    }

    /// A release of a program that is everywhere: it says nothing when it is asked for completions.
    fn release(out: &Path) -> String {
        let program = PathBuf::from("/bin/true");
        let options = Options {
            profile: "dist".to_owned(),
            binary: Some(program.clone()),
            agent: Some(program),
            out: out.to_owned(),
            quick: true,
            sign_key: None,
            version: Some("1.2.3".to_owned()),
            learn_order: false,
        };
        run(&options).unwrap();
        fs::read_to_string(out.join(sums::FILE)).unwrap()
    }

    #[test]
    fn a_release_is_whole_and_the_same_each_time() {
        let work = root().join("target/tmp").join(format!("dist-{}", std::process::id()));
        let (one, other) = (work.join("one"), work.join("other"));
        let sums = release(&one);
        assert_eq!(sums, release(&other));
        assert_eq!(sums.lines().count(), 6, "{sums}");
        tool::run(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&one))
            .unwrap();
        assert!(!one.join(".work").exists());
        tool::remove(&work);
    }
}
