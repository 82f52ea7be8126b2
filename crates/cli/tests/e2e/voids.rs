//! What is open ends when the token that opened it is made void.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::command::{PROGRAM, Running, command};
use crate::harness::{Sea, sea, wait_for};
use crate::people_login::Person;

const APP: &str = "holm: v1
application: shop
services:
  web:
    runtime: process
    command: [sh, -c, 'busybox httpd -p \"127.0.0.1:$PORT\" & while :; do echo tick; sleep 0.2; done']
    env: { PORT: \"{{ port.http }}\" }
    ports: { http: auto }
    stop: { grace: 1s }
";
/// From the word that makes a token void to the end of what it had opened.
const SOON: Duration = Duration::from_secs(3);

/// What somebody has open.
struct Open {
    exec: Running,
    logs: Running,
    events: Running,
    _forward: Running,
    port: TcpStream,
}

/// A call with a token, and nothing else.
fn with_token(server: &str, token: &str, words: &[&str]) -> Command {
    let mut call = command(PROGRAM);
    call.args(words).env("HOME", "/nonexistent").env("HOLM_SERVER", server).env("HOLM_API_TOKEN", token);
    call
}

impl Open {
    fn by(call: impl Fn(&[&str]) -> Command) -> Self {
        let exec = Running::start(call(&[
            "exec",
            "shop/web/0",
            "-p",
            "blue",
            "--",
            "sh",
            "-c",
            "echo in; sleep 1000",
        ]));
        exec.line(|line| line == "in");
        let logs = Running::start(call(&["logs", "-f", "shop/web/0", "-p", "blue"]));
        logs.line(|line| line.contains("tick"));
        let events = Running::start(call(&["events", "-w", "-p", "blue", "-a", "shop"]));
        events.line(|line| line.contains("shop"));
        let forward = Running::start(call(&["port-forward", "shop/web", "0:http", "-p", "blue"]));
        let said = forward.line(|line| line.contains("leads to"));
        let address = said.split(' ').next().unwrap();
        let mut port = TcpStream::connect(address).unwrap();
        port.set_read_timeout(Some(SOON * 10)).unwrap();
        // An answer, so that the way is open; the connection stays.
        port.write_all(b"GET /").unwrap();
        Self { exec, logs, events, _forward: forward, port }
    }

    /// Fails unless all of it ends soon.
    #[track_caller]
    fn ends(mut self) {
        let begun = Instant::now();
        for (what, call) in [("exec", &mut self.exec), ("logs", &mut self.logs), ("events", &mut self.events)]
        {
            assert_eq!(call.ended(), 1, "{what}");
            assert!(begun.elapsed() < SOON, "{what} took {:?}", begun.elapsed());
        }
        let mut rest = Vec::new();
        // Cut off, or closed: it is over.
        let _ = self.port.read_to_end(&mut rest);
        assert!(begun.elapsed() < SOON, "the port took {:?}", begun.elapsed());
    }

    /// Fails if any of it has ended.
    #[track_caller]
    fn goes_on(&mut self) {
        self.logs.line(|line| line.contains("tick"));
        assert!(self.exec.is_running() && self.events.is_running());
    }
}

/// Ada administers, Bob runs a shop in `blue`.
fn shop() -> (Sea, Person, Person) {
    let sea = sea().cluster("vienna", &["fl-1"]).start();
    let ada = Person::first(&sea, "ada");
    ada.holm(&["project", "create", "blue"]).done();
    let bob = Person::made_by(&ada, &sea, "bob", &["--project", "blue=operator"]);
    bob.types(&["apply", "-p", "blue", "--wait=60s", "--stable=0s", "-"], APP).done();
    (sea, ada, bob)
}

fn token_of(bob: &Person) -> String {
    bob.holm(&["token", "create", "--role", "operator", "--project", "blue"]).done().line().to_owned()
}

fn revoke_all_tokens(bob: &Person) {
    let tokens: Vec<Value> = bob.holm(&["token", "ls", "-o", "json"]).done().json();
    for token in tokens {
        bob.holm(&["token", "revoke", token["id"].as_str().unwrap()]).done();
    }
}

#[test]
fn a_void_token_ends_what_it_has_opened_and_nothing_else() {
    let (sea, _ada, bob) = shop();
    let token = token_of(&bob);
    let open = Open::by(|words| with_token(sea.address("root"), &token, words));
    let mut others = Open::by(|words| bob.call(words));
    revoke_all_tokens(&bob);
    open.ends();
    others.goes_on();
}

#[test]
fn fewer_rights_and_logging_out_end_what_is_open() {
    let (_sea, ada, bob) = shop();
    let open = Open::by(|words| bob.call(words));
    ada.holm(&["person", "role", "bob", "--project", "blue=viewer"]).done();
    open.ends();
    ada.holm(&["person", "role", "bob", "--project", "blue=operator"]).done();
    bob.types(&["login"], &format!("{}\n", crate::people_login::PASSWORD)).done();
    let open = Open::by(|words| bob.call(words));
    bob.holm(&["logout", "--everywhere"]).done();
    open.ends();
}

#[test]
fn a_cluster_ends_what_the_root_makes_void() {
    let (sea, _ada, bob) = shop();
    let token = token_of(&bob);
    let cluster = sea.address("vienna").to_owned();
    wait_for("the cluster knows the instance", || {
        let said = crate::harness::command::run(
            with_token(&cluster, &token, &["get", "instances", "-o", "json"]),
            "",
        );
        said.stdout.contains("RUNNING").then_some(())
    });
    let open = Open::by(|words| with_token(&cluster, &token, words));
    revoke_all_tokens(&bob);
    open.ends();
}

#[test]
fn what_was_opened_ends_when_its_token_expires() {
    let (sea, _ada, bob) = shop();
    let words = ["token", "create", "--role", "operator", "--project", "blue", "--ttl", "8s"];
    let token = bob.holm(&words).done().line().to_owned();
    let call =
        with_token(sea.address("root"), &token, &["exec", "shop/web/0", "-p", "blue", "--", "sleep", "1000"]);
    let said = crate::harness::command::run(call, "");
    said.refused(1, &["expired"]);
}
