//! Links in the wild: proxies (tinyproxy and squid, as Debian has them), networks that answer in the
//! orchestrator's place, mappings that a NAT forgets, IPv6.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::command::{PROGRAM, command, run};
use crate::harness::daemon::{Daemon, Plan, tail};
use crate::harness::network::Network;
use crate::harness::things::Cluster;
use crate::harness::{Node, Ran, Sea, holds_for, sea, wait_for};

/// A machine that reaches nobody but a proxy: its network has no other way out, and the orchestrators
/// listen on the loopback of the machine where the proxy runs.
struct Edge {
    // Dropped first.
    daemon: Option<Daemon>,
    proxy: Child,
    plan: Plan,
    address: SocketAddr,
    proxy_log: PathBuf,
    credentials: PathBuf,
    _network: Network,
}

/// What the proxy is, asks for and allows.
struct Rules<'a> {
    make: Make,
    credentials: Option<(&'a str, &'a str)>,
    /// None: every port.
    only_port: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Make {
    Tinyproxy,
    Squid,
}

const OPEN: Rules<'static> = Rules { make: Make::Tinyproxy, credentials: None, only_port: None };
const GUARDED: Rules<'static> = Rules { credentials: Some(("holm", "k4rotte")), ..OPEN };
const SQUID: Rules<'static> = Rules { make: Make::Squid, ..OPEN };
const GUARDED_SQUID: Rules<'static> = Rules { make: Make::Squid, ..GUARDED };
/// `holm:k4rotte`, as squid's helper reads it.
const SQUID_USERS: &str = "holm:$apr1$oBhpRAdQ$G7PkgC47o760JzgHcU6sP/\n";
const NAME: &str = "edge";

// === impl Edge ===

impl Edge {
    /// The machine and its proxy; nothing of Holm runs there yet. Its credentials file says `credentials`.
    fn of(sea: &Sea, role: &str, rules: &Rules<'_>, credentials: Option<&str>) -> Self {
        let mut network = Network::create();
        let namespace = network.namespace(NAME);
        let address = SocketAddr::from((network.address(), free_port(network.address())));
        let proxy_log = sea.path("proxy.log");
        let proxy = match rules.make {
            Make::Tinyproxy => tinyproxy(sea, address, rules, &proxy_log),
            Make::Squid => squid(sea, address, rules, &proxy_log),
        };
        let file = sea.file("proxy-credentials", credentials.unwrap_or_default());
        let mut words = vec![
            role.to_owned(),
            format!("--data-dir={}", sea.path(NAME).display()),
            format!("--name={NAME}"),
            format!("--parent={}", sea.address("root")),
            format!("--proxy=http://{address}"),
        ];
        if credentials.is_some() {
            words.push(format!("--proxy-credentials-file={}", file.display()));
        }
        match role {
            "node" => words.push(format!("--engine={}", sea.path("no-engine").display())),
            _ => words.push("--listen=127.0.0.1:0".to_owned()),
        }
        let log = sea.path(&format!("{NAME}.log"));
        let plan = Plan { program: sea.path("holm"), words, log, namespace: Some(namespace) };
        Self { daemon: None, proxy, plan, address, proxy_log, credentials: file, _network: network }
    }

    /// The daemon learns of the proxy from its environment, not from its command line.
    fn in_environment(&mut self, variables: &[&str]) {
        let words = self.plan.words.iter().filter(|word| !word.starts_with("--proxy")).cloned();
        let program = std::iter::once(self.plan.program.display().to_string());
        let words = variables.iter().map(|variable| (*variable).to_owned()).chain(program).chain(words);
        self.plan.words = words.collect();
        self.plan.program = "/usr/bin/env".into();
    }

