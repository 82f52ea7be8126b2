//! `install.sh`, and `holm uninstall` where no package is.

use std::fs;

use super::release::{Release, replace};
use super::system::System;

fn with_release(release: &Release) -> System {
    let system = System::new();
    fs::create_dir(system.path("/tmp/release")).unwrap();
    for entry in fs::read_dir(release.dir()).unwrap().flatten() {
        if !entry.file_name().to_string_lossy().contains("images") {
            fs::copy(entry.path(), system.path("/tmp/release").join(entry.file_name())).unwrap();
        }
    }
    system
}

const INSTALL: [&str; 4] = ["sh", "/tmp/release/install.sh", "--from", "/tmp/release"];

#[test]
fn an_archive_is_installed_checked_and_uninstalled_needs_debian() {
    let Some(release) = Release::make() else { return };
    let system = with_release(&release);
    let words = [&INSTALL[..], &["--archive"]].concat();
    system.run(&words);
    assert!(system.run(&["/usr/local/bin/holm", "version"]).contains("holm"));
    let unit = fs::read_to_string(system.path("/etc/systemd/system/holm-root.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/holm root"));
    system.run(&["systemd-analyze", "verify", "/etc/systemd/system/holm-root.service"]);
    // Installing again is an upgrade: settings that were changed stay.
    let settings = system.path("/etc/holm/node.toml");
    replace(&settings, "# name = \"fl-1\"", "name = \"mine\"");
    system.run(&words);
    assert!(fs::read_to_string(settings).unwrap().contains("mine"));

    let before = system.traces();
    let shown = system.run(&["holm", "uninstall", "--dry-run"]);
    assert!(
        shown.contains("removes  /usr/local/bin/holm") && shown.contains("removes  the user holm"),
        "{shown}"
    );
    assert_eq!(system.traces(), before, "a dry run changes nothing");
    system.run(&["holm", "uninstall", "--data-dir", "/srv/other", "--yes"]);
    assert_eq!(system.traces(), before, "another directory is removed alone");
    system.run(&["holm", "uninstall", "--yes"]);
    assert_eq!(system.traces(), [""; 0]);
    assert!(!system.call(&["id", "holm"]).status.success());
}

#[test]
fn the_script_installs_the_package_where_dpkg_is_and_nothing_that_was_changed_needs_debian() {
    let Some(release) = Release::make() else { return };
    let system = with_release(&release);
    let archive = format!("/tmp/release/{}", release.archive());
    fs::write(system.path(&archive), "something else").unwrap();
    let said = system.refused(&[&INSTALL[..], &["--archive"]].concat());
    assert!(said.contains("is not what SHA256SUMS says; nothing was installed"), "{said}");
    let said = system.refused(&[&INSTALL[..], &["--version", "7.0.0"]].concat());
    assert!(said.contains("has no holm_7.0.0_"), "{said}");
    let said = system.refused(&["sh", "/tmp/release/install.sh"]);
    assert!(said.contains("HOLM_INSTALL_FROM"), "{said}");
    assert_eq!(system.traces(), [""; 0]);
    system.run(&INSTALL);
    assert!(system.run(&["dpkg", "--status", "holm"]).contains("install ok installed"));
    let before = system.traces();
    system.run(&["holm", "uninstall", "--yes"]);
    assert_eq!(system.traces(), before, "what a package brought, it takes away itself");
}
