//! One HTTP request over plain TCP, written by hand: no client of ours between the drill and the API.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result};
use serde_json::Value;

/// What was answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{}: {}", self.status, self.body))
    }

    /// What the problem says, or nothing.
    pub(super) fn detail(&self) -> String {
        self.json().ok().and_then(|body| Some(body["detail"].as_str()?.to_owned())).unwrap_or_default()
    }
}

/// A request to `/api/v1{path}`; `headers` are whole lines.
pub(super) fn ask(
    at: SocketAddr,
    method: &str,
    path: &str,
    headers: &[String],
    body: &str,
) -> Result<Answer> {
    let mut stream = TcpStream::connect(at).with_context(|| format!("cannot reach {at}"))?;
    stream.set_read_timeout(Some(super::LIMIT))?;
    let mut head = format!("{method} /api/v1{path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|header| header.starts_with("host:")) {
        head.push_str("host: localhost\r\n");
    }
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes())?;
    // A server that refuses early reads no more of it.
    let _ = stream.write_all(body.as_bytes());
    let mut bytes = Vec::new();
    // What came before the end counts, however it ended.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer { status: status.context("no status")?, body: body.to_owned() })
}

/// The header that shows a token.
pub(super) fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}")
}
