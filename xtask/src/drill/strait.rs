//! An island in a network namespace of its own, and the one cable to it. Root only.

use anyhow::{Result, ensure};

use crate::tool::succeeds;

/// What it made goes with it.
#[derive(Debug)]
pub(super) struct Strait {
    namespace: String,
    cable: String,
    /// The last two octets of the net, of 198.18.0.0/15, which is for tests of networks (RFC 2544).
    net: u8,
}

// === impl Strait ===

impl Strait {
    pub(super) fn new() -> Result<Self> {
        let id = std::process::id();
        let strait = Self {
            namespace: format!("holm-drill-{id}"),
            cable: format!("hd{id}"),
            net: id.to_be_bytes()[3],
        };
        let Self { namespace, cable, .. } = &strait;
        let (mainland, island) = (strait.mainland(), strait.address(2));
        for words in [
            format!("netns add {namespace}"),
            format!("link add {cable} type veth peer name eth0 netns {namespace}"),
            format!("address add {mainland}/24 dev {cable}"),
            format!("link set {cable} up"),
            format!("-n {namespace} address add {island}/24 dev eth0"),
            format!("-n {namespace} link set lo up"),
            format!("-n {namespace} link set eth0 up"),
        ] {
            ip(&words)?;
        }
        Ok(strait)
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The address of this side.
    pub(super) fn mainland(&self) -> String {
        self.address(1)
    }

    pub(super) fn cut(&self, cut: bool) -> Result<()> {
        ip(&format!("link set {} {}", self.cable, if cut { "down" } else { "up" }))
    }

    fn address(&self, last: u8) -> String {
        format!("198.19.{}.{last}", self.net)
    }
}

impl Drop for Strait {
    fn drop(&mut self) {
        // The other end of the cable goes along.
        succeeds("ip", &["link", "delete", &self.cable]);
        succeeds("ip", &["netns", "delete", &self.namespace]);
    }
}

fn ip(words: &str) -> Result<()> {
    let all: Vec<&str> = words.split(' ').collect();
    ensure!(succeeds("ip", &all), "`ip {words}` failed");
    Ok(())
}
