//! The first start, logging in and out, contexts: as somebody on another machine does it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::harness::command::{PROGRAM, Ran, command, run};
use crate::harness::daemon::{Daemon, Plan};
use crate::harness::{Sea, sea, wait_for};
use crate::ways_in_terminal::Screen;

pub(crate) const PASSWORD: &str = "correct horse battery";

/// Somebody with a configuration of their own, away from the orchestrator's directory.
#[derive(Debug)]
pub(crate) struct Person {
    config: PathBuf,
}

impl Person {
    pub(crate) fn new(sea: &Sea, config: &str) -> Self {
        Self { config: sea.path(config) }
    }

    /// The first administrator.
    pub(crate) fn first(sea: &Sea, name: &str) -> Self {
        let person = Self::new(sea, name);
        let link = sea.data("root").join("setup-link").display().to_string();
        person.types(&["login", "--setup-file", &link, "--name", name], &format!("{PASSWORD}\n")).done();
        person
    }

    /// Somebody whom an administrator makes, and who has logged in.
    pub(crate) fn made_by(admin: &Self, sea: &Sea, name: &str, roles: &[&str]) -> Self {
        let made = admin.holm(&[&["person", "create", name], roles].concat()).done();
        let person = Self::new(sea, name);
        person.log_in(sea, name, &format!("{}\n{PASSWORD}\n", made.line())).done();
        person
    }

    pub(crate) fn log_in(&self, sea: &Sea, name: &str, typed: &str) -> Ran {
        let words = ["login", sea.address("root"), "--name", name, "--fingerprint", &sea.fingerprint];
        self.types(&words, typed)
    }

    pub(crate) fn holm(&self, words: &[&str]) -> Ran {
        run(self.call(words), "")
    }

    pub(crate) fn types(&self, words: &[&str], input: &str) -> Ran {
        run(self.call(words), input)
    }

    pub(crate) fn call(&self, words: &[&str]) -> Command {
        let mut call = command(PROGRAM);
        call.args(words).env("HOME", "/nonexistent").env("HOLM_CONFIG_DIR", &self.config);
        call
    }
}

