//! The day: a sea is set up, used, attacked, lost and restored.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::refusals;
use super::rest::{Answer, ask, bearer};
use super::sea::{Addresses, Ground, Person, STARTS, addresses};
use super::steps::{Drill, Steps};
use super::wait_for;

/// Everything of the day.
pub(super) struct Day {
    pub(super) ground: Ground,
    pub(super) root: Addresses,
    pub(super) people: Vec<Member>,
    pub(super) admin: Person,
    fingerprint: String,
    steps: Steps,
}

/// A person beside the administrator.
pub(super) struct Member {
    pub(super) name: &'static str,
    /// Of one project, or of two.
    pub(super) roles: &'static [(&'static str, &'static str)],
    line: Person,
}

pub(super) const PROJECTS: [&str; 2] = ["blue", "red"];
pub(super) const ADMIN: &str = "ada";
pub(super) const PASSWORD: &str = "correct horse battery";
const PEOPLE: [(&str, &[(&str, &str)]); 3] = [
    ("bob", &[("blue", "operator")]),
    ("cyd", &[("red", "admin")]),
    ("dan", &[("blue", "viewer"), ("red", "viewer")]),
];
const NODE: &str = "edge";

pub(super) fn run(program: &Path) -> Result<()> {
    let ground = Ground::new(program)?;
    let (root, admin) = (addresses()?, ground.person(ADMIN));
    let mut day =
        Day { ground, root, people: Vec::new(), admin, fingerprint: String::new(), steps: Steps::new() };
    let outcome = day.all();
    if outcome.is_err() {
        day.ground.show_logs(&["root", NODE]);
    }
    let shown = day.steps.show();
    outcome.and(shown)
}

// === impl Day ===

impl Drill for Day {
    fn steps(&mut self) -> &mut Steps {
        &mut self.steps
    }
}

impl Day {
    fn all(&mut self) -> Result<()> {
        self.step("a sea is set up, and its first administrator logs in", Self::set_up)?;
        self.step("two projects, three people", Self::invite)?;
        self.step("a node joins through a proxy", Self::join)?;
        self.step("both projects deploy", Self::deploy)?;
        self.step("what must be refused is refused: rights", refusals::rights)?;
        self.step("what must be refused is refused: proofs", refusals::proofs)?;
        self.step("a backup; then the root's disk is lost", Self::lose)?;
        self.step("the root is restored, and stops nothing", Self::restore)?;
        self.step("adopted: it goes on", Self::go_on)?;
        self.step("what was deployed is deleted, and ends", Self::clear)
    }

    fn set_up(&mut self) -> Result<()> {
        self.ground.root("root", self.root)?;
        let link = self.ground.path("root").join("setup-link");
        wait_for("the set-up link", || Ok(link.exists().then_some(())))?;
        let link = link.display().to_string();
        let typed = format!("{PASSWORD}\n");
        self.admin.types(&["login", "--setup-file", &link, "--name", ADMIN], &typed)?.done()?;
        let status = self.admin.holm(&["status", "-o", "json"])?.done()?.json()?;
        status["fingerprint"].as_str().context("no fingerprint")?.clone_into(&mut self.fingerprint);
        Ok(())
    }

    fn invite(&mut self) -> Result<()> {
        for project in PROJECTS {
            self.admin.holm(&["project", "create", project])?.done()?;
        }
        for (name, roles) in PEOPLE {
            let mut words = vec!["person".to_owned(), "create".to_owned(), name.to_owned()];
            words.extend(roles.iter().map(|(project, role)| format!("--project={project}={role}")));
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let first = self.admin.holm(&words)?.done()?;
            let line = self.ground.person(name);
            // The first log-in asks for a password of one's own.
            self.log_in(&line, name, &format!("{}\n{PASSWORD}\n", first.line()))?;
            self.people.push(Member { name, roles, line });
        }
        Ok(())
    }

    fn log_in(&self, line: &Person, name: &str, typed: &str) -> Result<()> {
        let server = self.root.tls.to_string();
        let words = ["login", &server, "--name", name, "--fingerprint", &self.fingerprint];
        line.types(&words, typed)?.done().map(drop)
    }

    fn join(&mut self) -> Result<()> {
        let proxy = self.ground.proxy()?;
        let token = self.admin.holm(&["token", "create", "--role", "node"])?.done()?.line().to_owned();
        self.ground.node(NODE, self.root.tls, Some(proxy), &token)?;
        wait_for("the node is online", || Ok((self.node()?["state"] == "online").then_some(())))?;
        let log = fs::read_to_string(self.ground.path("proxy.log")).unwrap_or_default();
        ensure!(log.contains("CONNECT "), "nothing went through the proxy:\n{log}");
        Ok(())
    }

    fn node(&self) -> Result<Value> {
        let nodes = self.admin.holm(&["get", "nodes", "-o", "json"])?.done()?.json()?;
        Ok(nodes.get(0).cloned().unwrap_or_default())
    }

    /// Each by somebody of its own.
    fn deploy(&mut self) -> Result<()> {
        let starts = self.ground.open_directory(STARTS)?;
        for (project, member) in PROJECTS.into_iter().zip(&self.people) {
            let manifest = format!(
                "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    command: [sh, -c, \
                 'echo {project} >> {}/$$; exec sleep 100000']\n    stop: {{ grace: 1s }}\n",
                starts.display()
            );
            let words = ["apply", "-p", project, "--wait=60s", "--stable=0s", "-"];
            member.line.types(&words, &manifest)?.done()?;
        }
        self.started(2)
    }

