//! Ports of the node that instances listen on: which is whose, and which is free.
//!
//! A port is found free by binding it. Between that and the instance's own bind somebody else may
//! take it; the instance then ends, and the next attempt gets another port (`auto`) or says who has it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;

use holm_model::id::AssignmentId;
use holm_model::name::Name;
use holm_model::service::Port;

/// Where `auto` ports come from: below the ports that Linux gives to outgoing connections, so that
/// none of those can take an instance's port while it restarts.
pub(crate) const AUTO: RangeInclusive<u16> = 20_000..=31_999;

/// Whose port is which.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    given: BTreeMap<u16, AssignmentId>,
}

/// Why an instance got no ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PortError {
    #[error("port {port} ({name}) is taken by {holder}")]
    Taken { name: Name, port: u16, holder: String },
    #[error("port {port} ({name}) may not be bound on this node: {reason}")]
    Refused { name: Name, port: u16, reason: String },
    #[error("no port between {} and {} is free for `{name}`", AUTO.start(), AUTO.end())]
    NoneFree { name: Name },
}

// === impl Ports ===

impl Ports {
    /// Ports that an instance has anyway: it survived a restart of the agent.
    pub(crate) fn adopt(&mut self, id: AssignmentId, ports: impl IntoIterator<Item = u16>) {
        self.given.extend(ports.into_iter().map(|port| (port, id)));
    }

    /// The instance is gone.
    pub(crate) fn release(&mut self, id: AssignmentId) {
        self.given.retain(|_, holder| *holder != id);
    }

    /// Gives `id` all ports that it wants, or none. `auto` ports stay those of `keep` while they are
    /// free. `random` spreads the search: agents that share a machine do not see each other's.
    ///
    /// # Errors
    /// The first port that cannot be had; `id` then has none.
    pub(crate) fn assign(
        &mut self,
        id: AssignmentId,
        wanted: &BTreeMap<Name, Port>,
        keep: &BTreeMap<Name, u16>,
        random: u64,
        probe: impl Fn(u16) -> io::Result<()>,
    ) -> Result<BTreeMap<Name, u16>, PortError> {
        self.release(id);
        let mut ports = BTreeMap::new();
        // Fixed ones first, so that no `auto` port takes the number of one.
        let fixed: BTreeSet<u16> = wanted.values().filter_map(|port| port.host).collect();
        for (name, port) in wanted {
            let number = match port.host {
                Some(number) => self.fixed(name, number, &probe)?,
                None => {
                    let used: BTreeSet<u16> = ports.values().copied().chain(fixed.iter().copied()).collect();
                    let free = |port: u16| {
                        !used.contains(&port) && !self.given.contains_key(&port) && probe(port).is_ok()
                    };
                    let kept = keep.get(name).copied().filter(|port| free(*port));
                    let found = kept.or_else(|| candidates(random).find(|port| free(*port)));
                    found.ok_or_else(|| PortError::NoneFree { name: name.clone() })?
                }
            };
            ports.insert(name.clone(), number);
        }
        self.adopt(id, ports.values().copied());
        Ok(ports)
    }

    fn fixed(&self, name: &Name, port: u16, probe: impl Fn(u16) -> io::Result<()>) -> Result<u16, PortError> {
        if let Some(holder) = self.given.get(&port) {
            let holder = format!("instance {holder} of this node");
            return Err(PortError::Taken { name: name.clone(), port, holder });
        }
        match probe(port) {
            Ok(()) => Ok(port),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let holder = listener(port).unwrap_or_else(|| "another program".to_owned());
                Err(PortError::Taken { name: name.clone(), port, holder })
            }
            // The instance may have more rights, or another network, than the agent.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(port),
            Err(error) => Err(PortError::Refused { name: name.clone(), port, reason: error.to_string() }),
        }
    }
}

/// All `auto` ports once, from a random one on.
fn candidates(random: u64) -> impl Iterator<Item = u16> {
    let count = u64::from(AUTO.end() - AUTO.start()) + 1;
    // The remainder is smaller than the count of ports.
    let first = AUTO.start() + u16::try_from(random % count).unwrap_or(0);
    (first..=*AUTO.end()).chain(*AUTO.start()..first)
}

/// Binds the port for a moment, on all addresses. A machine without IPv6 is judged by IPv4 alone.
pub(crate) fn probe(port: u16) -> io::Result<()> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
    match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        _ => Ok(()),
    }
}

