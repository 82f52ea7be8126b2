//! The way to the orchestrator above, hop by hop; what lies behind a broken hop is not tried.

use std::time::Duration;

use holm_link::clock::Clock;
use holm_link::credentials::Credentials;
use holm_link::dial::DialError;
use holm_link::probe::{self, ProbeError, Standing};
use holm_link::proxy::{Proxy, ProxyError};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::report::Report;
use super::stranger;
use super::subject::{Daemon, Role, Subject};
use crate::failure::chain;

const NAME: &str = "name";
const PARENT: &str = "orchestrator";
const PROXY: &str = "proxy";
const SESSION: &str = "session";
const TCP: &str = "tcp";
pub(super) const TLS: &str = "tls";
/// For a name server.
const RESOLVE: Duration = Duration::from_secs(5);
/// Addresses that are shown.
const SHOWN: usize = 4;

pub(super) async fn check(
    subject: &Subject,
    credentials: Option<&Credentials>,
    clock: &Clock,
    report: &mut Report,
) {
    if subject.role == Role::Root {
        return report.ok(PARENT, "a root has none above it");
    }
    let Some(parent) = &subject.parent else {
        return report.warn(
            PARENT,
            "which one is not known",
            "name it with --parent HOST:PORT or --config FILE",
        );
    };
    let reachable = reach(subject, parent, report).await;
    let Some(credentials) = credentials else {
        if reachable {
            stranger::check(subject, parent, clock, report).await;
        }
        return;
    };
    if reachable && met(subject, parent, credentials, clock, report).await {
        session(subject, parent, credentials, clock, report).await;
    } else {
        told(subject, report);
    }
}

/// Name, proxy, TCP.
async fn reach(subject: &Subject, parent: &str, report: &mut Report) -> bool {
    let proxy = subject.proxies.for_address(parent);
    compare(subject, proxy, report);
    if !resolve(proxy.map_or(parent, Proxy::address), report).await {
        return false;
    }
    match proxy {
        Some(proxy) => match probe::proxy(proxy, parent).await {
            Ok(()) => report.ok(PROXY, format!("{proxy} lets us through to {parent}")),
            // Its password is the daemon's alone.
            Err(ProxyError::CredentialsMissing { .. }) if subject.daemon.is_linked() => {
                let says = format!("{proxy} wants credentials, which the daemon has and this look has not");
                report.warn(PROXY, says, "give them with --config or --proxy-credentials-file");
                return false;
            }
            Err(error) => {
                report.broken(PROXY, chain(&error));
                return false;
            }
        },
        None => match probe::reach(parent, &subject.proxies).await {
            Ok(()) => report.ok(TCP, format!("{parent} takes connections; no proxy is used")),
            Err(error) => {
                report.broken(TCP, chain(&error));
                return false;
            }
        },
    }
    true
}

/// Whether the daemon goes the way that is looked at.
fn compare(subject: &Subject, proxy: Option<&Proxy>, report: &mut Report) {
    let Some(used) = subject.daemon.proxy() else { return };
    let name =
        |address: Option<&str>| address.map_or_else(|| "no proxy".to_owned(), |a| format!("proxy {a}"));
    if used != proxy.map(Proxy::address) {
        let (daemon, here) = (name(used), name(proxy.map(Proxy::address)));
        let says = format!("the daemon uses {daemon}, this look {here}");
        report.warn(
            PROXY,
            says,
            "tell this what the daemon is told, or nothing: --config, --proxy, HOLM_PROXY",
        );
    }
}

async fn resolve(address: &str, report: &mut Report) -> bool {
    let found = match timeout(RESOLVE, lookup_host(address)).await {
        Ok(found) => found.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {RESOLVE:?}")),
    };
    match found {
        Ok(found) => {
            let found: Vec<_> = found.take(SHOWN).map(|address| address.ip().to_string()).collect();
            report.ok(NAME, format!("{address} is at {}", found.join(", ")));
            true
        }
        Err(reason) => {
            let says = format!("{address} cannot be resolved: {reason}");
            report.fail(NAME, says, "check the name, /etc/resolv.conf and the name server");
            false
        }
    }
}

