//! The fields of an upload, as `curl -F` and browsers send them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use holm_image::plan::{Run, usual_name};
use holm_image::platform::{Platform, PlatformError};
use holm_model::duration::Span;
use holm_model::name::Name;
use holm_registry::{Draft, Store, StoreError};
use multer::{Constraints, Multipart, SizeLimit};

use super::blocking;

/// What was sent.
#[derive(Debug, Default)]
pub(crate) struct Form {
    /// The name of the image; without one, the file's.
    pub(crate) name: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) base: Option<String>,
    /// A command that builds what was sent.
    pub(crate) build: Option<String>,
    pub(crate) platforms: Vec<Platform>,
    pub(crate) fresh: bool,
    pub(crate) run: Run,
    /// Nodes on each of which it is to run.
    pub(crate) devices: Vec<Name>,
    /// How long its start is waited for.
    pub(crate) wait: Option<Duration>,
    pub(crate) files: Vec<Draft>,
}

/// Which fields a form may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fields {
    /// Those of an image.
    Build,
    /// Those of its deployment, too.
    Deploy,
}

/// Why it cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormError {
    #[error("send the file as a form, `multipart/form-data`, as `curl -F file=@app` does")]
    Kind,
    #[error("the form cannot be read: {0}")]
    Read(#[from] multer::Error),
    #[error(
        "the form has a field `{field}`, which is none of: file, name, tag, base, build, platform, fresh, entrypoint, run, port, env, \
         workdir, user{more}"
    )]
    Unknown { field: String, more: &'static str },
    #[error("the field `{field}` is not {expected}")]
    Field { field: &'static str, expected: &'static str },
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error("the form has no field `file`")]
    NoFile,
    #[error("the form has more than {MOST} files")]
    Files,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A start is waited for so long at most.
const LONGEST: Duration = Duration::from_secs(3600);
/// Files of one build: one for each platform.
const MOST: usize = 8;
/// Bytes of a field that is no file.
const FIELD: u64 = 64 * 1024;
/// Fields that are repeated.
const WORDS: usize = 256;
/// Bytes that are written at once.
const PIECE: usize = 256 * 1024;

// === impl Form ===

