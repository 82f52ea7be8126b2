//! What people see when a node dies, a cluster orchestrator dies in the middle of an update, a cluster is cut off; and
//! that updates, migrations and drains cost whoever asks a service nothing.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::load::{Load, within};
use super::sea::{Addresses, Ground, Person, free_port};
use super::steps::{Drill, Steps};
use super::strait::Strait;
use super::wait_for;
use crate::tool::succeeds;

struct Healing {
    ground: Ground,
    steps: Steps,
    /// `None`: whoever runs the drill may not make namespaces.
    strait: Option<Strait>,
    program: std::path::PathBuf,
    root: Addresses,
    isle: SocketAddr,
    port: u16,
    untimed: bool,
    /// How often the shop was applied.
    round: u32,
}

const ROOT: &str = "root";
const CLUSTER: &str = "isle";
const NODES: [&str; 3] = ["fl-1", "fl-2", "fl-3"];
/// What the service says of the silence of its node.
const REPLACE_AFTER: Duration = Duration::from_secs(10);
/// Promised beyond that.
const PROMISED: Duration = Duration::from_secs(1);

impl Drill for Healing {
    fn steps(&mut self) -> &mut Steps {
        &mut self.steps
    }
}

/// `partition`: how long the cluster is cut off; `untimed`: no time is too long.
pub(super) fn run(program: &Path, partition: Duration, untimed: bool) -> Result<()> {
    let mut drill = Healing::new(program, untimed)?;
    let outcome = all(&mut drill, partition);
    let shown = drill.steps.show();
    if outcome.is_err() || shown.is_err() {
        drill.ground.show_logs(&[ROOT, CLUSTER, NODES[0], NODES[1], NODES[2]]);
    }
    drill.end();
    outcome.and(shown)
}

fn all(drill: &mut Healing, partition: Duration) -> Result<()> {
    drill
        .step("a root, a cluster with three nodes, a service that is reached at the root", Healing::set_up)?;
    drill.try_step("a rolling update", Healing::update);
    drill.try_step("a migration", Healing::migrate);
    drill.try_step("a drain", Healing::drain);
    drill.try_step("kill -9 of a node, agent and workloads", Healing::lose_node);
    drill.try_step("kill -9 of the cluster orchestrator in the middle of an update", Healing::lose_cluster);
    let seconds = partition.as_secs();
    drill.try_step(&format!("the cluster is cut off for {seconds} s"), |drill| drill.part(partition));
    Ok(())
}

// === impl Healing ===

impl Healing {
    fn new(program: &Path, untimed: bool) -> Result<Self> {
        let (ground, strait) = (Ground::new(program)?, Strait::new());
        if let Err(error) = &strait {
            println!("no network namespaces, so that nothing can be cut off: {error:#}");
        }
        let strait = strait.ok();
        let mut root = super::sea::addresses()?;
        if let Some(strait) = &strait {
            root.tls.set_ip(strait.mainland().parse()?);
        }
        let (isle, port) = (free_port()?, free_port()?.port());
        let program = ground.path("holm");
        Ok(Self { ground, steps: Steps::new(), strait, program, root, isle, port, untimed, round: 0 })
    }

    fn owner(&self) -> Person {
        self.ground.owner(ROOT, &self.program)
    }

    fn below(&self) -> Person {
        self.ground.owner(CLUSTER, &self.program)
    }

    fn set_up(&mut self) -> Result<()> {
        let exposes =
            [format!("--expose-ports={}", self.port), format!("--expose-address={}", Ipv4Addr::LOCALHOST)];
        self.ground.say_more(ROOT, &exposes);
        if let Some(strait) = &self.strait {
            for name in [CLUSTER].iter().chain(&NODES) {
                self.ground.put_inside(name, strait.namespace());
            }
        }
        self.ground.root(ROOT, self.root)?;
        let pass = token(&self.owner(), "cluster")?;
        self.ground.cluster(CLUSTER, self.root.tls, self.isle, &pass)?;
        wait_for("the cluster answers", || Ok(self.below().holm(&["status"])?.done().ok()))?;
        for node in NODES {
            let pass = token(&self.below(), "node")?;
            self.ground.node(node, self.isle, None, &pass)?;
        }
        wait_for("all nodes are online", || {
            let nodes = list(&self.owner(), "nodes")?;
            Ok((nodes.iter().filter(|node| node["state"] == "online").count() == NODES.len()).then_some(()))
        })?;
        self.apply()?;
        self.settled()
    }

    fn apply(&mut self) -> Result<()> {
        self.round += 1;
        let manifest = format!(
            "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    command: [{}, __sensor-collector, \
             --floor, round-{}, --port, \"{{{{port.http}}}}\"]\n    ports: {{ http: auto }}\n    replicas: 2\n    \
             health: {{ http: /healthz, every: 500ms }}\n    stop: {{ grace: 2s }}\n    on-node-loss: {{ replace-after: \
             {}s }}\n    expose: {{ http: {{ port: {}, at: [root] }} }}\n",
            self.program.display(),
            self.round,
            REPLACE_AFTER.as_secs(),
            self.port
        );
        self.owner().types(&["apply", "-"], &manifest)?.done().map(drop)
    }

    /// Two copies of what was applied last, both ready, and nothing else.
    fn settled(&self) -> Result<()> {
        let round = u64::from(self.round);
        wait_for("two of the newest are ready, and nothing else", || {
            let rows = list(&self.owner(), "instances")?;
            let good = |row: &Value| {
                row["state"] == "RUNNING"
                    && row["ready"] == true
                    && row["generation"] == round
                    && row["held"] == false
            };
            Ok((rows.len() == 2 && rows.iter().all(good)).then_some(()))
        })
    }

