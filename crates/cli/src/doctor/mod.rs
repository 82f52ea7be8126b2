//! `holm doctor`: why a member has no link, or runs nothing, and what to do about it.
//!
//! It looks at a data directory, running or not, without disturbing it: no session is opened beside the
//! daemon's own, and nothing is written.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`report`] | what a check can say, and how that is shown |
//! | [`subject`] | what is looked at: directory, role, orchestrator above, proxies, the daemon |
//! | [`directory`] | files: the directory, the certificate, the clock |
//! | [`network`] | the way to the orchestrator above, hop by hop |
//! | [`stranger`] | the orchestrator above, to a machine that has not joined: token, TLS, dates |
//! | [`machine`] | runtimes, disk, ports |

mod directory;
mod machine;
mod network;
mod report;
mod stranger;
mod subject;

use std::process::ExitCode;

use clap::Args;

use self::report::Report;
use self::subject::{Subject, Where};
use crate::failure::Failure;
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Doctor {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    output: Output,
}

/// Exit code 1 when a check has failed.
pub(crate) async fn run(doctor: Doctor) -> Result<ExitCode, Failure> {
    let report = examine(&Subject::find(doctor.place).await?).await;
    doctor.output.print(&report, || report.text())?;
    Ok(if report.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(subject: &Subject) -> Report {
    let mut report = Report::new();
    let clock = directory::clock(&subject.dir);
    directory::place(subject, &mut report);
    let credentials = directory::certificate(subject, &clock, &mut report);
    directory::time(subject, credentials.as_ref(), &clock, &mut report);
    network::check(subject, credentials.as_ref(), &clock, &mut report).await;
    machine::check(subject, &mut report).await;
    report
}
