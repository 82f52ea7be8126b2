//! Root, clusters and nodes as child processes, each with a directory of its own below one that is
//! removed in the end with everything that still runs there.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::command::{PROGRAM, Ran, command, run};
use super::daemon::{Daemon, Plan, tail};
use super::delay::far;
use super::network::Network;
use super::proc::{self, Program};
use super::{Node, counted, sweep, wait_for};

/// The plan of a sea.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    members: Vec<Sketch>,
    /// Words for all orchestrators.
    orchestrators: Vec<String>,
    network: Option<fn() -> Network>,
}

#[derive(Clone, Debug)]
struct Sketch {
    name: String,
    role: Role,
    parent: String,
    words: Vec<String>,
    data: Option<PathBuf>,
    /// How long its way to its orchestrator is, one way.
    way: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Root,
    Cluster,
    Node,
}

#[derive(Debug)]
pub(crate) struct Sea {
    // Dropped first: everything ends before its directory goes.
    members: Vec<Member>,
    network: Option<Network>,
    pub(crate) fingerprint: String,
    dir: TempDir,
}

#[derive(Debug)]
struct Member {
    name: String,
    role: Role,
    data: PathBuf,
    plan: Plan,
    /// Of an orchestrator.
    address: String,
    daemon: Option<Daemon>,
}

pub(crate) const ROOT: &str = "root";
/// So that the silence of a member is told from a busy machine: keep-alives come every five seconds,
/// reports of these nodes every second.
const DEADLINES: [&str; 6] = ["--unknown-after", "6s", "--offline-after", "7s", "--replace-after", "8s"];

/// A root, and nothing else yet.
pub(crate) fn sea() -> Builder {
    let root = Sketch {
        name: ROOT.into(),
        role: Role::Root,
        parent: String::new(),
        words: Vec::new(),
        data: None,
        way: Duration::ZERO,
    };
    Builder { members: vec![root], ..Builder::default() }
}

// === impl Builder ===

impl Builder {
    /// A cluster with its nodes.
    pub(crate) fn cluster(self, name: &str, nodes: &[&str]) -> Self {
        let cluster = self.member(name, Role::Cluster, ROOT);
        nodes.iter().fold(cluster, |sea, node| sea.member(node, Role::Node, name))
    }

    /// A node of the root itself.
    pub(crate) fn node(self, name: &str) -> Self {
        self.member(name, Role::Node, ROOT)
    }

    /// More words on the command line of a daemon.
    pub(crate) fn words(mut self, name: &str, words: &[&str]) -> Self {
        self.sketch(name).words.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Makes the way of a member to its orchestrator longer, one way by so much.
    pub(crate) fn far(mut self, name: &str, way: Duration) -> Self {
        self.sketch(name).way = way;
        self
    }

    /// Another place for what a daemon keeps.
    pub(crate) fn data_dir(mut self, name: &str, dir: &Path) -> Self {
        self.sketch(name).data = Some(dir.to_owned());
        self
    }

    /// Members count as lost after seconds, not after a minute.
    pub(crate) fn impatient(mut self) -> Self {
        self.orchestrators = DEADLINES.map(str::to_owned).to_vec();
        self
    }

    /// Each node in a network namespace that drops whatever comes in. Root only.
    pub(crate) fn isolated(mut self) -> Self {
        self.network = Some(Network::create);
        self
    }

    /// Each node in a network namespace of its own; ways are made [far](Self::far) by the kernel. Root only.
    pub(crate) fn over_netem(mut self) -> Self {
        self.network = Some(Network::open);
        self
    }

    /// Starts everything; returns when all nodes are online at the root.
    pub(crate) fn start(self) -> Sea {
        let dir = tempfile::Builder::new().prefix("holm-e2e-").tempdir().expect("a directory");
        // Instances run as another user when the tests run as root.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).expect("our own directory");
        let program = dir.path().join("holm");
        if fs::hard_link(PROGRAM, &program).is_err() {
            fs::copy(PROGRAM, &program).expect("a copy of the program");
        }
        let network = self.network.map(|make| make());
        let mut sea = Sea { members: Vec::new(), network, fingerprint: String::new(), dir };
        for sketch in &self.members {
            sea.join(sketch, &self.orchestrators);
        }
        sea.all_online();
        sea
    }

    fn member(mut self, name: &str, role: Role, parent: &str) -> Self {
        let parent = parent.to_owned();
        self.members.push(Sketch {
            name: name.into(),
            role,
            parent,
            words: Vec::new(),
            data: None,
            way: Duration::ZERO,
        });
        self
    }

    fn sketch(&mut self, name: &str) -> &mut Sketch {
        self.members.iter_mut().find(|member| member.name == name).expect("a member of that name")
    }
}

// === impl Sea: start and end ===

impl Sea {
    fn join(&mut self, sketch: &Sketch, orchestrators: &[String]) {
        let token = match sketch.role {
            Role::Root => None,
            Role::Cluster => Some(self.token(&sketch.parent, &["--role", "cluster"])),
            Role::Node => Some(self.token(&sketch.parent, &["--role", "node"])),
        };
        self.add(sketch, orchestrators, token.as_deref());
    }

