//! Which address is called through which proxy.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use super::{ParseProxyError, Proxy};

/// How a machine calls others; clones are the same rules. By default: directly.
#[derive(Clone, Default)]
pub struct Proxies(Option<Arc<Rules>>);

struct Rules {
    proxy: Proxy,
    except: Exceptions,
}

enum Exceptions {
    None,
    /// Addresses of this machine itself, and what `NO_PROXY` matches. A matcher is asked what it
    /// intercepts.
    Usual(Box<Matcher>),
}

/// A standard variable cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} cannot be used as a proxy")]
pub struct VariableError {
    pub variable: &'static str,
    pub source: ParseProxyError,
}

/// The first that is set counts, as with curl.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const EXCEPT: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// Rules of the whole process: how a machine gets out is a property of the machine.
static PROCESS: OnceLock<Proxies> = OnceLock::new();

// === impl Proxies ===

impl Proxies {
    /// Everybody is called directly.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// Everybody is called through `proxy`.
    #[must_use]
    pub fn all(proxy: Proxy) -> Self {
        Self(Some(Arc::new(Rules { proxy, except: Exceptions::None })))
    }

    /// By the standard variables `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, of which `variable` tells
    /// the values. Addresses of this machine itself are called directly.
    ///
    /// # Errors
    /// When the one that counts names no proxy that can be used.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, VariableError> {
        let set = |name: &&'static str| Some((*name, variable(name).filter(|value| !value.is_empty())?));
        let Some((name, url)) = VARIABLES.iter().find_map(set) else { return Ok(Self::none()) };
        let proxy = url.parse().map_err(|source| VariableError { variable: name, source })?;
        let no = EXCEPT.iter().find_map(set).map(|(_, list)| list).unwrap_or_default();
        let matcher = Matcher::builder().https("http://proxy.invalid").no(no).build();
        Ok(Self(Some(Arc::new(Rules { proxy, except: Exceptions::Usual(Box::new(matcher)) }))))
    }

    /// Makes these the rules of the process; the first call counts.
    pub fn install(self) {
        // Set once at the start, by the same program: a second time changes nothing.
        let _ = PROCESS.set(self);
    }

    /// The rules of the process: none unless they were [installed](Self::install).
    #[must_use]
    pub fn of_process() -> Self {
        PROCESS.get().cloned().unwrap_or_default()
    }

    /// The proxy for `address` (`host:port`).
    #[must_use]
    pub fn for_address(&self, address: &str) -> Option<&Proxy> {
        let rules = self.0.as_ref()?;
        let through = match &rules.except {
            Exceptions::None => true,
            Exceptions::Usual(matcher) => !is_own(host(address)) && intercepts(matcher, address),
        };
        through.then_some(&rules.proxy)
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxies").field(&self.0.as_ref().map(|rules| rules.proxy.address())).finish()
    }
}

/// Without port and brackets.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

fn is_own(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn intercepts(matcher: &Matcher, address: &str) -> bool {
    let uri = Uri::builder().scheme("https").authority(address).path_and_query("/").build();
    // What is no address is not resolved either, and told so then.
    uri.is_ok_and(|uri| matcher.intercept(&uri).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Proxies, VariableError> {
        let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Proxies::from_variables(value)
    }

    fn way<'a>(proxies: &'a Proxies, address: &str) -> Option<&'a str> {
        proxies.for_address(address).map(Proxy::address)
    }

    #[test]
    fn the_standard_variables_count_in_their_order() {
        assert_eq!(way(&from(&[]).unwrap(), "root.example:7700"), None);
        let all = from(&[("ALL_PROXY", "http://all:1"), ("HTTPS_PROXY", "")]).unwrap();
        assert_eq!(way(&all, "root.example:7700"), Some("all:1"));
        let both = from(&[("ALL_PROXY", "http://all:1"), ("https_proxy", "http://https:2")]).unwrap();
        assert_eq!(way(&both, "root.example:443"), Some("https:2"));
        let plain_only = from(&[("HTTP_PROXY", "http://plain:1")]).unwrap();
        assert_eq!(way(&plain_only, "root.example:443"), None);
    }

    #[test]
    fn exceptions_are_names_networks_and_this_machine() {
        let no = "inside.example, 10.0.0.0/8,2001:db8::/32";
        let proxies = from(&[("HTTPS_PROXY", "http://p:1"), ("no_proxy", no)]).unwrap();
        for direct in [
            "inside.example:7700",
            "a.inside.example:7700",
            "10.1.2.3:7700",
            "[2001:db8::7]:7700",
            "localhost:7700",
            "127.0.0.9:7700",
            "[::1]:7700",
        ] {
            assert_eq!(way(&proxies, direct), None, "{direct}");
        }
        for through in ["notinside.example:7700", "11.1.2.3:7700", "[2001:db9::7]:7700"] {
            assert_eq!(way(&proxies, through), Some("p:1"), "{through}");
        }
        let none = from(&[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "*")]).unwrap();
        assert_eq!(way(&none, "root.example:7700"), None);
    }

    #[test]
    fn a_proxy_that_was_named_is_for_everybody() {
        let proxies = Proxies::all("http://p:1".parse().unwrap());
        assert_eq!(way(&proxies, "127.0.0.1:7700"), Some("p:1"));
        assert_eq!(way(&Proxies::none(), "root.example:7700"), None);
    }

    #[test]
    fn an_unusable_variable_is_named() {
        let error = from(&[("ALL_PROXY", "socks5://me:secret@p:1")]).unwrap_err();
        assert_eq!(error, VariableError { variable: "ALL_PROXY", source: ParseProxyError::Scheme });
    }
}
