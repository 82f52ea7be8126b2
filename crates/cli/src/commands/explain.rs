//! `holm explain`: why an instance is where it is, or has no place, and what every member is worth to it now.

use clap::Args;
use holm_model::view::explain::{ExplainView, OpinionView};

use super::Project;
use crate::connect::At;
use crate::failure::Failure;
use crate::output::{Output, clean};
use crate::resolve;

#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// A slot, as in `app/web/2`, or the id of an instance
    #[arg(value_name = "INSTANCE")]
    instance: String,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(At { args, connect }: At<Explain>) -> Result<(), Failure> {
    let (client, project) = (connect.client()?, args.project.of(&connect)?);
    let row = resolve::slot(&client, &project, &args.instance).await?;
    if let Some(owner) = &row.owner {
        return Err(Failure::new(format!(
            "{} belongs to cluster {owner}, which decides about it",
            row.application
        ))
        .hint(format!("ask {owner} itself: `holm explain` with --server or --context")));
    }
    let found = client.explain(&row.project, &row.application, &row.slot).await?;
    args.output.print(&found, || people(&found))
}

fn people(found: &ExplainView) -> String {
    let ExplainView { application, slot, by, strategy, member, then, .. } = found;
    let mut text = match (member, then) {
        (Some(member), Some(then)) => {
            format!("{application}/{slot} is on {member}, where {by} placed it: {}\n", clean(then))
        }
        _ => format!("{application}/{slot} has no place at {by}\n"),
    };
    text.push_str(&format!("now, by {strategy}:\n"));
    text.push_str(&opinions(&found.members, found.more, member.as_deref()));
    text
}

/// A line for each member, and how many more there are; `*` stands before the one that has it.
pub(crate) fn opinions(members: &[OpinionView], more: u32, has: Option<&str>) -> String {
    let width = members.iter().map(|opinion| opinion.member.chars().count()).max().unwrap_or(0);
    let line = |opinion: &OpinionView| {
        let mark = if has == Some(opinion.member.as_str()) { '*' } else { ' ' };
        let place = opinion.place.map_or_else(|| "no".to_owned(), |place| place.to_string());
        format!("  {mark} {place:>4}  {:<width$}  {}\n", clean(&opinion.member), clean(&opinion.reason))
    };
    let more = (more > 0).then(|| format!("          and {more} more\n"));
    members.iter().map(line).chain(more).collect()
}
