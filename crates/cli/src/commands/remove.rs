//! `holm node ls|remove|revoke|cordon|uncordon|drain|decommission|move` and `holm cluster ls|remove|revoke|cordon|uncordon|drain`.

use clap::{Args, Subcommand};
use holm_model::view::RemovalView;

use super::amend::{CapabilityAction, LabelAction, TaintAction};
use super::{consent, decommission, get, moving, transfer};
use crate::connect::At;
use crate::failure::Failure;
use crate::output::{Output, clean};

#[derive(Args, Debug)]
pub(crate) struct Member {
    /// Its name or id
    name: String,
    #[command(flatten)]
    output: Output,
}

/// On a node.
#[derive(Subcommand, Debug)]
pub(crate) enum NodeAction {
    /// List nodes, those of clusters included, and what waits for somebody to decide
    Ls(At<get::List>),
    /// Remove a node: it ends what it runs, which is placed elsewhere
    Remove(At<Member>),
    /// Make a node's certificates void; it stays known
    Revoke(At<Member>),
    /// Keep new work away from a node; what is there stays
    Cordon(At<Member>),
    /// Let a node take new work again; a drain ends
    Uncordon(At<Member>),
    /// Empty a node: what it runs moves elsewhere, one by one of each service
    Drain(At<moving::Drain>),
    /// Take a node out of service: empty it, have it wipe itself, forget it
    Decommission(At<decommission::Decommission>),
    /// Give a node to another cluster: empty it, have it join there, and leave the old one; asked at the root
    Move(At<transfer::Transfer>),
    /// On the machine itself, as its owner: whether people may open a shell there
    Consent(consent::Consent),
    /// Say what a node can do, for services that require it
    #[command(subcommand)]
    Capability(CapabilityAction),
    /// Say what a node is called for placing services
    #[command(subcommand)]
    Label(LabelAction),
    /// Keep new work away from a node, except for services that tolerate it
    #[command(subcommand)]
    Taint(TaintAction),
}

/// On a cluster.
#[derive(Subcommand, Debug)]
pub(crate) enum ClusterAction {
    /// List clusters, and what waits for somebody to decide
    Ls(At<get::List>),
    /// Remove a cluster: it ends what it runs for us, which is placed elsewhere
    Remove(At<Member>),
    /// Make void the certificates of a cluster and of all below it; it stays known
    ///
    /// For a cluster that was stolen. It can be told nothing: its nodes run on what they have until somebody ends it
    /// there, and what it ran for us is placed elsewhere.
    Revoke(At<Member>),
    /// Keep new work away from a cluster; what is there stays
    Cordon(At<Member>),
    /// Let a cluster take new work again; a drain ends
    Uncordon(At<Member>),
    /// Empty a cluster: what it runs for us moves elsewhere, one by one of each service
    Drain(At<moving::Drain>),
}

// === impl NodeAction ===

impl NodeAction {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Ls(at) => get::nodes(at).await,
            Self::Consent(consent) => consent.run(),
            Self::Capability(action) => action.run().await,
            Self::Label(action) => action.run().await,
            Self::Taint(action) => action.run().await,
            Self::Cordon(at) => cordon("nodes", at, true).await,
            Self::Uncordon(at) => cordon("nodes", at, false).await,
            Self::Drain(at) => moving::drain("nodes", at).await,
            Self::Decommission(at) => decommission::run(at).await,
            Self::Move(at) => transfer::run(at).await,
            Self::Remove(At { args, connect }) => {
                let removal = connect.client()?.remove_node(&args.name).await?;
                tell("node", &args, &removal)
            }
            Self::Revoke(At { args, connect }) => {
                connect.client()?.revoke_node(&args.name).await?;
                revoked("node", &args)
            }
        }
    }
}

// === impl ClusterAction ===

impl ClusterAction {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Ls(at) => get::clusters(at).await,
            Self::Cordon(at) => cordon("clusters", at, true).await,
            Self::Uncordon(at) => cordon("clusters", at, false).await,
            Self::Drain(at) => moving::drain("clusters", at).await,
            Self::Remove(At { args, connect }) => {
                let removal = connect.client()?.remove_cluster(&args.name).await?;
                tell("cluster", &args, &removal)
            }
            Self::Revoke(At { args, connect }) => {
                connect.client()?.revoke_cluster(&args.name).await?;
                revoked("cluster", &args)
            }
        }
    }
}

fn revoked(kind: &str, Member { name, output }: &Member) -> Result<(), Failure> {
    output.print_done("revoked", name, || {
        format!(
            "the certificates of {kind} {name} are void; it keeps its name until `holm {kind} remove {name}`"
        )
    })
}

/// `kind`: `nodes` or `clusters`.
async fn cordon(kind: &str, At { args, connect }: At<Member>, cordoned: bool) -> Result<(), Failure> {
    connect.client()?.cordon(kind, &args.name, cordoned).await?;
    let name = &args.name;
    let (done, words) = if cordoned {
        ("cordoned", format!("{name} takes nothing new until it is uncordoned; what is there stays"))
    } else {
        ("uncordoned", format!("{name} takes new work again"))
    };
    args.output.print_done(done, name, || words)
}

/// What becomes of what runs there is the question that somebody has who removes a member.
fn tell(kind: &str, Member { name, output }: &Member, removal: &RemovalView) -> Result<(), Failure> {
    let RemovalView { leaving, instances } = removal;
    let list: String = instances
        .iter()
        .map(|i| {
            let node = i.node.as_deref().unwrap_or("-");
            clean(&format!("  {}/{} on {node}", i.application, i.slot)) + "\n"
        })
        .collect();
    output.print(removal, || match (leaving, instances.is_empty()) {
        (true, true) => format!("{kind} {name} leaves"),
        (true, false) => format!("{kind} {name} leaves once it has ended what it runs here:\n{list}"),
        (false, _) => format!("{kind} {name} is removed"),
    })?;
    if !leaving && !instances.is_empty() {
        eprint!(
            "warning: it could not be told to end what it runs; this may go on there until somebody ends it:\n{list}"
        );
    }
    Ok(())
}
