//! `holm logout`.

use clap::Args;

use crate::connect::{At, Way};
use crate::contexts::Contexts;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Logout {
    /// Make void all tokens that you have anywhere, and all that you made
    #[arg(long)]
    everywhere: bool,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(At { args, connect }: At<Logout>) -> Result<(), Failure> {
    let way = connect.way()?;
    let what = match &way {
        Way::Context { name, context } => {
            // Nothing to do at the server, and nothing that could fail there.
            if context.session.is_none() {
                return args
                    .output
                    .print_done("logged_out", name, || format!("context {name} was logged out already"));
            }
            name.clone()
        }
        Way::Server(server) => server.clone(),
        Way::Socket(_) | Way::Local => {
            return Err(Failure::wrong_use(
                "there is no log-in to end: the orchestrator's own socket needs none",
            )
            .hint("name a context with --context; `holm context ls` shows them"));
        }
    };
    let client = connect.client()?;
    let outcome = match args.everywhere {
        false => client.log_out().await,
        true => everywhere(&client).await,
    };
    match outcome {
        // It was void already.
        Err(error) if !args.everywhere && error.problem().is_some_and(|problem| problem.status == 401) => {}
        outcome => outcome?,
    }
    if let Way::Context { name, .. } = &way {
        Contexts::change(|contexts| {
            contexts.get_mut(name)?.session = None;
            Ok(())
        })?;
    }
    let also = if args.everywhere { " and everywhere else; tokens that you made are void" } else { "" };
    args.output.print_done("logged_out", &what, || format!("logged out of {what}{also}"))
}

async fn everywhere(client: &holm_client::Client) -> Result<(), holm_client::Error> {
    let who = client.whoami().await?.who;
    // A token that a person made is that person's.
    let person = who.split_once('/').map_or(who.as_str(), |(person, _)| person);
    client.log_out_everywhere(person).await
}
