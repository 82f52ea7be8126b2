//! Users of projects: what processes of two projects on one node can see of each other.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde_json::json;

use crate::harness::command::{Ran, run};
use crate::harness::{Sea, sea, wait_for};

const SHOP: &str = "holm: v1
application: APP
services:
  web:
    runtime: process
    identity: true
    command: [sh, -c, 'echo private > note; echo said; exec sleep 100000']
    secrets: { db: { env: DB_PASSWORD }, tls: { file: true } }
    files: { conf: {} }
    env: { PLAIN: plain-value }
";

const ROOT_USER: &str = "holm: v1
application: high
services:
  web: { runtime: process, user: root, command: [sleep, \"100000\"] }
";

fn root() -> bool {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !root {
        println!("skipped: needs root");
    }
    root
}

/// An application of its own in a project of its own, and the user of its program.
fn deployed(sea: &Sea, project: &str) -> u32 {
    sea.holm(&["project", "create", project]).done();
    for (kind, name) in [("secret", "db"), ("secret", "tls"), ("file", "conf")] {
        run(sea.call_at("root", &[kind, "set", name, "-p", project]), &format!("secret-of-{project}")).done();
    }
    let manifest = SHOP.replace("APP", &format!("{project}-shop"));
    run(sea.call_at("root", &["apply", "-p", project, "--wait=60s", "--stable=0s", "-"]), &manifest).done();
    fs::metadata(format!("/proc/{}", program(sea, project))).unwrap().uid()
}

fn program(sea: &Sea, project: &str) -> i32 {
    sea.program(&format!("{project}-shop"), "web/0").pid
}

/// A script beside the instance of `project`.
fn inside(sea: &Sea, project: &str, script: &str) -> Ran {
    let slot = format!("{project}-shop/web/0");
    sea.holm(&["exec", "-p", project, &slot, "--", "sh", "-c", script])
}

#[test]
fn processes_of_two_projects_on_one_node_see_nothing_of_each_other_needs_root() {
    if !root() {
        return;
    }
    let mut sea = sea().node("fl-1").start();
    let (blue, red) = (deployed(&sea, "blue"), deployed(&sea, "red"));
    assert!(blue != red && blue > 65535 && red > 65535, "{blue} and {red}");

    let pid = program(&sea, "red");
    let environ = String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/environ")).unwrap()).into_owned();
    let variable = |name: &str| {
        let found = environ.split('\0').find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("{name}")).to_owned()
    };
    let work = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
    let instance = work.parent().unwrap();
    wait_for("the note is there", || work.join("note").exists().then_some(()));
    let log = instance.join("log.00000000");
    assert!(log.exists() && instance.join("plan.json").exists());
    let (secrets, files, socket) =
        (variable("HOLM_SECRETS"), variable("HOLM_FILES"), variable("HOLM_IDENTITY_SOCKET"));
    let own = [
        format!("cat /proc/{pid}/environ"),
        format!("cat {secrets}/tls"),
        format!("cat {files}/conf"),
        format!("cat {}/note", work.display()),
        format!("ls {}", work.display()),
        format!("echo x > {}/planted", work.display()),
        format!("test -S {socket} -a -w {socket}"),
        format!("kill -0 {pid}"),
    ];
    // The agent's own: even their user cannot read them.
    let agents = [format!("cat {}", log.display()), format!("cat {}/plan.json", instance.display())];
    for script in &own {
        assert_eq!(inside(&sea, "red", script).code, 0, "{script}");
        assert_ne!(inside(&sea, "blue", script).code, 0, "{script}");
    }
    for script in &agents {
        assert_ne!(inside(&sea, "red", script).code, 0, "{script}");
        assert_ne!(inside(&sea, "blue", script).code, 0, "{script}");
    }
    assert_eq!(inside(&sea, "blue", "cat $HOLM_SECRETS/tls").done().stdout, "secret-of-blue");

    // The same ones after the agent has begun anew, and for what comes later.
    sea.kill("fl-1");
    sea.start("fl-1");
    sea.all_connected();
    sea.holm(&["restart", "-p", "red", "red-shop"]).done();
    sea.until("red-shop", "another incarnation", |all| {
        all.len() == 1 && all[0].runs() && all[0].incarnation == 2
    });
    let again = fs::metadata(format!("/proc/{}", program(&sea, "red"))).unwrap().uid();
    assert_eq!(again, red);
    assert_eq!(
        inside(&sea, "red", "id -u; id -g; id -G; cat note").done().stdout,
        format!("{red}\n{red}\n{red}\nprivate\n")
    );
}

const NOTE: &str = "holm: v1
application: notes
services:
  web: { runtime: process, command: [sh, -c, 'echo one > note; cat note; exec sleep 100000'] }
";

/// As on a fresh machine: below `/var/lib/holm`, which the root is the first to make.
#[test]
fn a_root_does_not_close_the_way_to_what_is_a_nodes_beside_it_needs_root() {
    if !root() {
        return;
    }
    let machine = tempfile::tempdir().unwrap();
    fs::set_permissions(machine.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let all = machine.path().join("lib/holm");
    let mut sea = sea()
        .cluster("vienna", &["fl-1"])
        .data_dir("root", &all.join("root"))
        .data_dir("vienna", &all.join("cluster"))
        .data_dir("fl-1", &all.join("node"))
        .start();
    run(sea.call_at("root", &["apply", "--wait=60s", "--stable=0s", "-"]), NOTE).done();
    assert!(sea.holm(&["logs", "notes"]).done().stdout.contains("one"));
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!((mode(&all), mode(&all.join("root")), mode(&all.join("cluster"))), (0o711, 0o700, 0o700));

    // Closed by somebody later: said, with what to do, and nothing new is placed there.
    sea.holm(&["delete", "app", "notes", "--wait=60s"]).done();
    fs::set_permissions(&all, fs::Permissions::from_mode(0o700)).unwrap();
    sea.kill("fl-1");
    sea.start("fl-1");
    sea.all_connected();
    run(sea.call_at("root", &["apply", "-"]), NOTE).done();
    wait_for("the reason", || {
        let said = sea.holm(&["describe", "service", "notes/web"]).done().stdout;
        said.contains(&format!("chmod o+x {}", all.display())).then_some(())
    });
    fs::set_permissions(&all, fs::Permissions::from_mode(0o711)).unwrap();
}

#[test]
fn a_user_of_the_machine_needs_its_owners_consent_needs_root() {
    if !root() {
        return;
    }
    let sea = sea().node("fl-1").start();
    let dir = sea.data("fl-1").display().to_string();
    let consent = |words: &[&str]| sea.holm(&[&["node", "consent"], words, &["--data-dir", &dir]].concat());
    run(sea.call_at("root", &["apply", "-"]), ROOT_USER).done();
    let all = sea.until("high", "a refusal", |all| all.iter().any(|i| i.state == "FAILED"));
    let reason = &all.iter().find(|i| i.state == "FAILED").unwrap().reason;
    assert!(reason.contains(&format!("`holm node consent users root --data-dir {dir}`")), "{reason}");
    let shown = consent(&["users", "root,daemon"]).done().stdout;
    assert!(shown.contains("or as daemon, root"), "{shown}");
    sea.holm(&["restart", "high"]).done();
    sea.running("high", 1);
    let user = fs::metadata(format!("/proc/{}", sea.program("high", "web/0").pid)).unwrap().uid();
    assert_eq!(user, 0);
    // What runs goes on; its next start is refused.
    consent(&["users", "root", "--withdraw"]).done();
    let shown: serde_json::Value = consent(&["show", "-o", "json"]).done().json();
    assert_eq!(shown, json!({ "shell": false, "until": null, "users": ["daemon"], "paths": [] }));
    sea.running("high", 1);
    sea.holm(&["restart", "high"]).done();
    sea.until("high", "a refusal", |all| all.iter().any(|i| i.state == "FAILED"));
}