    fn start(&mut self, token: &str) {
        self.daemon = None;
        self.daemon = Some(Daemon::start(&self.plan, Some(token)));
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.plan.log).unwrap_or_default()
    }

    #[track_caller]
    fn says(&self, words: &[&str]) {
        wait_for(&format!("its log says {words:?}"), || {
            let log = self.log();
            words.iter().all(|word| log.contains(word)).then_some(())
        });
    }

    /// `holm doctor` where the daemon is, told what the daemon is told.
    fn doctor(&self) -> Ran {
        self.doctor_told(&["--data-dir", "--parent", "--proxy", "--engine"])
    }

    /// `holm doctor` that learns parent and proxy from the daemon.
    fn doctor_told_nothing(&self) -> Ran {
        self.doctor_told(&["--data-dir", "--engine"])
    }

    /// `holm doctor` where the daemon is, told those of its flags that begin with one of `flags`.
    fn doctor_told(&self, flags: &[&str]) -> Ran {
        let namespace = self.plan.namespace.as_ref().unwrap();
        let mut call = command("nsenter");
        call.arg(format!("--net={}", namespace.display())).arg(PROGRAM).arg("doctor");
        let told = |word: &&String| flags.iter().any(|flag| word.starts_with(flag));
        call.args(self.plan.words.iter().filter(told));
        run(call, "")
    }

    /// How often the proxy was asked for a way to an address.
    fn asked(&self) -> usize {
        fs::read_to_string(&self.proxy_log).unwrap_or_default().matches("CONNECT 1").count()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of the log behind the proxy\n{}", tail(&self.plan.log, 25));
            eprintln!("--- the end of the proxy's log\n{}", tail(&self.proxy_log, 15));
        }
        // Already ended, or ended now.
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

fn free_port(ip: Ipv4Addr) -> u16 {
    TcpListener::bind((ip, 0)).and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn tinyproxy(sea: &Sea, address: SocketAddr, rules: &Rules<'_>, log: &Path) -> Child {
    let (ip, port) = (address.ip(), address.port());
    let mut text = format!(
        "Port {port}\nListen {ip}\nTimeout 600\nMaxClients 100\nLogFile \"{}\"\nLogLevel Connect\n",
        log.display()
    );
    if let Some((user, password)) = rules.credentials {
        text.push_str(&format!("BasicAuth {user} {password}\n"));
    }
    if let Some(port) = rules.only_port {
        text.push_str(&format!("ConnectPort {port}\n"));
    }
    let file = sea.file("tinyproxy.conf", &text);
    let mut call = command("tinyproxy");
    call.arg("-d").arg("-c").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
    listening(call, address, &text)
}

/// It says in its log what it was asked for when a connection is over.
fn squid(sea: &Sea, address: SocketAddr, rules: &Rules<'_>, log: &Path) -> Child {
    let mut text = format!(
        "http_port {address}\npid_filename none\ncache deny all\naccess_log stdio:/dev/stdout\n\
         cache_log /dev/null\nshutdown_lifetime 0 seconds\nmax_filedescriptors 1024\n"
    );
    let users = sea.file("squid-users", SQUID_USERS);
    if rules.credentials.is_some() {
        let helper = "/usr/lib/squid/basic_ncsa_auth";
        text.push_str(&format!("auth_param basic program {helper} {}\n", users.display()));
        text.push_str(
            "auth_param basic realm holm\nacl known proxy_auth REQUIRED\nhttp_access deny !known\n",
        );
    }
    text.push_str("http_access allow CONNECT\nhttp_access deny all\n");
    let file = sea.file("squid.conf", &text);
    // It works as a user of its own, who opens what it was given.
    let out = fs::File::create(log).expect("a log file");
    for path in [&users, &file, log] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).expect("our own file");
    }
    let mut call = command("squid");
    call.arg("-N").arg("-f").arg(file).stdout(out).stderr(Stdio::null());
    listening(call, address, &text)
}

fn listening(mut call: Command, address: SocketAddr, configuration: &str) -> Child {
    let mut proxy = call.spawn().expect("the proxy starts");
    wait_for("the proxy listens", || {
        let ended = proxy.try_wait().expect("our own child");
        assert!(ended.is_none(), "it refuses its configuration:\n{configuration}");
        TcpStream::connect(address).ok()
    });
    proxy
}

