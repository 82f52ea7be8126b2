//! `cargo xtask test`: everything that the tests need, then all of them.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::emulator::Emulator;
use crate::engine::Engine;
use crate::packages;
use crate::podman::Podman;
use crate::tool::{self, cargo, succeeds};
use crate::{debian, drill, schemathesis, vm};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Ten times as many simulated worlds.
    #[arg(long)]
    long: bool,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// Names of tests contain these when they need more than a toolchain.
const NEEDS_CURL: &str = "needs_curl";
const NEEDS_DEBIAN: &str = "needs_debian";
const NEEDS_CLOCK: &str = "needs_clock";
const NEEDS_EMULATOR: &str = "needs_emulator";
const NEEDS_ENGINE: &str = "needs_engine";
const NEEDS_NGINX: &str = "needs_nginx";
const NEEDS_PODMAN: &str = "needs_podman";
const NEEDS_PROMETHEUS: &str = "needs_prometheus";
const NEEDS_PROXY: &str = "needs_proxy";
const NEEDS_PYTHON: &str = "needs_python";
const NEEDS_REGISTRY: &str = "needs_registry";
const NEEDS_ROOT: &str = "needs_root";
const NEEDS_SCHEMATHESIS: &str = "needs_schemathesis";
const NEEDS_SKOPEO: &str = "needs_skopeo";
const NEEDS_VM: &str = "needs_vm";

pub(crate) fn run(options: &Options) -> Result<()> {
    let missing = packages::install();
    if !missing.is_empty() {
        eprintln!("not installed (and not root, or no apt-get): {}", missing.join(", "));
    }
    let mut without = Vec::new();
    let root = || {
        ensure!(packages::is_root(), "it needs root");
        Ok(())
    };
    let engine = attempt(NEEDS_ENGINE, &mut without, || root().and_then(|()| Engine::start()));
    let podman = attempt(NEEDS_PODMAN, &mut without, || root().and_then(|()| Podman::start()));
    let kernel = attempt(NEEDS_VM, &mut without, vm::kernel);
    let debian = attempt(NEEDS_DEBIAN, &mut without, debian::archive);
    let installed = |packages: &[&str]| {
        let absent: Vec<_> = packages.iter().copied().filter(|p| missing.contains(p)).collect();
        ensure!(absent.is_empty(), "not installed: {}", absent.join(", "));
        Ok(())
    };
    attempt(NEEDS_NGINX, &mut without, || installed(&["nginx-light", "redis-server"]));
    attempt(NEEDS_PROXY, &mut without, || installed(&["tinyproxy-bin", "squid"]));
    attempt(NEEDS_PROMETHEUS, &mut without, || installed(&["prometheus"]));
    attempt(NEEDS_PYTHON, &mut without, || installed(&["python3"]));
    attempt(NEEDS_CLOCK, &mut without, || installed(&["faketime"]));
    attempt(NEEDS_REGISTRY, &mut without, || installed(&["docker-registry"]));
    attempt(NEEDS_CURL, &mut without, || installed(&["curl"]));
    attempt(NEEDS_SKOPEO, &mut without, || installed(&["skopeo"]));
    let cross = ["qemu-user-static", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];
    let emulator = || root().and_then(|()| installed(&cross)).and_then(|()| Emulator::start());
    let _emulator = attempt(NEEDS_EMULATOR, &mut without, emulator);
    attempt(NEEDS_ROOT, &mut without, root);
    let schemathesis = attempt(NEEDS_SCHEMATHESIS, &mut without, schemathesis::program);
    // Doc examples first: the run ends with the summary of the real test runner.
    run_doc_tests()?;
    if options.filter.is_none() && !without.contains(&NEEDS_PROXY) {
        drill::operator()?;
    }
    let mut command = test_command(options, &without);
    // Tests drill with the program that they test, and install what we make of it.
    command.env("HOLM_TEST_XTASK", std::env::current_exe()?);
    if let Some(engine) = &engine {
        command.env("HOLM_TEST_DOCKER", &engine.socket);
    }
    if let Some(podman) = &podman {
        command.env("HOLM_TEST_PODMAN", &podman.socket);
    }
    if let Some(kernel) = &kernel {
        command.env("HOLM_TEST_KERNEL", kernel);
    }
    if let Some(debian) = &debian {
        command.env("HOLM_TEST_DEBIAN", debian);
    }
    if let Some(schemathesis) = &schemathesis {
        command.env("HOLM_TEST_SCHEMATHESIS", schemathesis);
    }
    // Real meters' bytes, if they lie beside the checkout.
    if let Some(captures) =
        tool::root().parent().map(|beside| beside.join("shared/meter-captures")).filter(|dir| dir.is_dir())
    {
        command.env("HOLM_METER_CAPTURES", captures);
    }
    if options.long {
        // Of each of four.
        command.env("HOLM_SIM_RUNS", "2500");
    }
    tool::run_to_the_last_word(&mut command)
}

/// What cannot be had is said, and the tests that need it are left out.
fn attempt<T>(
    need: &'static str,
    without: &mut Vec<&'static str>,
    make: impl FnOnce() -> Result<T>,
) -> Option<T> {
    let made = make();
    if let Err(error) = &made {
        eprintln!("without what {need}: {error:#}");
        without.push(need);
    }
    made.ok()
}

fn run_doc_tests() -> Result<()> {
    tool::run(cargo().args(["test", "--workspace", "--doc", "--quiet"]))
}

/// nextest where there is one (it counts what is skipped), cargo's own runner otherwise.
fn test_command(options: &Options, without: &[&str]) -> Command {
    let mut command = cargo();
    if succeeds("cargo", &["nextest", "--version"]) {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "slow"]);
        if !without.is_empty() {
            eprintln!("left out, counted as skipped: tests named *{}*", without.join("*, *"));
            let filter: Vec<_> = without.iter().map(|name| format!("not test({name})")).collect();
            command.args(["-E", &filter.join(" and ")]);
        }
        command.args(&options.filter);
    } else {
        command.args(["test", "--workspace", "--no-fail-fast"]);
        command.args(&options.filter).arg("--");
        without.iter().for_each(|name| {
            command.args(["--skip", name]);
        });
    }
    command
}
