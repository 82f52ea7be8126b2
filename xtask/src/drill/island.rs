//! A root, a cluster and its two nodes, each as an older program or a newer one, and what must work in any case.
//!
//! Two applications run there. `steady` is never touched: its processes must be the same to the end. `shop` is what
//! people work with.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::sea::{Addresses, Ground, Person, Ran, STARTS, addresses, free_port, is_start};
use super::steps::{Drill, Steps};
use super::wait_for;
use crate::tool::succeeds;

pub(super) struct Island {
    pub(super) ground: Ground,
    pub(super) programs: Programs,
    /// The versions of the schemas that the older program knows, by daemon.
    pub(super) schemas: BTreeMap<String, u32>,
    steps: Steps,
    root: Addresses,
    isle: SocketAddr,
    /// The processes of [`STEADY`] as they were in the beginning.
    steady: Processes,
    /// How often [`SHOP`] was applied.
    round: u32,
}

/// Copies in the drill's own place.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) older: PathBuf,
    pub(super) newer: PathBuf,
}

/// By their numbers when they were started, in ticks since boot: numbers are used again.
type Processes = BTreeMap<u32, u64>;

pub(super) const ROOT: &str = "root";
pub(super) const CLUSTER: &str = "isle";
pub(super) const NODES: [&str; 2] = ["fl-1", "fl-2"];
const STEADY: &str = "steady";
const SHOP: &str = "shop";
const EXTRA: &str = "extra";
/// Instances of [`STEADY`] and of [`SHOP`].
const MANY: usize = 4;
const FEW: usize = 2;

impl Drill for Island {
    fn steps(&mut self) -> &mut Steps {
        &mut self.steps
    }
}

// === impl Island ===

impl Island {
    /// Nothing runs yet; what is started is the older program.
    pub(super) fn new(older: &Path, newer: &Path) -> Result<Self> {
        let ground = Ground::new(older)?;
        let programs = Programs { older: ground.path("holm"), newer: ground.bring(newer, "holm-newer")? };
        let (root, isle) = (addresses()?, free_port()?);
        let (schemas, steps, steady) = (BTreeMap::new(), Steps::new(), Processes::new());
        Ok(Self { ground, programs, schemas, steps, root, isle, steady, round: 0 })
    }

    pub(super) fn set_up(&mut self) -> Result<()> {
        self.ground.root(ROOT, self.root)?;
        let token = self.token(ROOT, "cluster")?;
        self.ground.cluster(CLUSTER, self.root.tls, self.isle, &token)?;
        wait_for("the cluster answers", || Ok(self.older(CLUSTER).holm(&["status"])?.done().ok()))?;
        for node in NODES {
            let token = self.token(CLUSTER, "node")?;
            self.ground.node(node, self.isle, None, &token)?;
        }
        self.all_online(&self.older(ROOT))?;
        self.ground.open_directory(STARTS)?;
        self.deploy(&self.older(ROOT), &self.manifest(STEADY, STEADY, MANY))?;
        self.roll()?;
        self.run(SHOP, FEW)?;
        self.steady = self.processes(|of| of == STEADY)?;
        self.untouched()
    }

    fn token(&self, of: &str, role: &str) -> Result<String> {
        let made = self.older(of).holm(&["token", "create", "--role", role])?.done()?;
        Ok(made.line().to_owned())
    }

    pub(super) fn older(&self, orchestrator: &str) -> Person {
        self.ground.owner(orchestrator, &self.programs.older)
    }

    pub(super) fn newer(&self, orchestrator: &str) -> Person {
        self.ground.owner(orchestrator, &self.programs.newer)
    }

    /// Processes that say what they are of when they start.
    fn manifest(&self, application: &str, says: &str, replicas: usize) -> String {
        let starts = self.ground.text(STARTS);
        format!(
            "holm: v1\napplication: {application}\nservices:\n  web:\n    runtime: process\n    command: [sh, -c, \
             'echo {says} > {starts}/$$; echo {says} speaks; exec sleep 100000']\n    replicas: {replicas}\n    \
             restart: {{ policy: always, backoff: 100ms..1s }}\n    stop: {{ grace: 1s }}\n"
        )
    }

    fn deploy(&self, who: &Person, manifest: &str) -> Result<Ran> {
        who.types(&["apply", "--wait=60s", "--stable=0s", "-"], manifest)?.done()
    }

    /// Begins to replace the shop by its next version, slot by slot, and does not wait.
    pub(super) fn roll(&mut self) -> Result<()> {
        self.round += 1;
        let manifest = self.manifest(SHOP, &self.version(), FEW);
        self.older(ROOT).types(&["apply", "-"], &manifest)?.done().map(drop)
    }

    fn version(&self) -> String {
        format!("{SHOP}-{}", self.round)
    }

    pub(super) fn rolled(&mut self) -> Result<()> {
        let version = self.version();
        wait_for(&format!("all of the shop is {version}"), || {
            Ok((self.processes(|of| of == version)?.len() == FEW).then_some(()))
        })?;
        self.run(SHOP, FEW)
    }

    // --- what must always be so ---

