//! WebSockets into instances: exec and ports.
//!
//! Messages of an exec are frames of its tunnel, passed on unread: the node checks what it is sent,
//! whoever sent it. A port's bytes end one way with an empty message, so that half-closed
//! connections keep their meaning.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::Uri;
use axum::response::Response;
use bytes::BytesMut;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use holm_core::orchestrator::command::Way;
use holm_model::tunnel::{CopyWay, ExecOut, Purpose, Terminal, WindowSize};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::timeout;
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::instances::parse_id;
use crate::extract::{Path, Query};
use crate::peer::Principal;
use crate::problem::{Common, Fault, Kind, OfStream};
use crate::state::Api;
use crate::stay::Cut;
use crate::ways::{self, Entry};

/// Bytes of a frame at most.
pub(crate) const MAX_FRAME: usize = 1 << 20;
/// Bytes of a frame that may tell an exit code.
const SHORT: usize = 32;
/// Bytes read from a port at once.
const BUFFER: usize = 64 * 1024;
/// Words of a command at most, and bytes of all of them.
const WORDS: usize = 1_024;
const WORD_BYTES: usize = 32 * 1024;
/// Bytes of a path at most, as on Linux.
const PATH_BYTES: usize = 4096;
/// Bytes of the reason in a WebSocket's last frame at most (RFC 6455), and how long it may take to send it.
const REASON: usize = 123;
const FAREWELL: Duration = Duration::from_secs(1);

/// A tunnel, or what tests put in its place.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

pub(super) const ROUTES: super::Routes =
    &[|| routes!(exec), || routes!(files), || routes!(port), || routes!(shell)];

/// The frames of a tunnel: a big-endian length, then so many bytes.
pub(crate) fn frames<T: AsyncRead + AsyncWrite>(tunnel: T) -> Framed<T, LengthDelimitedCodec> {
    let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME).new_codec();
    Framed::new(tunnel, codec)
}

/// Run a command inside an instance.
///
/// A WebSocket; binary messages hold CBOR: `ExecIn` to the program, `ExecOut` from it.
#[utoipa::path(get, path = "/instances/{id}/exec", tag = "instances",
    params(("id" = String, Path), ("command" = Vec<String>, Query, description = "Program and arguments"),
        ("terminal" = Option<String>, Query, description = "Run it in a terminal of this kind (`TERM`)"),
        ("columns" = Option<u16>, Query, description = "Of the terminal; 80 without it"),
        ("rows" = Option<u16>, Query, description = "Of the terminal; 24 without it")),
    responses((status = 101, description = "The WebSocket begins"), Common, OfStream))]
async fn exec(
    State(api): State<Api>,
    Path(id): Path<String>,
    principal: Principal,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Fault> {
    let upgrade = websocket(upgrade)?;
    let (command, terminal) = (command(&uri)?, terminal(&uri)?);
    let mut stay = api.stream(&principal)?;
    let instance = parse_id(&id)?;
    let into = ways::instance(&api, instance).await?;
    let entry =
        Entry::begin(&api, principal.actor, Way::Exec, into, &format!("runs {}", command.join(" "))).await?;
    let tunnel = match api.tunnel(instance, Purpose::Exec { instance, command, terminal }).await {
        Ok(tunnel) => tunnel,
        Err(fault) => return Err(entry.failed(fault).await),
    };
    Ok(upgrade.on_upgrade(move |socket| async move {
        entry.ended(carry_frames(socket, tunnel, stay.cut()).await).await;
    }))
}

/// What is copied, and which way.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct FilesQuery {
    /// A file or directory, as the instance sees it.
    path: String,
    /// Into the instance; out of it without it.
    #[serde(default)]
    write: bool,
}

/// Copy files into an instance or out of it, as a tar stream.
///
/// A WebSocket; binary messages hold CBOR as those of an exec: the stream is its input (`write`) or its output,
/// what could not be copied is said on standard error, and the exit code is 0 when nothing was left out.
#[utoipa::path(get, path = "/instances/{id}/files", tag = "instances",
    params(("id" = String, Path), FilesQuery),
    responses((status = 101, description = "The WebSocket begins"), Common, OfStream))]
