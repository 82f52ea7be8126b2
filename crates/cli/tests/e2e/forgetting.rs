//! A root that forgets: its store is replaced by an empty or older one, by plain `cp`. Nothing is
//! stopped, nothing deleted revives, and people bring it together again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::harness::command::{command, run};
use crate::harness::proc::Program;
use crate::harness::things::{Application, Cluster};
use crate::harness::{Sea, holds_for, sea, wait_for};

fn sleeper(name: &str, replicas: u32) -> String {
    format!(
        "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"100000\"]\n    \
         replicas: {replicas}\n    resources: {{ cpu: 1m, memory: 1Mi }}\n    stop: {{ grace: 1s }}\n    \
         restart: {{ policy: always, backoff: 50ms..1s }}\n"
    )
}

/// As people do: `cp -a`, with the root stopped.
fn copy(from: &Path, to: &Path) {
    let mut call = command("cp");
    call.arg("-a").arg(from).arg(to);
    run(call, "").done();
}

/// The database and what belongs to it; certificates and keys stay.
fn store_files(data: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".db"));
    let files: Vec<_> = entries.filter(|path| named(path)).collect();
    assert!(!files.is_empty(), "a store below {}", data.display());
    files
}

fn save(sea: &Sea, to: &Path) {
    fs::create_dir(to).unwrap();
    store_files(sea.data("root")).iter().for_each(|file| copy(file, to));
}

fn replace(sea: &Sea, by: Option<&Path>) {
    for file in store_files(sea.data("root")) {
        fs::remove_file(file).unwrap();
    }
    let saved = by.into_iter().flat_map(store_files);
    saved.for_each(|file| copy(&file, sea.data("root")));
}

fn frozen(sea: &Sea) {
    wait_for("the cluster is frozen", || {
        let clusters: Vec<Cluster> = sea.list("root", "clusters")?;
        clusters.iter().any(|cluster| cluster.frozen).then_some(())
    });
}

fn thawed(sea: &Sea) {
    wait_for("the cluster obeys", || {
        let clusters: Vec<Cluster> = sea.list("root", "clusters")?;
        clusters.iter().all(|cluster| !cluster.frozen && cluster.state == "online").then_some(())
    });
}

