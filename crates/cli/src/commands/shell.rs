//! `holm shell`: a shell on a node itself.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use holm_client::Client;
use holm_model::view::NodeView;

use super::attached;
use crate::connect::At;
use crate::failure::Failure;

#[derive(Args, Debug)]
#[command(
    after_help = "Only where the node's owner has agreed, by `holm node consent grant` on the machine. The \
    session is recorded there, and its beginning and end are in the audit log."
)]
pub(crate) struct Shell {
    /// Its name or id
    node: String,
    /// Keep what is shown in a new file here, too
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

pub(crate) async fn run(At { args, connect }: At<Shell>) -> Result<ExitCode, Failure> {
    let terminal = attached::terminal("call it from a terminal")?;
    let record = args.record.map(|path| {
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
        file.map_err(|error| Failure::from_error(format!("cannot record to {}", path.display()), &error))
    });
    let client = connect.client()?;
    let node = find(&client, &args.node).await?;
    let shell = client.shell(&node.id, &terminal).await?;
    attached::record(shell, record.transpose()?).await
}

async fn find(client: &Client, text: &str) -> Result<NodeView, Failure> {
    only(client.nodes().await?, text)
}

/// The one node of this name, or of this name in a cluster, or of this id.
fn only(nodes: Vec<NodeView>, text: &str) -> Result<NodeView, Failure> {
    let full = |node: &NodeView| node.cluster.as_ref().map(|cluster| format!("{cluster}/{}", node.name));
    let named = |node: &NodeView| node.id == text || node.name == text || full(node).as_deref() == Some(text);
    let mut found: Vec<_> = nodes.into_iter().filter(named).collect();
    match (found.pop(), found.is_empty()) {
        (Some(node), true) => Ok(node),
        (None, _) => {
            Err(Failure::new(format!("no node is called `{text}`")).hint("`holm get nodes` lists them"))
        }
        (Some(_), false) => Err(Failure::new(format!("several nodes are called `{text}`"))
            .hint("name its cluster, as in `vienna/fl-1`, or its id")),
    }
}
