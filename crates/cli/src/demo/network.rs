//! `--isolated`: a network namespace for each node. Nothing comes in; what goes out reaches the
//! orchestrators over a bridge. Made with `ip`, removed by the names in the demo's record.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use super::ground::{Ground, Record};
use crate::failure::Failure;

#[derive(Clone, Debug)]
pub(super) struct Network {
    number: u32,
}

/// Firewalls that are looked for, and the rules that let only answers in.
const NFT: [&str; 4] = [
    "add table inet holm",
    "add chain inet holm input { type filter hook input priority 0; policy drop; }",
    "add rule inet holm input ct state established,related accept",
    "add rule inet holm input iif lo accept",
];
const IPTABLES: [&str; 3] = [
    "-A INPUT -i lo -j ACCEPT",
    "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    "-P INPUT DROP",
];

// === impl Network ===

impl Network {
    pub(super) fn create(ground: &mut Ground) -> Result<Self, Failure> {
        if !nix::unistd::geteuid().is_root() {
            return Err(Failure::wrong_use("--isolated makes network namespaces, which only root may do")
                .hint("leave --isolated out, or use sudo"));
        }
        let network = Self { number: std::process::id() };
        let bridge = network.bridge();
        ground.note(|record| record.bridge = Some(bridge.clone()))?;
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("address add {}/24 dev {bridge}", network.address()))?;
        ip(&format!("link set {bridge} up"))?;
        Ok(network)
    }

    /// Where orchestrators listen. 198.18.0.0/15 is for tests of networks (RFC 2544): nobody's address.
    pub(super) fn address(&self) -> Ipv4Addr {
        self.host(1)
    }

    /// The `index`-th node's namespace, made and ready.
    pub(super) fn namespace(&self, ground: &mut Ground, node: &str, index: u8) -> Result<PathBuf, Failure> {
        let name = format!("holm-demo-{}-{node}", self.number);
        ground.note(|record| record.namespaces.push(name.clone()))?;
        let (bridge, veth) = (self.bridge(), format!("hd{}v{index}", self.number));
        ip(&format!("netns add {name}"))?;
        ip(&format!("link add {veth} type veth peer name eth0 netns {name}"))?;
        ip(&format!("link set {veth} master {bridge} up"))?;
        ip(&format!("-n {name} address add {}/24 dev eth0", self.host(10 + index)))?;
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        let path = PathBuf::from("/run/netns").join(&name);
        firewall(&path)?;
        Ok(path)
    }

    fn host(&self, last: u8) -> Ipv4Addr {
        let [.., high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(198, 18 + (high & 1), low, last)
    }

    /// At most 15 characters.
    fn bridge(&self) -> String {
        format!("hd{}", self.number)
    }
}

/// Removes what a record names.
pub(super) fn remove(record: &Record) {
    // The kernel empties a namespace in its own time; with one end of a cable goes the other at once.
    let ports = record.bridge.iter().flat_map(|bridge| fs::read_dir(format!("/sys/class/net/{bridge}/brif")));
    for port in ports.flatten().flatten() {
        let _ = ip(&format!("link delete {}", port.file_name().to_string_lossy()));
    }
    for namespace in &record.namespaces {
        // Not there: removed before, or never made.
        let _ = ip(&format!("netns delete {namespace}"));
    }
    if let Some(bridge) = &record.bridge {
        let _ = ip(&format!("link delete {bridge}"));
    }
}

fn firewall(namespace: &std::path::Path) -> Result<(), Failure> {
    let enter = format!("--net={}", namespace.display());
    let nft = || NFT.iter().try_for_each(|rule| run("nsenter", &[&enter, "nft", rule]));
    let word = |rule: &'static str| rule.split(' ').collect::<Vec<_>>();
    let iptables = |program: &str| {
        IPTABLES.iter().try_for_each(|rule| run("nsenter", &[vec![&*enter, program], word(rule)].concat()))
    };
    nft().or_else(|_| iptables("iptables").and_then(|()| iptables("ip6tables").or(Ok(())))).map_err(
        |failure| {
            failure.hint("--isolated needs nft or iptables to drop incoming connections: install nftables")
        },
    )
}

fn ip(arguments: &str) -> Result<(), Failure> {
    run("ip", &arguments.split(' ').collect::<Vec<_>>())
}

fn run(program: &str, arguments: &[&str]) -> Result<(), Failure> {
    let what = || format!("`{program} {}` has failed", arguments.join(" "));
    let output = Command::new(program).args(arguments).output();
    let output =
        output.map_err(|e| Failure::from_error(what(), &e).hint("install iproute2 and util-linux"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{}: {}", what(), String::from_utf8_lossy(&output.stderr).trim())))
}
