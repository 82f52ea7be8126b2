//! How somebody proves who they are: a name and a password, or the link of the first start.

use std::path::Path;

use holm_client::{Client, Fingerprint};
use holm_model::name::{Name, NameError};
use holm_model::view::people::{LoginRequest, Password, PasswordRequest, SessionCreated, SetupRequest};

use super::Login;
use super::goal::Goal;
use crate::failure::Failure;
use crate::{prompt, secret};

/// `https://HOST:PORT/setup#TOKEN`.
pub(super) struct Link {
    pub(super) server: String,
    pub(super) root: Fingerprint,
    token: String,
}

const LINK: &str = "/setup#";

// === impl Link ===

impl Link {
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let hint = "the first start of `holm root` writes it; it goes once there is an administrator";
        secret::line(file).map_err(|failure| failure.hint(hint))?.parse()
    }

    pub(super) fn ask() -> Result<Self, Failure> {
        prompt::hidden("Set-up link: ")?.parse()
    }
}

impl std::str::FromStr for Link {
    type Err = Failure;

    /// Nothing of what is no link is repeated: it may be another secret.
    fn from_str(text: &str) -> Result<Self, Failure> {
        let none = || {
            Failure::wrong_use("this is no set-up link: it looks like https://HOST:PORT/setup#holm-api.…")
                .hint("`holm root` prints it at each start as long as there is nobody who could log in")
        };
        let (server, token) = text.trim().split_once(LINK).ok_or_else(none)?;
        let root = holm_client::fingerprint_of(token).map_err(|_| none())?;
        Ok(Self { server: holm_client::address(server)?, root, token: token.to_owned() })
    }
}

pub(super) async fn set_up(
    client: &Client,
    goal: &Goal,
    link: &Link,
    login: &Login,
) -> Result<SessionCreated, Failure> {
    let name = name(goal, "Name of the first administrator: ")?;
    let name = Name::new(&name).map_err(|e: NameError| Failure::wrong_use(e))?;
    // There is none before: whichever way it is said, it is the new one.
    let file = login.new_password_file.as_ref().or(login.password_file.as_ref());
    let password = match file {
        Some(file) => secret::password(file)?,
        None => prompt::hidden_twice("A password for them, ten characters at least: ")?,
    };
    let request = SetupRequest { token: link.token.clone(), name, password: Password(password) };
    Ok(client.set_up(&request).await?)
}

/// With a new password, where the present one was somebody else's choice.
pub(super) async fn log_in(
    client: &Client,
    goal: &Goal,
    root: Fingerprint,
    login: &Login,
) -> Result<SessionCreated, Failure> {
    let name = name(goal, "Name: ")?;
    let password = match &login.password_file {
        Some(file) => secret::password(file)?,
        None => prompt::hidden(&format!("Password of {name}: "))?,
    };
    let request = LoginRequest { name: name.clone(), password: Password(password) };
    let session = refused(client.log_in(&request).await)?;
    if !session.must_change {
        return match &login.new_password_file {
            None => Ok(session),
            Some(_) => Err(Failure::new(format!("the password of {name} is their own: nothing was changed"))
                .hint("log in without --new-password-file; `holm person password` changes it")),
        };
    }
    let new = new_password(login)?;
    let change = PasswordRequest { old: Some(request.password), new: Password(new) };
    let renewing = Client::pinned(&goal.server, root, Some(&session.token))?;
    refused(renewing.set_password(&name, &change).await)?;
    let request = LoginRequest { name, password: change.new };
    refused(client.log_in(&request).await)
}

/// There is no token that somebody could give instead.
fn refused<T>(outcome: Result<T, holm_client::Error>) -> Result<T, Failure> {
    outcome.map_err(|error| {
        let wrong = error.problem().is_some_and(|problem| problem.status == 401);
        let failure = Failure::from(error);
        match wrong {
            true => failure.hint("an administrator sets a new one with `holm person password NAME`"),
            false => failure,
        }
    })
}

fn new_password(login: &Login) -> Result<String, Failure> {
    if let Some(file) = &login.new_password_file {
        return secret::password(file);
    }
    if prompt::is_terminal() {
        eprintln!("This password was chosen for you and has to be changed now.");
    }
    prompt::hidden_twice("New password, ten characters at least: ").map_err(|failure| {
        match prompt::is_terminal() {
            true => failure,
            false => Failure::new("this password was chosen for you and has to be changed now")
                .hint("log in on a terminal, or give the new one with --new-password-file"),
        }
    })
}

fn name(goal: &Goal, question: &str) -> Result<String, Failure> {
    match &goal.person {
        Some(name) => Ok(name.clone()),
        None if prompt::is_terminal() => Ok(prompt::line(question)?.trim().to_owned()),
        None => Err(Failure::wrong_use("nobody can be asked for a name here").hint("say it with --name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_link_is_not_repeated() {
        for bad in ["", "secret", "https://root.example/setup", "https://root.example/setup#secret"] {
            let Err(failure) = bad.parse::<Link>() else { panic!("{bad}") };
            assert!(!failure.to_string().contains("secret"), "{failure}");
        }
    }
}
