//! `holm node decommission`: emptied, wiped, proven, forgotten; asked for, then waited for.

use clap::Args;
use holm_client::Client;
use holm_model::duration::Span;
use holm_model::view::drain::{DecommissionRequest, DrainView};
use holm_model::view::query::AuditQuery;
use serde::Serialize;
use tokio::time::Instant;

use super::moving::said;
use super::pulse::Pulse;
use super::slots;
use crate::connect::At;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::live::Live;

#[derive(Args, Debug)]
pub(crate) struct Decommission {
    /// Its name or id
    name: String,
    /// How long to wait until it has wiped itself; it goes on without us
    #[arg(long, value_name = "TIME", default_value = "10m")]
    deadline: Span,
    /// End what cannot move, and forget a node that cannot be told: nobody proves then what is left on it
    #[arg(long)]
    force: bool,
    /// Do not wait
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Decommissioned {
    decommissioned: String,
    /// Whether the node told what it wiped.
    proven: bool,
    proof: String,
}

pub(crate) async fn run(At { args, connect }: At<Decommission>) -> Result<(), Failure> {
    let client = connect.client()?;
    let id = client.node(&args.name).await?.id;
    let mut pulse = Pulse::open(&client).await?;
    let name = &args.name;
    if client.decommission(&id, &DecommissionRequest { force: args.force }).await?.forgotten {
        let proof = "it could not be told: nobody proves what is left on it".to_owned();
        return tell(&args, false, proof);
    }
    if args.no_wait {
        return args.output.print_done("decommissioning", name, || {
            format!("{name} is emptied, wipes itself, and is forgotten when it has told what it wiped")
        });
    }
    let Span(deadline) = args.deadline;
    let end = Instant::now() + deadline;
    let mut live = Live::new();
    loop {
        match client.node(&id).await {
            Err(error) if error.is_not_found() => break,
            Err(error) => return Err(error.into()),
            Ok(node) => {
                let Some(drain) = node.draining else {
                    return Err(Failure::new(format!("{name} was uncordoned meanwhile, so it stays")));
                };
                live.draw(&step(name, node.leaving, &drain));
                if Instant::now() >= end {
                    live.clear();
                    return Err(unfinished(name, node.leaving, &drain));
                }
            }
        }
        pulse.beat().await?;
    }
    live.clear();
    let proof = proof(&client, &id).await?;
    tell(&args, proof.is_some(), proof.unwrap_or_else(|| "somebody removed it before it told".to_owned()))
}

fn step(name: &str, wipes: bool, drain: &DrainView) -> String {
    if wipes {
        return format!("{name} ends what is left and wipes itself");
    }
    format!("{name} still has{}", slots::below(drain.stays.iter().map(said)))
}

fn unfinished(name: &str, wipes: bool, drain: &DrainView) -> Failure {
    let failure = Failure::new(format!("it is not over yet: {}", step(name, wipes, drain)));
    failure.hint(if wipes {
        "it goes on by itself; if the node does not come back, `--force` forgets it without proof"
    } else {
        "it goes on as soon as the rest has a place; `--force` ends what has none, `holm node uncordon` calls it off"
    })
}

/// What the node told, from the audit log.
async fn proof(client: &Client, id: &str) -> Result<Option<String>, Failure> {
    let query = AuditQuery {
        verb: Some("node.wiped".to_owned()),
        subject: Some(format!("member {id}")),
        ..AuditQuery::default()
    };
    let page = match client.audit(&query).await {
        Ok(page) => page,
        // Who may decommission need not be allowed to read the audit log.
        Err(error) if error.is_forbidden() => return Ok(Some("the audit log has the proof".to_owned())),
        Err(error) => return Err(error.into()),
    };
    Ok(page.items.into_iter().next().map(|record| record.outcome))
}

fn tell(args: &Decommission, proven: bool, proof: String) -> Result<(), Failure> {
    let told = Decommissioned { decommissioned: args.name.clone(), proven, proof };
    args.output.print(&told, || {
        let what = if proven { "is decommissioned" } else { "is forgotten, and its wipe is not proven" };
        format!("{} {what}: {}", told.decommissioned, told.proof)
    })
}
