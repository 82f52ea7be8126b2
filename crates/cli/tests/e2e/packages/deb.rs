//! Packages: installed, upgraded, exchanged, removed, purged.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::archive::{INSTALL, with_release};
use super::release::{Release, ran, replace};
use super::system::System;

const UNITS: [&str; 3] = ["holm-root.service", "holm-cluster.service", "holm-node.service"];
/// Of 10, by `systemd-analyze security`: lower is safer. Orchestrators need the network and their own directory. The
/// unit of a node is not judged: what it is denied, every instance would be denied.
const EXPOSURE: f64 = 2.0;

#[test]
fn a_package_is_installed_upgraded_removed_and_purged_needs_debian() {
    let Some(release) = Release::make() else { return };
    let system = System::new();
    install(&release, &system);
    units_are_sound(&system);

    // An operator's word outlives an upgrade.
    let settings = system.path("/etc/holm/node.toml");
    replace(&settings, "# parent = \"cluster.example:7700\"", "parent = \"here:7700\"");
    system.run(&["systemctl", "enable", "holm-node"]);
    let link = system.path("/etc/systemd/system/multi-user.target.wants/holm-node.service");
    let data = system.path("/var/lib/holm/node");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("kept"), "data").unwrap();
    release.newer_deb("holm", &system.path("/tmp"));
    system.run(&["dpkg", "--install", "--force-confold", "/tmp/holm_2.0.0.deb"]);
    assert!(system.run(&["dpkg", "--status", "holm"]).contains("Version: 2.0.0"));
    assert!(fs::read_to_string(&settings).unwrap().contains("here:7700"), "what was changed stays");
    assert!(fs::read_to_string(system.path("/etc/holm/root.toml")).unwrap().contains("# New: "));
    assert!(link.is_symlink(), "what was enabled stays so");

    system.run(&["dpkg", "--remove", "holm"]);
    assert!(!system.path("/usr/bin/holm").exists());
    assert!(settings.exists() && data.join("kept").exists(), "what people wrote, and data, stay");
    system.run(&["dpkg", "--purge", "holm"]);
    assert_eq!(system.traces(), [""; 0], "of a package that is purged nothing is left");
    assert!(!system.call(&["id", "holm"]).status.success(), "nor its user");
}

fn install(release: &Release, system: &System) {
    system.run(&["dpkg", "--install", &system.bring(&release.deb("holm"))]);
    assert_eq!(system.run(&["dpkg", "--verify", "holm"]), "");
    for (path, mode) in [("/usr/bin/holm", 0o755), ("/etc/holm/root.toml", 0o644)] {
        assert_eq!(fs::metadata(system.path(path)).unwrap().permissions().mode() & 0o7777, mode, "{path}");
    }
    assert!(system.run(&["getent", "passwd", "holm"]).contains("/nologin"));
    for role in ["root", "cluster", "node"] {
        let settings = format!("/etc/holm/{role}.toml");
        assert!(system.run(&["holm", "config", "check", &settings]).contains(&format!("configures {role}")));
    }
    let wanted = system.path("/etc/systemd/system/multi-user.target.wants");
    let enabled = fs::read_dir(wanted).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let enabled: Vec<_> = enabled.filter(|name| name.to_string_lossy().contains("holm")).collect();
    assert!(enabled.is_empty(), "no unit is enabled unasked: {enabled:?}");
}

fn units_are_sound(system: &System) {
    let paths = UNITS.map(|unit| format!("/usr/lib/systemd/system/{unit}"));
    let words: Vec<_> =
        ["systemd-analyze", "verify"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    assert_eq!(system.run(&words), "", "systemd has nothing to say against the units");
    for path in &paths[..2] {
        let said = system.run(&["systemd-analyze", "security", "--offline=true", "--no-pager", path]);
        let level = said.lines().find_map(|line| line.split_once("exposure level for ")?.1.split_once(": "));
        let level: f64 = level.unwrap().1.split(' ').next().unwrap().parse().unwrap();
        assert!(level <= EXPOSURE, "{path} is exposed at {level}\n{said}");
    }
}

#[test]
fn the_agent_alone_takes_over_from_the_whole_and_back_needs_debian() {
    let Some(release) = Release::make() else { return };
    let system = System::new();
    let packages = ["holm", "holm-agent"].map(|package| system.bring(&release.deb(package)));
    system.run(&["dpkg", "--install", &packages[0]]);
    let settings = system.path("/etc/holm/node.toml");
    replace(&settings, "# name = \"fl-1\"", "name = \"mine\"");
    system.run(&["dpkg", "--install", &packages[1]]);
    system.run(&["dpkg", "--purge", "holm"]);
    assert!(system.path("/usr/bin/holm").exists(), "it is the other package's now");
    assert!(fs::read_to_string(&settings).unwrap().contains("mine"));
    assert!(!system.path("/etc/holm/root.toml").exists());
    assert!(!system.call(&["id", "holm"]).status.success(), "the agent alone is root");
    system.run(&["dpkg", "--install", &packages[0]]);
    system.run(&["holm", "config", "check", "/etc/holm/root.toml"]);
    system.run(&["dpkg", "--purge", "holm-agent"]);
    assert!(fs::read_to_string(&settings).unwrap().contains("mine"));
    system.run(&["dpkg", "--purge", "holm"]);
    assert_eq!(system.traces(), [""; 0]);
}

#[test]
fn purging_a_package_leaves_what_an_archive_installed_needs_debian() {
    let Some(release) = Release::make() else { return };
    let system = with_release(&release);
    system.run(&[&INSTALL[..], &["--archive"]].concat());
    let settings = ["root", "cluster", "node"].map(|role| system.path(&format!("/etc/holm/{role}.toml")));
    replace(&settings[2], "# name = \"fl-1\"", "name = \"mine\"");
    system.run(&["systemctl", "enable", "holm-node"]);
    let link = system.path("/etc/systemd/system/multi-user.target.wants/holm-node.service");
    let data = system.path("/var/lib/holm/node");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("kept"), "data").unwrap();
    let before = system.traces();
    let deb = system.bring(&release.deb("holm"));
    for steps in [&["--purge"][..], &["--remove", "--purge"]] {
        system.run(&["dpkg", "--install", "--force-confold", &deb]);
        for step in steps {
            system.run(&["dpkg", step, "holm"]);
        }
        assert_eq!(system.traces(), before, "{steps:?}");
        assert!(settings.iter().all(|file| file.exists()) && data.join("kept").exists(), "{steps:?}");
        assert!(fs::read_to_string(&settings[2]).unwrap().contains("mine"), "{steps:?}");
        assert!(link.is_symlink(), "what was enabled stays so: {steps:?}");
        system.run(&["id", "holm"]);
        system.run(&["/usr/local/bin/holm", "config", "check", "/etc/holm/node.toml"]);
    }
}

#[test]
fn the_scripts_of_packages_pass_shellcheck_needs_debian() {
    let packaging = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging");
    let scripts = ["install.sh", "debian/postinst", "debian/prerm", "debian/postrm"];
    ran(std::process::Command::new("shellcheck").args(scripts).current_dir(packaging));
}
