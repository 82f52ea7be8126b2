//! `holm person password`: one's own, or somebody's who has forgotten it.

use std::path::PathBuf;

use clap::Args;
use holm_client::Client;
use holm_model::view::people::{LoginRequest, Password, PasswordRequest};

use crate::connect::{Connect, Way};
use crate::contexts::{Context, Contexts, Session};
use crate::failure::Failure;
use crate::output::{Format, Output};
use crate::{prompt, secret};

#[derive(Args, Debug)]
pub(super) struct Change {
    /// Whose [default: your own]
    name: Option<String>,
    /// A file with the new password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file with the present password, which your own change needs
    #[arg(long, value_name = "FILE")]
    old_password_file: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(change: Change, connect: &Connect) -> Result<(), Failure> {
    let client = connect.client()?;
    let who = client.whoami().await?;
    // The socket's owner is nobody who has a password.
    let own = who.expires.map(|_| who.who);
    match (&change.name, own) {
        (None, None) => Err(Failure::wrong_use("the orchestrator's own socket has no password")
            .hint("say whose password to change")),
        (Some(name), own) if own.as_ref() != Some(name) => another(&client, name, &change).await,
        (_, Some(own)) => oneself(&client, &own, &change, connect).await,
        (Some(name), None) => another(&client, name, &change).await,
    }
}

async fn another(client: &Client, name: &str, change: &Change) -> Result<(), Failure> {
    let chosen = change.password_file.as_deref().map(secret::password).transpose()?;
    let new = chosen.clone().map_or_else(secret::random_password, Ok)?;
    let request = PasswordRequest { old: None, new: Password(new.clone()) };
    client.set_password(name, &request).await?;
    if chosen.is_some() {
        return change
            .output
            .print_done("changed", name, || format!("{name} has to log in again, and to change it"));
    }
    if matches!(change.output.format, Format::Table | Format::Wide) {
        eprintln!("new password of {name}; shown only now, to be changed at the next log-in:");
    }
    let done = serde_json::json!({ "changed": name, "password": new });
    change.output.print(&done, || new.clone())
}

/// The token that asked for it is void, too: a context logs in again.
async fn oneself(client: &Client, name: &str, change: &Change, connect: &Connect) -> Result<(), Failure> {
    let old = match &change.old_password_file {
        Some(file) => secret::password(file)?,
        None => prompt::hidden(&format!("Present password of {name}: "))?,
    };
    let new = match &change.password_file {
        Some(file) => secret::password(file)?,
        None => prompt::hidden_twice("New password, ten characters at least: ")?,
    };
    let request = PasswordRequest { old: Some(Password(old)), new: Password(new) };
    client.set_password(name, &request).await?;
    if let Way::Context { name: context, context: Context { server, .. } } = connect.way()?
        && let Some(before) = Contexts::read()?.all.get(&context)
    {
        let login = LoginRequest { name: name.to_owned(), password: request.new };
        let session = Client::pinned(&server, before.root()?, None)?.log_in(&login).await?;
        let session = Session { token: session.token, expires: session.expires };
        Contexts::change(|contexts| {
            contexts.get_mut(&context)?.session = Some(session);
            Ok(())
        })?;
    }
    change.output.print_done("changed", name, || {
        "your password is changed; everywhere else you are logged out, and tokens that you made are void"
            .to_owned()
    })
}
