//! `holm adopt` and `holm discard`: who is right after an orchestrator forgot something.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use clap::Args;
use holm_model::view::held::{Fate, HeldItem, HeldView};

use crate::connect::At;
use crate::failure::Failure;
use crate::output::time::now;
use crate::output::{Output, clean, stdout_ink, table};

#[derive(Args, Debug)]
pub(crate) struct Adopt {
    #[command(flatten)]
    decision: Decision,
}

#[derive(Args, Debug)]
pub(crate) struct Discard {
    #[command(flatten)]
    decision: Decision,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// About whom, and whether it is only looked at.
#[derive(Args, Debug)]
struct Decision {
    /// Name or id of a node or cluster of this orchestrator; `holm get members` shows them
    #[arg(value_name = "MEMBER")]
    member: String,
    /// Show what would become of everything that the member holds, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn adopt(At { args: Adopt { decision }, connect }: At<Adopt>) -> Result<(), Failure> {
    let (client, member) = (connect.client()?, &decision.member);
    if decision.dry_run {
        return decision.show(&client.held(member).await?);
    }
    client.adopt(member).await?;
    decision.output.print_done("adopted", member, || {
        format!("{member} is adopted: what it runs is now what the orchestrator believes.")
    })
}

pub(crate) async fn discard(At { args, connect }: At<Discard>) -> Result<(), Failure> {
    let Discard { decision, yes } = args;
    let (client, member) = (connect.client()?, &decision.member);
    let held = client.held(member).await?;
    if decision.dry_run {
        return decision.show(&held);
    }
    // Of one that is not frozen the orchestrator itself says that there is nothing to decide.
    if held.frozen && !yes {
        consent(&held)?;
    }
    client.discard(member).await?;
    decision.output.print_done("discarded", member, || {
        format!("{member} obeys again: what the orchestrator does not believe is ended there.")
    })
}

// === impl Decision ===

impl Decision {
    fn show(&self, held: &HeldView) -> Result<(), Failure> {
        self.output.print(held, || people(held, self.output.is_wide()))
    }
}

fn people(held: &HeldView, wide: bool) -> String {
    let name = clean(&held.name);
    let mut text = match (held.frozen, held.complete) {
        (false, _) => {
            format!("{name} is not frozen: it obeys this orchestrator, and there is nothing to decide.\n")
        }
        (true, true) => format!("{name} is frozen and holds:\n"),
        (true, false) => format!("{name} is frozen and has not shown yet all that it holds:\n"),
    };
    text.push_str(&table::render(&held.items, wide, now(), stdout_ink()));
    text
}

/// Says what a discard would end, and asks.
///
/// # Errors
/// When the answer is no, or nobody can be asked.
fn consent(held: &HeldView) -> Result<(), Failure> {
    let name = &held.name;
    if !held.complete {
        return Err(Failure::new(format!("{name} has not shown yet all that it holds"))
            .hint("try again when it is connected; with --yes it is discarded unseen"));
    }
    let consequences = consequences(&held.items);
    if consequences.is_empty() {
        return Ok(());
    }
    eprint!("Discarding what {} holds:\n{consequences}", clean(name));
    if !io::stdin().is_terminal() {
        return Err(Failure::new(format!("{name} is not discarded: nobody can be asked here")).hint(
            format!("`holm discard {name} --yes` does it; `holm adopt {name}` keeps all that instead"),
        ));
    }
    eprint!("Go on? [y/N] ");
    let mut answer = String::new();
    let read = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
    read.map_err(|error| Failure::from_error("cannot read the answer", &error))?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Failure::new(format!("{name} is not discarded: it stays frozen")))
}

/// A line for each thing that does not go on untouched, what ends first.
fn consequences(items: &[HeldItem]) -> String {
    let told = [(Fate::End, "ends"), (Fate::Change, "is changed"), (Fate::Start, "starts")];
    let lines = told.iter().flat_map(|(fate, word)| {
        let concerned = items.iter().filter(move |item| item.discard == *fate);
        concerned.map(move |item| clean(&format!("  {}/{} {word}", item.application, item.slot)) + "\n")
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::member::Role;

    fn item(slot: &str, discard: Fate) -> HeldItem {
        HeldItem {
            id: format!("1-aa-{slot}"),
            project: "default".to_owned(),
            application: "shop".to_owned(),
            service: "web".to_owned(),
            slot: slot.to_owned(),
            generation: Some(2),
            known: None,
            adopt: Fate::Learn,
            discard,
        }
    }

    fn held(items: Vec<HeldItem>) -> HeldView {
        let (id, name) = ("1-aa-1".to_owned(), "fl-1".to_owned());
        HeldView { id, name, role: Role::Node, frozen: true, complete: true, items }
    }

    #[test]
    fn what_ends_is_said_first() {
        let items = [item("web/0", Fate::Keep), item("web/1", Fate::Start), item("web/2", Fate::End)];
        assert_eq!(consequences(&items), "  shop/web/2 ends\n  shop/web/1 starts\n");
    }

    #[test]
    fn a_plan_shows_both_sides_and_both_decisions() {
        let text = people(&held(vec![item("web/2", Fate::End)]), false);
        let row = text.lines().last().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(row, "shop web/2 generation 2 - learn end", "{text}");
    }

    #[test]
    fn what_harms_nobody_needs_no_consent() {
        consent(&held(vec![item("web/0", Fate::Keep)])).unwrap();
        let unseen = HeldView { complete: false, ..held(Vec::new()) };
        assert!(consent(&unseen).unwrap_err().to_string().contains("has not shown"));
    }
}