    /// Fails unless instances were started so often since the beginning.
    fn started(&self, times: usize) -> Result<()> {
        let starts = fs::read_dir(self.ground.path(STARTS))?.count();
        ensure!(starts == times, "instances were started {starts} times instead of {times}");
        Ok(())
    }

    fn lose(&mut self) -> Result<()> {
        let phrase = self.ground.file("phrase", "correct horse battery\n")?;
        let backup = self.ground.text("backup");
        self.admin.holm(&["backup", &backup, "--passphrase-file", &phrase])?.done()?;
        // What the backup does not know.
        self.bob().holm(&["scale", "shop/web", "2", "-p", "blue"])?.done()?;
        self.runs("blue", 2)?;
        self.ground.kill("root")?;
        fs::remove_dir_all(self.ground.path("root"))?;
        Ok(())
    }

    fn restore(&mut self) -> Result<()> {
        let (data, backup) = (self.ground.text("root"), self.ground.path("backup"));
        let phrase = self.ground.text("phrase");
        let wrong = self.ground.file("wrong", "correct horse batters\n")?;
        let sealed = fs::read(&backup)?;
        let cut = self.ground.path("cut");
        fs::write(&cut, &sealed[..sealed.len().saturating_sub(20)])?;
        let restore = |file: &Path, phrase: &str| {
            let file = file.display().to_string();
            self.admin.holm(&["restore", &file, "--data-dir", &data, "--passphrase-file", phrase])
        };
        restore(&backup, &wrong)?.refused("passphrase")?;
        restore(&cut, &phrase)?.refused("cut off")?;
        restore(&backup, &phrase)?.done()?;
        self.ground.root("root", self.root)?;
        self.bob().holm(&["whoami"])?.refused("void")?;
        let socket = self.ground.text("root/api.sock");
        let new = self.admin.holm(&["person", "password", ADMIN, "--socket", &socket])?.done()?;
        self.log_in(&self.admin, ADMIN, &format!("{}\n{PASSWORD}\n", new.line()))?;
        wait_for("the node is frozen", || Ok((self.node()?["frozen"] == true).then_some(())))?;
        self.started(3)
    }

    fn go_on(&mut self) -> Result<()> {
        wait_for("the node has shown what it holds", || Ok(self.admin.holm(&["adopt", NODE])?.done().ok()))?;
        let new = self.admin.holm(&["person", "password", "bob"])?.done()?;
        self.log_in(self.bob(), "bob", &format!("{}\n{PASSWORD}\n", new.line()))?;
        self.runs("blue", 2)?;
        self.started(3)?;
        self.bob().holm(&["scale", "shop/web", "3", "-p", "blue"])?.done()?;
        self.runs("blue", 3)?;
        self.started(4)?;
        self.admin.holm(&["audit", "verify"])?.done().map(drop)
    }

    fn clear(&mut self) -> Result<()> {
        for project in PROJECTS {
            self.admin.holm(&["delete", "application", "shop", "-p", project, "--wait=30s"])?.done()?;
            self.runs(project, 0)?;
        }
        Ok(())
    }

    fn bob(&self) -> &Person {
        &self.people[0].line
    }

    fn runs(&self, project: &str, count: usize) -> Result<()> {
        wait_for(&format!("{count} instances run in {project}"), || {
            let running = self.instances(project)?;
            Ok((running.len() == count && running.iter().all(|one| one["state"] == "RUNNING")).then_some(()))
        })
    }

    fn instances(&self, project: &str) -> Result<Vec<Value>> {
        let all = self.admin.holm(&["get", "instances", "-p", project, "-o", "json"])?.done()?.json()?;
        all.as_array().cloned().context("no list")
    }
}

// === impl Day: asking by REST ===

impl Day {
    pub(super) const fn at(&self) -> SocketAddr {
        self.root.plain
    }

    /// A session's answer: its token, and what a browser sends beside its cookie.
    pub(super) fn session(&self, name: &str) -> Result<Value> {
        let body = json!({ "name": name, "password": PASSWORD }).to_string();
        let answer = ask(self.at(), "POST", "/sessions", &[json_body()], &body)?;
        ensure!(answer.status == 201, "{name} cannot log in: {} {}", answer.status, answer.body);
        answer.json()
    }

    pub(super) fn token_of(&self, name: &str) -> Result<String> {
        Ok(self.session(name)?["token"].as_str().context("no token")?.to_owned())
    }

    pub(super) fn with_token(&self, token: &str, method: &str, path: &str, body: &str) -> Result<Answer> {
        ask(self.at(), method, path, &[bearer(token), json_body()], body)
    }

    /// The id of an instance of a project.
    pub(super) fn instance_of(&self, project: &str) -> Result<String> {
        let instances = self.instances(project)?;
        let first = instances.first().context("nothing runs")?;
        Ok(first["id"].as_str().context("no id")?.to_owned())
    }

    pub(super) fn node_id(&self) -> Result<String> {
        Ok(self.node()?["id"].as_str().context("no id")?.to_owned())
    }
}

fn json_body() -> String {
    "content-type: application/json".to_owned()
}
