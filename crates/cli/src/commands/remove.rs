//! `holm node remove|revoke` and `holm cluster remove`.

use clap::{Args, Subcommand};

use crate::connect::At;
use crate::failure::Failure;
use crate::output::say;

#[derive(Args, Debug)]
pub(crate) struct Member {
    /// Its name or id
    name: String,
}

/// On a node.
#[derive(Subcommand, Debug)]
pub(crate) enum NodeAction {
    /// Forget a node; what ran there is placed elsewhere
    Remove(At<Member>),
    /// Make a node's certificates void; it stays known
    Revoke(At<Member>),
}

/// On a cluster.
#[derive(Subcommand, Debug)]
pub(crate) enum ClusterAction {
    /// Forget a cluster; what ran there is placed elsewhere
    Remove(At<Member>),
}

// === impl NodeAction ===

impl NodeAction {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Remove(At { args, connect }) => {
                connect.client()?.remove_node(&args.name).await?;
                say(&format!("node {} is removed", args.name))
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
        connect.client()?.remove_cluster(&args.name).await?;
        say(&format!("cluster {} is removed", args.name))
    }
}
