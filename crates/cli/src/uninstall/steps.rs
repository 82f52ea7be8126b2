//! Stopping, ending, removing. Each step may be done again: who was interrupted says it once more.

use std::fs;
use std::io;
use std::time::Duration;

use holm_node::{Files, Remains, Waiting};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use super::installed::quiet;
use super::plan::{Extent, Plan, UNIT};
use crate::failure::{Failure, chain};
use crate::holder;

/// For the agent: it ends its own tasks only.
const STOP: Duration = Duration::from_secs(30);
/// For instances, as a service manager gives services.
const GRACE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// `force` leaves behind what cannot be ended.
pub(super) async fn carry_out(plan: &Plan, force: bool) -> Result<(), Failure> {
    stop(plan).await?;
    match end(plan).await {
        failed if failed.is_empty() => {}
        failed if force => eprintln!("warning: this stays:\n  {}", failed.join("\n  ")),
        // Without the directory nobody would find it again.
        failed => return Err(not_ended(plan, &failed)),
    }
    if plan.extent == Extent::Instances {
        return Ok(());
    }
    eprintln!("Removing {} …", plan.data_dir.display());
    let mut failed: Vec<_> = remove_data(plan).into_iter().collect();
    failed.extend(plan.installed.remove());
    if !plan.installed.is_empty() && plan.unit {
        quiet("systemctl", &["daemon-reload"]);
    }
    if failed.is_empty() { Ok(()) } else { Err(incomplete(&failed)) }
}

/// What the node runs; what could not be ended.
async fn end(plan: &Plan) -> Vec<String> {
    let mut failed = Vec::new();
    for dir in holm_node::data_dirs(&plan.data_dir) {
        let Some(remains) = Remains::of(&dir, &plan.runtimes) else { continue };
        eprintln!("Ending what the node runs …");
        let files = if plan.extent == Extent::All { Files::Remove } else { Files::Keep };
        let waits = |waiting: Waiting| eprintln!("Waiting for {waiting} …");
        failed.extend(remains.end(GRACE, files, &waits).await.iter().map(|error| chain(error)));
    }
    failed
}

fn not_ended(plan: &Plan, failed: &[String]) -> Failure {
    let done = match (plan.unit, plan.extent) {
        (true, Extent::All) => format!("; {UNIT} is stopped and disabled"),
        (true, Extent::Instances) => format!("; {UNIT} is stopped"),
        (false, _) if plan.agent.is_some() => "; the agent is stopped".to_owned(),
        (false, _) => String::new(),
    };
    let left = failed.join("\n  ");
    Failure::new(format!("not all was ended, so nothing was removed{done}:\n  {left}")).hint(
        "mend that (start the engine, or name its socket in the settings), and say `holm uninstall` again; \
         --force leaves it behind",
    )
}

fn incomplete(failed: &[String]) -> Failure {
    Failure::new(format!("something is still here:\n  {}", failed.join("\n  ")))
        .hint("mend that, and say `holm uninstall` again")
}

async fn stop(plan: &Plan) -> Result<(), Failure> {
    if plan.unit {
        let words = match plan.extent {
            Extent::Instances => &["stop", UNIT][..],
            Extent::All => &["disable", "--now", UNIT],
        };
        eprintln!("Stopping {UNIT} …");
        quiet("systemctl", words);
    }
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let Some(holder) = held(plan)? else { return Ok(()) };
        let pid = holder::pid(&holder).ok_or_else(|| {
            Failure::new(format!(
                "{} is held by `{holder}`, which is no process here",
                plan.data_dir.display()
            ))
            .hint("end it where it runs, and try again")
        })?;
        eprintln!("Stopping process {holder} …");
        // It may have ended just now.
        let _ = kill(Pid::from_raw(pid), signal);
        if free_within(plan, STOP).await? {
            return Ok(());
        }
    }
    Err(Failure::new(format!("the agent on {} does not end", plan.data_dir.display()))
        .hint("find out what keeps it (a disk that does not answer?), and try again"))
}

async fn free_within(plan: &Plan, limit: Duration) -> Result<bool, Failure> {
    let give_up = Instant::now() + limit;
    while held(plan)?.is_some() {
        if Instant::now() >= give_up {
            return Ok(false);
        }
        sleep(LOOK).await;
    }
    Ok(true)
}

fn held(plan: &Plan) -> Result<Option<String>, Failure> {
    holder::of(&plan.data_dir).map_err(|e| Failure::from_error(plan.data_dir.display(), &e))
}

fn remove_data(plan: &Plan) -> Option<String> {
    match fs::remove_dir_all(&plan.data_dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Some(format!("{} cannot be removed: {error}", plan.data_dir.display()));
        }
        _ => {}
    }
    if let Some(home) = plan.data_dir.parent().filter(|home| home.ends_with("holm")) {
        // Only where nothing else is in it.
        let _ = fs::remove_dir(home);
    }
    None
}
