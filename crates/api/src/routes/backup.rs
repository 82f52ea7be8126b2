//! A copy of all that the orchestrator is, encrypted.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use holm_core::orchestrator::command::Command;
use holm_model::view::people::BackupRequest;
use holm_orchestrator::backup::{EnvelopeError, Lock, TakeError};
use tokio_util::io::ReaderStream;
use utoipa_axum::routes;

use crate::extract::Json;
use crate::peer::Principal;
use crate::problem::{Common, Fault, Kind, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(backup)];

/// Take a backup: store, CA key and certificates of this moment, encrypted with what the request says.
///
/// `holm restore` makes an orchestrator of it.
#[utoipa::path(post, path = "/backup", tag = "orchestrator", request_body = BackupRequest,
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), Common, OfWrite))]
async fn backup(
    State(api): State<Api>,
    principal: Principal,
    Json(request): Json<BackupRequest>,
) -> Result<Response, Fault> {
    let lock = lock(request)?;
    let stay = api.stream(&principal)?;
    // Before it is made: whoever gets a byte of it is in the log.
    api.command(principal.actor, Command::Backup).await?;
    let file = api.handle().backup(lock).await.map_err(|error| match error {
        TakeError::Envelope(EnvelopeError::Passphrase) => Fault::new(Kind::Invalid, error),
        other => Fault::new(Kind::Internal, other),
    })?;
    let length = file.metadata().map(|meta| meta.len()).unwrap_or_default();
    let body = Body::from_stream(stay.over(ReaderStream::new(tokio::fs::File::from_std(file))));
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    Ok((headers, body).into_response())
}

fn lock(request: BackupRequest) -> Result<Lock, Fault> {
    let key = |text: &str| {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?;
        bytes.try_into().ok().map(Lock::Key)
    };
    match (request.passphrase, request.key) {
        (Some(phrase), None) => Ok(Lock::Passphrase(phrase.0)),
        (None, Some(text)) => {
            key(&text.0).ok_or_else(|| Fault::new(Kind::Invalid, "`key` is 32 bytes in hexadecimal"))
        }
        _ => Err(Fault::new(Kind::Invalid, "give either `passphrase` or `key`: backups are encrypted")),
    }
}
