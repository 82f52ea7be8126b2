//! `holm login`: believe a server, prove who one is, keep both as a context.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`goal`] | where to log in, as whom, and which sea must answer |
//! | [`proof`] | names, passwords, the set-up link |

mod goal;
mod proof;

use std::path::PathBuf;

use clap::Args;
use holm_client::Client;
use holm_model::name::Name;
use holm_model::time::Time;
use holm_model::view::people::SessionCreated;
use serde::Serialize;

use crate::contexts::{Context, Contexts, Session};
use crate::failure::Failure;
use crate::output::Output;
use crate::output::time::{left, now};
use goal::Goal;
use proof::Link;

#[derive(Args, Debug)]
pub(crate) struct Login {
    /// `host:port`; without it, the one of the context or of the set-up link
    #[arg(value_name = "SERVER")]
    server: Option<String>,
    /// Who you are; asked for on a terminal
    #[arg(long)]
    name: Option<Name>,
    /// A file with your password; without it, it is asked for, or is the next line of standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file with the new password, where the present one has to be changed, or the first one is set
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
    /// The fingerprint that the orchestrator prints when it starts; without it, it is shown and asked about
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// Become the first administrator, with the link that the first start of `holm root` prints
    #[arg(long, conflicts_with = "setup_file")]
    setup: bool,
    /// As --setup, with a file that holds the link: `setup-link` in the root's data directory
    #[arg(long, value_name = "FILE")]
    setup_file: Option<PathBuf>,
    /// The context to keep it in [default: the one of this server, or the server's name]
    #[arg(long, env = "HOLM_CONTEXT", value_name = "NAME")]
    context: Option<String>,
    /// The project of commands that name none
    #[arg(short, long, value_name = "NAME")]
    project: Option<Name>,
    #[command(flatten)]
    output: Output,
}

/// What happened, for programs.
#[derive(Debug, Serialize)]
struct LoggedIn<'a> {
    context: &'a str,
    server: &'a str,
    fingerprint: String,
    person: &'a str,
    expires: Time,
    current: bool,
}

pub(crate) async fn run(login: Login) -> Result<(), Failure> {
    let link = login.link()?;
    let goal = Goal::of(&login, link.as_ref(), &Contexts::read()?)?;
    let root = goal.believe().await?;
    let client = Client::pinned(&goal.server, root, None)?;
    let session = match &link {
        Some(link) => proof::set_up(&client, &goal, link, &login).await?,
        None => proof::log_in(&client, &goal, root, &login).await?,
    };
    let context = Context {
        server: goal.server.clone(),
        fingerprint: root.to_string(),
        person: session.who.clone(),
        session: Some(Session { token: session.token.clone(), expires: session.expires }),
        project: login.project.clone(),
    };
    let current = keep(&goal.context, context)?;
    tell(&goal, root.to_string(), &session, current, login.output)
}

// === impl Login ===

impl Login {
    fn link(&self) -> Result<Option<Link>, Failure> {
        match (&self.setup_file, self.setup) {
            (Some(file), _) => Link::read(file).map(Some),
            (None, true) => Link::ask().map(Some),
            (None, false) => Ok(None),
        }
    }
}

/// Whether the context is the current one now.
fn keep(name: &str, mut context: Context) -> Result<bool, Failure> {
    Contexts::change(|contexts| {
        let before = contexts.all.get(name).and_then(|before| before.project.clone());
        context.project = context.project.or(before);
        contexts.put(name, context);
        Ok(contexts.current.as_deref() == Some(name))
    })
}

fn tell(
    goal: &Goal,
    fingerprint: String,
    session: &SessionCreated,
    current: bool,
    output: Output,
) -> Result<(), Failure> {
    let Goal { context, server, .. } = goal;
    let (person, expires) = (session.who.as_str(), session.expires);
    let done = LoggedIn { context, server, fingerprint, person, expires, current };
    output.print(&done, || {
        let how = match current {
            true => format!("context {context} is the current one"),
            false => format!("use it with `--context {context}`, or `holm context use {context}`"),
        };
        format!("logged in to {server} as {person} for {}; {how}", left(expires, now()))
    })
}
