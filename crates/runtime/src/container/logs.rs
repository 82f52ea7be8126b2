//! Logs that the engine keeps.

use std::collections::VecDeque;
use std::io;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use holm_model::time::Time;
use holm_model::tunnel::{LogLine, LogStream};

use crate::stream::{LogLines, LogOptions};

/// The engine's lines of `containers`, one after the other, behind our own `notes`; following ends with the last.
pub(super) fn read(
    client: &Docker,
    mut containers: Vec<String>,
    options: LogOptions,
    notes: Vec<LogLine>,
) -> LogLines {
    if options.follow && options.tail.is_some() {
        // The end of the last one is what somebody waits for.
        containers.drain(..containers.len().saturating_sub(1));
    }
    // What the engine counts is not yet searched, and is of one container.
    let counts = options.pattern.is_none() && options.until.is_none() && containers.len() == 1;
    let tail = options.tail.filter(|_| counts).map_or_else(|| "all".to_owned(), |tail| tail.to_string());
    let mut wanted = LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .follow(options.follow)
        .tail(&tail);
    if let Some(since) = options.since {
        // Whole seconds only; the rest is left out below.
        wanted = wanted.since(i32::try_from(since.0 / 1000).unwrap_or(0));
    }
    let (client, wanted) = (client.clone(), wanted.build());
    let of = move |name: String| client.logs(&name, Some(wanted.clone()));
    let lines = stream::iter(containers).flat_map(of).map_ok(line).map_err(io::Error::other);
    let notes = if options.tail.is_some() { Vec::new() } else { notes };
    let own_tail = options.tail.filter(|_| !counts && !options.follow);
    let lines = stream::iter(notes.into_iter().map(Ok))
        .chain(lines)
        .try_filter(move |line| std::future::ready(options.takes(line)));
    match own_tail {
        None => lines.boxed(),
        Some(tail) => stream::once(last(lines, tail)).try_flatten().boxed(),
    }
}

/// The last of them, once all are known.
async fn last(
    lines: impl Stream<Item = io::Result<LogLine>> + Send,
    count: u64,
) -> io::Result<impl Stream<Item = io::Result<LogLine>> + Send> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let kept = lines.try_fold(VecDeque::new(), |mut kept, line| {
        kept.push_back(line);
        let surplus = kept.len().saturating_sub(count);
        kept.drain(..surplus);
        std::future::ready(Ok(kept))
    });
    Ok(stream::iter(kept.await?.into_iter().map(Ok)))
}

/// `2026-11-22T00:39:55.123456789Z text\n`
fn line(output: LogOutput) -> LogLine {
    let stream = match &output {
        LogOutput::StdErr { .. } => LogStream::Stderr,
        _ => LogStream::Stdout,
    };
    let bytes = output.into_bytes();
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let parsed = text.iter().position(|b| *b == b' ').and_then(|end| {
        let at: jiff::Timestamp = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
        Some((Time(at.as_millisecond()), &text[end + 1..]))
    });
    let (at, text) = parsed.unwrap_or((Time::default(), text));
    LogLine { at, stream, text: text.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_puts_the_time_first() {
        let message = "1970-01-01T00:00:02.003999Z two words\n".into();
        let line = line(LogOutput::StdErr { message });
        assert_eq!((line.at, line.stream), (Time(2003), LogStream::Stderr));
        assert_eq!(line.text, b"two words");
    }
}
