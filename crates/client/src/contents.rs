//! The methods about secrets and plain files.

use ::http::Method;
use data_encoding::BASE64;
use holm_model::content::ContentKind;
use holm_model::view::content::{ContentRequest, ContentView, FileContent};

use crate::Client;
use crate::error::Error;
use crate::http::Call;
use crate::routes::{json, path};

impl Client {
    /// Those of a project, without their bytes.
    ///
    /// # Errors
    /// See [`Error`]; so everywhere below.
    pub async fn contents(&self, kind: ContentKind, project: &str) -> Result<Vec<ContentView>, Error> {
        self.all(&Call::get(path(&["projects", project, things(kind)]))).await
    }

    pub async fn set_content(
        &self,
        kind: ContentKind,
        project: &str,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let request = ContentRequest::Base64(BASE64.encode(bytes));
        self.done(json(Call::new(Method::PUT, path(&["projects", project, things(kind), name])), &request))
            .await
    }

    pub async fn delete_content(&self, kind: ContentKind, project: &str, name: &str) -> Result<(), Error> {
        self.done(Call::new(Method::DELETE, path(&["projects", project, things(kind), name]))).await
    }

    /// The content of a plain file, in Base64.
    pub async fn file(&self, project: &str, name: &str) -> Result<FileContent, Error> {
        self.http.json(Call::get(path(&["projects", project, "files", name]))).await
    }
}

const fn things(kind: ContentKind) -> &'static str {
    match kind {
        ContentKind::Secret => "secrets",
        ContentKind::File => "files",
    }
}
