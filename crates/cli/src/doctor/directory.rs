//! The files of a member: its directory, its certificate, its clock.

use std::path::Path;
use std::time::Duration;

use holm_link::UnixTime;
use holm_link::clock::{Clock, FILE, LocalClock};
use holm_link::credentials::Credentials;
use holm_model::time::Time;

use super::report::Report;
use super::subject::{Daemon, Role, Subject};
use crate::failure::chain;
use crate::output::time;

const CERTIFICATE: &str = "certificate";
const CLOCK: &str = "clock";
const DIRECTORY: &str = "directory";
/// How far the local clock may be behind before it is worth a word.
const BEHIND: Duration = Duration::from_secs(5 * 60);
/// How far it may be ahead of the time on the disk, which a linked daemon writes once an hour.
const AHEAD: Duration = Duration::from_secs(2 * 60 * 60);

/// The later of local clock and platform time, as the daemon takes it.
pub(super) fn clock(dir: &Path) -> Clock {
    Clock::open(dir, LocalClock::default())
}

/// The directory and the process that has it.
pub(super) fn place(subject: &Subject, report: &mut Report) {
    let dir = subject.dir.display();
    if let Err(error) = std::fs::read_dir(&subject.dir) {
        if error.kind() == std::io::ErrorKind::NotFound {
            let todo = "the first start makes it; if there was one, name its directory with --data-dir";
            return report.next(DIRECTORY, format!("{dir} is not there yet"), todo);
        }
        let todo = "run this as the user of the daemon, or as root";
        return report.fail(DIRECTORY, format!("{dir} cannot be read: {error}"), todo);
    }
    match &subject.daemon {
        Daemon::Absent => report.warn(DIRECTORY, format!("{dir}: no daemon runs on it"), "start it"),
        Daemon::Hidden(reason) => {
            report.fail(
                DIRECTORY,
                format!("{dir}: {reason}"),
                "run this as the user of the daemon, or as root",
            );
        }
        Daemon::Node { holder, .. } | Daemon::Orchestrator { holder, .. } => {
            report.ok(DIRECTORY, format!("{dir}: process {holder} runs on it"));
        }
        Daemon::Mute { holder, reason } => {
            let says = format!("{dir}: process {holder} runs on it and gives no answer: {reason}");
            report.warn(DIRECTORY, says, "it may be joining still: its log says so; or else restart it");
        }
    }
}

/// Whose certificate is there, and for how long.
pub(super) fn certificate(subject: &Subject, clock: &Clock, report: &mut Report) -> Option<Credentials> {
    if subject.role == Role::Root {
        report.ok(CERTIFICATE, "a root needs none of anybody: its own authority is here");
        return None;
    }
    match Credentials::load(&subject.dir) {
        Ok(Some(credentials)) => {
            judge(&credentials, clock.now(), report);
            Some(credentials)
        }
        Ok(None) => {
            let role = if subject.role == Role::Cluster { "cluster" } else { "node" };
            let says = "this machine has not joined yet";
            if matches!(subject.daemon, Daemon::Absent) {
                let todo = format!(
                    "start the daemon with a token; `holm token create --role {role}` above makes one"
                );
                report.next(CERTIFICATE, says, todo);
            } else {
                report.fail(CERTIFICATE, says, "its daemon runs: what is said below, or its log, tells why");
            }
            None
        }
        Err(error) => {
            report.broken(CERTIFICATE, chain(&error));
            None
        }
    }
}

fn judge(credentials: &Credentials, now: UnixTime, report: &mut Report) {
    let (identity, until) = (credentials.identity(), credentials.expires_at());
    if now > until {
        let says = format!("`{identity}` has expired {} ago", time::age(shown(until), shown(now)));
        let todo = "the orchestrator above lets it in to renew it, within its --rejoin-window; later, join anew with a token";
        return report.warn(CERTIFICATE, says, todo);
    }
    let left = time::left(shown(until), shown(now));
    report.ok(CERTIFICATE, format!("`{identity}`, valid for {left}"));
}

/// Whether the local clock can be right.
pub(super) fn time(subject: &Subject, credentials: Option<&Credentials>, clock: &Clock, report: &mut Report) {
    let (local, platform) = (UnixTime::now(), clock.platform());
    let behind = Duration::from_secs(platform.as_secs().saturating_sub(local.as_secs()));
    let ahead = Duration::from_secs(local.as_secs().saturating_sub(platform.as_secs()));
    let founded = credentials.map_or(0, |credentials| credentials.root().since().as_secs());
    let set = "set the clock (NTP, or a battery); the orchestrator's time counts until then";
    if local.as_secs() < founded {
        let says = format!("{} is before the sea was founded", shown(local));
        report.warn(CLOCK, says, set);
    } else if behind > BEHIND {
        let says = format!("{} behind what the orchestrator told", time::age(shown(local), shown(platform)));
        report.warn(CLOCK, says, set);
    } else if subject.daemon.is_linked() && ahead > AHEAD {
        let says =
            format!("{} ahead of what the orchestrator tells", time::age(shown(platform), shown(local)));
        report.warn(CLOCK, says, "set the clock (NTP): certificates that are good look old here");
    } else if platform.as_secs() == 0 {
        report.ok(CLOCK, format!("{} here; no orchestrator has told its time yet ({FILE})", shown(local)));
    } else {
        report.ok(CLOCK, format!("{}, and not before what the orchestrator told", shown(local)));
    }
}

pub(super) fn shown(time: UnixTime) -> Time {
    Time(i64::try_from(time.as_secs()).unwrap_or(i64::MAX / 1000).saturating_mul(1000))
}
