//! `holm exec`: a command inside an instance; its exit code is ours.

use std::process::ExitCode;

use clap::Args;

use super::{Project, attached, pick};
use crate::connect::At;
use crate::failure::Failure;

#[derive(Args, Debug)]
pub(crate) struct Exec {
    /// An id, the start of one, a slot as in `app/web/2`, or `app/web` where only one runs
    instance: String,
    /// In a terminal of its own: for shells and whatever draws
    #[arg(short, long)]
    tty: bool,
    /// Standard input goes to the command; it always does, so that `-it` is what hands expect
    #[arg(short = 'i', long = "stdin")]
    _stdin: bool,
    #[command(flatten)]
    project: Project,
    /// What to run there
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) async fn run(At { args, connect }: At<Exec>) -> Result<ExitCode, Failure> {
    let terminal = args.tty.then(|| attached::terminal("leave out -t")).transpose()?;
    let client = connect.client()?;
    let project = args.project.of(&connect)?;
    let instance = pick::one(&client, &project, &args.instance).await?;
    // Only instances with an id are picked.
    let id = instance.id.unwrap_or_default();
    let command = match &terminal {
        Some(terminal) => client.exec_in_terminal(&id, &args.command, terminal).await?,
        None => client.exec(&id, &args.command).await?,
    };
    attached::run(command, terminal.is_some()).await
}
