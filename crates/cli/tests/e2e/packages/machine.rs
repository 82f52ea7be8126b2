//! Units and upgrades under a systemd of their own, in a virtual machine whose whole disk is a Debian system with the
//! package. The kernel is the one that `HOLM_TEST_KERNEL` names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::release::{Release, ran};
use super::system::System;
use crate::harness::vm;

/// Minutes, while others compile.
const LIMIT: Duration = Duration::from_secs(900);
const PASSED: &str = "all of it passed";
const STORY: &str = include_str!("machine.sh");

/// Unpacks the disk into memory and hands over to systemd.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mkdir /disk
/bin/busybox mount -t tmpfs -o size=90%,mode=755 disk /disk
/bin/busybox tar -xf /disk.tar -C /disk
/bin/busybox rm /disk.tar
exec /bin/busybox switch_root /disk /sbin/init
";

const UNIT: &str = "[Unit]
Description=What the test wants to see
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/bash /story.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
";

#[test]
fn instances_survive_restarts_and_upgrades_under_systemd_needs_vm_needs_debian() {
    let Some(kernel) = vm::kernel() else { return };
    let Some(release) = Release::make() else { return };
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(&release, dir.path());
    assert!(vm::boot(&kernel, &disk, 2048, LIMIT).contains(PASSED), "the machine says above why");
}

/// The system with what the story needs, as the kernel takes it.
fn disk(release: &Release, dir: &Path) -> PathBuf {
    let system = System::new();
    system.run(&["dpkg", "--install", &system.bring(&release.deb("holm"))]);
    fs::remove_file(system.path("/tmp").join(release.deb("holm").file_name().unwrap())).unwrap();
    fs::copy(release.newer_deb("holm", dir), system.path("/next.deb")).unwrap();
    fs::write(system.path("/story.sh"), STORY.replace("PASSED", PASSED)).unwrap();
    fs::write(system.path("/etc/systemd/system/story.service"), UNIT).unwrap();
    fs::write(system.path("/etc/hostname"), "machine\n").unwrap();
    fs::write(system.path("/etc/hosts"), "127.0.0.1 localhost machine\n").unwrap();
    let target = system.path("/etc/systemd/system/story.target");
    fs::write(target, "[Unit]\nRequires=basic.target story.service\nAfter=basic.target story.service\n")
        .unwrap();
    std::os::unix::fs::symlink("story.target", system.path("/etc/systemd/system/default.target")).unwrap();
    let root = dir.join("root");
    fs::create_dir_all(&root).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "--one-file-system", "--exclude=./proc/*", "-cf"])
        .arg(root.join("disk.tar"));
    ran(tar.arg("-C").arg(system.root()).arg("."));
    vm::pack(&root, INIT)
}