fn applications(sea: &Sea) -> Vec<Application> {
    let mut all: Vec<Application> = sea.list("root", "applications").expect("the root answers");
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

#[test]
fn freezing_is_loud() {
    let (sea, _) = with_an_older_store();
    frozen(&sea);
    let says = |words: &[&str]| {
        let said = sea.holm(words).done();
        let text = format!("{}{}", said.stdout, said.stderr);
        for word in ["frozen", "holm adopt vienna", "holm discard vienna"] {
            assert!(text.contains(word), "{words:?} does not say {word:?}: {said:?}");
        }
    };
    says(&["status"]);
    says(&["cluster", "ls"]);
    for what in ["clusters", "members"] {
        let said = sea.holm(&["get", what]).done();
        assert!(said.stderr.contains("vienna is frozen: see `holm status`"), "{said:?}");
        assert!(!said.stderr.contains("holm adopt"), "told briefly: {said:?}");
    }
    says(&["describe", "cluster", "vienna"]);
    says(&["events", "--kind", "cluster"]);
    let status: serde_json::Value = sea.holm(&["status", "-o", "json"]).done().json();
    assert_eq!(status["frozen"], serde_json::json!(["vienna"]));
    let below = sea.holm_at("vienna", &["status"]).done().stdout;
    assert!(below.contains("behind") && below.contains("frozen"), "{below}");
    for name in ["root", "vienna"] {
        wait_for("a warning in the log", || sea.log(name).contains("frozen").then_some(()));
        let log = sea.log(name);
        assert!(log.lines().any(|line| line.contains("WARN") && line.contains("frozen")), "{name}: {log}");
    }
    // What it may know better is not changed behind its back.
    let said =
        sea.holm(&["scale", "kept/web", "3"]).refused(1, &["kept", "vienna", "frozen", "holm adopt vienna"]);
    assert!(said.stdout.is_empty(), "{said:?}");
    // Nor is what only the frozen member has said to be nowhere.
    sea.holm(&["delete", "application", "later"])
        .refused(1, &["later", "vienna", "frozen", "holm adopt vienna"]);
    let path = "projects/default/applications/kept/services/web";
    let answer = sea.request("root", "PATCH", path, "{\"replicas\":3}").unwrap();
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert!(answer.body.contains("/problems/frozen"), "{}", answer.body);
    // Then nobody speaks of it any more.
    sea.holm(&["adopt", "vienna"]).done();
    thawed(&sea);
    let quiet = sea.holm(&["status"]).done();
    assert!(!quiet.stdout.contains("frozen"), "{quiet:?}");
    sea.holm(&["scale", "kept/web", "3"]).done();
    sea.running("kept", 3);
}

/// `kept` was there when the copy was made, `deleted` was deleted since, `later` was made since.
fn with_an_older_store() -> (Sea, Vec<Program>) {
    let mut sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(&sleeper("kept", 2));
    sea.deploy(&sleeper("deleted", 2));
    sea.stop("root");
    let copy = sea.path("copy");
    save(&sea, &copy);
    sea.start("root");
    sea.all_connected();
    sea.holm(&["delete", "application", "deleted", "--wait"]).done();
    sea.deploy(&sleeper("later", 2));
    let before = sea.programs();
    assert_eq!(before.len(), 4);
    sea.kill("root");
    replace(&sea, Some(&copy));
    sea.start("root");
    (sea, before)
}

#[test]
fn an_older_store_stops_nothing_and_revives_nothing() {
    let (sea, before) = with_an_older_store();
    frozen(&sea);
    let still = || sea.programs() == before;
    holds_for(Duration::from_secs(4), "nothing is stopped or started", still);
    let members = sea.holm(&["get", "members"]).done();
    assert!(members.stdout.contains("vienna"), "{members:?}");
    // A frozen member heals what it runs, and takes nothing new.
    sea.apply(&sleeper("new", 1));
    let victim = before[0].clone();
    victim.kill();
    wait_for("restarted by policy", || {
        sea.programs().into_iter().find(|p| p.instance == victim.instance && p.pid != victim.pid)
    });
    let now = sea.programs();
    holds_for(Duration::from_secs(3), "nothing new starts", || sea.programs() == now);

    sea.holm(&["adopt", "vienna"]).done();
    thawed(&sea);
    sea.running("new", 1);
    wait_for("what was new runs as well", || (sea.programs().len() == 5).then_some(()));
    assert!(now.iter().all(Program::lives), "adopting touches nothing");
    sea.running("kept", 2);
    sea.running("later", 2);
    let all = applications(&sea);
    let deleted = all.iter().find(|a| a.name == "deleted");
    assert!(
        deleted.is_none_or(|a| a.unconfirmed),
        "it came back with the copy, and waits for a person: {all:#?}"
    );
    holds_for(Duration::from_secs(3), "nothing deleted revives", || {
        sea.programs().iter().all(|program| program.application != "deleted")
    });
    // What was adopted obeys.
    sea.holm(&["scale", "later/web", "1"]).done();
    sea.running("later", 1);
    sea.holm(&["delete", "application", "kept", "--wait"]).done();
}

#[test]
fn an_older_store_whose_members_are_discarded_is_what_counts() {
    let (sea, before) = with_an_older_store();
    frozen(&sea);
    let plan = sea.holm(&["discard", "vienna", "--dry-run"]).done().stdout;
    assert!(plan.contains("later") && plan.contains("end") && plan.contains("kept"), "{plan}");
    sea.holm(&["discard", "vienna"]).refused(1, &["later/web/0 ends", "--yes", "holm adopt vienna"]);
    sea.holm(&["discard", "vienna", "--yes"]).done();
    thawed(&sea);
    wait_for("what the store does not know is ended", || {
        sea.programs().iter().all(|program| program.application != "later").then_some(())
    });
    let kept: Vec<_> = before.into_iter().filter(|program| program.application == "kept").collect();
    assert!(kept.iter().all(Program::lives), "what both know is not touched");
    sea.running("kept", 2);
    assert!(applications(&sea).iter().all(|application| application.name != "later"));
}

#[test]
fn an_older_store_confirms_what_people_want_again() {
    let (sea, _) = with_an_older_store();
    frozen(&sea);
    sea.holm(&["adopt", "vienna"]).done();
    thawed(&sea);
    wait_for("it is known as unconfirmed", || sea.application("deleted").filter(|a| a.unconfirmed));
    sea.holm(&["confirm", "deleted"]).done();
    sea.running("deleted", 2);
    sea.running("kept", 2);
    sea.running("later", 2);
}

#[test]
fn an_empty_store_stops_nothing_and_adopts_everything() {
    let mut sea = sea().cluster("vienna", &["fl-1", "fl-2"]).start();
    sea.deploy(&sleeper("one", 2));
    sea.deploy(&sleeper("two", 1));
    let before = sea.programs();
    sea.kill("root");
    replace(&sea, None);
    sea.start("root");
    holds_for(Duration::from_secs(4), "nothing is stopped", || sea.programs() == before);
    frozen(&sea);
    sea.holm(&["adopt", "vienna"]).done();
    thawed(&sea);
    sea.running("one", 2);
    sea.running("two", 1);
    assert_eq!(sea.programs(), before, "adopting touches nothing");
    assert_eq!(applications(&sea).iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    sea.holm(&["scale", "one/web", "3"]).done();
    sea.running("one", 3);
    sea.holm(&["delete", "application", "two", "--wait"]).done();
}

#[test]
fn a_cluster_with_an_older_store_stops_nothing_on_its_nodes() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(&sleeper("kept", 1));
    sea.stop("vienna");
    let copy = sea.path("copy");
    fs::create_dir(&copy).unwrap();
    store_files(sea.data("vienna")).iter().for_each(|file| self::copy(file, &copy));
    sea.start("vienna");
    sea.deploy(&sleeper("later", 1));
    let before = sea.programs();
    assert_eq!(before.len(), 2);
    sea.kill("vienna");
    for file in store_files(sea.data("vienna")) {
        fs::remove_file(file).unwrap();
    }
    store_files(&copy).iter().for_each(|file| self::copy(file, sea.data("vienna")));
    sea.start("vienna");
    holds_for(Duration::from_secs(4), "nothing is stopped", || sea.programs() == before);
    wait_for("its node is frozen", || {
        sea.list::<crate::harness::Node>("vienna", "nodes")?.iter().find(|n| n.frozen).cloned()
    });
    for named in ["fl-1", "vienna/fl-1"] {
        sea.holm(&["adopt", named]).refused(1, &["cluster `vienna`", "--socket", "api.sock"]);
    }
    sea.holm_at("vienna", &["adopt", "fl-1"]).done();
    sea.running("kept", 1);
    sea.running("later", 1);
    assert_eq!(sea.programs(), before);
}

#[test]
fn join_tokens_are_void_after_a_restore() {
    let mut sea = sea().cluster("vienna", &["fl-1"]).start();
    sea.deploy(&sleeper("kept", 1));
    let token = sea.token("root", &["--role", "node", "--uses", "5"]);
    sea.stop("root");
    let copy = sea.path("copy");
    save(&sea, &copy);
    sea.start("root");
    sea.all_connected();
    sea.deploy(&sleeper("later", 1));
    sea.kill("root");
    replace(&sea, Some(&copy));
    sea.start("root");
    frozen(&sea);
    sea.add_node("late", "root", &token);
    wait_for("the token is refused", || sea.log("late").contains("token").then_some(()));
    assert!(
        sea.list::<crate::harness::Node>("root", "nodes").unwrap().iter().all(|node| node.name != "late")
    );
}
