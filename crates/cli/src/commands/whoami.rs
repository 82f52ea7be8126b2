//! `holm whoami`.

use clap::Args;
use holm_model::view::people::WhoView;

use crate::connect::At;
use crate::failure::Failure;
use crate::output::rights::{rights, role_of};
use crate::output::time::{left, now};
use crate::output::{Output, stdout_ink, table};

#[derive(Args, Debug)]
pub(crate) struct Whoami {
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(At { args, connect }: At<Whoami>) -> Result<(), Failure> {
    let client = connect.client()?;
    let who = client.whoami().await?;
    args.output.print(&who, || people(&who, &client.server()))
}

fn people(who: &WhoView, server: &str) -> String {
    let until = who.expires.map(|at| format!(", for {}", left(at, now()))).unwrap_or_default();
    let head = format!("{} at {server}{until}\n", who.who);
    let mut rows = Vec::new();
    let mut row = |scope: String, role: Option<&str>, verbs| {
        rows.push(vec![scope, role.unwrap_or_default().to_owned(), rights(verbs)]);
    };
    let grants = &who.grants;
    if !grants.sea.is_empty() {
        row("the whole sea".to_owned(), role_of(&grants.sea, None), &grants.sea);
    }
    for (project, verbs) in &grants.projects {
        row(format!("project {project}"), role_of(verbs, Some(project)), verbs);
    }
    match rows.is_empty() {
        true => {
            format!("{head}You may do nothing yet; an administrator gives roles with `holm person role`.\n")
        }
        false => format!("{head}\n{}", table::plain(&["WHERE", "ROLE", "RIGHTS"], rows, stdout_ink())),
    }
}
