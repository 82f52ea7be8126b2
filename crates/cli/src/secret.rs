//! Secrets that people give: by a flag, the environment, or a file.

use std::path::Path;

use crate::failure::Failure;

/// The secret that was given, or else the one line of the file.
pub(crate) fn given_or_in(secret: Option<String>, file: Option<&Path>) -> Result<Option<String>, Failure> {
    match (secret, file) {
        (Some(secret), _) => Ok(Some(secret)),
        (None, Some(file)) => read(file).map(Some),
        (None, None) => Ok(None),
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|e| Failure::from_error(format!("cannot read {}", file.display()), &e))?;
    Ok(text.trim().to_owned())
}
