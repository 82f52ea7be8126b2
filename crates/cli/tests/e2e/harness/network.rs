//! A network namespace for each node, behind a bridge. Nothing comes in but answers, unless it is an open one. Root only.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::{command, run};
use super::counted;

#[derive(Debug)]
pub(crate) struct Network {
    number: String,
    /// The first two octets that tell seas apart.
    net: (u8, u8),
    /// Nobody can connect to a node.
    closed: bool,
    namespaces: Vec<String>,
}

const RULES: [&str; 3] = [
    "-A INPUT -i lo -j ACCEPT",
    "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    "-P INPUT DROP",
];
const NFT: [&str; 4] = [
    "add table inet holm",
    "add chain inet holm input { type filter hook input priority 0; policy drop; }",
    "add rule inet holm input ct state established,related accept",
    "add rule inet holm input iif lo accept",
];

// === impl Network ===

impl Network {
    pub(crate) fn create() -> Self {
        Self::new(true)
    }

    /// Without a filter.
    pub(crate) fn open() -> Self {
        Self::new(false)
    }

    fn new(closed: bool) -> Self {
        let (pid, sea) = (std::process::id(), counted());
        let net = (18 + (sea & 1), pid.to_be_bytes()[3]);
        let network = Self { number: format!("{pid}x{sea}"), net, closed, namespaces: Vec::new() };
        let bridge = network.bridge();
        ip(&format!("link add {bridge} type bridge"));
        ip(&format!("address add {}/24 dev {bridge}", network.address()));
        ip(&format!("link set {bridge} up"));
        network
    }

    /// Where orchestrators listen. 198.18.0.0/15 is for tests of networks (RFC 2544).
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.host(1)
    }

    pub(crate) fn namespace(&mut self, node: &str) -> PathBuf {
        let index = u8::try_from(self.namespaces.len()).expect("few nodes");
        let name = self.name(node);
        ip(&format!("netns add {name}"));
        self.namespaces.push(name.clone());
        let veth = format!("he{}v{index}", self.number);
        ip(&format!("link add {veth} type veth peer name eth0 netns {name}"));
        ip(&format!("link set {veth} master {} up", self.bridge()));
        ip(&format!("-n {name} address add {}/24 dev eth0", self.host(10 + index)));
        ip(&format!("-n {name} link set lo up"));
        ip(&format!("-n {name} link set eth0 up"));
        let path = PathBuf::from("/run/netns").join(&name);
        if self.closed {
            close(&path);
        }
        path
    }

    /// Whatever goes to the node and comes from it takes so much longer, by the kernel's `netem`.
    pub(crate) fn delay(&self, node: &str, way: Duration) {
        let (name, index) = (self.name(node), self.index(node));
        let netem = format!("root netem delay {}ms limit 100000", way.as_millis());
        tc(&format!("-n {name} qdisc add dev eth0 {netem}"));
        tc(&format!("qdisc add dev he{}v{index} {netem}", self.number));
    }

    /// Pulls the cable of a node, or plugs it in.
    pub(crate) fn cable(&self, node: &str, plugged: bool) {
        ip(&format!("-n {} link set eth0 {}", self.name(node), if plugged { "up" } else { "down" }));
    }

    /// A node's own address, which nobody can connect to.
    pub(crate) fn address_of(&self, node: &str) -> Ipv4Addr {
        self.host(10 + self.index(node))
    }

    fn index(&self, node: &str) -> u8 {
        let index = self.namespaces.iter().position(|name| *name == self.name(node)).expect("a node of it");
        u8::try_from(index).expect("few nodes")
    }

    fn name(&self, node: &str) -> String {
        format!("holm-e2e-{}-{node}", self.number)
    }

    /// At most 15 characters.
    fn bridge(&self) -> String {
        format!("he{}", self.number)
    }

    fn host(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, self.net.0, self.net.1, last)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let delete = |words: &[&str]| run_quietly("ip", words);
        self.namespaces.iter().for_each(|name| delete(&["netns", "delete", name]));
        delete(&["link", "delete", &self.bridge()]);
    }
}

/// nft where there is one, iptables otherwise.
fn close(namespace: &Path) {
    let enter = format!("--net={}", namespace.display());
    let inside = |words: &[&str]| {
        let mut call = command("nsenter");
        call.arg(&enter).args(words);
        run(call, "").code == 0
    };
    if command("nft").arg("--version").output().is_ok_and(|output| output.status.success()) {
        assert!(NFT.iter().all(|rule| inside(&["nft", rule])), "nft");
        return;
    }
    for rule in RULES {
        let words: Vec<_> = ["iptables", "-w"].into_iter().chain(rule.split(' ')).collect();
        assert!(inside(&words), "iptables {rule}");
    }
}

#[track_caller]
fn ip(words: &str) {
    tool("ip", words);
}

#[track_caller]
fn tc(words: &str) {
    tool("tc", words);
}

#[track_caller]
fn tool(program: &str, words: &str) {
    let mut call = command(program);
    call.args(words.split(' '));
    run(call, "").done();
}

fn run_quietly(program: &str, words: &[&str]) {
    // In the end only: what cannot be removed is not the test's outcome.
    let _ = command(program).args(words).output();
}
