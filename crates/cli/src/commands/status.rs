//! `holm status`.

use std::collections::BTreeMap;

use clap::Args;
use holm_model::view::StatusView;
use serde::Serialize;

use crate::connect::At;
use crate::failure::Failure;
use crate::output::{Output, rows, stdout_ink, table};

#[derive(Args, Debug)]
pub(crate) struct Status {
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(At { args, connect }: At<Status>) -> Result<(), Failure> {
    let client = connect.client()?;
    let status = client.status().await?;
    let members = client.members().await?;
    let below = members.iter().filter(|member| !member.frozen_nodes.is_empty());
    let frozen_nodes = below.map(|member| (member.name.clone(), member.frozen_nodes.clone())).collect();
    let frozen = members.into_iter().filter(|member| member.frozen || member.unconfirmed);
    let frozen = frozen.map(|member| member.name).collect();
    // Whoever may not see applications may see the rest.
    let applications = client.applications().await.unwrap_or_default();
    let unconfirmed = applications.into_iter().filter(|application| application.unconfirmed);
    let unconfirmed = unconfirmed.map(|application| format!("{}/{}", application.project, application.name));
    let seen = Seen { status, frozen, frozen_nodes, unconfirmed: unconfirmed.collect() };
    args.output.print(&seen, || people(&seen))
}

/// The orchestrator's own words, and what somebody must do there.
#[derive(Debug, Serialize)]
struct Seen {
    #[serde(flatten)]
    status: StatusView,
    /// Names of members that wait for `adopt` or `discard`.
    frozen: Vec<String>,
    /// By cluster, names of its nodes that wait for the same there.
    frozen_nodes: BTreeMap<String, Vec<String>>,
    /// Applications that came back with a restored store and wait for `confirm`, as `project/name`.
    unconfirmed: Vec<String>,
}

fn people(Seen { status, frozen, frozen_nodes, unconfirmed }: &Seen) -> String {
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
    for name in frozen {
        text.push_str(&format!("\n{}\n", rows::frozen(name)));
    }
    for note in frozen_nodes.iter().filter_map(|(cluster, nodes)| rows::frozen_nodes(cluster, nodes)) {
        text.push_str(&format!("\n{note}\n"));
    }
    if !unconfirmed.is_empty() {
        text.push_str(&format!(
            "\nNothing new is started of what came back with a restored store: {}. `holm get applications`, then \
             `holm confirm` what is still wanted\n",
            unconfirmed.join(", ")
        ));
    }
    text
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
