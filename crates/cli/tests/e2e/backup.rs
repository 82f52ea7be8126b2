//! The drill: a root is backed up while it runs, its disk is lost, it is restored, and goes on.

use std::fs;
use std::time::Duration;

use crate::harness::command::holm;
use crate::harness::things::Cluster;
use crate::harness::{Sea, holds_for, sea, wait_for};
use crate::surface::away;

fn sleeper(name: &str, replicas: u32) -> String {
    format!(
        "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"100000\"]\n    \
         replicas: {replicas}\n    resources: {{ cpu: 1m, memory: 1Mi }}\n    stop: {{ grace: 1s }}\n    \
         restart: {{ policy: always, backoff: 50ms..1s }}\n"
    )
}

fn passphrase(sea: &Sea, name: &str, text: &str) -> String {
    let file = sea.path(name);
    fs::write(&file, format!("{text}\n")).unwrap();
    file.to_str().unwrap().to_owned()
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_root_whose_disk_is_lost_is_restored_and_stops_nothing() {
    let mut sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(&sleeper("kept", 2));
    let token = sea.holm(&["token", "create", "--role", "admin"]).done().stdout.trim().to_owned();
    let first = sea.holm(&["person", "create", "ada", "--sea", "admin"]).done().line().to_owned();
    let logs_in = |sea: &Sea, password: &str| {
        let body = serde_json::json!({ "name": "ada", "password": password }).to_string();
        sea.request("root", "POST", "sessions", &body).expect("an answer").status == 201
    };
    assert!(logs_in(&sea, &first));
    let (file, phrase) = (sea.path("root.backup"), passphrase(&sea, "phrase", "correct horse battery"));
    sea.holm(&["backup", text(&file), "--passphrase-file", &phrase]).done();
    let sealed = fs::read(&file).unwrap();
    assert!(sealed.starts_with(b"holm-backup 1\n"));
    assert!(!String::from_utf8_lossy(&sealed).contains("PRIVATE KEY"));
    let audit = sea.holm(&["audit", "-o", "json"]).done().stdout;
    assert!(audit.contains("\"backup\""), "{audit}");
    sea.holm(&["backup", text(&file), "--passphrase-file", &phrase]).refused(2, &["there already"]);

    // Since the backup: one more application, whose deletion nobody has asked for.
    sea.deploy(&sleeper("later", 1));
    let before = sea.programs();
    sea.kill("root");
    fs::remove_dir_all(sea.data("root")).unwrap();

    let data = text(sea.data("root")).to_owned();
    let restore = |file: &std::path::Path, phrase: &str| {
        holm(&["restore", text(file), "--data-dir", data.as_str(), "--passphrase-file", phrase])
    };
    let wrong = passphrase(&sea, "wrong", "correct horse batters");
    restore(&file, &wrong).refused(1, &["passphrase", "wrong"]);
    let cut = sea.path("cut.backup");
    fs::write(&cut, &sealed[..sealed.len() - 20]).unwrap();
    restore(&cut, &phrase).refused(1, &["cut off"]);
    let foreign = sea.path("foreign");
    fs::write(&foreign, "some text that is longer than a header").unwrap();
    restore(&foreign, &phrase).refused(1, &["no backup"]);
    assert!(!sea.data("root").exists(), "nothing is left of what was refused");
    let said = restore(&file, &phrase).done().stdout;
    assert!(
        said.contains("tokens that are void now: 2")
            && said.contains("holm adopt")
            && said.contains("until you set a new password: 1"),
        "{said}"
    );
    restore(&file, &phrase).refused(1, &["not empty"]);

    sea.start("root");
    wait_for("the cluster is frozen", || {
        let clusters: Vec<Cluster> = sea.list("root", "clusters")?;
        clusters.iter().any(|cluster| cluster.frozen).then_some(())
    });
    holds_for(Duration::from_secs(3), "nothing is stopped or started", || sea.programs() == before);
    away(sea.address("root"), &token, &["get", "apps"]).refused(1, &["void"]);
    assert!(!logs_in(&sea, &first), "her password may have been changed, and she deleted, since");
    assert!(sea.holm(&["person", "ls"]).done().stdout.contains("held since the restore"));
    let new = sea.holm(&["person", "password", "ada"]).done().line().to_owned();
    wait_for("she logs in with it", || logs_in(&sea, &new).then_some(()));
    sea.holm(&["adopt", "vienna"]).done();
    sea.running("kept", 2);
    assert_eq!(sea.programs(), before, "adopting replaced nothing");
    sea.holm(&["scale", "kept/web", "3"]).done();
    sea.running("kept", 3);
    sea.holm(&["audit", "verify"]).done();
}

#[test]
fn a_backup_is_asked_for_by_administrators_and_always_encrypted() {
    let sea = sea().start();
    let path = "backup";
    for body in [
        "{}",
        "{\"passphrase\":\"short\"}",
        "{\"key\":\"00\"}",
        "{\"passphrase\":\"long enough\",\"key\":\"00\"}",
    ] {
        let answer = sea.request("root", "POST", path, body).unwrap();
        assert_eq!(answer.status, 422, "{body}: {}", answer.body);
    }
    let operator = sea.holm(&["token", "create", "--role", "operator"]).done().stdout.trim().to_owned();
    let (file, phrase) = (sea.path("b"), passphrase(&sea, "phrase", "correct horse battery"));
    let words = ["backup", text(&file), "--passphrase-file", phrase.as_str()];
    away(sea.address("root"), &operator, &words).refused(1, &["admin"]);
    assert!(!file.exists() && !file.with_extension("unfinished").exists());
    let key = passphrase(&sea, "key", &"0a".repeat(32));
    sea.holm(&["backup", text(&file), "--key-file", &key]).done();
    assert!(fs::metadata(&file).unwrap().len() > 10_000);
}

#[test]
fn a_store_of_one_sea_does_not_start_with_the_ca_of_another() {
    let (mut ours, theirs) = (sea().start(), sea().start());
    ours.stop("root");
    let put = |from: &std::path::Path, to: &std::path::Path| {
        for file in ["ca.key", "ca.pem"] {
            fs::copy(from.join(file), to.join(file)).unwrap();
        }
    };
    let (kept, dir) = (ours.path("kept"), ours.data("root").to_owned());
    fs::create_dir(&kept).unwrap();
    put(&dir, &kept);
    put(theirs.data("root"), &dir);
    let words = ["root", "--data-dir", text(&dir), "--listen", "127.0.0.1:0"];
    holm(&words).refused(1, &["is of the sea with the fingerprint", "put back the CA"]);
    put(&kept, &dir);
    ours.start("root");
}
