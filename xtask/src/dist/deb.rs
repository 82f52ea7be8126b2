//! Debian packages, by `dpkg-deb` from a tree: no tool has to be built for that.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Release;
use super::content::{Kind, Program, packaging, unit};
use super::tree::Tree;
use crate::tool::{output, run};

/// Run by dpkg; `@UNITS@` in them stands for the package's units.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Writes `name` below the release's directory.
pub(super) fn make(release: &Release, program: &Program, name: &str) -> Result<()> {
    let stage = release.work().join(name.trim_end_matches(".deb"));
    let files = program.package()?;
    files.lay_out(&stage)?;
    let sums = output(Command::new("md5sum").args(files.files()).current_dir(&stage))?;
    let mut control = Tree::default();
    control.text("DEBIAN/control", fields(release, program, files.size()?)?);
    control.text("DEBIAN/conffiles", conffiles(program.kind));
    control.text("DEBIAN/md5sums", sums);
    for script in SCRIPTS {
        control.script(&format!("DEBIAN/{script}"), filled(&packaging("debian").join(script), program.kind)?);
    }
    control.lay_out(&stage)?;
    let mut dpkg = Command::new("dpkg-deb");
    let how = if release.quick { "-Zgzip" } else { "-Zxz" };
    let level = if release.quick { "-z1" } else { "-z9" };
    dpkg.args(["--root-owner-group", how, level, "--build"]).arg(&stage).arg(release.out.join(name));
    run(dpkg.env("SOURCE_DATE_EPOCH", release.time.to_string()))
}

fn fields(release: &Release, program: &Program, size: u64) -> Result<String> {
    let (name, other) = (program.kind.name(), program.kind.other().name());
    let (version, arch, glibc) = (&release.version, release.machine.debian, program.oldest_glibc()?);
    let kilobytes = size.div_ceil(1024);
    let (short, long) = match program.kind {
        Kind::Full => (
            "orchestration for the edge",
            "Root and cluster orchestrators, node agent and command line. Which of the\n \
             three services runs is the operator's word: none is enabled by itself.",
        ),
        Kind::Agent => (
            "orchestration for the edge, the agent of a node alone",
            "Runs what a Holm orchestrator places on this machine. The service is not\n \
             enabled by itself. The package holm has the same agent and everything else.",
        ),
    };
    Ok(format!(
        "Package: {name}\nVersion: {version}\nArchitecture: {arch}\n\
         Maintainer: Holm contributors <holm@localhost>\nInstalled-Size: {kilobytes}\n\
         Depends: libc6 (>= {glibc}), libgcc-s1, passwd, systemd | systemd-standalone-sysusers\n\
         Suggests: docker.io | podman\nConflicts: {other}\nReplaces: {other}\n\
         Section: admin\nPriority: optional\nHomepage: {homepage}\nDescription: {short}\n {long}\n",
        homepage = release.homepage,
    ))
}

/// dpkg keeps what an operator has changed.
fn conffiles(kind: Kind) -> String {
    kind.roles().iter().map(|role| format!("/etc/holm/{role}.toml\n")).collect()
}

fn filled(script: &Path, kind: Kind) -> Result<String> {
    let text = fs::read_to_string(script).with_context(|| format!("cannot read {}", script.display()))?;
    let units: Vec<_> = kind.roles().iter().map(|role| unit(role)).collect();
    Ok(text.replace("@UNITS@", &units.join(" ")))
}
