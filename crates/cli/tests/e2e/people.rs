//! Projects and rights: who sees and does what, and what is not even there for others.

use serde_json::Value;

use crate::harness::command::{PROGRAM, Ran, command, run};
use crate::harness::{Sea, sea, wait_for};
use crate::people_login::Person;

const APP: &str = "holm: v1
application: shop
services:
  web:
    runtime: process
    command: [sh, -c, 'echo hello; exec sleep 100000']
    stop: { grace: 1s }
";

/// Ada administers, Bob runs what is in `blue`, Cyd looks at `red`.
struct Three {
    sea: Sea,
    ada: Person,
    bob: Person,
    cyd: Person,
}

fn three() -> Three {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let ada = Person::first(&sea, "ada");
    for project in ["blue", "red"] {
        ada.holm(&["project", "create", project]).done();
    }
    let bob = Person::made_by(&ada, &sea, "bob", &["--project", "blue=operator"]);
    let cyd = Person::made_by(&ada, &sea, "cyd", &["--project", "red=viewer"]);
    Three { sea, ada, bob, cyd }
}

impl Three {
    /// The shop runs in `blue`; the id of its instance.
    fn deployed(&self) -> String {
        self.bob.types(&["apply", "-p", "blue", "--wait=60s", "--stable=0s", "-"], APP).done();
        let all: Vec<Value> = self.bob.holm(&["get", "instances", "-o", "json"]).done().json();
        all[0]["id"].as_str().unwrap().to_owned()
    }
}

/// As a program with a token does.
fn program(server: &str, token: &str, words: &[&str]) -> Ran {
    let mut call = command(PROGRAM);
    call.args(words).env("HOME", "/nonexistent").env("HOLM_SERVER", server).env("HOLM_API_TOKEN", token);
    run(call, "")
}

#[test]
fn nobody_sees_or_guesses_what_another_project_has() {
    let all = three();
    let (id, Three { bob, cyd, ada, .. }) = (all.deployed(), &all);
    bob.holm(&["describe", "application", "shop", "-p", "blue"]).done();
    let names = |who: &Person, what: &str| -> Vec<String> {
        let list: Vec<Value> = who.holm(&["get", what, "-o", "json"]).done().json();
        list.iter().map(|item| item["project"].as_str().unwrap().to_owned()).collect()
    };
    for what in ["applications", "instances"] {
        assert_eq!(names(bob, what), ["blue"], "{what}");
        assert!(names(cyd, what).is_empty(), "{what}");
        assert_eq!(names(ada, what), ["blue"], "{what}");
    }
    let projects = |who: &Person| -> Vec<Value> { who.holm(&["project", "ls", "-o", "json"]).done().json() };
    assert_eq!(projects(cyd).iter().map(|p| p["name"].clone()).collect::<Vec<_>>(), ["red"]);
    assert_eq!(projects(ada).len(), 3, "and `default`");
    // What is there for others and what is nowhere: the same words.
    let missing = id.replace(id.split('-').next_back().unwrap(), "99999");
    for (words, there, nowhere) in [
        (&["project", "show", "X"][..], "blue", "gone"),
        (&["describe", "application", "shop", "-p", "X"], "blue", "gone"),
        (&["get", "applications", "-p", "X"], "blue", "gone"),
        (&["scale", "shop/web", "2", "-p", "X"], "blue", "gone"),
        (&["delete", "application", "shop", "-p", "X"], "blue", "gone"),
        (&["project", "quota", "X", "--ports", "1"], "blue", "gone"),
        (&["describe", "instance", "X"], id.as_str(), missing.as_str()),
        (&["logs", "X"], id.as_str(), missing.as_str()),
        (&["exec", "X", "--", "true"], id.as_str(), missing.as_str()),
    ] {
        let said = |name: &str| {
            let words: Vec<_> = words.iter().map(|word| if *word == "X" { name } else { word }).collect();
            let said = cyd.holm(&words).refused(1, &[]);
            (said.stdout + &said.stderr).replace(name, "X")
        };
        assert_eq!(said(there), said(nowhere), "{words:?}");
    }
    // What one sees but may not do is said as it is.
    cyd.types(&["apply", "-p", "red", "-"], APP).refused(1, &["`apply`", "project `red`", "holm whoami"]);
    for words in [&["get", "nodes"][..], &["person", "ls"], &["project", "create", "green"], &["audit"]] {
        bob.holm(words).refused(1, &["this needs the right", "for the whole sea"]);
    }
    bob.holm(&["token", "create", "--role", "node"]).refused(1, &["`members`"]);
    bob.holm(&["token", "create", "--role", "admin"]).refused(1, &["what you do not have"]);
    // A refused attempt is in the audit log.
    let audit: Vec<Value> = ada.holm(&["audit", "--who", "cyd", "-o", "json"]).done().json();
    assert!(audit.iter().any(|record| record["outcome"].to_string().contains("apply")), "{audit:#?}");
}

