//! `holm logs`: what instances say; several of them in one stream.

use std::collections::BTreeMap;

use clap::Args;
use futures::stream::{self, BoxStream, SelectAll, StreamExt as _};
use futures::{FutureExt as _, future};
use holm_client::{Client, Logs as Lines};
use holm_model::duration::Span;
use holm_model::time::Time;
use holm_model::tunnel::LogStream;
use holm_model::view::query::LogQuery;
use holm_model::view::{InstanceView, LogView};
use serde::Serialize;

use crate::connect::At;
use crate::failure::Failure;
use crate::output::time::now;
use crate::output::{Output, clean, stdout_ink};
use crate::resolve;

#[derive(Args, Debug)]
pub(crate) struct Logs {
    /// Applications, services (`app/web`) or instances (by id or slot)
    #[arg(required = true, value_name = "WHAT")]
    targets: Vec<String>,
    /// Go on with the lines that come
    #[arg(short, long)]
    follow: bool,
    /// Only so many of the last lines of each instance
    #[arg(long, value_name = "NUMBER")]
    tail: Option<u64>,
    /// Only lines that are not older than this, as in `5m`
    #[arg(long, value_name = "DURATION")]
    since: Option<Span>,
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

type Item = (usize, Result<LogView, holm_client::Error>);

/// ANSI colours of prefixes, one after the other.
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];
const DIM: u8 = 2;

pub(crate) async fn run(At { args, connect }: At<Logs>) -> Result<(), Failure> {
    let client = connect.client()?;
    let mut chosen = BTreeMap::new();
    for target in &args.targets {
        for instance in resolve::instances(&client, target).await? {
            chosen.insert(instance.id.clone().unwrap_or_default(), instance);
        }
    }
    let chosen: Vec<_> = chosen.into_values().collect();
    let query = LogQuery { tail: args.tail, since: args.since.map(before), follow: args.follow };
    let streams = open(&client, &chosen, &query).await?;
    let mut lines = if args.follow { as_they_come(streams) } else { by_time(streams) };
    let prefixes = Prefixes::new(&chosen, stdout_ink());
    while let Some((index, line)) = lines.next().await {
        let (of, line) = (&chosen[index], line?);
        let text = prefixes.line(index, &line);
        let said = Said {
            application: &of.application,
            slot: &of.slot,
            instance: of.id.as_deref().unwrap_or_default(),
            line,
        };
        args.output.print_one(&said, || text)?;
    }
    Ok(())
}

fn before(Span(span): Span) -> Time {
    Time(now().0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
}

/// One of many that cannot be read is told about; when none can, that is the failure.
async fn open(
    client: &Client,
    chosen: &[InstanceView],
    query: &LogQuery,
) -> Result<Vec<(usize, Lines)>, Failure> {
    let ask = chosen.iter().map(|instance| client.logs(instance.id.as_deref().unwrap_or_default(), query));
    let (mut streams, mut last) = (Vec::new(), None);
    for (index, answer) in future::join_all(ask).await.into_iter().enumerate() {
        match answer {
            Ok(lines) => streams.push((index, lines)),
            Err(error) => {
                let failure = Failure::from(error);
                if chosen.len() > 1 {
                    eprintln!("warning: no log of {}: {failure}", chosen[index].slot);
                }
                last = Some(failure);
            }
        }
    }
    match last {
        Some(failure) if streams.is_empty() => Err(failure),
        _ => Ok(streams),
    }
}

fn as_they_come(streams: Vec<(usize, Lines)>) -> BoxStream<'static, Item> {
    let tagged = streams.into_iter().map(|(index, lines)| lines.map(move |line| (index, line)).boxed());
    tagged.collect::<SelectAll<_>>().boxed()
}

/// Logs that end, merged: each is in the order of time already.
fn by_time(streams: Vec<(usize, Lines)>) -> BoxStream<'static, Item> {
    let heads: Vec<_> = streams.into_iter().map(|(index, lines)| (index, lines.boxed().peekable())).collect();
    stream::unfold(heads, |mut heads| {
        async move {
            let mut first: Option<(usize, Option<Time>)> = None;
            for (place, (_, lines)) in heads.iter_mut().enumerate() {
                let Some(line) = std::pin::Pin::new(lines).peek().await else { continue };
                // An error has no time: it comes first.
                let at = line.as_ref().ok().map(|line| line.at);
                if first.is_none_or(|(_, least)| at < least) {
                    first = Some((place, at));
                }
            }
            let (index, lines) = &mut heads[first?.0];
            let (index, line) = (*index, lines.next().await?);
            Some(((index, line), heads))
        }
        .boxed()
    })
    .boxed()
}

/// What stands before each line: nothing when there is only one instance.
#[derive(Debug)]
struct Prefixes {
    texts: Vec<String>,
    ink: bool,
}

// === impl Prefixes ===

impl Prefixes {
    fn new(chosen: &[InstanceView], ink: bool) -> Self {
        let apart = chosen.iter().any(|instance| instance.application != chosen[0].application);
        let name =
            |i: &InstanceView| if apart { format!("{}/{}", i.application, i.slot) } else { i.slot.clone() };
        let names: Vec<_> = chosen.iter().map(name).collect();
        let width = names.iter().map(String::len).max().unwrap_or(0);
        let texts = match names.len() {
            0 | 1 => vec![String::new(); names.len()],
            _ => names.iter().map(|name| format!("{name:width$} | ")).collect(),
        };
        Self { texts, ink }
    }

    fn line(&self, index: usize, line: &LogView) -> String {
        let (prefix, text) = (&self.texts[index], clean(&line.text));
        let text = match line.stream {
            // Said by the node about the instance.
            LogStream::Node => self.painted(&format!("[{text}]"), DIM),
            LogStream::Stdout | LogStream::Stderr => text,
        };
        format!("{}{text}\n", self.painted(prefix, COLOURS[index % COLOURS.len()]))
    }

    fn painted(&self, text: &str, colour: u8) -> String {
        if self.ink && !text.is_empty() {
            format!("\u{1b}[{colour}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::instance;

    fn line(text: &str) -> LogView {
        LogView { at: Time(0), stream: LogStream::Stdout, text: text.to_owned() }
    }

    #[test]
    fn one_instance_needs_no_prefix() {
        let prefixes = Prefixes::new(&[instance("1", "web/0")], true);
        assert_eq!(prefixes.line(0, &line("hello")), "hello\n");
    }

    #[test]
    fn several_are_told_apart() {
        let chosen = [instance("1", "web/0"), instance("2", "web/10")];
        let prefixes = Prefixes::new(&chosen, false);
        assert_eq!(prefixes.line(0, &line("a")), "web/0  | a\n");
        assert_eq!(prefixes.line(1, &line("b")), "web/10 | b\n");
        assert!(Prefixes::new(&chosen, true).line(0, &line("a")).starts_with("\u{1b}[36mweb/0"));
    }
}