fn online(sea: &Sea, name: &str) -> Option<()> {
    let nodes: Vec<Node> = sea.list("root", "nodes")?;
    nodes.iter().any(|node| node.name == name && node.state == "online").then_some(())
}

const SLEEPER: &str = "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    \
    command: [sleep, \"100000\"]\n    stop: { grace: 1s }\n";

/// Joining, an instance, and a megabyte by exec through the session's second connection.
fn works_through(sea: &Sea, rules: &Rules<'_>, credentials: Option<&str>) -> Edge {
    let mut edge = Edge::of(sea, "node", rules, credentials);
    edge.start(&sea.token("root", &["--role", "node"]));
    wait_for("it joins through the proxy", || online(sea, NAME));
    sea.deploy(SLEEPER);
    let size = 1 << 20;
    let script = format!("head -c {size} /dev/zero | tr '\\0' x");
    let said = sea.holm(&["exec", "shop/web/0", "--", "sh", "-c", &script]).done();
    assert_eq!(said.stdout.trim_end().len(), size);
    if rules.make == Make::Tinyproxy {
        // Joining, the session, its second connection.
        assert!(edge.asked() >= 3, "{}", fs::read_to_string(&edge.proxy_log).unwrap_or_default());
    }
    let found = edge.doctor().done().stdout;
    assert!(found.contains("lets us through") && found.contains("open since"), "{found}");
    assert!(!edge.log().contains("k4rotte") && !found.contains("k4rotte"));
    let found = edge.doctor_told_nothing().done().stdout;
    let way = if credentials.is_some() { "which the daemon has" } else { "lets us through" };
    assert!(found.contains(way) && found.contains("open since"), "{found}");
    edge
}

#[test]
fn a_node_lives_behind_a_proxy_needs_proxy_needs_root() {
    works_through(&sea().start(), &OPEN, None);
}

#[test]
fn a_node_lives_behind_a_proxy_that_wants_credentials_needs_proxy_needs_root() {
    let sea = sea().words("root", &["--certificate-life=9s"]).start();
    let _edge = works_through(&sea, &GUARDED, Some("holm:k4rotte\n"));
    let certificate = || fs::read(sea.path(NAME).join("credentials.pem")).ok();
    let first = certificate();
    wait_for("its certificate is renewed through the proxy", || (certificate() != first).then_some(()));
    assert!(first.is_some() && online(&sea, NAME).is_some());
}

#[test]
fn a_node_lives_behind_squid_needs_proxy_needs_root() {
    let sea = sea().start();
    let mut edge = works_through(&sea, &SQUID, None);
    edge.daemon = None;
    wait_for("squid has carried all of it", || (edge.asked() >= 3).then_some(()));
}

#[test]
fn a_node_lives_behind_squid_that_wants_credentials_needs_proxy_needs_root() {
    let sea = sea().start();
    let mut edge = Edge::of(&sea, "node", &GUARDED_SQUID, Some("holm:guessed"));
    edge.start(&sea.token("root", &["--role", "node"]));
    edge.says(&["refuses the credentials (407)", "--proxy-credentials-file", &edge.address.to_string()]);
    drop(edge);
    works_through(&sea, &GUARDED_SQUID, Some("holm:k4rotte\n"));
}

#[test]
fn the_usual_variables_count_for_the_daemon_needs_proxy_needs_root() {
    // An address of its own, since loopback is never asked of a proxy: from the edge there is no way to it.
    let sea = sea().isolated().start();
    let token = sea.token("root", &["--role", "node"]);
    let mut edge = Edge::of(&sea, "node", &OPEN, None);
    let (plan, proxy) = (edge.plan.clone(), format!("HTTPS_PROXY=http://{}", edge.address));
    edge.in_environment(&[&proxy, "NO_PROXY=example.org,198.18.0.0/15"]);
    edge.start(&token);
    edge.says(&["unreachable", sea.address("root")]);
    assert_eq!(edge.asked(), 0, "it was told not to");
    edge.plan = plan;
    edge.in_environment(&[&proxy, "NO_PROXY=example.org"]);
    edge.start(&token);
    wait_for("it joins through the proxy", || online(&sea, NAME));
    assert!(edge.asked() >= 2);
}