async fn files(
    State(api): State<Api>,
    Path(id): Path<String>,
    principal: Principal,
    Query(FilesQuery { path, write }): Query<FilesQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Fault> {
    let upgrade = websocket(upgrade)?;
    if path.is_empty() || path.len() > PATH_BYTES || path.contains('\0') {
        let detail = format!("a path has 1 to {PATH_BYTES} bytes and no NUL");
        return Err(Fault::new(Kind::BadRequest, detail));
    }
    let way = if write { CopyWay::Write } else { CopyWay::Read };
    let mut stay = api.stream(&principal)?;
    let instance = parse_id(&id)?;
    let into = ways::instance(&api, instance).await?;
    let what = format!("{} {path}", if write { "writes" } else { "reads" });
    let entry = Entry::begin(&api, principal.actor, Way::Copy, into, &what).await?;
    let tunnel = match api.tunnel(instance, Purpose::Copy { instance, path, way }).await {
        Ok(tunnel) => tunnel,
        Err(fault) => return Err(entry.failed(fault).await),
    };
    Ok(upgrade.on_upgrade(move |socket| async move {
        entry.ended(carry_frames(socket, tunnel, stay.cut()).await).await;
    }))
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
    principal: Principal,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Fault> {
    let upgrade = websocket(upgrade)?;
    let mut stay = api.stream(&principal)?;
    let instance = parse_id(&id)?;
    let (who, mut entry) = (principal.actor.who.clone(), None);
    if api.is_new_forward(&who, instance, port) {
        let (into, what) = (ways::instance(&api, instance).await?, format!("connects to port {port}"));
        entry = Some(Entry::begin(&api, principal.actor, Way::Forward, into, &what).await?);
    }
    let tunnel = match (api.tunnel(instance, Purpose::Connect { instance, port }).await, entry) {
        (Ok(tunnel), None) => tunnel,
        (Ok(tunnel), Some(entry)) => {
            entry.stands();
            api.forward_opened(&who, instance, port);
            tunnel
        }
        (Err(fault), None) => return Err(fault),
        (Err(fault), Some(entry)) => return Err(entry.failed(fault).await),
    };
    Ok(upgrade.on_upgrade(move |socket| async move { carry_bytes(socket, tunnel, stay.cut()).await }))
}

/// Open a shell on a node itself, where its owner agrees.
///
/// A WebSocket as that of an exec. Its beginning and its end are in the audit log.
#[utoipa::path(get, path = "/nodes/{id}/shell", tag = "nodes",
    params(("id" = String, Path),
        ("terminal" = Option<String>, Query, description = "The terminal's kind (`TERM`); `dumb` without it"),
        ("columns" = Option<u16>, Query, description = "Of the terminal; 80 without it"),
        ("rows" = Option<u16>, Query, description = "Of the terminal; 24 without it")),
    responses((status = 101, description = "The WebSocket begins"), Common, OfStream))]
async fn shell(
    State(api): State<Api>,
    Path(id): Path<String>,
    principal: Principal,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Fault> {
    let upgrade = websocket(upgrade)?;
    let size = WindowSize { columns: 80, rows: 24 };
    let terminal = terminal(&uri)?.unwrap_or_else(|| Terminal { kind: "dumb".to_owned(), size });
    let mut stay = api.stream(&principal)?;
    let node = id.parse().map_err(|_| Fault::no_such("node", &id))?;
    let (actor, into) = (principal.actor, format!("node {id}"));
    let who = actor.who.clone();
    let entry = Entry::begin(&api, actor, Way::Shell, into, "opened").await?;
    let tunnel = match api.node_tunnel(node, Purpose::Shell { terminal, who }).await {
        Ok(tunnel) => tunnel,
        Err(fault) => return Err(entry.failed(fault).await),
    };
    Ok(upgrade.on_upgrade(move |socket| async move {
        entry.ended(carry_frames(socket, tunnel, stay.cut()).await).await;
    }))
}

/// The exit code, if the frame tells one: such a frame is short.
fn exit_code(frame: &[u8]) -> Option<i32> {
    match holm_link::cbor::decode(frame, SHORT) {
        Ok(ExecOut::Exit(code)) => Some(code),
        _ => None,
    }
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

/// The fields `name` of the query, in their order.
fn fields<'a>(uri: &'a Uri, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let query = uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).filter(move |(key, _)| key == name).map(|(_, word)| word.into())
}