/// Whether the right orchestrator answers.
async fn met(
    subject: &Subject,
    parent: &str,
    credentials: &Credentials,
    clock: &Clock,
    report: &mut Report,
) -> bool {
    match probe::parent(parent, credentials, clock, &subject.proxies).await {
        Ok(peer) => {
            report.ok(TLS, format!("{parent} is `{}`, as it should be", peer.identity));
            true
        }
        Err(ProbeError::Dial(error @ DialError::Untrusted { .. })) => {
            let todo = "name the orchestrator that this member has joined with --parent, or join anew with a token of this one";
            report.fail(TLS, chain(&error), todo);
            false
        }
        Err(error) => {
            report.broken(TLS, chain(&error));
            false
        }
    }
}

/// Whether a session is open, or could be.
async fn session(
    subject: &Subject,
    parent: &str,
    credentials: &Credentials,
    clock: &Clock,
    report: &mut Report,
) {
    if told(subject, report) {
        return;
    }
    match probe::standing(parent, credentials, clock, &subject.proxies).await {
        Ok(Standing::Accepted) if clock.now() > credentials.expires_at() => {
            report.warn(
                SESSION,
                "it would be let in to renew its certificate only",
                "start the daemon: it does so",
            );
        }
        Ok(Standing::Accepted) => report.ok(SESSION, "its certificate is accepted"),
        Ok(Standing::Refused(alert)) => {
            let (says, todo) = refusal(&alert);
            report.fail(SESSION, says, todo);
        }
        Err(error) => report.broken(SESSION, chain(&error)),
    }
}

/// What a running daemon says of its session; false when it says nothing.
fn told(subject: &Subject, report: &mut Report) -> bool {
    match &subject.daemon {
        Daemon::Node { link, .. } if link.up => report.ok(SESSION, format!("open since {}", link.since)),
        Daemon::Node { link, .. } => {
            let says = format!("none since {}: {}", link.since, link.reason);
            report.fail(
                SESSION,
                says,
                "the daemon tries again by itself; what is above in this list must be mended first",
            );
        }
        Daemon::Orchestrator { status, .. } => match status.parent.as_str() {
            "connected" => report.ok(SESSION, "open"),
            "behind" => report.warn(
                SESSION,
                "open, but the store above is older than what was obeyed here, so this cluster is frozen",
                "`holm adopt` or `holm discard` there",
            ),
            other => report.fail(SESSION, other, "the daemon tries again by itself; its log has the reason"),
        },
        // Its own credentials may be in use already: nothing is opened beside it.
        Daemon::Mute { .. } | Daemon::Hidden(_) => {
            report.warn(SESSION, "not known while the daemon gives no answer", "look into its log");
        }
        Daemon::Absent => return false,
    }
    true
}

/// A TLS alert in words.
fn refusal(alert: &str) -> (String, &'static str) {
    let anew = "join anew with a token of the orchestrator above; what runs here goes on until then";
    let (says, todo) = match alert {
        "CertificateRevoked" => ("this member was revoked or removed", anew),
        "CertificateExpired" => ("its certificate has expired longer ago than --rejoin-window allows", anew),
        "UnknownCA" => {
            ("the orchestrator belongs to another sea", "correct --parent, or join anew with a token")
        }
        "AccessDenied" => {
            ("it is not a member of this orchestrator", "correct --parent, or join anew with a token")
        }
        "NoApplicationProtocol" => {
            ("it takes no members", "is --parent the port of an orchestrator of this version?")
        }
        _ => return (format!("the orchestrator refuses it: {alert}"), "look into the orchestrator's log"),
    };
    (format!("{says} ({alert})"), todo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_explained() {
        for alert in ["CertificateRevoked", "CertificateExpired", "UnknownCA", "Whatever"] {
            let (says, todo) = refusal(alert);
            assert!(says.contains(alert) && !todo.is_empty(), "{says}");
        }
    }
}
