//! `holm node move`: emptied, invited, gone; asked for again and again until it has gone.

use std::time::Duration;

use clap::Args;
use holm_client::Client;
use holm_model::duration::Span;
use holm_model::name::Name;
use holm_model::state::MemberState;
use holm_model::view::NodeView;
use holm_model::view::drain::{TransferRequest, TransferView};
use serde::Serialize;
use tokio::time::Instant;

use super::moving::said;
use super::slots;
use crate::connect::At;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::live::Live;

#[derive(Args, Debug)]
pub(crate) struct Transfer {
    /// Its name or id
    name: String,
    /// The cluster that it goes to
    #[arg(long, value_name = "CLUSTER")]
    to: Name,
    /// Where the node calls that cluster, if not at the address that the cluster tells
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Empty it of what has named volumes, too, and leave the data behind
    #[arg(long)]
    lose_volumes: bool,
    /// How long to wait until it is empty, and there
    #[arg(long, value_name = "TIME", default_value = "10m")]
    deadline: Span,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Moved {
    moved: String,
    to: Name,
}

/// Between two questions.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn run(At { args, connect }: At<Transfer>) -> Result<(), Failure> {
    let client = connect.client()?;
    let node = client.node(&args.name).await?;
    let Span(deadline) = args.deadline;
    let end = Instant::now() + deadline;
    let mut live = Live::new();
    let request = TransferRequest {
        to: args.to.clone(),
        lose_volumes: args.lose_volumes,
        address: args.address.clone(),
    };
    loop {
        let TransferView { moved, stays } = client.transfer(&node.id, &request).await?;
        if moved {
            break;
        }
        let step = format!("{} still has{}", args.name, slots::below(stays.iter().map(said)));
        live.draw(&step);
        if Instant::now() >= end {
            live.clear();
            return Err(Failure::new(format!("it has not gone yet: {step}")).hint(
                "it stays drained: say it again when the rest has a place, or `holm node uncordon` to call it off",
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
    live.draw(&format!("{} joins {}", args.name, args.to));
    while !arrived(&client, &node, &args.to).await? {
        if Instant::now() >= end {
            live.clear();
            return Err(Failure::new(format!("{} has not been heard in cluster {} yet", args.name, args.to))
                .hint("if it cannot come, it goes back to where it was, and `holm node uncordon` lets it work there"));
        }
        tokio::time::sleep(PAUSE).await;
    }
    live.clear();
    let told = Moved { moved: args.name.clone(), to: args.to.clone() };
    args.output.print(&told, || format!("{} is in cluster {} now", told.moved, told.to))
}

/// As another member.
async fn arrived(client: &Client, node: &NodeView, to: &Name) -> Result<bool, Failure> {
    let nodes = client.nodes().await?;
    let there = |now: &NodeView| {
        now.name == node.name && now.id != node.id && now.cluster.as_deref() == Some(to.as_str())
    };
    Ok(nodes.iter().any(|now| there(now) && now.state == MemberState::Online))
}
