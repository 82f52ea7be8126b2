//! `holm migrate`, `holm node drain` and `holm cluster drain`: asked for, then waited for.

use std::time::Duration;

use clap::Args;
use holm_client::Client;
use holm_model::duration::Span;
use holm_model::name::Name;
use holm_model::view::drain::{DrainRequest, DrainView, MigrateRequest};
use holm_model::view::query::InstanceQuery;
use holm_model::view::{EventView, InstanceView};
use serde::Serialize;
use tokio::time::Instant;

use super::pulse::Pulse;
use super::{Project, slots};
use crate::connect::At;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::live::Live;
use crate::resolve;

#[derive(Args, Debug)]
pub(crate) struct Migrate {
    /// An instance: its slot (`app/web/2`) or its id
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// The node or cluster that shall have it [default: whoever is best]
    #[arg(long, value_name = "NODE|CLUSTER")]
    to: Option<Name>,
    /// Move it although it has named volumes, which stay where they are
    #[arg(long)]
    lose_volume: bool,
    /// Do not wait until it has moved
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct Drain {
    /// Its name or id
    name: String,
    /// How long to wait until it is empty; the drain itself goes on until `uncordon`
    #[arg(long, value_name = "TIME", default_value = "5m")]
    deadline: Span,
    /// Move instances with named volumes, too, which leave their data behind
    #[arg(long)]
    lose_volumes: bool,
    /// Do not wait
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Moved {
    moved: String,
    reason: String,
}

/// A drain that has not changed for so long will not by itself.
const STILL: Duration = Duration::from_secs(15);

// === migrate ===

pub(crate) async fn migrate(At { args, connect }: At<Migrate>) -> Result<(), Failure> {
    let client = connect.client()?;
    let found = resolve::instance(&client, &args.project.of(&connect)?, &args.instance).await?;
    let slot = format!("{}/{}", found.application, found.slot);
    // Before it is asked for: nothing that happens is missed.
    let mut pulse = Pulse::open(&client).await?;
    let request = MigrateRequest { slot: found.slot.clone(), to: args.to, lose_volume: args.lose_volume };
    client.migrate(&found.project, &found.application, &request).await?;
    if args.no_wait {
        return args.output.print_done("migrating", &slot, || format!("{slot} moves"));
    }
    let (mut live, mut failed) = (Live::new(), String::new());
    loop {
        for event in pulse.beat().await? {
            if is_of(&event, &found) && event.to == "FAILED" && !event.reason.is_empty() {
                failed = format!(" ({})", event.reason);
            }
            if is_of(&event, &found) && event.to == "moved" {
                live.clear();
                let moved = Moved { moved: slot, reason: event.reason };
                return args.output.print(&moved, || format!("{} moved {}", moved.moved, moved.reason));
            }
        }
        let copies = copies(&client, &found).await?;
        live.draw(&slots::grouped(copies.iter().map(told)).join("\n"));
        match progress(&found, &copies) {
            Progress::Moves => {}
            Progress::Moved => {
                let moved = Moved { moved: slot, reason: String::new() };
                return args.output.print(&moved, || format!("{} moved", moved.moved));
            }
            Progress::Back => {
                return Err(Failure::new(format!(
                    "{slot} did not move: its new copy failed{failed}, and the old one goes on"
                ))
                .hint(format!("`holm events --application {}` says why", found.application)));
            }
        }
    }
}

/// How far a slot is on its way, by its rows.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Moves,
    Moved,
    Back,
}

fn progress(before: &InstanceView, copies: &[InstanceView]) -> Progress {
    match copies {
        [one] if one.state == "RUNNING" && one.id == before.id => Progress::Back,
        [one] if one.state == "RUNNING" => Progress::Moved,
        _ => Progress::Moves,
    }
}

fn is_of(event: &EventView, instance: &InstanceView) -> bool {
    event.slot == instance.slot
        && event.application == format!("{}/{}", instance.project, instance.application)
}

async fn copies(client: &Client, of: &InstanceView) -> Result<Vec<InstanceView>, Failure> {
    let query = InstanceQuery {
        project: Some(of.project.clone()),
        application: Some(of.application_id.clone()),
        service: Some(of.service.clone()),
        ..InstanceQuery::default()
    };
    let mut rows = client.instances(&query).await?;
    rows.retain(|row| row.slot == of.slot);
    Ok(rows)
}

fn told(row: &InstanceView) -> (String, String) {
    let place = [&row.cluster, &row.node].into_iter().flatten().cloned().collect::<Vec<_>>().join("/");
    (row.slot.clone(), format!("{} on {place}", row.state))
}

// === drain ===

/// `kind`: `nodes` or `clusters`.
pub(crate) async fn drain(kind: &str, At { args, connect }: At<Drain>) -> Result<(), Failure> {
    let client = connect.client()?;
    let mut pulse = Pulse::open(&client).await?;
    client.drain(kind, &args.name, &DrainRequest { lose_volumes: args.lose_volumes }).await?;
    let name = &args.name;
    if args.no_wait {
        return args
            .output
            .print_done("draining", name, || format!("{name} is drained until it is uncordoned"));
    }
    let Span(deadline) = args.deadline;
    let end = Instant::now() + deadline;
    let (mut live, mut last, mut since) = (Live::new(), None, Instant::now());
    loop {
        let Some(drain) = draining(&client, kind, name).await? else {
            return Err(Failure::new(format!(
                "{name} was uncordoned meanwhile, so it is not drained any more"
            )));
        };
        if drain.stays.is_empty() {
            live.clear();
            return args.output.print_done("drained", name, || {
                format!("{name} is empty, and takes nothing new until it is uncordoned")
            });
        }
        live.draw(&format!("{name} still has{}", slots::below(drain.stays.iter().map(said))));
        if last.as_ref() != Some(&drain) {
            (last, since) = (Some(drain.clone()), Instant::now());
        }
        if Instant::now() >= end || since.elapsed() >= STILL {
            live.clear();
            return Err(stays(name, &drain));
        }
        pulse.beat().await?;
    }
}

async fn draining(client: &Client, kind: &str, name: &str) -> Result<Option<DrainView>, Failure> {
    Ok(match kind {
        "clusters" => client.cluster(name).await?.draining,
        _ => client.node(name).await?.draining,
    })
}

pub(super) fn said(stays: &holm_model::view::drain::StaysView) -> (String, String) {
    (format!("{}/{}", stays.application, stays.slot), stays.reason.clone())
}

fn stays(name: &str, drain: &DrainView) -> Failure {
    let left = slots::below(drain.stays.iter().map(said));
    Failure::new(format!("{name} is not empty yet:{left}"))
        .hint("what can move moves as soon as it has a place; `holm describe` shows what is left, `uncordon` ends it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, state: &str) -> InstanceView {
        let text = serde_json::json!({
            "id": id, "project": "default", "application": "shop", "application_id": "1", "owner": null,
            "service": "web", "slot": "web/0", "state": state, "reason": "", "cluster": null, "node": "fl-1",
            "node_id": null, "runtime": "process", "generation": 1, "since": "2026-01-01T00:00:00Z", "restarts": 0,
            "incarnation": 1, "held": false, "ports": {}, "usage": null,
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn rows_tell_how_far_a_slot_is() {
        let before = row("a", "RUNNING");
        assert_eq!(progress(&before, &[row("a", "MIGRATING"), row("b", "STARTING")]), Progress::Moves);
        assert_eq!(progress(&before, &[row("a", "MIGRATING")]), Progress::Moves);
        assert_eq!(progress(&before, &[row("a", "STOPPING"), row("b", "RUNNING")]), Progress::Moves);
        assert_eq!(progress(&before, &[row("b", "RUNNING")]), Progress::Moved);
        assert_eq!(progress(&before, &[row("a", "RUNNING")]), Progress::Back);
    }
}
