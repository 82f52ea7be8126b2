//! One HTTP request, written by hand: no client of ours between test and API.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::LIMIT;

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// By the Unix socket. `headers` are whole lines.
pub(crate) fn unix(
    socket: &Path,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> Option<Response> {
    let stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    request(stream, method, path, headers, body)
}

/// `None` when the connection breaks.
pub(crate) fn request(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> Option<Response> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: holm.localhost\r\nconnection: close\r\n");
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).ok()?;
    // A server that refuses early reads no more of it.
    let _ = stream.write_all(body.as_bytes());
    let mut bytes = Vec::new();
    // What came before the end counts, however it ended.
    let _ = stream.read_to_end(&mut bytes);
    parse(&String::from_utf8_lossy(&bytes))
}

fn parse(text: &str) -> Option<Response> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let head = head.to_ascii_lowercase();
    let chunked = head.contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    Some(Response { status, head, body })
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || tail.len() < size {
            break;
        }
        body.push_str(&tail[..size]);
        rest = tail[size..].trim_start_matches("\r\n");
    }
    body
}
