//! `holm node remove|revoke` and `holm cluster remove`.

use clap::{Args, Subcommand};
use holm_model::view::RemovalView;

use crate::connect::At;
use crate::failure::Failure;
use crate::output::{clean, say};

#[derive(Args, Debug)]
pub(crate) struct Member {
    /// Its name or id
    name: String,
}

/// On a node.
#[derive(Subcommand, Debug)]
pub(crate) enum NodeAction {
    /// Remove a node: it ends what it runs, which is placed elsewhere
    Remove(At<Member>),
    /// Make a node's certificates void; it stays known
    Revoke(At<Member>),
}

/// On a cluster.
#[derive(Subcommand, Debug)]
pub(crate) enum ClusterAction {
    /// Remove a cluster: it ends what it runs for us, which is placed elsewhere
    Remove(At<Member>),
}

// === impl NodeAction ===

impl NodeAction {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Remove(At { args, connect }) => {
                let removal = connect.client()?.remove_node(&args.name).await?;
                tell(&format!("node {}", args.name), &removal)
            }
            Self::Revoke(At { args, connect }) => {
                connect.client()?.revoke_node(&args.name).await?;
                say(&format!("the certificates of node {} are void", args.name))
            }
        }
    }
}

// === impl ClusterAction ===

impl ClusterAction {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self::Remove(At { args, connect }) = self;
        let removal = connect.client()?.remove_cluster(&args.name).await?;
        tell(&format!("cluster {}", args.name), &removal)
    }
}

/// What becomes of what runs there is the question that somebody has who removes a member.
fn tell(member: &str, RemovalView { leaving, instances }: &RemovalView) -> Result<(), Failure> {
    let list: String = instances
        .iter()
        .map(|i| {
            let node = i.node.as_deref().unwrap_or("-");
            clean(&format!("  {}/{} on {node}", i.application, i.slot)) + "\n"
        })
        .collect();
    match (leaving, instances.is_empty()) {
        (true, true) => say(&format!("{member} leaves")),
        (true, false) => say(&format!("{member} leaves once it has ended what it runs here:\n{list}")),
        (false, true) => say(&format!("{member} is removed")),
        (false, false) => {
            say(&format!("{member} is removed"))?;
            eprint!(
                "warning: it could not be told to end what it runs; this may go on there until somebody ends it:\n{list}"
            );
            Ok(())
        }
    }
}
