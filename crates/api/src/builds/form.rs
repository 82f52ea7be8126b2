//! The fields of an upload, as `curl -F` and browsers send them.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use holm_image::plan::Run;
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
    pub(crate) run: Run,
    pub(crate) files: Vec<Draft>,
}

/// Why it cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormError {
    #[error("send the file as a form, `multipart/form-data`, as `curl -F file=@app` does")]
    Kind,
    #[error("the form cannot be read: {0}")]
    Read(#[from] multer::Error),
    #[error(
        "the form has a field `{0}`, which is none of: file, name, tag, base, entrypoint, run, port, env, workdir, user"
    )]
    Unknown(String),
    #[error("the field `{field}` is not {expected}")]
    Field { field: &'static str, expected: &'static str },
    #[error("the form has no field `file`")]
    NoFile,
    #[error("the form has more than {MOST} files")]
    Files,
    #[error(transparent)]
    Store(#[from] StoreError),
}

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
                    form.name = part.file_name().map(stem);
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
                form.set(&field, text)?;
            }
        }
        if form.files.is_empty() { Err(FormError::NoFile) } else { Ok(form) }
    }

    fn set(&mut self, field: &str, text: String) -> Result<(), FormError> {
        match field {
            "name" => self.name = Some(text),
            "tag" => self.tag = Some(text),
            "base" => self.base = Some(text),
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
            other => return Err(FormError::Unknown(other.chars().take(40).collect())),
        }
        Ok(())
    }

    /// Everything but the files, for tests.
    #[cfg(test)]
    fn of(fields: &[(&str, &str)]) -> Result<Self, FormError> {
        let mut form = Self::default();
        fields.iter().try_for_each(|(field, text)| form.set(field, (*text).to_owned()))?;
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

/// The name of a file as one of an image: `Collector-1.2.jar` is `collector-1.2`.
fn stem(file: &str) -> String {
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    let ends = [".tar.gz", ".tgz", ".tar", ".zip", ".jar", ".war", ".wasm", ".sh", ".py"];
    let stem = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut plain = String::new();
    for c in stem.chars() {
        if fits(c) || (matches!(c, '.' | '-' | '_') && plain.ends_with(fits)) {
            plain.push(c);
        }
    }
    plain.trim_end_matches(['.', '-', '_']).to_owned()
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

    #[test]
    fn a_file_gives_the_image_its_name() {
        for (file, name) in [
            ("Collector-1.2.jar", "collector-1.2"),
            ("C:\\x\\App.tar.gz", "app"),
            ("../../x y.sh", "xy"),
            ("__", ""),
            ("a__b-", "a_b"),
        ] {
            assert_eq!(stem(file), name, "{file}");
        }
    }
}
