//! `holm delete application`.

use std::time::Duration;

use clap::{Args, Subcommand};
use holm_client::{Client, Condition};
use holm_model::duration::Span;
use tokio::time::Instant;

use super::Project;
use super::pulse::Pulse;
use super::wait::{self, Wanted};
use crate::connect::At;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Delete {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Delete an application: all its instances end
    #[command(visible_aliases = ["app", "applications"])]
    Application {
        /// Its name
        name: String,
        /// Wait until nothing of it runs any more, for 5m or as long as is said
        #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "5m")]
        wait: Option<Span>,
        #[command(flatten)]
        project: Project,
        #[command(flatten)]
        output: Output,
    },
}

pub(crate) async fn run(At { args, connect }: At<Delete>) -> Result<(), Failure> {
    let What::Application { name, wait, project, output } = &args.what;
    let (client, project) = (connect.client()?, project.of(&connect)?);
    let project = project.as_str();
    client.delete_application(project, name, Condition::Any).await?;
    if let Some(Span(limit)) = wait {
        until_gone(&client, project, name, *limit).await?;
    }
    output.print_done("deleted", name, || match wait {
        Some(_) => format!("application {name} is gone"),
        None => format!("application {name} is deleted; its instances end"),
    })
}

/// Returns when no instance of the application is left.
pub(crate) async fn until_gone(
    client: &Client,
    project: &str,
    name: &str,
    limit: Duration,
) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    let mut pulse = Pulse::open(client).await?;
    loop {
        let left = wait::instances(client, Wanted { project, name, generation: 0 }).await?;
        if left.is_empty() {
            return Ok(());
        }
        match tokio::time::timeout_at(deadline, pulse.beat()).await {
            Ok(beat) => drop(beat?),
            Err(_) => {
                let slots: Vec<_> = left.iter().map(|i| format!("{} ({})", i.slot, i.state)).collect();
                let limit = Span(limit);
                return Err(Failure::new(format!("after {limit} there still is {}", slots.join(", ")))
                    .hint("a node that is away ends its instances when it comes back"));
            }
        }
    }
}