#[test]
fn the_set_up_link_makes_the_first_administrator_once() {
    let mut sea = sea().start();
    let file = sea.data("root").join("setup-link");
    let link = std::fs::read_to_string(&file).unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(link.starts_with(&format!("https://{}/setup#holm-api.", sea.address("root"))), "{link}");
    let ada = Person::new(&sea, "ada");
    // Nobody is made by a bad password, or by a link for another sea.
    let setup = ["login", "--setup", "--name", "ada"];
    ada.types(&setup, &format!("{link}short\n")).refused(1, &["password"]);
    let other = crate::harness::sea().start();
    let foreign = std::fs::read_to_string(other.data("root").join("setup-link")).unwrap();
    let foreign = foreign.replace(other.address("root"), sea.address("root"));
    ada.types(&setup, &format!("{foreign}{PASSWORD}\n")).refused(1, &["pinned"]);
    ada.types(&setup, "nonsense\n").refused(2, &["no set-up link"]);

    // Somebody who administers nothing does not use it up.
    sea.holm(&["person", "create", "bob", "--sea", "viewer"]).done();
    ada.types(&setup, &format!("{link}{PASSWORD}\n")).done();
    let contexts = sea.path("ada").join("contexts.toml");
    assert_eq!(contexts.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let who: Value = ada.holm(&["whoami", "-o", "json"]).done().json();
    assert_eq!(who["who"], "ada");
    assert!(who["grants"]["sea"].as_array().is_some_and(|verbs| verbs.len() == 12), "{who}");
    ada.holm(&["get", "nodes"]).done();
    // It is used up, and gone; later starts offer none.
    let eve = Person::new(&sea, "eve");
    eve.types(&["login", "--setup", "--name", "eve"], &format!("{link}{PASSWORD}\n"))
        .refused(1, &["used up"]);
    wait_for("the link goes", || (!file.exists()).then_some(()));
    sea.restart("root");
    assert!(!file.exists());
    ada.holm(&["whoami"]).done();
}

#[test]
fn a_password_is_changed_to_another_one_that_is_not_guessed_at_once() {
    let sea = sea().start();
    let ada = Person::first(&sea, "ada");
    let file = |name: &str, text: &str| sea.file(name, text).display().to_string();
    let old = file("old", PASSWORD);
    let change = |new: &str| {
        ada.holm(&["person", "password", "--old-password-file", &old, "--password-file", &file("new", new)])
    };
    change(PASSWORD).refused(1, &["the present one"]);
    change("aaaaabbbbbccccc").refused(1, &["different characters"]);
    let words = ["login", "--password-file", &old, "--new-password-file", &file("new", "another password")];
    ada.holm(&words).refused(1, &["nothing was changed"]);
    change("another password").done();
    // Who is given one by somebody else cannot keep it.
    let made = file("made", "chosen by ada");
    sea.holm(&["person", "create", "bob", "-p", "default=viewer", "--password-file", &made]).done();
    let bob = Person::new(&sea, "bob");
    let login = |new: &str| {
        let new = file("new", new);
        let words = ["login", sea.address("root"), "--fingerprint", &sea.fingerprint, "--name", "bob"];
        bob.holm(&[&words[..], &["--password-file", &made, "--new-password-file", &new]].concat())
    };
    login("chosen by ada").refused(1, &["the present one"]);
    login("chosen by bob").done();
    let audit = sea.holm(&["get", "audit", "-o", "json"]).done().stdout;
    assert!(audit.contains("person bob: default: viewer"), "{audit}");
    // Shown as it is after.
    let left = sea.holm(&["person", "role", "bob", "--project", "default=none"]).done().stdout;
    assert!(!left.contains("viewer"), "{left}");
}

#[test]
fn a_log_in_believes_only_a_sea_that_somebody_has_confirmed() {
    let sea = sea().start();
    Person::first(&sea, "ada");
    let ada = Person::new(&sea, "ada-elsewhere");
    let words = ["login", sea.address("root"), "--name", "ada"];
    let typed = format!("{PASSWORD}\n");
    ada.types(&words, &typed).refused(1, &[&sea.fingerprint, "--fingerprint"]);
    let wrong = "ab".repeat(32);
    let with_wrong = [&words[..], &["--fingerprint", &wrong]].concat();
    ada.types(&with_wrong, &typed).refused(1, &["pinned"]);
    ada.log_in(&sea, "ada", &typed).done();
    // Known now: neither fingerprint nor server nor name is needed again.
    ada.types(&["login"], &typed).done();
    ada.types(&with_wrong, &typed).refused(1, &["another fingerprint"]);
    // In the context, not elsewhere: the token is in no output.
    let shown = ada.holm(&["context", "show", "-o", "json"]).done();
    assert!(!shown.stdout.contains("holm-api."), "{}", shown.stdout);
    assert_eq!(shown.json::<Value>()["fingerprint"], Value::from(sea.fingerprint.clone()));
}

#[test]
fn a_terminal_asks_for_what_is_missing_and_shows_no_password() {
    let sea = sea().start();
    let ada = Person::first(&sea, "ada");
    let made = ada.holm(&["person", "create", "bob", "--sea", "viewer"]).done();
    let bob = Person::new(&sea, "bob");
    let mut screen = Screen::start(bob.call(&["login", sea.address("root")]), 200, 50);
    screen.until(&sea.fingerprint);
    screen.until("[yes/no]");
    screen.answer("yes");
    screen.until("Name: ");
    screen.answer("bob");
    screen.until("Password of bob: ");
    screen.keys(format!("{}x\x7f\r", made.line()).as_bytes());
    screen.until("has to be changed now");
    screen.until("New password");
    screen.keys(format!("{PASSWORD}\r").as_bytes());
    screen.until("Once more: ");
    assert!(!screen.rest().contains("horse"));
    screen.keys(format!("{PASSWORD}\r").as_bytes());
    screen.until("logged in to");
    assert_eq!(screen.ended(), 0);
    assert!(screen.is_as_before() && !screen.rest().contains("horse"));
    bob.holm(&["whoami"]).done();
    // Ctrl-C gives up, and gives the terminal back.
    let mut screen = Screen::start(bob.call(&["login"]), 200, 50);
    screen.until("Password of bob: ");
    screen.keys(b"half\x03");
    screen.until("cancelled");
    assert_eq!(screen.ended(), 1);
    assert!(screen.is_as_before());
    // Who says no tells no password.
    let careful = Person::new(&sea, "careful");
    let mut screen = Screen::start(careful.call(&["login", sea.address("root"), "--name", "bob"]), 200, 50);
    screen.until("[yes/no]");
    screen.answer("no");
    screen.until("not confirmed");
    assert_eq!(screen.ended(), 1);
}

#[test]
fn wrong_passwords_are_slower_and_slower_and_in_the_audit_log() {
    let sea = sea().start();
    let ada = Person::first(&sea, "ada");
    let eve = Person::new(&sea, "eve");
    let guess = |name: &str| eve.log_in(&sea, name, "wrong but long enough\n");
    // Nobody learns which names there are.
    let [wrong, unknown] = ["ada", "nobody"].map(|name| guess(name).refused(1, &["wrong"]).stderr);
    assert_eq!(wrong.replace("ada", "X"), unknown.replace("nobody", "X"));
    wait_for("it has to wait", || {
        let said = guess("ada");
        assert_eq!(said.code, 1);
        said.stderr.contains("too many wrong passwords; try again in").then_some(())
    });
    // Another name is not locked out, and neither is whoever has logged in.
    guess("cyd").refused(1, &["wrong"]);
    let audit: Vec<Value> = ada.holm(&["audit", "--who", "ada", "-o", "json"]).done().json();
    assert!(audit.iter().any(|record| record["outcome"].to_string().contains("wrong")), "{audit:#?}");
    assert!(!audit.iter().any(|record| record.to_string().contains("long enough")), "a password was written");
}

#[test]
fn log_out_ends_one_session_or_all() {
    let sea = sea().start();
    let ada = Person::first(&sea, "ada");
    let desk = Person::made_by(&ada, &sea, "bob", &["--sea", "operator"]);
    let phone = Person::new(&sea, "bob-phone");
    let typed = format!("{PASSWORD}\n");
    phone.log_in(&sea, "bob", &typed).done();
    let token = desk.holm(&["token", "create", "--role", "viewer"]).done().line().to_owned();
    let program = |words: &[&str]| {
        let mut call = command(PROGRAM);
        call.args(words).env("HOME", "/nonexistent");
        run(
            {
                call.env("HOLM_SERVER", sea.address("root")).env("HOLM_API_TOKEN", &token);
                call
            },
            "",
        )
    };
    program(&["get", "nodes"]).done();
    // Here only: the token of before is void even for whoever has copied it.
    let before = std::fs::read(sea.path("bob-phone").join("contexts.toml")).unwrap();
    phone.holm(&["logout"]).done();
    phone.holm(&["get", "nodes"]).refused(1, &["is logged out", "holm login"]);
    std::fs::write(sea.path("bob-phone").join("contexts.toml"), before).unwrap();
    phone.holm(&["get", "nodes"]).refused(1, &["void", "holm login"]);
    // What is void already is forgotten all the same.
    phone.holm(&["logout"]).done();
    desk.holm(&["get", "nodes"]).done();
    phone.types(&["login"], &typed).done();
    // Everywhere, what was made included.
    desk.holm(&["logout", "--everywhere"]).done();
    phone.holm(&["get", "nodes"]).refused(1, &["void"]);
    program(&["get", "nodes"]).refused(1, &["void"]);
    ada.holm(&["get", "nodes"]).done();
    desk.types(&["login"], &typed).done();
    // One's own password: logged in here, out everywhere else.
    phone.types(&["login"], &typed).done();
    desk.types(&["person", "password"], &format!("{PASSWORD}\nanother long one\n")).done();
    desk.holm(&["get", "nodes"]).done();
    phone.holm(&["get", "nodes"]).refused(1, &["void"]);
    phone.types(&["login"], &typed).refused(1, &["wrong"]);
    // The socket has no log-in to end.
    sea.holm(&["logout", "--everywhere"]).refused(2, &["socket"]);
}

#[test]
fn a_root_of_another_sea_at_the_same_address_is_refused() {
    let mut sea = sea().start();
    let ada = Person::first(&sea, "ada");
    sea.kill("root");
    ada.holm(&["whoami"]).refused(1, &["cannot be reached", "check that the orchestrator runs"]);
    let words = ["root".to_owned(), format!("--listen={}", sea.address("root"))];
    let data = format!("--data-dir={}", sea.path("other").display());
    let (program, log) = (sea.path("holm"), sea.path("other.log"));
    let plan = Plan { program, words: [&words[..], &[data]].concat(), log, namespace: None };
    let impostor = Daemon::start(&plan, None);
    assert!(impostor.ready().is_some());
    ada.holm(&["whoami"]).refused(1, &["cannot be reached", "pinned"]);
    ada.types(&["login"], &format!("{PASSWORD}\n")).refused(1, &["cannot be reached", "pinned"]);
    drop(impostor);
    sea.start("root");
    ada.holm(&["whoami"]).done();
}

fn app(name: &str) -> String {
    format!(
        "holm: v1\napplication: {name}-app\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"9\"]\n"
    )
}

#[test]
fn contexts_are_chosen_by_flag_variable_and_use() {
    let one = sea().start();
    let other = sea().start();
    let ada = Person::first(&one, "ada");
    let typed = format!("{PASSWORD}\n");
    let link = other.data("root").join("setup-link").display().to_string();
    let first = other.file("first-password", &typed).display().to_string();
    let setup = ["login", "--setup-file", &link, "--name", "ada", "--context", "other", "--project", "blue"];
    ada.types(&[&setup[..], &["--new-password-file", &first]].concat(), "").done();
    let sea_of = |call: Command| run(call, "").done().json::<Value>()["fingerprint"].clone();
    let status = ["status", "-o", "json"];
    assert_eq!(
        sea_of(ada.call(&status)),
        Value::from(one.fingerprint.clone()),
        "the first is the current one"
    );
    let flag = ada.call(&[&status[..], &["--context", "other"]].concat());
    assert_eq!(sea_of(flag), Value::from(other.fingerprint.clone()));
    let mut variable = ada.call(&status);
    variable.env("HOLM_CONTEXT", "other");
    assert_eq!(sea_of(variable), Value::from(other.fingerprint.clone()));
    ada.holm(&["context", "use", "other"]).done();
    assert_eq!(sea_of(ada.call(&status)), Value::from(other.fingerprint.clone()));
    let mut socket = ada.call(&status);
    socket.env("HOLM_SOCKET", one.socket("root"));
    assert_eq!(
        sea_of(socket),
        Value::from(one.fingerprint.clone()),
        "the environment wins over the current one"
    );
    // Its project is that of commands that name none.
    for project in ["blue", "red"] {
        ada.holm(&["project", "create", project]).done();
        let words = ["apply", "-", "-p", project];
        ada.types(if project == "blue" { &words[..2] } else { &words }, &app(project)).done();
    }
    let names = |words: &[&str]| -> Vec<String> {
        let words = [&["get", "applications", "-o", "json"], words].concat();
        let all: Vec<Value> = ada.holm(&words).done().json();
        all.iter().map(|one| format!("{}/{}", one["project"], one["name"]).replace('"', "")).collect()
    };
    assert_eq!(names(&[]), ["blue/blue-app"]);
    assert_eq!(names(&["-p", "red"]), ["red/red-app"]);
    assert_eq!(names(&["-A"]).len(), 2);
    ada.holm(&["describe", "application", "blue-app"]).done();
    ada.holm(&["describe", "application", "red-app"]).refused(1, &["red-app"]);
    // Names that are not there, and the way out.
    ada.holm(&["status", "--context", "none"]).refused(2, &["no context `none`", "holm context ls"]);
    let all: Vec<Value> = ada.holm(&["context", "ls", "-o", "json"]).done().json();
    assert_eq!(all.len(), 2);
    ada.holm(&["context", "rm", "other"]).done();
    ada.holm(&["status"]).refused(1, &["no orchestrator was found", "holm login"]);
}
