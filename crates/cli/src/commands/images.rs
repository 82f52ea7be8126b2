//! `holm images`: what images nodes have, and which of them go.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use futures::future::join_all;
use holm_client::Client;
use holm_model::image::{ImageView, ImagesPrune};
use holm_model::resources::Memory;
use holm_model::state::MemberState;
use holm_model::time::Time;
use holm_model::view::NodeView;
use holm_model::view::query::InstanceQuery;
use serde::Serialize;

use crate::connect::{At, Connect};
use crate::failure::Failure;
use crate::output::table::{Column, Listed};
use crate::output::time::{age, now};
use crate::output::{Output, clean, stdout_ink, table};

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Images {
    #[command(subcommand)]
    action: Option<Action>,
    /// Only those of this node
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Remove an image from a node, unless something uses it
    #[command(visible_alias = "remove")]
    Rm {
        /// The node
        node: String,
        /// A name of the image, or its id
        image: String,
        #[command(flatten)]
        output: Output,
    },
    /// Remove images that a node has pulled and nothing uses
    Prune {
        /// The node
        node: String,
        /// Keep so many unused ones of each repository, the newest
        #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1000))]
        keep: u32,
        #[command(flatten)]
        output: Output,
    },
}

/// An image, and where it is.
#[derive(Debug, Serialize)]
struct There {
    node: String,
    #[serde(flatten)]
    image: ImageView,
    /// Names of the instances: `shop/web/0`; an id where the orchestrator knows no name.
    used_by: Vec<String>,
}

impl Listed for There {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("NODE", |t, _| t.node.clone()),
        Column::new("IMAGE", |t, _| t.image.names.first().cloned().unwrap_or_else(|| short(&t.image.id))),
        Column::wide("ID", |t, _| short(&t.image.id)),
        Column::new("SIZE", |t, _| Memory(t.image.size).to_string()),
        Column::new("AGE", |t, now| t.image.created.map(|at| age(at, now)).unwrap_or_default()),
        Column::new("USED BY", used),
        Column::wide("PULLED", |t, _| if t.image.pulled { "yes" } else { "" }.to_owned()),
        Column::wide("OTHER NAMES", |t, _| t.image.names.get(1..).unwrap_or_default().join(",")),
    ];

    fn names(&self) -> Vec<String> {
        self.image.names.clone()
    }
}

fn used(there: &There, _now: Time) -> String {
    let others = (there.image.others > 0).then(|| format!("{} other containers", there.image.others));
    there.used_by.iter().cloned().chain(others).collect::<Vec<_>>().join(",")
}

/// As people write ids of images.
fn short(id: &str) -> String {
    id.strip_prefix("sha256:").unwrap_or(id).chars().take(12).collect()
}

pub(crate) async fn run(At { args, connect }: At<Images>) -> Result<(), Failure> {
    match args.action {
        None => list(&connect, args.node.as_deref(), args.output).await,
        Some(Action::Rm { node, image, output }) => {
            let client = connect.client()?;
            client.remove_image(&client.node(&node).await?.id, &image).await?;
            output.print_done("removed", &image, || format!("{image} is gone from {node}"))
        }
        Some(Action::Prune { node, keep, output }) => {
            let client = connect.client()?;
            let pruned = client.prune_images(&client.node(&node).await?.id, ImagesPrune { keep }).await?;
            output.print(&pruned, || match &pruned.removed[..] {
                [] => format!("{node} has no images that nothing uses"),
                removed => {
                    removed.iter().map(|name| format!("{} is gone from {node}\n", clean(name))).collect()
                }
            })
        }
    }
}

async fn list(connect: &Connect, node: Option<&str>, output: Output) -> Result<(), Failure> {
    let client = connect.client()?;
    let mut nodes = match node {
        Some(name) => vec![client.node(name).await?],
        None => client.nodes().await?,
    };
    let has_images = |node: &NodeView| node.runtimes.iter().any(|runtime| runtime != "process");
    nodes.retain(|of| node.is_some() || of.state == MemberState::Online && has_images(of));
    let names = names(&client).await?;
    let mut found = Vec::new();
    for (of, told) in nodes.iter().zip(join_all(nodes.iter().map(|of| client.images(&of.id))).await) {
        match told {
            Ok(images) => found.extend(images.into_iter().map(|image| there(of, image, &names))),
            // One that cannot tell hides none of the others.
            Err(error) if node.is_none() => eprintln!("warning: {}: {error}", of.name),
            Err(error) => return Err(error.into()),
        }
    }
    output.print(&found, || table::render(&found, output.is_wide(), now(), stdout_ink()))
}

fn there(node: &NodeView, image: ImageView, names: &BTreeMap<String, String>) -> There {
    let name = |id: &String| names.get(id).cloned().unwrap_or_else(|| id.clone());
    There { node: node.name.clone(), used_by: image.instances.iter().map(name).collect(), image }
}

/// Of instances, by id.
async fn names(client: &Client) -> Result<BTreeMap<String, String>, Failure> {
    let all = client.instances(&InstanceQuery::default()).await?;
    let named = |instance: holm_model::view::InstanceView| {
        Some((instance.id?, format!("{}/{}", instance.application, instance.slot)))
    };
    Ok(all.into_iter().filter_map(named).collect())
}
