//! Secrets and files: they arrive, and lie nowhere in the clear.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::command::{PROGRAM, Ran, command, run};
use crate::harness::{Sea, sea, wait_for};

const VALUE: &str = "hunter2-is-the-value";
/// As it is, and in Base64 at each of its three alignments.
const FORMS: [&str; 4] = [VALUE, "aHVudGVyMi1pcy10aGUtdmFs", "dW50ZXIyLWlzLXRoZS12", "bnRlcjItaXMtdGhlLXZh"];
const OTHER: &str = "hunter3-is-the-other";

/// Says what it was given, by names of files in its working directory: a log would show the value.
const GIVEN: &str = "holm: v1
application: shop
services:
  web:
    runtime: process
    command: [sh, -c, 'test \"$DB_PASSWORD\" = \"$(cat $HOLM_SECRETS/tls)\" && touch same-$(cat $HOLM_FILES/conf); exec sleep 100000']
    secrets: { db: { env: DB_PASSWORD }, tls: { file: true } }
    files: { conf: {} }
";

fn set(sea: &Sea, words: &[&str], value: &str) -> Ran {
    run(sea.call_at("root", &[words, &["-o", "json"]].concat()), value).done()
}

fn given() -> Sea {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    run(sea.call_at("root", &["apply", "-"]), GIVEN).refused(
        1,
        &["services.web.secrets.db", "holm secret set db", "holm secret set tls", "holm file set conf"],
    );
    for name in ["db", "tls"] {
        set(&sea, &["secret", "set", name], &format!("{VALUE}\n"));
    }
    set(&sea, &["file", "set", "conf"], "one");
    sea.deploy(GIVEN);
    sea
}

/// Files below that hold the text.
fn holding(dir: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            found.extend(holding(&entry.path(), text));
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            let there = bytes.windows(text.len()).any(|part| part == text.as_bytes());
            found.extend(there.then(|| entry.path()));
        }
    }
    found
}

/// The value in every form in which it might be kept.
fn nowhere(sea: &Sea) {
    for name in ["root", "vienna", "fl-1"] {
        for text in FORMS {
            assert_eq!(holding(sea.data(name), text), Vec::<PathBuf>::new(), "{name} keeps {text}");
        }
        assert!(!sea.log(name).contains(VALUE), "the log of {name}");
    }
}