    fn node_of(&self, slot: &str) -> Result<String> {
        let rows = list(&self.owner(), "instances")?;
        let row = rows.iter().find(|row| row["slot"] == slot).with_context(|| format!("no {slot}"))?;
        Ok(row["node"].as_str().context("it runs nowhere")?.to_owned())
    }

    fn update(&mut self) -> Result<()> {
        let port = self.port;
        within(port, "updates", || {
            self.apply()?;
            self.settled()
        })?
        .flawless()
    }

    fn migrate(&mut self) -> Result<()> {
        let seen = within(self.port, "migrations", || {
            let said = self.below().holm(&["migrate", "shop/web/0"])?.done()?;
            ensure!(said.stdout.contains("without a break"), "{}", said.stdout);
            self.settled()
        })?;
        self.look(&["events", "--tail=1"])?;
        seen.flawless()
    }

    fn drain(&mut self) -> Result<()> {
        let seen = within(self.port, "drains", || {
            let node = self.node_of("web/0")?;
            self.below().holm(&["node", "drain", &node])?.done()?;
            self.settled()?;
            self.below().holm(&["node", "uncordon", &node])?.done().map(drop)
        })?;
        seen.flawless()
    }

    fn lose_node(&mut self) -> Result<()> {
        let lost = self.node_of("web/0")?;
        let begun = Instant::now();
        self.ground.kill(&lost)?;
        for pid in of_node(&self.ground.path(&lost))? {
            succeeds("kill", &["-KILL", &pid.to_string()]);
        }
        let took = wait_for("its instances run elsewhere", || {
            let rows = list(&self.below(), "instances")?;
            let new = rows.iter().filter(|row| row["state"] == "RUNNING" && row["node"] != lost.as_str());
            Ok((new.count() == 2).then(|| begun.elapsed()))
        })?;
        println!(
            "  RUNNING elsewhere after {:.1} s, of {} s and {} s",
            took.as_secs_f64(),
            REPLACE_AFTER.as_secs(),
            PROMISED.as_secs()
        );
        self.look(&["get", "nodes"])?;
        self.look(&["get", "instances"])?;
        // The steps that follow are told of their own faults only.
        self.ground.start(&lost)?;
        self.settled()?;
        ensure!(self.untimed || took <= REPLACE_AFTER + PROMISED, "that is too late");
        Ok(())
    }

    fn lose_cluster(&mut self) -> Result<()> {
        let before = self.round;
        let seen = within(self.port, "deaths of the orchestrator", || {
            self.apply()?;
            let round = u64::from(self.round);
            wait_for("the update is half done", || {
                let rows = list(&self.owner(), "instances")?;
                let new = rows.iter().filter(|row| row["generation"] == round && row["state"] == "RUNNING");
                Ok((new.count() > 0).then_some(()))
            })?;
            self.ground.kill(CLUSTER)?;
            self.look(&["get", "clusters"])?;
            self.ground.start(CLUSTER)?;
            self.settled()
        });
        seen.map(drop)?;
        ensure!(self.round > before);
        self.look(&["get", "instances"])
    }

    fn part(&mut self, partition: Duration) -> Result<()> {
        let Some(strait) = &self.strait else {
            println!("  skipped: it needs network namespaces");
            return Ok(());
        };
        let before = self.programs()?;
        let load = Load::start(self.port)?;
        strait.cut(true)?;
        let until = Instant::now() + partition;
        while Instant::now() < until {
            std::thread::sleep(super::LOOK);
            let now = self.programs()?;
            ensure!(now == before, "a cluster that is cut off was touched: {before:?}, then {now:?}");
        }
        self.look(&["get", "clusters"])?;
        self.look(&["get", "instances"])?;
        strait.cut(false)?;
        wait_for("it is reached again", || Ok((load.quiet_for() < super::LOOK).then_some(())))?;
        self.settled()?;
        load.end().show("the partition");
        ensure!(self.programs()? == before, "the reunion touched what ran");
        self.look(&["events", "--tail=6"])
    }

    /// Programs of instances, by their numbers.
    fn programs(&self) -> Result<BTreeSet<u32>> {
        let mut all = BTreeSet::new();
        for node in NODES {
            all.extend(of_node(&self.ground.path(node))?);
        }
        Ok(all)
    }

    /// What people see.
    fn look(&self, words: &[&str]) -> Result<()> {
        let said = self.owner().holm(words)?.done()?;
        println!("  $ holm {}", words.join(" "));
        for line in said.stdout.lines() {
            println!("    {line}");
        }
        Ok(())
    }

    /// Nothing of it is left: instances outlive their agents.
    fn end(&self) {
        // A drill that failed may have lost whoever would do it.
        let _ = self.owner().holm(&["delete", "application", "shop", "--wait=20s"]);
        for pid in self.programs().unwrap_or_default() {
            succeeds("kill", &["-KILL", &pid.to_string()]);
        }
    }
}

/// Processes that work below the node's directory: programs and their supervisors.
fn of_node(data: &Path) -> Result<BTreeSet<u32>> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        let inside = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(data));
        if inside {
            all.insert(pid);
        }
    }
    Ok(all)
}

fn token(who: &Person, role: &str) -> Result<String> {
    Ok(who.holm(&["token", "create", "--role", role])?.done()?.line().to_owned())
}

fn list(who: &Person, what: &str) -> Result<Vec<Value>> {
    who.holm(&["get", what, "-o", "json"])?.done()?.json()?.as_array().cloned().context("no list")
}
