//! What an API token says about its sea: `holm-api.<payload>.<signature>`, the payload being JSON in
//! URL-safe base64. Only orchestrators can check the signature; a client reads the fingerprint.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use crate::error::SetupError;
use crate::pin::Fingerprint;

const PREFIX: &str = "holm-api.";

#[derive(Deserialize)]
struct Payload {
    /// Hexadecimal.
    fp: String,
}

/// The fingerprint of the sea that signed the token; that of a set-up link tells what to pin.
pub(crate) fn fingerprint(token: &str) -> Result<Fingerprint, SetupError> {
    let parse = || {
        let (payload, _signature) = token.strip_prefix(PREFIX)?.split_once('.')?;
        let payload = BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?;
        let payload: Payload = serde_json::from_slice(&payload).ok()?;
        payload.fp.parse().ok()
    };
    parse().ok_or(SetupError::Token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("{PREFIX}{}.c2lnbmF0dXJl", BASE64URL_NOPAD.encode(payload.as_bytes()))
    }

    #[test]
    fn the_fingerprint_is_read() {
        let text = token(&format!(r#"{{"id":"7","fp":"{}","exp":1}}"#, "ab".repeat(32)));
        assert_eq!(fingerprint(&text), "ab".repeat(32).parse());
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_shown() {
        for bad in ["", "secret", "holm-api.", "holm-api.x.y", &token("{}"), &token(r#"{"fp":"abc"}"#)] {
            let error = fingerprint(bad).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