/// A variable of the program, from the kernel.
fn variable(sea: &Sea, name: &str) -> Option<String> {
    let environ = fs::read(format!("/proc/{}/environ", sea.program("shop", "web/0").pid)).ok()?;
    let text = String::from_utf8_lossy(&environ).into_owned();
    text.split('\0').find_map(|entry| entry.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

fn incarnation(sea: &Sea) -> u32 {
    sea.running("shop", 1)[0].incarnation
}

#[test]
fn a_secret_reaches_an_instance_two_tiers_deep_and_lies_nowhere_in_the_clear() {
    let sea = given();
    let first = incarnation(&sea);
    assert_eq!(variable(&sea, "DB_PASSWORD").unwrap(), VALUE);
    let work = fs::read_link(format!("/proc/{}/cwd", sea.program("shop", "web/0").pid)).unwrap();
    wait_for("it has seen both, and the file", || work.join("same-one").exists().then_some(()));
    // As a file, in memory, for its user only.
    let dir = PathBuf::from(variable(&sea, "HOLM_SECRETS").unwrap());
    let owner = fs::metadata(format!("/proc/{}", sea.program("shop", "web/0").pid)).unwrap().uid();
    let secret = fs::metadata(dir.join("tls")).unwrap();
    assert_eq!((secret.uid(), secret.permissions().mode() & 0o777), (owner, 0o400));
    assert!(!dir.starts_with(sea.data("fl-1")));
    // A command beside it has the same.
    let seen =
        sea.holm(&["exec", "shop/web", "--", "sh", "-c", "cat $HOLM_SECRETS/tls; echo; echo $DB_PASSWORD"]);
    assert_eq!(seen.done().stdout, format!("{VALUE}\n{VALUE}\n"));
    nowhere(&sea);
    for words in [
        &["secret", "ls", "-o", "json"][..],
        &["get", "applications", "-o", "json"],
        &["describe", "application", "shop"],
        &["events", "--since", "1h", "-o", "json"],
        &["audit", "-o", "json"],
    ] {
        assert!(!sea.holm(words).stdout.contains("hunter"), "{words:?}");
    }
    let listed: Vec<Value> = sea.holm(&["secret", "ls", "-o", "json"]).done().json();
    assert_eq!((&listed[0]["name"], &listed[0]["used_by"][0]), (&"db".into(), &"shop/web".into()));
    sea.holm(&["secret", "rm", "db"]).refused(1, &["used by `shop/web`"]);
    let much = sea.file("much", &"x".repeat(3 << 20)).display().to_string();
    sea.holm(&["secret", "set", "much", "--from-file", &much]).refused(1, &["65536 bytes"]);
    // Another value restarts it; the same one does not.
    set(&sea, &["secret", "set", "db"], VALUE);
    set(&sea, &["secret", "set", "tls"], OTHER);
    wait_for("the new one is there", || {
        let value = fs::read_to_string(PathBuf::from(variable(&sea, "HOLM_SECRETS")?).join("tls")).ok()?;
        (value == OTHER && incarnation(&sea) == first + 1).then_some(())
    });
    sea.holm(&["delete", "application", "shop"]).done();
    wait_for("it went with the instance", || (!dir.exists()).then_some(()));
    nowhere(&sea);
}

#[test]
fn secrets_survive_restarts_everywhere_and_a_change_meanwhile_is_obeyed() {
    let mut sea = given();
    let first = incarnation(&sea);
    for name in ["fl-1", "vienna", "root"] {
        sea.kill(name);
    }
    for name in ["root", "vienna", "fl-1"] {
        sea.start(name);
    }
    sea.all_connected();
    assert_eq!((incarnation(&sea), variable(&sea, "DB_PASSWORD").unwrap().as_str()), (first, VALUE));
    sea.kill("fl-1");
    set(&sea, &["secret", "set", "db"], OTHER);
    sea.start("fl-1");
    wait_for("the new one", || (variable(&sea, "DB_PASSWORD")? == OTHER).then_some(()));
    // Without the key nothing is guessed.
    let key = sea.data("root").join("seal.key");
    sea.stop("root");
    fs::rename(&key, key.with_extension("away")).unwrap();
    let refused = run(restarted(&sea), "");
    assert!(refused.stderr.contains("seal.key is missing"), "{refused:?}");
    fs::rename(key.with_extension("away"), &key).unwrap();
    sea.start("root");
    sea.all_connected();
}

/// The root's program by itself, whose failure is looked at.
fn restarted(sea: &Sea) -> std::process::Command {
    let mut call = command(PROGRAM);
    call.args(["root", "--data-dir"]).arg(sea.data("root"));
    call
}

#[test]
fn a_service_that_takes_a_signal_is_told_and_not_restarted() {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    set(&sea, &["file", "set", "conf"], "one");
    sea.deploy(
        "holm: v1
application: shop
services:
  web:
    runtime: process
    command: [sh, -c, 'trap \"touch heard-\\$(cat $HOLM_FILES/conf)\" HUP; touch ready; while :; do sleep 0.05; done']
    files: { conf: { mode: \"0440\" } }
    on-change: { signal: HUP }
",
    );
    let first = incarnation(&sea);
    let work = fs::read_link(format!("/proc/{}/cwd", sea.program("shop", "web/0").pid)).unwrap();
    wait_for("it listens", || work.join("ready").exists().then_some(()));
    set(&sea, &["file", "set", "conf"], "two");
    wait_for("it heard, and saw the new one", || work.join("heard-two").exists().then_some(()));
    assert_eq!(incarnation(&sea), first);
    assert_eq!(sea.holm(&["file", "show", "conf"]).done().stdout, "two");
}

#[test]
fn a_secret_in_a_manifest_is_warned_of() {
    let sea = sea().node("fl-1").start();
    let manifest = |value: &str| {
        format!(
            "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"60\"]\n    \
             env: {{ DB_PASSWORD: {value} }}\n"
        )
    };
    for value in ["hunter2", "another"] {
        let applied = sea.apply(&manifest(value)).done();
        assert!(applied.stderr.contains("services.web.env.DB_PASSWORD: looks like a secret"), "{applied:?}");
        assert!(!applied.stderr.contains(value) && !applied.stdout.contains(value), "{applied:?}");
    }
    let history = sea.holm(&["history", "shop"]).done().stdout;
    assert!(history.contains("env.DB_PASSWORD") && !history.contains("another"), "{history}");
}