#[test]
fn roles_change_at_once_and_quotas_hold() {
    let all = three();
    let Three { ada, bob, cyd, .. } = &all;
    all.deployed();
    // More rights with the next log-in; fewer end the old ones.
    ada.holm(&["person", "role", "bob", "--project", "red=viewer"]).done();
    let shown: Value = ada.holm(&["person", "show", "bob", "-o", "json"]).done().json();
    assert_eq!(shown["roles"]["projects"], serde_json::json!({"blue": "operator", "red": "viewer"}));
    ada.holm(&["person", "role", "bob", "--project", "blue=viewer"]).done();
    bob.holm(&["whoami"]).refused(1, &["void", "holm login"]);
    bob.types(&["login"], &format!("{}\n", crate::people_login::PASSWORD)).done();
    bob.holm(&["scale", "shop/web", "2", "-p", "blue"]).refused(1, &["`apply`"]);
    ada.holm(&["person", "role", "bob"]).refused(2, &["no role", "blue=operator"]);
    ada.holm(&["person", "role", "bob", "-p", "none-such=viewer"]).refused(1, &["none-such"]);
    // A quota.
    ada.holm(&["project", "quota", "blue", "--instances", "1"]).done();
    ada.holm(&["scale", "shop/web", "2", "-p", "blue"]).refused(1, &["quota"]);
    ada.holm(&["project", "quota", "blue", "--instances", "none"]).done();
    ada.holm(&["scale", "shop/web", "2", "-p", "blue"]).done();
    ada.holm(&["project", "quota", "blue"]).refused(2, &["nothing was said"]);
    ada.holm(&["project", "delete", "blue"]).refused(1, &["application"]);
    ada.holm(&["project", "delete", "red"]).done();
    // Who is deleted is out.
    ada.holm(&["person", "delete", "cyd"]).done();
    cyd.holm(&["whoami"]).refused(1, &["void"]);
    let people: Vec<Value> = ada.holm(&["person", "ls", "-o", "json"]).done().json();
    assert_eq!(people.iter().map(|p| p["name"].clone()).collect::<Vec<_>>(), ["ada", "bob"]);
}

#[test]
fn a_token_with_few_rights_has_no_others() {
    let all = three();
    let (id, Three { sea, bob, .. }) = (all.deployed(), &all);
    let words = ["token", "create", "--role", "operator", "--project", "blue", "--verb", "read,logs"];
    let token = bob.holm(&words).done().line().to_owned();
    let ask = |words: &[&str]| program(sea.address("root"), &token, words);
    wait_for("its log", || ask(&["logs", &id]).done().stdout.contains("hello").then_some(()));
    ask(&["describe", "instance", &id]).done();
    ask(&["exec", &id, "--", "true"]).refused(1, &["`exec`", "project `blue`"]);
    ask(&["scale", "shop/web", "2", "-p", "blue"]).refused(1, &["`apply`"]);
    ask(&["token", "create", "--role", "viewer", "--project", "blue"]).refused(1, &["`people`"]);
    let tokens: Vec<Value> = bob.holm(&["token", "ls", "-o", "json"]).done().json();
    assert_eq!(tokens.len(), 1, "one's own only: {tokens:#?}");
    assert_eq!(tokens[0]["who"], "bob");
    let table = bob.holm(&["token", "ls"]).done().stdout;
    // As much as a viewer may.
    assert!(table.contains("blue: viewer"), "{table}");
    bob.holm(&["token", "revoke", tokens[0]["id"].as_str().unwrap()]).done();
    ask(&["logs", &id]).refused(1, &["void"]);
}