#[test]
fn a_cluster_lives_behind_a_proxy_needs_proxy_needs_root() {
    let sea = sea().start();
    let mut edge = Edge::of(&sea, "cluster", &GUARDED, Some("holm:k4rotte"));
    edge.start(&sea.token("root", &["--role", "cluster"]));
    wait_for("it joins through the proxy", || {
        let clusters: Vec<Cluster> = sea.list("root", "clusters")?;
        clusters.iter().any(|cluster| cluster.name == NAME && cluster.state == "online").then_some(())
    });
    let found = wait_for("its link is open by its own word", || {
        Some(edge.doctor_told_nothing()).filter(|found| found.code == 0).map(|found| found.stdout)
    });
    assert!(found.contains("which the daemon has"), "{found}");
}

#[test]
fn wrong_credentials_are_named_and_found_and_mended_needs_proxy_needs_root() {
    let sea = sea().start();
    let token = sea.token("root", &["--role", "node"]);
    let mut edge = Edge::of(&sea, "node", &GUARDED, Some("holm:guessed"));
    edge.start(&token);
    // tinyproxy says 401, others 407.
    edge.says(&["refuses the credentials (401)", "--proxy-credentials-file", &edge.address.to_string()]);
    let found = edge.doctor();
    assert_eq!(found.code, 1, "{found:?}");
    let line = found.stdout.lines().find(|line| line.starts_with("FAIL") && line.contains("proxy"));
    assert!(line.is_some_and(|line| line.contains("refuses the credentials")), "{found:?}");
    for text in [&edge.log(), &found.stdout, &found.stderr] {
        assert!(!text.contains("guessed") && !text.contains("aG9sbTpndWVzc2Vk"), "{text}");
    }
    // Not used up by all this.
    fs::write(&edge.credentials, "holm:k4rotte").unwrap();
    edge.start(&token);
    wait_for("it joins", || online(&sea, NAME));
}

#[test]
fn what_a_proxy_forbids_or_cannot_reach_is_named_needs_proxy_needs_root() {
    let mut sea = sea().start();
    let token = sea.token("root", &["--role", "node"]);
    let mut edge = Edge::of(&sea, "node", &Rules { only_port: Some(443), ..OPEN }, None);
    edge.start(&token);
    edge.says(&["forbids CONNECT", "403", sea.address("root")]);
    drop(edge);
    let mut edge = Edge::of(&sea, "node", &OPEN, None);
    sea.kill("root");
    edge.start(&token);
    edge.says(&["cannot reach", sea.address("root")]);
    sea.start("root");
    wait_for("it joins when the root is back", || online(&sea, NAME));
}

/// A guest network: answers with a page to log in until somebody has, then lets through to `far`.
fn guest_network(far: String, logged_in: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for mut near in listener.incoming().map_while(Result::ok) {
            if logged_in.load(Ordering::Relaxed) {
                let Ok(far) = TcpStream::connect(&far) else { continue };
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)]
                {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
            } else {
                let _ = near.read(&mut [0; 1024]);
                let _ = near.write_all(b"HTTP/1.1 302 Found\r\nlocation: http://login.example/\r\n\r\n");
            }
        }
    });
    address
}

