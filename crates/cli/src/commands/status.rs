//! `holm status`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use holm_model::view::{NodeView, StatusView};
use serde::Serialize;

use crate::connect::At;
use crate::failure::Failure;
use crate::output::notes::{self, Waiting};
use crate::output::rows::takes_nothing;
use crate::output::table::{self, Listed};
use crate::output::{Output, stdout_ink};

#[derive(Args, Debug)]
pub(crate) struct Status {
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(At { args, connect }: At<Status>) -> Result<(), Failure> {
    let client = connect.client()?;
    let status = client.status().await?;
    let members = client.members().await?;
    let mut waiting: Vec<_> = members.iter().flat_map(Listed::waits).collect();
    let below = members.iter().filter(|member| !member.frozen_nodes.is_empty());
    let frozen_nodes = below.map(|member| (member.name.clone(), member.frozen_nodes.clone())).collect();
    let frozen = members.into_iter().filter(|member| member.frozen || member.unconfirmed);
    let frozen = frozen.map(|member| member.name).collect();
    // Whoever may not see nodes or applications may see the rest.
    let nodes = client.nodes().await.unwrap_or_default();
    let unready = nodes.iter().filter_map(|node| Some((placed(node), takes_nothing(node)?.to_owned())));
    let unready = unready.collect();
    let applications = client.applications().await.unwrap_or_default();
    waiting.extend(applications.iter().flat_map(Listed::waits));
    let unconfirmed = applications.into_iter().filter(|application| application.unconfirmed);
    let unconfirmed = unconfirmed.map(|application| format!("{}/{}", application.project, application.name));
    let seen = Seen { status, unready, frozen, frozen_nodes, unconfirmed: unconfirmed.collect(), waiting };
    args.output.print(&seen, || people(&seen))
}

/// The orchestrator's own words, and what somebody must do there.
#[derive(Debug, Serialize)]
struct Seen {
    #[serde(flatten)]
    status: StatusView,
    /// Nodes none of whose runtimes takes anything new, as `cluster/node`, and why.
    unready: BTreeMap<String, String>,
    /// Names of members that wait for `adopt` or `discard`.
    frozen: Vec<String>,
    /// By cluster, names of its nodes that wait for the same there.
    frozen_nodes: BTreeMap<String, Vec<String>>,
    /// Applications that came back with a restored store and wait for `confirm`, as `project/name`.
    unconfirmed: Vec<String>,
    /// All of these.
    #[serde(skip)]
    waiting: Vec<Waiting>,
}

fn people(Seen { status, unready, waiting, .. }: &Seen) -> String {
    let writes = status.read_only.as_ref().map_or_else(|| "yes".to_owned(), |why| format!("no: {why}"));
    let pairs = [
        ("orchestrator", format!("{} ({})", status.name, status.role)),
        ("sea", status.sea.clone()),
        ("version", status.version.clone()),
        ("parent", parent(&status.parent)),
        ("takes writes", writes),
        ("epoch", status.epoch.clone()),
        ("revision", status.revision.to_string()),
        ("fingerprint", status.fingerprint.clone()),
    ];
    let mut text = table::pairs(&pairs, stdout_ink());
    for (node, why) in unready {
        let _ = writeln!(text, "\n{node} takes nothing new: {why}");
    }
    text.push_str(&notes::explain(waiting));
    text
}

fn placed(node: &NodeView) -> String {
    node.cluster.as_ref().map_or_else(|| node.name.clone(), |cluster| format!("{cluster}/{}", node.name))
}

/// The state of the link to the parent; a word that asks for something is explained.
fn parent(state: &str) -> String {
    match state {
        "behind" => "behind: its store is older than what was obeyed here, so this cluster is frozen; \
                     `holm adopt` or `holm discard` there"
            .to_owned(),
        other => other.to_owned(),
    }
}