/// What the query says of a terminal, if it wants one.
fn terminal(uri: &Uri) -> Result<Option<Terminal>, Fault> {
    let Some(kind) = fields(uri, "terminal").next() else { return Ok(None) };
    let number = |name, default: u16| {
        let said = fields(uri, name).next().map_or(Ok(default), |text| text.parse());
        let detail = || format!("`{name}` is a number from 1 to {}", u16::MAX);
        said.ok().filter(|number| *number > 0).ok_or_else(|| Fault::new(Kind::BadRequest, detail()))
    };
    let size = WindowSize { columns: number("columns", 80)?, rows: number("rows", 24)? };
    Terminal::new(&kind, size).map(Some).map_err(|error| Fault::new(Kind::BadRequest, error))
}

/// The fields `command` of the query.
fn command(uri: &Uri) -> Result<Vec<String>, Fault> {
    let words: Vec<String> = fields(uri, "command").collect();
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

/// Until one side ends, or it is cut; the exit code, if the node told it.
async fn carry_frames(socket: WebSocket, tunnel: impl Stream, cut: impl Future<Output = Cut>) -> Option<i32> {
    let mut exit = None;
    carry(socket, tunnel, cut, |frame| exit = exit_code(frame).or(exit)).await;
    exit
}

/// Until one side ends, or it is cut. `seen` is called with each frame from the node.
async fn carry(
    socket: WebSocket,
    tunnel: impl Stream,
    cut: impl Future<Output = Cut>,
    mut seen: impl FnMut(&[u8]),
) {
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
            seen(&frame);
            if sink.send(Message::Binary(frame)).await.is_err() {
                return;
            }
        }
        close(&mut sink, close_code::NORMAL, "").await;
    };
    let cut = tokio::select! {
        biased;
        cut = cut => cut,
        () = up => return,
        () = down => return,
    };
    farewell(&mut sink, &cut).await;
}

/// Until both directions have ended by themselves, one is broken, or it is cut.
async fn carry_bytes(socket: WebSocket, tunnel: impl Stream, cut: impl Future<Output = Cut>) {
    let (mut sink, messages) = socket.split();
    let (reader, writer) = tokio::io::split(tunnel);
    let both = futures::future::try_join(bytes_up(messages, writer), bytes_down(reader, &mut sink));
    let ended = tokio::select! {
        biased;
        cut = cut => Err(cut),
        ended = both => Ok(ended),
    };
    match ended {
        Ok(Ok(_)) => close(&mut sink, close_code::NORMAL, "").await,
        Ok(Err(Broken)) => close(&mut sink, close_code::ERROR, "the way to the instance broke").await,
        Err(cut) => farewell(&mut sink, &cut).await,
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
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(BUFFER);
        let n = reader.read_buf(&mut buffer).await.map_err(|_| Broken)?;
        // The empty message at the end says that nothing more comes.
        sink.send(Message::Binary(buffer.split().freeze())).await.map_err(|_| Broken)?;
        if n == 0 {
            return Ok(());
        }
    }
}

/// Says why it is cut, to whoever still listens.
async fn farewell(sink: &mut SplitSink<WebSocket, Message>, cut: &Cut) {
    let code = match cut {
        Cut::Stopping => close_code::AWAY,
        Cut::Token(_) | Cut::Instance(_) => close_code::POLICY,
    };
    let reason: String = cut.to_string().chars().filter(char::is_ascii).take(REASON).collect();
    let _ = timeout(FAREWELL, close(sink, code, &reason)).await;
}

async fn close(sink: &mut SplitSink<WebSocket, Message>, code: u16, reason: &str) {
    // Who is gone needs no farewell.
    let _ = sink.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

#[cfg(test)]
#[path = "sockets_tests.rs"]
mod tests;
