//! `install.sh`, and `holm uninstall` where no package is.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::release::{Release, ran, replace};
use super::system::System;

/// A system where `/tmp/release` is a release.
pub(super) fn with_release(release: &Release) -> System {
    let system = System::new();
    fs::create_dir(system.path("/tmp/release")).unwrap();
    for entry in fs::read_dir(release.dir()).unwrap().flatten() {
        if !entry.file_name().to_string_lossy().contains("images") {
            fs::copy(entry.path(), system.path("/tmp/release").join(entry.file_name())).unwrap();
        }
    }
    system
}

pub(super) const INSTALL: [&str; 4] = ["sh", "/tmp/release/install.sh", "--from", "/tmp/release"];

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
fn an_orchestrator_anywhere_keeps_the_program_needs_debian() {
    let Some(release) = Release::make() else { return };
    let system = with_release(&release);
    system.run(&[&INSTALL[..], &["--archive"]].concat());
    let sea = system.path("/srv/sea");
    fs::create_dir_all(&sea).unwrap();
    fs::write(sea.join("ca.key"), "secret").unwrap();
    let before = system.traces();
    let keeps =
        || system.run(&["holm", "uninstall", "--dry-run"]).contains("keeps    /srv/sea, and the program");
    assert!(!keeps(), "nobody says that it is an orchestrator's");
    let drop_in = system.path("/etc/systemd/system/holm-cluster.service.d");
    fs::create_dir(&drop_in).unwrap();
    fs::write(drop_in.join("here.conf"), "[Service]\nEnvironment=HOLM_DATA_DIR=/srv/sea\n").unwrap();
    assert!(keeps());
    fs::remove_dir_all(drop_in).unwrap();
    replace(&system.path("/etc/holm/root.toml"), "/var/lib/holm/root", "/srv/sea");
    assert!(keeps());
    system.run(&["holm", "uninstall", "--yes"]);
    assert_eq!(system.traces(), before);
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

#[test]
fn plain_http_is_taken_from_this_machine_only_needs_debian() {
    let Some(release) = Release::make() else { return };
    let system = System::new();
    let script = system.bring(&release.dir().join("install.sh"));
    let others =
        ["http://example.org", "http://127.0.0.1.example.org", "http://localhost:80@example.org", "ftp://h"];
    for from in others {
        let said = system.refused(&["sh", &script, "--from", from]);
        assert!(said.contains(from) && said.contains("https://"), "{said}");
    }
    assert_eq!(system.traces(), [""; 0]);
    if !system.path("/usr/bin/curl").exists() {
        fs::copy("/bin/busybox", system.path("/usr/bin/wget")).unwrap();
        let said = system.refused(&["sh", &script, "--from", "https://127.0.0.1:1"]);
        assert!(said.contains("does not check whom it speaks to"), "{said}");
    }
    system.run(&["sh", &script, "--from", &serve(release.dir()), "--archive"]);
    assert!(system.run(&["holm", "version"]).contains("holm"));
}

/// The address of a server of these files, which ends with the test.
fn serve(dir: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, dir) = (listener.local_addr().unwrap(), dir.to_owned());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever asked says what is missing.
            let _ = answer(stream, &dir);
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream, dir: &Path) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let asked = lines.next().transpose()?.unwrap_or_default();
    // A client that is answered before it has said all may not listen.
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let name = asked.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    match fs::read(dir.join(name)) {
        Ok(bytes) => {
            write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
            stream.write_all(&bytes)
        }
        Err(_) => write!(stream, "HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    }
}

#[test]
fn a_release_is_taken_from_the_owner_of_the_key_alone_needs_debian() {
    let Some(release) = Release::make() else { return };
    let system = with_release(&release);
    system.bring_program("/usr/bin/ssh-keygen");
    let keys = ["ours", "theirs"].map(|name| system.path("/tmp").join(name));
    for key in &keys {
        ran(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key));
    }
    let words = [&INSTALL[..], &["--archive", "--key", "/tmp/ours.pub"]].concat();
    let said = system.refused(&words);
    assert!(said.contains("cannot get SHA256SUMS.sig"), "{said}");
    let sums = system.path("/tmp/release/SHA256SUMS");
    let signed_by = |key: &PathBuf, namespace: &str| {
        let _ = fs::remove_file(system.path("/tmp/release/SHA256SUMS.sig"));
        ran(Command::new("ssh-keygen").args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(key).arg(&sums));
    };
    for (key, namespace) in [(&keys[1], "holm-release"), (&keys[0], "mail")] {
        signed_by(key, namespace);
        let said = system.refused(&words);
        assert!(said.contains("was not signed with /tmp/ours.pub; nothing was installed"), "{said}");
    }
    signed_by(&keys[0], "holm-release");
    let honest = fs::read_to_string(&sums).unwrap();
    fs::write(&sums, format!("{honest}\n")).unwrap();
    assert!(system.refused(&words).contains("was not signed with"));
    assert_eq!(system.traces(), [""; 0]);
    fs::write(&sums, honest).unwrap();
    system.run(&words);
    assert!(system.run(&["holm", "version"]).contains("holm"));
}
