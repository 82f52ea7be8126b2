//! A backup, as it comes.

use ::http::Method;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use holm_model::view::people::BackupRequest;
use http_body_util::BodyExt as _;

use crate::Client;
use crate::error::Error;
use crate::http::{Call, chain};

impl Client {
    /// A backup of the orchestrator, encrypted as the request says. After an error it is not whole.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn backup(
        &self,
        request: &BackupRequest,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + use<>, Error> {
        let body = serde_json::to_vec(request).map_err(|e| self.http.server().protocol(e))?;
        let call = Call::new(Method::POST, "/backup").body("application/json", body);
        let http = self.http.clone();
        let body = self.http.stream(call).await?.into_body().into_data_stream();
        Ok(body.map(move |bytes| {
            bytes.map_err(|e| Error::CutOff { server: http.server().to_string(), reason: chain(&e) })
        }))
    }
}
