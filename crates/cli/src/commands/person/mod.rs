//! `holm person`: who may log in, and as what.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`roles`] | roles as people write them |
//! | [`password`] | changing passwords |

mod password;
mod roles;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use holm_client::Client;
use holm_model::name::Name;
use holm_model::view::people::{Password, PersonRequest, PersonView, Roles};
use serde::Serialize;

use crate::connect::{At, Connect};
use crate::failure::Failure;
use crate::output::time::{age, now};
use crate::output::{Format, Output, rights, stdout_ink, table};
use crate::secret;
use roles::RoleWords;

#[derive(Args, Debug)]
pub(crate) struct People {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Make somebody who may log in; the password is printed once, and changed at the first log-in
    Create(Create),
    /// List people and their roles
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        output: Output,
    },
    /// Show somebody
    Show {
        /// Their name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Give somebody other roles; those that are not named stay
    ///
    /// Whoever loses rights has to log in again, and the tokens that they made are void.
    Role {
        /// Their name
        name: String,
        #[command(flatten)]
        roles: RoleWords,
        #[command(flatten)]
        output: Output,
    },
    /// Change your own password, or give somebody a new one who has forgotten it
    ///
    /// All tokens of that person are void then. A password that somebody else gets is printed once, and changed
    /// at the next log-in.
    Password(password::Change),
    /// Delete somebody; what they made stays, their tokens are void
    Delete {
        /// Their name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Make void all tokens that somebody has or made
    Logout {
        /// Their name
        name: String,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Args, Debug)]
struct Create {
    /// Their name
    name: Name,
    #[command(flatten)]
    roles: RoleWords,
    /// A file with the first password, instead of a random one
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Somebody new. The password is shown only now, and only if nobody chose it.
#[derive(Debug, Serialize)]
struct Created<'a> {
    #[serde(flatten)]
    view: &'a PersonView,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

pub(crate) async fn run(At { args, connect }: At<People>) -> Result<(), Failure> {
    match args.action {
        Action::Create(args) => create(args, &connect).await,
        Action::Ls { output } => {
            let people = connect.client()?.people().await?;
            output.print(&people, || match people.is_empty() {
                true => {
                    "There is nobody yet; the set-up link that `holm root` prints makes the first.".to_owned()
                }
                false => table::render(&people, output.is_wide(), now(), stdout_ink()),
            })
        }
        Action::Show { name, output } => show(&connect.client()?, &name, output).await,
        Action::Role { name, roles, output } => role(&connect.client()?, &name, &roles, output).await,
        Action::Password(change) => password::run(change, &connect).await,
        Action::Delete { name, output } => {
            connect.client()?.delete_person(&name).await?;
            output
                .print_done("deleted", &name, || format!("{name} is deleted; every token of theirs is void"))
        }
        Action::Logout { name, output } => {
            connect.client()?.log_out_everywhere(&name).await?;
            output.print_done("logged_out", &name, || format!("every token of {name} is void"))
        }
    }
}

async fn create(args: Create, connect: &Connect) -> Result<(), Failure> {
    let Create { name, roles, password_file, output } = args;
    let chosen = password_file.as_deref().map(secret::password).transpose()?;
    let password = chosen.clone().map_or_else(secret::random_password, Ok)?;
    let roles = roles.over(Roles::default());
    let request = PersonRequest { name, password: Password(password.clone()), roles };
    let view = connect.client()?.create_person(&request).await?;
    let shown = chosen.is_none().then_some(password.as_str());
    // The password alone on standard output, as with tokens.
    if matches!(output.format, Format::Table | Format::Wide) {
        let roles = rights::roles(&view.roles);
        let roles = if roles.is_empty() { "no role yet" } else { &roles };
        eprintln!(
            "{} may log in ({roles}){}",
            view.name,
            shown.map_or("", |_| "; shown only now, to be changed at once:")
        );
    }
    output.print(&Created { view: &view, password: shown }, || shown.unwrap_or_default().to_owned())
}

/// Of somebody who came out of a backup.
const HELD: &str = "void since the restore; `holm person password` sets a new one";

async fn show(client: &Client, name: &str, output: Output) -> Result<(), Failure> {
    tell(&client.person(name).await?, output)
}

fn tell(view: &PersonView, output: Output) -> Result<(), Failure> {
    output.print(view, || {
        let PersonView { name, roles, must_change, held, created } = view;
        let mut pairs = vec![("name".to_owned(), name.clone())];
        pairs.extend(roles.sea.map(|role| ("in the sea".to_owned(), role.to_string())));
        pairs
            .extend(roles.projects.iter().map(|(project, role)| (format!("in {project}"), role.to_string())));
        let password = match (held, must_change) {
            (true, _) => HELD,
            (false, true) => "to be changed at the next log-in",
            (false, false) => "their own",
        };
        pairs
            .extend([("password".to_owned(), password.to_owned()), ("age".to_owned(), age(*created, now()))]);
        table::pairs(&pairs, stdout_ink())
    })
}

async fn role(client: &Client, name: &str, words: &RoleWords, output: Output) -> Result<(), Failure> {
    if words.is_empty() {
        return Err(Failure::wrong_use("no role was named")
            .hint("as in `--project blue=operator --sea viewer`; `none` takes a role away"));
    }
    let before = client.person(name).await?;
    let roles = words.over(before.roles.clone());
    client.set_roles(name, &roles).await?;
    // Not asked again: who takes a role from themselves is logged out by that.
    tell(&PersonView { roles, ..before }, output)
}
