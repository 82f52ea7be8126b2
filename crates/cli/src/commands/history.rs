//! `holm history`: what an application said before, who made it so, and how that went.

use std::collections::BTreeSet;

use clap::Args;
use holm_model::view::PlannedChange;
use holm_model::view::generation::GenerationView;

use super::Project;
use crate::connect::At;
use crate::failure::Failure;
use crate::output::time::local;
use crate::output::{Output, clean, stdout_ink, table};

#[derive(Args, Debug)]
pub(crate) struct History {
    /// The application
    #[arg(value_name = "APPLICATION")]
    application: String,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(At { args, connect }: At<History>) -> Result<(), Failure> {
    let project = args.project.of(&connect)?;
    let found = connect.client()?.generations(project.as_str(), &args.application).await?;
    args.output.print(&found, || people(&found))
}

/// The newest last, where people look first.
fn people(found: &[GenerationView]) -> String {
    let row = |view: &GenerationView| {
        let mark = if view.current { "*" } else { "" };
        vec![
            format!("{}{mark}", view.generation),
            local(view.at),
            clean(&view.who),
            cause(view),
            view.outcome.word().to_owned(),
            changes(view),
        ]
    };
    let head = ["GENERATION", "AT", "BY", "CAUSE", "OUTCOME", "WHAT"];
    let mut text = table::plain(&head, found.iter().rev().map(row).collect(), stdout_ink());
    // What took a failed one's place has the same reason: it is said once, of what failed.
    let mut told = BTreeSet::from([""]);
    for view in found.iter().rev().filter(|view| told.insert(&view.reason)) {
        text.push_str(&format!("generation {}: {}\n", view.generation, clean(&view.reason)));
    }
    text
}

fn cause(view: &GenerationView) -> String {
    view.to.map_or_else(|| view.cause.word().to_owned(), |to| format!("{} to {to}", view.cause.word()))
}

/// The first differences in words, and how many more there are.
fn changes(view: &GenerationView) -> String {
    const MOST: usize = 2;
    let words: Vec<String> = view.changes.iter().flat_map(words_of).collect();
    let more = if words.len() > MOST { format!("; and {} more", words.len() - MOST) } else { String::new() };
    clean(&(words.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join("; ") + &more))
}

fn words_of(change: &PlannedChange) -> Vec<String> {
    match change.action.as_str() {
        "change" => change.details.iter().map(|detail| format!("{}: {detail}", change.service)).collect(),
        action => vec![format!("{action} {}", change.service)],
    }
}