    /// Nobody has ended or started a process of [`STEADY`], and everybody knows that it runs.
    pub(super) fn untouched(&mut self) -> Result<()> {
        let now = self.processes(|of| of == STEADY)?;
        ensure!(now == self.steady && now.len() == MANY, "there were {:?}, now {now:?}", self.steady);
        let starts = self.starts()?.into_iter().filter(|(_, of)| of == STEADY).count();
        ensure!(starts == MANY, "instances that nobody touched were started {starts} times");
        self.run(STEADY, MANY)?;
        let rows = self.instances(STEADY)?;
        ensure!(rows.iter().all(|row| row["restarts"] == 0), "{rows:#?}");
        Ok(())
    }

    /// People look, with programs of both versions.
    pub(super) fn looks(&mut self) -> Result<()> {
        for (version, who) in [("older", self.older(ROOT)), ("newer", self.newer(ROOT))] {
            self.all_online(&who)
                .and_then(|()| look(&who))
                .with_context(|| format!("the {version} program"))?;
        }
        Ok(())
    }

    /// People work: scaling, deploying, deleting, and an instance that dies.
    pub(super) fn works(&mut self) -> Result<()> {
        let who = self.newer(ROOT);
        for count in [FEW + 1, FEW] {
            who.holm(&["scale", "shop/web", &count.to_string()])?.done()?;
            self.run(SHOP, count)?;
        }
        self.deploy(&who, &self.manifest(EXTRA, EXTRA, 1))?;
        who.holm(&["delete", "application", EXTRA, "--wait=30s"])?.done()?;
        self.run(EXTRA, 0)?;
        let version = self.version();
        let before = self.processes(|of| of == version)?;
        let (victim, _) = before.first_key_value().context("the shop does not run")?;
        ensure!(succeeds("kill", &["-KILL", &victim.to_string()]), "cannot kill {victim}");
        wait_for("what was killed is replaced", || {
            let now = self.processes(|of| of == version)?;
            Ok((now.len() == FEW && now != before).then_some(()))
        })?;
        self.run(SHOP, FEW)
    }

    pub(super) fn clear(&mut self) -> Result<()> {
        for application in [SHOP, STEADY] {
            self.newer(ROOT).holm(&["delete", "application", application, "--wait=30s"])?.done()?;
        }
        let left = self.processes(|_| true)?;
        ensure!(left.is_empty(), "still there: {left:?}");
        Ok(())
    }

    fn all_online(&self, who: &Person) -> Result<()> {
        wait_for("all members are online", || {
            let (nodes, clusters) = (list(who, &["nodes"])?, list(who, &["clusters"])?);
            let online = |all: &[Value]| all.iter().all(|one| one["state"] == "online");
            let all = nodes.len() == NODES.len() && clusters.len() == 1;
            Ok((all && online(&nodes) && online(&clusters)).then_some(()))
        })
    }

    /// Waits until so many instances run, and nothing else of the application is there.
    fn run(&self, application: &str, count: usize) -> Result<()> {
        wait_for(&format!("{count} instances of {application} run"), || {
            let rows = self.instances(application)?;
            let good = rows.len() == count && rows.iter().all(|row| row["state"] == "RUNNING");
            Ok(good.then_some(()))
        })
    }

    fn instances(&self, application: &str) -> Result<Vec<Value>> {
        let mut rows = list(&self.newer(ROOT), &["instances"])?;
        rows.retain(|row| row["application"] == application);
        Ok(rows)
    }

    /// Processes that live, by what they said when they started.
    fn processes(&self, wanted: impl Fn(&str) -> bool) -> Result<Processes> {
        let starts = self.starts()?.into_iter().filter(|(pid, of)| wanted(of) && is_start(*pid));
        Ok(starts.filter_map(|(pid, _)| Some((pid, begun(pid)?))).collect())
    }

    /// All that were ever started, and of what.
    fn starts(&self) -> Result<BTreeMap<u32, String>> {
        let mut starts = BTreeMap::new();
        for file in fs::read_dir(self.ground.path(STARTS))? {
            let file = file?;
            let pid = file.file_name().to_string_lossy().parse().context("a number of a process")?;
            starts.insert(pid, fs::read_to_string(file.path())?.trim().to_owned());
        }
        Ok(starts)
    }
}

/// Everything that only shows something, two tiers deep.
fn look(who: &Person) -> Result<()> {
    who.holm(&["status"])?.done()?;
    ensure!(!who.holm(&["events", "--tail=20"])?.done()?.line().is_empty(), "no events");
    wait_for("logs and exec reach every instance", || {
        let said = who.holm(&["logs", SHOP, "--tail=5"])?.done()?;
        ensure!(said.stdout.contains(" speaks"), "no logs: {}", said.stdout);
        for slot in 0..MANY {
            let said =
                who.holm(&["exec", &format!("{STEADY}/web/{slot}"), "--", "echo", "inside"])?.done()?;
            ensure!(said.line() == "inside", "exec: {}", said.stdout);
        }
        Ok(Some(()))
    })
}

fn list(who: &Person, words: &[&str]) -> Result<Vec<Value>> {
    let words: Vec<&str> = ["get"].iter().chain(words).chain(&["-o", "json"]).copied().collect();
    let all = who.holm(&words)?.done()?.json()?;
    all.as_array().cloned().context("no list")
}

/// When a process was started, in ticks since boot; `None` when it is gone.
fn begun(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name, in brackets, may contain anything; the 22nd field is the 20th behind it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}