#[test]
fn a_guest_network_is_named_and_the_node_joins_once_somebody_has_logged_in() {
    let sea = sea().start();
    let logged_in = Arc::new(AtomicBool::new(false));
    let parent = guest_network(sea.address("root").to_owned(), Arc::clone(&logged_in));
    let words = ["node".to_owned(), format!("--parent={parent}"), format!("--name={NAME}")];
    let log = sea.path("guest.log");
    let plan = Plan {
        program: sea.path("holm"),
        words: [&words[..], &[format!("--data-dir={}", sea.path(NAME).display())]].concat(),
        log: log.clone(),
        namespace: None,
    };
    let _node = Daemon::start(&plan, Some(&sea.token("root", &["--role", "node"])));
    wait_for("the log names the network", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        (text.contains("this network answers in the orchestrator's place")
            && text.contains("http://login.example/"))
        .then_some(())
    });
    logged_in.store(true, Ordering::Relaxed);
    wait_for("it joins", || online(&sea, NAME));
}

#[test]
fn ipv6_literals_are_addresses_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let data = |name: &str| dir.path().join(name);
    let plan = |name: &str, words: &[String]| {
        let own = [name.to_owned(), format!("--data-dir={}", data(name).display()), format!("--name={name}")];
        let words = [&own[..], words].concat();
        Plan { program: PROGRAM.into(), words, log: data(&format!("{name}.log")), namespace: None }
    };
    let listen = ["--listen=[::1]:0".to_owned(), "--host=::1".to_owned()];
    let root = Daemon::start(&plan("root", &listen), None);
    let address = root.ready().expect("a root").address;
    assert!(address.starts_with("[::1]:"), "{address}");
    let token = {
        let mut call = command(PROGRAM);
        call.args(["token", "create", "--role", "node"]).env("HOLM_SOCKET", data("root").join("api.sock"));
        run(call, "").done().line().to_owned()
    };
    let node = plan("node", &[format!("--parent={address}")]);
    let _node = Daemon::start(&node, Some(&token));
    wait_for("the node is linked", || {
        fs::read_to_string(&node.log)
            .is_ok_and(|log| log.contains("Linked to the orchestrator"))
            .then_some(())
    });
    let mut doctor = command(PROGRAM);
    doctor.arg("doctor").arg("--data-dir").arg(data("node"));
    let found = run(doctor, "").done();
    assert!(found.stdout.contains("is at ::1"), "{found:?}");
}

/// Inside a node's network, as a NAT that forgets a mapping: packets of `port` vanish both ways.
fn forget(namespace: &str, port: &str) {
    for (chain, side) in [("INPUT", "--dport"), ("OUTPUT", "--sport")] {
        let mut call = command("ip");
        call.args(["netns", "exec", namespace, "iptables", "-w", "-I", chain, "-p", "tcp", side, port]);
        run(
            {
                call.args(["-j", "DROP"]);
                call
            },
            "",
        )
        .done();
    }
}

#[test]
fn a_mapping_that_a_nat_forgets_is_noticed_and_dialled_anew_needs_root() {
    let sea = sea().isolated().cluster("vienna", &["fl-1"]).start();
    let links = || sea.log("fl-1").matches("Linked to the orchestrator").count();
    wait_for("it is linked", || (links() == 1).then_some(()));
    let pid = sea.pid("fl-1").to_string();
    let mut call = command("ip");
    call.args(["netns", "identify", &pid]);
    let namespace = run(call, "").done().line().to_owned();
    let mut call = command("ip");
    call.args(["netns", "exec", &namespace, "ss", "-tnH", "state", "established"]);
    let flows = run(call, "").done().stdout;
    let ports: Vec<_> = flows
        .lines()
        .filter(|line| line.contains(sea.address("vienna")))
        .filter_map(|line| line.split_whitespace().nth(2)?.rsplit_once(':').map(|(_, port)| port.to_owned()))
        .collect();
    assert!(!ports.is_empty(), "{flows}");
    ports.iter().for_each(|port| forget(&namespace, port));
    // Its own deadline is 15 s; TCP alone would try for a quarter of an hour.
    wait_for("it is linked anew", || (links() == 2).then_some(()));
    assert!(sea.log("fl-1").contains("the orchestrator is silent"), "{}", sea.log("fl-1"));
    holds_for(crate::harness::sea::SETTLED, "and stays so", || links() == 2);
}