/// The program that listens on `port`, for people; none when it cannot be seen.
fn listener(port: u16) -> Option<String> {
    let tables = [procfs::net::tcp(), procfs::net::tcp6()];
    let mut sockets = tables.into_iter().flatten().flatten();
    let listens = |entry: &procfs::net::TcpNetEntry| entry.state == procfs::net::TcpState::Listen;
    let inode = sockets.find(|entry| entry.local_address.port() == port && listens(entry))?.inode;
    let owns = |process: &procfs::process::Process| {
        let files = process.fd().into_iter().flatten().flatten();
        files.into_iter().any(|fd| fd.target == procfs::process::FDTarget::Socket(inode))
    };
    let process = procfs::process::all_processes().ok()?.flatten().find(owns)?;
    Some(format!("{} (process {})", process.stat().ok()?.comm, process.pid()))
}

#[cfg(test)]
mod tests {
    use holm_model::id::{Epoch, Uid};

    use super::*;

    fn id(counter: u64) -> AssignmentId {
        AssignmentId(Uid { epoch: Epoch::new(1, 7), counter })
    }

    fn wanted<const N: usize>(ports: [(&str, Option<u16>); N]) -> BTreeMap<Name, Port> {
        ports.map(|(name, host)| (Name::new(name).unwrap(), Port { host, container: None })).into()
    }

    const fn all_free(_: u16) -> io::Result<()> {
        Ok(())
    }

    #[test]
    fn an_auto_port_stays_with_its_instance_and_is_given_once() {
        let mut ports = Ports::default();
        let wish = wanted([("http", None), ("admin", None)]);
        let first = ports.assign(id(1), &wish, &BTreeMap::new(), 5, all_free).unwrap();
        assert_ne!(first[&Name::new("http").unwrap()], first[&Name::new("admin").unwrap()]);
        let other = ports.assign(id(2), &wish, &BTreeMap::new(), 5, all_free).unwrap();
        assert!(other.values().all(|port| !first.values().any(|p| p == port)));
        assert_eq!(ports.assign(id(1), &wish, &first, 99, all_free).unwrap(), first);
    }

    #[test]
    fn a_kept_port_that_somebody_took_is_given_up() {
        let mut ports = Ports::default();
        let wish = wanted([("http", None)]);
        let keep = BTreeMap::from([(Name::new("http").unwrap(), 20_005)]);
        let busy = |port| if port == 20_005 { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(()) };
        let got = ports.assign(id(1), &wish, &keep, 5, busy).unwrap();
        assert_eq!(got.values().copied().collect::<Vec<_>>(), [20_006]);
    }

    #[test]
    fn a_fixed_port_of_another_instance_is_refused_with_its_holder() {
        let mut ports = Ports::default();
        let wish = wanted([("http", Some(80))]);
        ports.assign(id(1), &wish, &BTreeMap::new(), 0, all_free).unwrap();
        let error = ports.assign(id(2), &wish, &BTreeMap::new(), 0, all_free).unwrap_err();
        assert!(error.to_string().starts_with("port 80 (http) is taken by instance 1-"), "{error}");
        ports.release(id(1));
        assert!(ports.assign(id(2), &wish, &BTreeMap::new(), 0, all_free).is_ok());
    }

    #[test]
    fn auto_ports_avoid_the_fixed_ones_of_the_same_instance() {
        let wish = wanted([("a", None), ("b", Some(20_000))]);
        let got = Ports::default().assign(id(1), &wish, &BTreeMap::new(), 0, all_free).unwrap();
        assert_eq!(got[&Name::new("a").unwrap()], 20_001);
    }

    #[test]
    fn when_all_are_taken_it_is_said() {
        let taken = |_| Err(io::ErrorKind::AddrInUse.into());
        let error =
            Ports::default().assign(id(1), &wanted([("a", None)]), &BTreeMap::new(), 7, taken).unwrap_err();
        assert_eq!(error.to_string(), "no port between 20000 and 31999 is free for `a`");
    }

    #[test]
    fn the_program_that_has_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let wish = wanted([("http", Some(port))]);
        let error = Ports::default().assign(id(1), &wish, &BTreeMap::new(), 0, probe).unwrap_err();
        let me = format!("(process {})", std::process::id());
        assert!(error.to_string().ends_with(&me), "{error}");
    }
}