impl Form {
    /// Reads a request's body; files go into the store, and are gone again unless they are kept.
    ///
    /// # Errors
    /// When it is no such form, says what is not known, or the disk refuses. `most`: bytes of all files.
    pub(crate) async fn read(
        headers: &HeaderMap,
        body: Body,
        store: &Arc<Store>,
        fields: Fields,
        most: Option<u64>,
    ) -> Result<Self, FormError> {
        let kind =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).ok_or(FormError::Kind)?;
        let boundary = multer::parse_boundary(kind).map_err(|_| FormError::Kind)?;
        let mut limits = SizeLimit::new().per_field(FIELD);
        limits = limits.for_field("file", most.unwrap_or(u64::MAX));
        let constraints = Constraints::new().size_limit(limits);
        let mut parts = Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
        let (mut form, mut words) = (Self::default(), 0);
        while let Some(mut part) = parts.next_field().await? {
            let field = part.name().unwrap_or_default().to_owned();
            if field == "file" {
                if form.files.len() == MOST {
                    return Err(FormError::Files);
                }
                if form.name.is_none() {
                    form.name = part.file_name().map(usual_name);
                }
                let mut draft = store.draft()?;
                let mut pieces = Vec::new();
                loop {
                    let piece = part.chunk().await?;
                    let is_last = piece.is_none();
                    pieces.extend(piece);
                    if is_last || pieces.iter().map(bytes::Bytes::len).sum::<usize>() >= PIECE {
                        let (now, of) = (std::mem::take(&mut pieces), Arc::clone(store));
                        draft = write(draft, now, of).await?;
                    }
                    if is_last {
                        break;
                    }
                }
                form.files.push(draft);
            } else {
                words += 1;
                if words > WORDS {
                    return Err(FormError::Field { field: "run", expected: "so often" });
                }
                let text = part.text().await?;
                form.set(&field, text, fields)?;
            }
        }
        if form.files.is_empty() { Err(FormError::NoFile) } else { Ok(form) }
    }

    fn set(&mut self, field: &str, text: String, fields: Fields) -> Result<(), FormError> {
        match field {
            "name" => self.name = Some(text),
            "tag" => self.tag = Some(text),
            "base" => self.base = Some(text),
            "build" => self.build = Some(text),
            // One or several, as people write lists.
            "platform" => {
                for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
                    let platform = Platform::parse(one)?;
                    if !self.platforms.contains(&platform) {
                        self.platforms.push(platform);
                    }
                }
            }
            "fresh" => {
                let expected = "true or false";
                self.fresh = text.parse().map_err(|_| FormError::Field { field: "fresh", expected })?;
            }
            "entrypoint" => self.run.entrypoint.push(text),
            "run" => self.run.command.push(text),
            "workdir" => {
                let expected = "an absolute path";
                if !text.starts_with('/') {
                    return Err(FormError::Field { field: "workdir", expected });
                }
                self.run.workdir = Some(text);
            }
            "user" => self.run.user = Some(text),
            "port" => {
                let port = text.parse().ok().filter(|port| *port != 0);
                let expected = "a number from 1 to 65535";
                self.run.ports.push(port.ok_or(FormError::Field { field: "port", expected })?);
            }
            "env" => {
                let expected = "NAME=value";
                let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
                let (name, value) = pair.ok_or(FormError::Field { field: "env", expected })?;
                self.run.env.insert(name.to_owned(), value.to_owned());
            }
            "device" if fields == Fields::Deploy => {
                for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
                    let expected = "the name of a node";
                    self.devices
                        .push(one.parse().map_err(|_| FormError::Field { field: "device", expected })?);
                }
            }
            "wait" if fields == Fields::Deploy => {
                let expected = "a time, as in `30s` or `5m`, of an hour at most";
                let wait = text.parse::<Span>().ok().map(|span| span.0).filter(|wait| *wait <= LONGEST);
                self.wait = Some(wait.ok_or(FormError::Field { field: "wait", expected })?);
            }
            other => {
                let more = if fields == Fields::Deploy { ", device, wait" } else { "" };
                return Err(FormError::Unknown { field: other.chars().take(40).collect(), more });
            }
        }
        Ok(())
    }

    /// Everything but the files, for tests.
    #[cfg(test)]
    fn of(fields: &[(&str, &str)]) -> Result<Self, FormError> {
        let mut form = Self::default();
        let build = Fields::Build;
        fields.iter().try_for_each(|(field, text)| form.set(field, (*text).to_owned(), build))?;
        Ok(form)
    }
}

async fn write(mut draft: Draft, pieces: Vec<bytes::Bytes>, store: Arc<Store>) -> Result<Draft, FormError> {
    blocking(move || {
        store.room(0)?;
        for piece in pieces {
            draft.append(&piece).map_err(|error| store.refused(error))?;
        }
        Ok(draft)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_say_how_an_image_runs_and_unknown_ones_are_refused() {
        let form = Form::of(&[
            ("name", "x"),
            ("entrypoint", "/a"),
            ("entrypoint", "b"),
            ("port", "80"),
            ("env", "A=1=2"),
        ]);
        let form = form.unwrap();
        assert_eq!(form.run.entrypoint, ["/a", "b"]);
        assert_eq!((form.run.ports, form.run.env["A"].as_str()), (vec![80], "1=2"));
        for (field, text) in
            [("port", "0"), ("port", "x"), ("env", "=1"), ("env", "A"), ("workdir", "a"), ("device", "x")]
        {
            assert!(Form::of(&[(field, text)]).unwrap_err().to_string().contains(field), "{field}={text}");
        }
    }
}