    fn add(&mut self, sketch: &Sketch, orchestrators: &[String], token: Option<&str>) {
        let Sketch { name, role, parent, words, data, way } = sketch;
        let data = data.clone().unwrap_or_else(|| self.path(name));
        let mut all = vec![format!("--data-dir={}", data.display()), format!("--name={name}")];
        match role {
            Role::Root => all.insert(0, "root".to_owned()),
            Role::Cluster => all.insert(0, "cluster".to_owned()),
            Role::Node => {
                all.insert(0, "node".to_owned());
                all.push("--interval=1s".to_owned());
                if !words.iter().any(|word| word.starts_with("--engine")) {
                    all.push(format!("--engine={}", self.path("no-engine").display()));
                }
            }
        }
        if *role != Role::Root {
            let near = self.address(parent).to_owned();
            let relayed = !way.is_zero() && self.network.is_none();
            let address = if relayed { far(&near, *way).to_string() } else { near };
            all.push(format!("--parent={address}"));
        }
        if *role != Role::Node {
            all.extend_from_slice(orchestrators);
        }
        all.extend_from_slice(words);
        let namespace = match (&mut self.network, role) {
            (Some(network), Role::Node) => {
                let namespace = network.namespace(name);
                if !way.is_zero() {
                    network.delay(name, *way);
                }
                Some(namespace)
            }
            _ => None,
        };
        let plan = Plan {
            program: self.path("holm"),
            words: all,
            log: self.path(&format!("{name}.log")),
            namespace,
        };
        let mut member =
            Member { name: name.clone(), role: *role, data, plan, address: String::new(), daemon: None };
        if *role == Role::Node {
            member.daemon = Some(Daemon::start(&member.plan, token));
        } else {
            let ip = self.network.as_ref().map_or_else(own_loopback, Network::address);
            let mut first = member.plan.clone();
            first.words.push(format!("--listen={ip}:0"));
            let daemon = Daemon::start(&first, token);
            let ready = daemon.ready();
            member.daemon = Some(daemon);
            let ready =
                ready.unwrap_or_else(|| panic!("{name} does not start:\n{}", tail(&member.plan.log, 10)));
            // Members know this address: it stays when the daemon starts again.
            member.plan.words.push(format!("--listen={}", ready.address));
            member.address = ready.address;
            self.fingerprint = ready.fingerprint;
        }
        self.members.push(member);
    }

    /// A further node, whose token somebody else has made; started, not waited for.
    pub(crate) fn add_node(&mut self, name: &str, parent: &str, token: &str) {
        let (name, parent) = (name.to_owned(), parent.to_owned());
        let sketch =
            Sketch { name, role: Role::Node, parent, words: Vec::new(), data: None, way: Duration::ZERO };
        self.add(&sketch, &[], Some(token));
    }

    fn all_online(&self) {
        let expected = self.members.iter().filter(|member| member.role == Role::Node).count();
        wait_for("all nodes are online", || {
            let nodes: Vec<Node> = self.list(ROOT, "nodes")?;
            (nodes.iter().filter(|node| node.state == "online").count() >= expected).then_some(())
        });
    }
}

impl Drop for Sea {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for member in &self.members {
                eprintln!("--- the end of the log of {}\n{}", member.name, tail(&member.plan.log, 25));
            }
        }
        // Nodes before orchestrators, orchestrators before the root.
        for member in self.members.iter_mut().rev() {
            member.daemon = None;
        }
        for member in self.members.iter().filter(|member| member.role == Role::Node) {
            sweep::node(&member.data);
        }
        sweep::processes(self.dir.path());
    }
}

