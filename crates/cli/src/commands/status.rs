//! `holm status`.

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
    let frozen = members.into_iter().filter(|member| member.frozen || member.unconfirmed);
    let seen = Seen { status, frozen: frozen.map(|member| member.name).collect() };
    args.output.print(&seen, || people(&seen))
}

/// The orchestrator's own words, and what somebody must do there.
#[derive(Debug, Serialize)]
struct Seen {
    #[serde(flatten)]
    status: StatusView,
    /// Names of members that wait for `adopt` or `discard`.
    frozen: Vec<String>,
}

fn people(Seen { status, frozen }: &Seen) -> String {
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
