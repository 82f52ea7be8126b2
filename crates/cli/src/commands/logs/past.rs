//! What several instances have said, in one order.

use futures::stream::StreamExt as _;
use futures::{Stream, future, stream};
use holm_client::{Client, Error, Logs};
use holm_model::time::Time;
use holm_model::view::LogView;
use holm_model::view::query::LogQuery;

use super::prefix::Source;
use crate::failure::Failure;

/// A line, or why there are no more, and whose it is.
pub(super) type Item = (Source, Result<LogView, Failure>);

/// The lines of `sources`, merged by time.
pub(super) async fn read(
    client: &Client,
    sources: Vec<Source>,
    query: &LogQuery,
) -> impl Stream<Item = Item> {
    let wanted = sources.into_iter().map(|source| (source, query.clone())).collect();
    merge(client, open(client, wanted).await)
}

/// The log of each source, or why it cannot be read.
pub(super) async fn open(client: &Client, wanted: Vec<(Source, LogQuery)>) -> Vec<Opened> {
    let ask = wanted.into_iter().map(async |(source, query)| {
        let answer = client.logs(&source.instance, &query).await;
        (source, answer)
    });
    future::join_all(ask).await
}

/// The texts of all lines of the time at which `query` begins.
pub(super) async fn moment(client: &Client, instance: &str, query: &LogQuery) -> Result<Vec<String>, Error> {
    let mut lines = client.logs(instance, query).await?;
    let mut texts = Vec::new();
    while let Some(line) = lines.next().await.transpose()? {
        if query.since.is_some_and(|since| line.at > since) {
            break;
        }
        texts.push(line.text);
    }
    Ok(texts)
}

/// All of `logs`, by time.
pub(super) fn merge(client: &Client, logs: Vec<Opened>) -> impl Stream<Item = Item> + use<> {
    by_time(logs.into_iter().map(|(source, answer)| one(client.clone(), source, answer)).collect())
}

/// A log that was asked for, and the answer.
pub(super) type Opened = (Source, Result<Logs, Error>);

type Log = stream::BoxStream<'static, Item>;

fn one(client: Client, source: Source, answer: Result<Logs, Error>) -> Log {
    match answer {
        Err(error) => stream::once(async move { (source, Err(error.into())) }).boxed(),
        Ok(lines) => lines
            .then(move |line| {
                let (client, source) = (client.clone(), source.clone());
                async move {
                    match line {
                        Ok(line) => (source, Ok(line)),
                        Err(error) => (source, Err(blame(&client, error).await)),
                    }
                }
            })
            .boxed(),
    }
}

/// An answer that broke off may be the orchestrator's fault, or that of whatever lies behind it.
async fn blame(client: &Client, error: Error) -> Failure {
    if !matches!(error, Error::CutOff { .. }) {
        return error.into();
    }
    match client.status().await {
        Err(error) => error.into(),
        Ok(_) => Failure::new("it broke off: the agent of its node, or a link on the way to it, has gone")
            .hint("look with `holm get nodes`, and try again when the node is online"),
    }
}

/// Each of the logs is in the order of time already.
fn by_time(logs: Vec<Log>) -> impl Stream<Item = Item> + use<> {
    let heads: Vec<_> = logs.into_iter().map(|log| log.peekable()).collect();
    stream::unfold(heads, async |mut heads| {
        let mut first: Option<(usize, Option<Time>)> = None;
        for (place, log) in heads.iter_mut().enumerate() {
            let Some((_, line)) = std::pin::Pin::new(log).peek().await else { continue };
            // An error has no time: it comes first.
            let at = line.as_ref().ok().map(|line| line.at);
            if first.is_none_or(|(_, least)| at < least) {
                first = Some((place, at));
            }
        }
        let item = heads[first?.0].next().await?;
        Some((item, heads))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::tunnel::LogStream;

    fn log(slot: &str, times: &[i64]) -> Log {
        let source = Source {
            application: "shop".into(),
            slot: slot.to_owned(),
            instance: format!("1-aa-{slot}"),
            place: "fl-1".into(),
        };
        let line = |at: &i64| LogView { at: Time(*at), stream: LogStream::Stdout, text: at.to_string() };
        let items: Vec<Item> = times.iter().map(|at| (source.clone(), Ok(line(at)))).collect();
        stream::iter(items).boxed()
    }

    #[tokio::test]
    async fn lines_of_several_instances_are_in_the_order_of_time() {
        let broken = stream::iter([(
            Source {
                application: "shop".into(),
                slot: "c".into(),
                instance: "1-aa-3".into(),
                place: "fl-1".into(),
            },
            Err(Failure::new("gone")),
        )]);
        let merged = by_time(vec![log("a", &[1, 4, 5]), log("b", &[2, 3, 6]), broken.boxed()]);
        let merged: Vec<_> =
            merged.map(|(source, line)| (source.slot, line.ok().map(|l| l.at.0))).collect().await;
        let expected = [
            ("c", None),
            ("a", Some(1)),
            ("b", Some(2)),
            ("b", Some(3)),
            ("a", Some(4)),
            ("a", Some(5)),
            ("b", Some(6)),
        ];
        assert_eq!(merged, expected.map(|(slot, at)| (slot.to_owned(), at)));
    }
}