// === impl Sea: daemons ===

impl Sea {
    fn member(&self, name: &str) -> &Member {
        self.members.iter().find(|member| member.name == name).unwrap_or_else(|| panic!("no member {name}"))
    }

    fn member_mut(&mut self, name: &str) -> &mut Member {
        self.members
            .iter_mut()
            .find(|member| member.name == name)
            .unwrap_or_else(|| panic!("no member {name}"))
    }

    fn daemon(&mut self, name: &str) -> &mut Daemon {
        self.member_mut(name).daemon.as_mut().unwrap_or_else(|| panic!("{name} does not run"))
    }

    /// `kill -9`; what runs on nodes is not touched.
    pub(crate) fn kill(&mut self, name: &str) {
        self.daemon(name).kill();
        self.member_mut(name).daemon = None;
    }

    /// Gently, as a service manager does.
    pub(crate) fn stop(&mut self, name: &str) {
        self.daemon(name).stop();
        self.member_mut(name).daemon = None;
    }

    pub(crate) fn start(&mut self, name: &str) {
        let member = self.member_mut(name);
        let daemon = Daemon::start(&member.plan, None);
        let ready = member.role == Role::Node || daemon.ready().is_some();
        member.daemon = Some(daemon);
        assert!(ready, "{name} does not start again:\n{}", tail(&member.plan.log, 10));
    }

    pub(crate) fn restart(&mut self, name: &str) {
        self.stop(name);
        self.start(name);
    }

    /// Its exit code, once it has ended by itself.
    pub(crate) fn ended(&mut self, name: &str) -> Option<i32> {
        self.daemon(name).ended()
    }

    pub(crate) fn pid(&self, name: &str) -> i32 {
        self.member(name).daemon.as_ref().expect("it runs").pid()
    }

    /// Agent and programs of a node, as a power cut ends them all.
    pub(crate) fn power_off(&mut self, node: &str) {
        self.kill(node);
        sweep::processes(&self.member(node).data);
    }

    pub(crate) fn network(&self) -> &Network {
        self.network.as_ref().expect("an isolated sea")
    }
}

// === impl Sea: places ===

impl Sea {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn data(&self, name: &str) -> &Path {
        &self.member(name).data
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.data(name).join("api.sock")
    }

    pub(crate) fn address(&self, name: &str) -> &str {
        &self.member(name).address
    }

    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(&self.member(name).plan.log).unwrap_or_default()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("our own directory");
        path
    }

    /// The programs of all instances on all nodes.
    pub(crate) fn programs(&self) -> Vec<Program> {
        proc::programs(self.dir.path())
    }

    /// The one program that runs for a slot.
    pub(crate) fn program(&self, application: &str, slot: &str) -> Program {
        wait_for(&format!("a program of {application}/{slot}"), || {
            let all = self.programs();
            let mut its = all.into_iter().filter(|p| p.application == application && p.slot == slot);
            its.next().filter(|_| its.next().is_none())
        })
    }
}

// === impl Sea: asking ===

impl Sea {
    /// The command line, talking to the root.
    pub(crate) fn holm(&self, words: &[&str]) -> Ran {
        self.holm_at(ROOT, words)
    }

    pub(crate) fn holm_at(&self, name: &str, words: &[&str]) -> Ran {
        run(self.call_at(name, words), "")
    }

    pub(crate) fn call_at(&self, name: &str, words: &[&str]) -> Command {
        let mut call = command(PROGRAM);
        call.args(words).env("HOLM_SOCKET", self.socket(name));
        call
    }

    /// A new token of an orchestrator.
    pub(crate) fn token(&self, name: &str, words: &[&str]) -> String {
        self.holm_at(name, &[&["token", "create"], words].concat()).done().line().to_owned()
    }
}

/// An address of loopback that no other test uses: a daemon that starts again finds its port free.
fn own_loopback() -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + (counted() & 0x3f), high, low.clamp(1, 254))
}

/// Longer than it takes that a broken link is noticed and dialled again.
pub(crate) const SETTLED: Duration = Duration::from_secs(3);
