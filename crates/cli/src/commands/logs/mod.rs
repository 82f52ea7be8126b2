//! `holm logs`: what instances say; several of them in one stream.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`past`] | what was said, merged by time |
//! | [`follow`] | what comes, over restarts of everybody in between |
//! | [`position`] | where to read on (pure) |
//! | [`prefix`] | how lines of several instances are told apart |

mod follow;
mod past;
mod position;
mod prefix;

use clap::Args;
use futures::StreamExt as _;
use holm_client::Client;
use holm_model::duration::Span;
use holm_model::time::Time;
use holm_model::view::LogView;
use holm_model::view::query::LogQuery;
use serde::Serialize;

use super::Project;
use crate::connect::At;
use crate::failure::Failure;
use crate::output::time::now;
use crate::output::{Output, stdout_ink};
use crate::resolve::{self, Scope};
use prefix::{Prefixes, Source};

#[derive(Args, Debug)]
pub(crate) struct Logs {
    /// Applications, services (`app/web`), slots (`app/web/0`) or instances (by id)
    #[arg(required = true, value_name = "WHAT")]
    targets: Vec<String>,
    /// Go on with the lines that come, of instances that start later, too
    #[arg(short, long)]
    follow: bool,
    /// Only so many of the last lines of each instance
    #[arg(long, value_name = "NUMBER")]
    tail: Option<u64>,
    /// Only lines that are not older than this, as in `5m`
    #[arg(long, value_name = "DURATION")]
    since: Option<Span>,
    /// Only lines that are older than this, as in `1m`
    #[arg(long, value_name = "DURATION", conflicts_with = "follow")]
    until: Option<Span>,
    /// Only lines that contain this regular expression; searched where the log is
    #[arg(long, value_name = "REGEX", value_parser = regex)]
    grep: Option<String>,
    /// What an instance said before it was last started again
    #[arg(long, conflicts_with = "follow")]
    previous: bool,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    output: Output,
}

/// A line, and whose it is.
#[derive(Debug, Serialize)]
struct Said<'a> {
    application: &'a str,
    slot: &'a str,
    instance: &'a str,
    #[serde(flatten)]
    line: LogView,
}

pub(crate) async fn run(At { args, connect }: At<Logs>) -> Result<(), Failure> {
    let client = connect.client()?;
    let scopes = resolve::scopes(&client, &args.project.of(&connect)?, &args.targets).await?;
    let query = LogQuery {
        tail: args.tail,
        since: args.since.map(before),
        until: args.until.map(before),
        grep: args.grep,
        previous: args.previous,
        follow: args.follow,
    };
    let mut prefixes = Prefixes::new(stdout_ink());
    if args.follow {
        let show = |source: &Source, line: Option<LogView>| {
            prefixes.add(source);
            line.map_or(Ok(()), |line| print(args.output, &prefixes, source, line))
        };
        return follow::run(&client, scopes, query, show).await;
    }
    past(&client, &scopes, &query, args.output, prefixes).await
}

/// A log that cannot be read is told about; the others are shown all the same.
async fn past(
    client: &Client,
    scopes: &[Scope],
    query: &LogQuery,
    output: Output,
    mut prefixes: Prefixes,
) -> Result<(), Failure> {
    let mut sources: Vec<Source> = Vec::new();
    for view in resolve::of(client, scopes).await? {
        let taken = scopes.iter().any(|scope| scope.takes(&view));
        sources.extend(Source::of(&view).filter(|_| taken));
    }
    if sources.is_empty() {
        return Err(Failure::new("nothing of it has started yet")
            .hint("`holm get instances` tells why; `holm logs -f` waits for it"));
    }
    sources.iter().for_each(|source| prefixes.add(source));
    let mut failed = None;
    let mut lines = std::pin::pin!(past::read(client, sources, query).await);
    while let Some((source, line)) = lines.next().await {
        match line {
            Ok(line) => print(output, &prefixes, &source, line)?,
            Err(failure) => {
                let failure = failure.about(format_args!("no log of {source}"));
                if let Some(earlier) = failed.replace(failure) {
                    eprintln!("warning: {earlier}");
                }
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

fn print(output: Output, prefixes: &Prefixes, source: &Source, line: LogView) -> Result<(), Failure> {
    let text = prefixes.line(source, &line);
    let Source { application, slot, instance, .. } = source;
    output.print_one(&Said { application, slot, instance, line }, || text)
}

/// Looked at before anybody is asked: each of many nodes would say the same.
fn regex(text: &str) -> Result<String, String> {
    holm_runtime::pattern(text).map(|_| text.to_owned()).map_err(|error| crate::failure::chain(&error))
}

fn before(Span(span): Span) -> Time {
    Time(now().0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
}
