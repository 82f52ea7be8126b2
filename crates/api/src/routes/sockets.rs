//! WebSockets into instances: exec and ports.
//!
//! Messages of an exec are frames of its tunnel, passed on unread: the node checks what it is sent,
//! whoever sent it. A port's bytes end one way with an empty message, so that half-closed
//! connections keep their meaning.

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::Uri;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use holm_model::tunnel::Purpose;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use utoipa_axum::routes;

use super::instances::parse_id;
use crate::extract::Path;
use crate::problem::{Common, Fault, Kind, OfStream};
use crate::state::Api;

/// Bytes of a frame at most.
pub(super) const MAX_FRAME: usize = 1 << 20;
/// Bytes read from a port at once.
const BUFFER: usize = 16 * 1024;
/// Words of a command at most, and bytes of all of them.
const WORDS: usize = 1_024;
const WORD_BYTES: usize = 32 * 1024;

/// A tunnel, or what tests put in its place.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

pub(super) const ROUTES: super::Routes = &[|| routes!(exec), || routes!(port)];

/// The frames of a tunnel: a big-endian length, then so many bytes.
pub(super) fn frames<T: AsyncRead + AsyncWrite>(tunnel: T) -> Framed<T, LengthDelimitedCodec> {
    let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME).new_codec();
    Framed::new(tunnel, codec)
}

/// Run a command inside an instance.
///
/// A WebSocket; binary messages hold CBOR: `ExecIn` to the program, `ExecOut` from it.
#[utoipa::path(get, path = "/instances/{id}/exec", tag = "instances",
    params(("id" = String, Path), ("command" = Vec<String>, Query, description = "Program and arguments")),
    responses((status = 101, description = "The WebSocket begins"), Common, OfStream))]
async fn exec(
    State(api): State<Api>,
    Path(id): Path<String>,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Fault> {
    let upgrade = websocket(upgrade)?;
    let command = command(&uri)?;
    let permit = api.stream()?;
    let instance = parse_id(&id)?;
    let tunnel = api.tunnel(instance, Purpose::Exec { instance, command }).await?;
    let stopped = api.stopped();
    Ok(upgrade.on_upgrade(move |socket| until(stopped, permit, carry_frames(socket, tunnel))))
}

/// Connect to a port that an instance listens on, by its number on the node.
///
/// A WebSocket; binary messages hold bytes, an empty one is the end of its direction.
#[utoipa::path(get, path = "/instances/{id}/ports/{port}", tag = "instances",
    params(("id" = String, Path), ("port" = u16, Path)),
    responses((status = 101, description = "The WebSocket begins"), Common, OfStream))]
async fn port(
    State(api): State<Api>,
    Path((id, port)): Path<(String, u16)>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Fault> {
    let upgrade = websocket(upgrade)?;
    let permit = api.stream()?;
    let instance = parse_id(&id)?;
    let tunnel = api.tunnel(instance, Purpose::Connect { instance, port }).await?;
    let stopped = api.stopped();
    Ok(upgrade.on_upgrade(move |socket| until(stopped, permit, carry_bytes(socket, tunnel))))
}

fn websocket(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<WebSocketUpgrade, Fault> {
    let wrong = |error: WebSocketUpgradeRejection| {
        let detail = format!("this route is a WebSocket, over HTTP/1.1: {}", error.body_text());
        Fault::new(Kind::BadRequest, detail)
    };
    Ok(upgrade.map_err(wrong)?.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME))
}

/// The fields `command` of the query, in their order.
fn command(uri: &Uri) -> Result<Vec<String>, Fault> {
    let query = uri.query().unwrap_or_default();
    let fields = form_urlencoded::parse(query.as_bytes());
    let words: Vec<String> =
        fields.filter(|(key, _)| key == "command").map(|(_, word)| word.into()).collect();
    let bytes: usize = words.iter().map(String::len).sum();
    if words.first().is_none_or(String::is_empty) {
        let detail = "name a program: `?command=…`, once for it and once for each argument";
        return Err(Fault::new(Kind::BadRequest, detail));
    }
    if words.len() > WORDS || bytes > WORD_BYTES || words.iter().any(|word| word.contains('\0')) {
        let detail = format!("a command has {WORDS} words and {WORD_BYTES} bytes at most, and no NUL");
        return Err(Fault::new(Kind::BadRequest, detail));
    }
    Ok(words)
}

/// Ends `work` when the API stops; keeps its place as long.
async fn until(
    stopped: impl Future<Output = ()>,
    permit: OwnedSemaphorePermit,
    work: impl Future<Output = ()>,
) {
    tokio::select! {
        () = stopped => {}
        () = work => {}
    }
    drop(permit);
}

async fn carry_frames(socket: WebSocket, tunnel: impl Stream) {
    let (mut sink, mut messages) = socket.split();
    let (mut to_node, mut from_node) = frames(tunnel).split();
    let up = async {
        while let Some(Ok(message)) = messages.next().await {
            let sent = match message {
                Message::Binary(bytes) => to_node.send(bytes).await,
                Message::Close(_) => return,
                _ => Ok(()),
            };
            if sent.is_err() {
                return;
            }
        }
    };
    let down = async {
        while let Some(frame) = from_node.next().await {
            let Ok(frame) = frame.map(BytesMut::freeze) else {
                return close(&mut sink, close_code::ERROR, "the way to the instance broke").await;
            };
            if sink.send(Message::Binary(frame)).await.is_err() {
                return;
            }
        }
        close(&mut sink, close_code::NORMAL, "").await;
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// Until both directions have ended by themselves, or one is broken.
async fn carry_bytes(socket: WebSocket, tunnel: impl Stream) {
    let (mut sink, messages) = socket.split();
    let (reader, writer) = tokio::io::split(tunnel);
    match futures::future::try_join(bytes_up(messages, writer), bytes_down(reader, &mut sink)).await {
        Ok(_) => close(&mut sink, close_code::NORMAL, "").await,
        Err(Broken) => close(&mut sink, close_code::ERROR, "the way to the instance broke").await,
    }
}

/// A direction ended before its end was said.
struct Broken;

async fn bytes_up<T: Stream>(
    mut messages: SplitStream<WebSocket>,
    mut writer: WriteHalf<T>,
) -> Result<(), Broken> {
    while let Some(Ok(message)) = messages.next().await {
        let done = match message {
            Message::Binary(bytes) if bytes.is_empty() => return writer.shutdown().await.map_err(|_| Broken),
            // Flushed at once: somebody may wait for just these bytes.
            Message::Binary(bytes) => match writer.write_all(&bytes).await {
                Ok(()) => writer.flush().await,
                Err(error) => Err(error),
            },
            Message::Close(_) => break,
            _ => Ok(()),
        };
        done.map_err(|_| Broken)?;
    }
    Err(Broken)
}

async fn bytes_down<T: Stream>(
    mut reader: ReadHalf<T>,
    sink: &mut SplitSink<WebSocket, Message>,
) -> Result<(), Broken> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = reader.read(&mut buffer).await.map_err(|_| Broken)?;
        // The empty message at the end says that nothing more comes.
        let message = Message::Binary(Bytes::copy_from_slice(&buffer[..n]));
        sink.send(message).await.map_err(|_| Broken)?;
        if n == 0 {
            return Ok(());
        }
    }
}

async fn close(sink: &mut SplitSink<WebSocket, Message>, code: u16, reason: &'static str) {
    // Who is gone needs no farewell.
    let _ = sink.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

#[cfg(test)]
#[path = "sockets_tests.rs"]
mod tests;
