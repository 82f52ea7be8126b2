//! Debian packages that the tests use: installed when we are root, named otherwise.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::tool::succeeds;

/// A package, and a file that is there when it is installed.
const NEEDED: [(&str, &str); 22] = [
    ("docker.io", "/usr/sbin/dockerd"),
    ("podman", "/usr/bin/podman"),
    ("qemu-system-x86", "/usr/bin/qemu-system-x86_64"),
    ("iptables", "/usr/sbin/iptables"),
    ("busybox-static", "/bin/busybox"),
    ("iproute2", "/usr/sbin/ip"),
    ("nginx-light", "/usr/sbin/nginx"),
    ("redis-server", "/usr/bin/redis-server"),
    ("debootstrap", "/usr/sbin/debootstrap"),
    ("shellcheck", "/usr/bin/shellcheck"),
    ("tinyproxy-bin", "/usr/bin/tinyproxy"),
    ("squid", "/usr/sbin/squid"),
    ("docker-registry", "/usr/bin/docker-registry"),
    ("curl", "/usr/bin/curl"),
    ("skopeo", "/usr/bin/skopeo"),
    ("faketime", "/usr/bin/faketime"),
    ("qemu-user-static", "/usr/bin/qemu-aarch64-static"),
    ("gcc-aarch64-linux-gnu", "/usr/bin/aarch64-linux-gnu-gcc"),
    ("libc6-dev-arm64-cross", "/usr/aarch64-linux-gnu/lib/libc.a"),
    ("openssh-client", "/usr/bin/ssh-keygen"),
    ("prometheus", "/usr/bin/prometheus"),
    ("python3", "/usr/bin/python3"),
];

/// Installs what is missing; returns the packages that are still not there.
pub(crate) fn install() -> Vec<&'static str> {
    let missing = missing();
    if missing.is_empty() || !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        return missing;
    }
    eprintln!("installing {}", missing.join(" "));
    if !apt(&missing) {
        succeeds("apt-get", &["update"]);
        if !apt(&missing) {
            // One that cannot be had must not keep the others away.
            for package in &missing {
                apt(&[package]);
            }
        }
    }
    self::missing()
}

fn missing() -> Vec<&'static str> {
    NEEDED.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(package, _)| *package).collect()
}

fn apt(packages: &[&str]) -> bool {
    let mut command = Command::new("apt-get");
    command.args(["install", "-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"]);
    // Nothing may start a daemon of its own: the tests start what they need.
    command.args(packages).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// `id -u` says 0.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout == b"0\n")
}
