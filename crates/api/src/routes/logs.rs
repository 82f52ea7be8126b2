//! Logs of instances, straight from their nodes.

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _};
use holm_model::id::AssignmentId;
use holm_model::tunnel::{LogFilter, LogLine, Purpose};
use holm_model::view::LogView;
use holm_model::view::query::LogQuery;
use utoipa_axum::routes;

use super::instances::parse_id;
use super::sockets::{MAX_FRAME, frames};
use crate::extract::{Path, Query};
use crate::peer::Principal;
use crate::problem::{Common, Fault, OfStream};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(logs)];

/// Lines of an instance's log, one JSON object each.
#[utoipa::path(get, path = "/instances/{id}/logs", tag = "instances",
    params(("id" = String, Path), LogQuery),
    responses((status = 200, body = LogView, content_type = "application/x-ndjson"), Common, OfStream))]
async fn logs(
    State(api): State<Api>,
    principal: Principal,
    Path(id): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Fault> {
    let stay = api.stream(&principal)?;
    let instance = parse_id(&id)?;
    let tunnel = api.tunnel(instance, purpose(instance, query)).await?;
    let body = Body::from_stream(stay.over(lines(frames(tunnel))));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// Nodes of every version read a whole log; only those that know how search one.
fn purpose(instance: AssignmentId, query: LogQuery) -> Purpose {
    match query {
        LogQuery { tail, since, until: None, grep: None, previous: false, follow } => {
            Purpose::Logs { instance, tail, since, follow }
        }
        LogQuery { tail, since, until, grep: pattern, previous, follow } => {
            let filter = LogFilter { tail, since, until, pattern, previous, follow };
            Purpose::Search { instance, filter }
        }
    }
}

/// Each frame's line as JSON. After an error nothing more comes; the answer is cut off then, since
/// its status was sent long ago.
fn lines<E: Into<io::Error>>(
    frames: impl Stream<Item = Result<bytes::BytesMut, E>> + Send,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    frames.map(|frame| json(&frame.map_err(Into::into)?)).scan(false, |failed, line| {
        let over = std::mem::replace(failed, line.is_err());
        std::future::ready((!over).then_some(line))
    })
}

fn json(frame: &[u8]) -> io::Result<Bytes> {
    let line: LogLine = holm_link::cbor::decode(frame, MAX_FRAME).map_err(io::Error::other)?;
    let text = String::from_utf8_lossy(&line.text).into_owned();
    let mut json = serde_json::to_vec(&LogView { at: line.at, stream: line.stream, text })?;
    json.push(b'\n');
    Ok(json.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use holm_model::time::Time;
    use holm_model::tunnel::LogStream;

    #[tokio::test]
    async fn a_line_is_an_object_and_an_error_is_the_end() {
        let line = LogLine { at: Time(0), stream: LogStream::Stdout, text: b"a\xff\nb".to_vec() };
        let good = bytes::BytesMut::from(&holm_link::cbor::encode(&line).unwrap()[..]);
        let bad = bytes::BytesMut::from(&b"\xff"[..]);
        let frames = stream::iter([Ok::<_, io::Error>(good.clone()), Ok(bad), Ok(good)]);
        let lines: Vec<_> = lines(frames).collect().await;
        assert_eq!(lines.len(), 2);
        let first = std::str::from_utf8(lines[0].as_ref().unwrap()).unwrap();
        assert_eq!(
            first,
            "{\"at\":\"1970-01-01T00:00:00.000Z\",\"stream\":\"stdout\",\"text\":\"a\u{fffd}\\nb\"}\n"
        );
        assert!(lines[1].is_err());
    }
}
