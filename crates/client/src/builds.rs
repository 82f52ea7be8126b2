//! Building images of files: the only request whose body is large, and so the only one that is streamed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use ::http::{HeaderValue, Method, Request, header};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use holm_model::view::build::BuildEvent;
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Frame;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::Client;
use crate::error::Error;
use crate::http::encode;
use crate::stream::lines;

/// Told how many bytes of the files are sent.
pub type OnSent = Arc<dyn Fn(u64) + Send + Sync>;

/// Read at once.
const PIECE: usize = 256 * 1024;

/// What happens while an image is made; the last event says how it ended.
pub type BuildEvents = BoxStream<'static, Result<BuildEvent, Error>>;

impl Client {
    /// Has an image made of `files`, by the fields that the form of `POST /projects/{project}/builds` has.
    ///
    /// # Errors
    /// When a file cannot be read; see [`Error`].
    pub async fn build(
        &self,
        project: &str,
        fields: &[(String, String)],
        files: &[impl AsRef<Path> + Sync],
        sent: OnSent,
    ) -> Result<BuildEvents, Error> {
        self.send_form(&format!("/projects/{}/builds", encode(project)), fields, files, sent).await
    }

    /// The same, and has it run, by the fields that the form of `POST /deploy` has.
    ///
    /// # Errors
    /// When a file cannot be read; see [`Error`].
    pub async fn deploy(
        &self,
        project: &str,
        fields: &[(String, String)],
        files: &[impl AsRef<Path> + Sync],
        sent: OnSent,
    ) -> Result<BuildEvents, Error> {
        self.send_form(&format!("/deploy?project={}", encode(project)), fields, files, sent).await
    }

    async fn send_form(
        &self,
        to: &str,
        fields: &[(String, String)],
        files: &[impl AsRef<Path> + Sync],
        sent: OnSent,
    ) -> Result<BuildEvents, Error> {
        let mut random = [0; 16];
        let failed = |error: &dyn std::fmt::Display| self.http.server().protocol(error.to_string());
        getrandom::fill(&mut random).map_err(|error| failed(&error))?;
        let boundary = data_encoding::HEXLOWER.encode(&random);
        let (mut parts, mut length): (Vec<BoxStream<'static, io::Result<Bytes>>>, u64) = (Vec::new(), 0);
        let mut text = |text: String, parts: &mut Vec<BoxStream<'static, io::Result<Bytes>>>| {
            length += text.len() as u64;
            parts.push(stream::iter([Ok(Bytes::from(text))]).boxed());
        };
        for (name, value) in fields {
            let head =
                format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            text(head, &mut parts);
        }
        let mut bytes = 0;
        for path in files {
            let path = path.as_ref();
            let unreadable = |error: io::Error| Error::File { path: path.to_owned(), source: error };
            let file = File::open(path).await.map_err(unreadable)?;
            let size = file.metadata().await.map_err(unreadable)?.len();
            let name = path.file_name().map(|name| name.to_string_lossy().replace(['"', '\r', '\n'], "_"));
            let head = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\nContent-Type: \
                 application/octet-stream\r\n\r\n",
                name.unwrap_or_default()
            );
            text(head, &mut parts);
            bytes += size;
            parts.push(read(file, size, Arc::clone(&sent)).boxed());
            text("\r\n".to_owned(), &mut parts);
        }
        text(format!("--{boundary}--\r\n"), &mut parts);
        let length = length + bytes;
        let body = UnsyncBoxBody::new(StreamBody::new(stream::iter(parts).flatten().map_ok(Frame::data)));
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{to}", crate::http::PREFIX))
            .header(header::ACCEPT, "application/x-ndjson")
            .header(header::CONTENT_LENGTH, length)
            .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
            .body(body)
            .map_err(|error| failed(&error))?;
        let answer = self.http.upload(request).await?;
        Ok(lines(self.http.clone(), answer.into_body()))
    }
}

fn read(file: File, size: u64, sent: OnSent) -> impl futures::Stream<Item = io::Result<Bytes>> + Send {
    // No more than was announced, though it grows.
    stream::try_unfold(file.take(size), move |mut file| {
        let sent = Arc::clone(&sent);
        async move {
            let mut piece = Vec::with_capacity(PIECE);
            let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece).await?;
            sent(read as u64);
            Ok((read > 0).then(|| (Bytes::from(piece), file)))
        }
    })
}

/// What is sent in pieces.
pub(crate) type Streamed = Request<UnsyncBoxBody<Bytes, io::Error>>;

/// For the header of somebody who is known.
pub(crate) fn sensitive(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