#[test]
fn a_cluster_takes_the_tokens_of_a_root_that_is_gone_and_hears_of_revocations() {
    let mut all = three();
    let id = all.deployed();
    let words = ["token", "create", "--role", "viewer", "--project", "blue"];
    let [kept, void] = [(); 2].map(|()| all.bob.holm(&words).done().line().to_owned());
    let cluster = all.sea.address("vienna").to_owned();
    let ask = |token: &str| program(&cluster, token, &["describe", "instance", &id]);
    for token in [&kept, &void] {
        ask(token).done();
    }
    all.sea.kill("root");
    ask(&kept).done();
    // People log in at the root; the cluster says so.
    all.sea.start("root");
    all.sea.all_connected();
    let tokens: Vec<Value> = all.bob.holm(&["token", "ls", "-o", "json"]).done().json();
    let id_of_void = tokens.iter().map(|token| token["id"].as_str().unwrap().to_owned());
    for token in id_of_void.skip(1) {
        all.bob.holm(&["token", "revoke", &token]).done();
    }
    let good = |token: &str| ask(token).code == 0;
    wait_for("the cluster hears it", || (good(&kept) != good(&void)).then_some(()));
    all.sea.kill("root");
    all.sea.restart("vienna");
    assert_ne!(good(&kept), good(&void), "it remembers");
    all.sea.start("root");
    all.bob.holm(&["logout", "--everywhere"]).done();
    wait_for("the cluster hears that, too", || (!good(&kept) && !good(&void)).then_some(()));
}

#[test]
fn the_audit_log_is_shown_exported_and_verified() {
    let sea = sea().start();
    let ada = Person::first(&sea, "ada");
    for n in 0..5 {
        ada.holm(&["project", "create", &format!("p{n}")]).done();
    }
    let newest: Vec<Value> = ada.holm(&["audit", "-n", "3", "-o", "json"]).done().json();
    assert_eq!(newest.len(), 3);
    assert!(newest.is_sorted_by_key(|record| record["sequence"].as_u64()), "{newest:#?}");
    let export = ada.holm(&["audit", "-o", "jsonl"]).done().stdout;
    let numbers: Vec<u64> = export
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["sequence"].as_u64().unwrap())
        .collect();
    assert!(numbers.len() >= 6 && numbers.is_sorted(), "{numbers:?}");
    let mine: Vec<Value> = ada.holm(&["audit", "--who", "ada", "--since", "1h", "-o", "json"]).done().json();
    assert!(mine.len() >= 5 && mine.iter().all(|record| record["who"] == "ada"), "{mine:#?}");
    let part: Vec<Value> = ada.holm(&["audit", "--subject", "ect p3", "-o", "json"]).done().json();
    let project: Vec<Value> = ada.holm(&["audit", "--project", "p3", "-o", "json"]).done().json();
    assert!(part == project && project.len() == 1 && project[0]["subject"] == "project p3", "{project:#?}");
    let none: Vec<Value> = ada.holm(&["audit", "--until", "1h", "-o", "json"]).done().json();
    assert!(none.is_empty(), "{none:#?}");
    let proof: Value = ada.holm(&["audit", "verify", "-o", "json"]).done().json();
    assert!(proof["fault"].is_null() && proof["checked"].as_u64() >= Some(6), "{proof}");
    let head = proof["head"].as_str().unwrap();
    ada.holm(&["audit", "verify", "--head", head]).done();
    let other = "0".repeat(64);
    ada.holm(&["audit", "verify", "--head", &other]).refused(1, &["does not have the head that was noted"]);
    ada.holm(&["audit", "verify", "--head", "abc"]).refused(2, &["64 hexadecimal digits"]);
    let table = ada.holm(&["audit"]).done().stdout;
    assert!(
        table.lines().next().is_some_and(|head| head.contains("WHO") && head.contains("OUTCOME")),
        "{table}"
    );
    ada.holm(&["audit", "--since", "yesterday"]).refused(2, &["2026-11-22T08:00:00Z"]);
}
