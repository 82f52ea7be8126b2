//! `holm events`.

use clap::Args;
use clap::builder::PossibleValuesParser;
use futures::StreamExt as _;
use holm_client::{Client, Notice};
use holm_model::view::EventView;
use holm_model::view::query::{EVENT_KINDS, EventQuery, HistoryQuery};

use super::Project;
use crate::connect::{At, Connect};
use crate::failure::Failure;
use crate::output::rows::{change, subject};
use crate::output::time::{local, now};
use crate::output::{Output, clean, stdout_ink, table};

#[derive(Args, Debug)]
pub(crate) struct Events {
    /// Go on with what happens
    #[arg(short, long)]
    watch: bool,
    /// Of an application only
    #[arg(short, long, value_name = "NAME")]
    application: Option<String>,
    /// Of one kind only
    #[arg(short, long, value_parser = PossibleValuesParser::new(EVENT_KINDS))]
    kind: Option<String>,
    /// How many of the last events
    #[arg(long, default_value_t = 50, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    tail: u32,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(At { args, connect }: At<Events>) -> Result<(), Failure> {
    let client = connect.client()?;
    let asked = Asked { application: args.application(&connect)?, args };
    if asked.args.watch { watch(&client, &asked).await } else { list(&client, &asked).await }
}

/// What was asked for, with the application's full name.
struct Asked {
    args: Events,
    application: Option<String>,
}

// === impl Events ===

impl Events {
    fn application(&self, connect: &Connect) -> Result<Option<String>, Failure> {
        let full = |name| Ok(format!("{}/{name}", self.project.of(connect)?));
        self.application.as_ref().map(full).transpose()
    }
}

// === impl Asked ===

impl Asked {
    async fn past(&self, client: &Client) -> Result<Vec<EventView>, Failure> {
        let query = HistoryQuery {
            application: self.application.clone(),
            kind: self.args.kind.clone(),
            limit: Some(self.args.tail),
            ..HistoryQuery::default()
        };
        let mut events = client.history(&query).await?.items;
        // The history is newest first; people read downwards.
        events.reverse();
        Ok(events)
    }
}

async fn list(client: &Client, asked: &Asked) -> Result<(), Failure> {
    let events = asked.past(client).await?;
    asked
        .args
        .output
        .print(&events, || table::render(&events, asked.args.output.is_wide(), now(), stdout_ink()))
}

async fn watch(client: &Client, asked: &Asked) -> Result<(), Failure> {
    let past = asked.past(client).await?;
    let after = past.last().map(|event| event.cursor.to_string());
    past.iter().try_for_each(|event| asked.args.output.print_one(event, || line(event)))?;
    let query = EventQuery { after, application: asked.application.clone(), kind: asked.args.kind.clone() };
    let mut events = client.events(&query).await?;
    while let Some(notice) = events.next().await {
        match notice? {
            Notice::Event(event) => asked.args.output.print_one(&*event, || line(&event))?,
            Notice::Resync => eprintln!("(some events may be missing here)"),
        }
    }
    Ok(())
}

/// For people who watch: a line each, since columns cannot know what is to come.
pub(crate) fn line(event: &EventView) -> String {
    let reason = if event.reason.is_empty() { String::new() } else { format!(": {}", event.reason) };
    let words = [event.application.clone(), event.kind.clone(), subject(event), change(event)];
    let words = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    format!("{}  {}", local(event.at), clean(&format!("{words}{reason}")))
}
