//! Before a machine has joined: whether who answers is who made the token, and whether the clock agrees.

use holm_link::UnixTime;
use holm_link::clock::Clock;
use holm_link::dial::DialError;
use holm_link::probe::{self, Introduced, ProbeError};
use holm_link::token::JoinToken;
use holm_link::verify::VerifyError;

use super::directory::shown;
use super::network::TLS;
use super::report::Report;
use super::subject::Subject;
use crate::failure::chain;
use crate::output::time;

/// Of the orchestrator's certificate.
const DATES: &str = "dates";
const TOKEN: &str = "token";

/// Nothing is sent of the token.
pub(super) async fn check(subject: &Subject, parent: &str, clock: &Clock, report: &mut Report) {
    let token = match &subject.token {
        Some(Ok(token)) => Some(token),
        Some(Err(reason)) => {
            report.broken(TOKEN, reason);
            None
        }
        None => None,
    };
    match probe::stranger(parent, token, clock, &subject.proxies).await {
        Ok(met) => {
            name(parent, &met, token, report);
            dates(&met, report);
        }
        Err(ProbeError::Dial(DialError::Untrusted { source, .. })) => {
            distrust(parent, &source, token, report)
        }
        Err(error) => report.broken(TLS, chain(&error)),
    }
}

fn name(parent: &str, met: &Introduced, token: Option<&JoinToken>, report: &mut Report) {
    let Introduced { peer, fingerprint } = met;
    let says = format!("{parent} is `{}`; its sea has the fingerprint {fingerprint}", peer.identity);
    match token {
        Some(_) => report.ok(TLS, format!("{says}, as the token says")),
        None => {
            let todo = "compare it with that of `holm status` there, or give the token with --token-file";
            report.warn(TLS, says, todo);
        }
    }
}

fn distrust(parent: &str, reason: &VerifyError, token: Option<&JoinToken>, report: &mut Report) {
    let says = match token {
        Some(token) => format!("{parent} is not `{}`, which made the token: ", token.orchestrator),
        None => format!("{parent} is no orchestrator that could be joined: "),
    } + &chain(reason);
    match reason {
        VerifyError::Expired { .. } | VerifyError::NotYetValid { .. } => {
            let says = format!("{}; here it is {}", chain(reason), shown(UnixTime::now()));
            let todo = "if that is wrong, set the clock (NTP); if it is right, start the orchestrator again";
            report.fail(DATES, says, todo);
        }
        _ => {
            let todo = "correct --parent, or take a token of that orchestrator: `holm token create` there";
            report.fail(TLS, says, todo);
        }
    }
}

/// A clock that is behind does not hinder a machine from joining: the certificate tells it the time.
fn dates(met: &Introduced, report: &mut Report) {
    let (now, peer) = (UnixTime::now(), &met.peer);
    let (from, until) = (shown(peer.not_before), shown(peer.not_after));
    if now < peer.not_before {
        let age = time::age(shown(now), from);
        let says =
            format!("the orchestrator's certificate is of {from}, and the clock here {age} before that");
        return report.warn(DATES, says, "set the clock (NTP, or a battery)");
    }
    report.ok(DATES, format!("the orchestrator's certificate is valid from {from} until {until}"));
}
