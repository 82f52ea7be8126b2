//! Addresses of the machine's interfaces.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// Addresses by which others may reach this machine: of interfaces that are up, without loopback and
/// without link-local ones (which say nothing without their interface).
pub(super) fn addresses() -> Vec<IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten();
    let usable = interfaces.filter(|i| i.flags.contains(InterfaceFlags::IFF_UP)).filter_map(|i| {
        let address = i.address?;
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        let ip = v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))?;
        is_reachable(ip).then_some(ip)
    });
    usable.collect::<BTreeSet<_>>().into_iter().collect()
}

const fn is_reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_unspecified() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unspecified() && !ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_cannot_reach_is_not_told() {
        for ip in ["127.0.0.1", "::1", "169.254.1.2", "fe80::1", "0.0.0.0"] {
            assert!(!is_reachable(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["10.0.0.1", "192.0.2.7", "2001:db8::1"] {
            assert!(is_reachable(ip.parse().unwrap()), "{ip}");
        }
        assert!(addresses().into_iter().all(is_reachable));
    }
}
