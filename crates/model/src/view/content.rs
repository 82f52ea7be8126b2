//! Secrets and plain files, as the API shows and takes them.

use std::fmt;

use data_encoding::{BASE64, DecodeError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Time;

/// A secret or file, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContentView {
    pub project: String,
    pub name: String,
    /// Counts how often it was set.
    pub version: u64,
    /// Bytes.
    pub size: u64,
    #[schema(value_type = String, format = DateTime)]
    pub changed: Time,
    /// Services that name it, as `application/service`: it cannot be deleted while there are any.
    pub used_by: Vec<String>,
}

/// The content of a secret or file, at most 64 KiB: as text, or any bytes in Base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ContentRequest {
    #[schema(value_type = String)]
    Value(String),
    #[schema(value_type = String, format = Byte)]
    Base64(String),
}

/// The content of a plain file, in Base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileContent {
    #[schema(format = Byte)]
    pub base64: String,
}

impl FileContent {
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { base64: BASE64.encode(bytes) }
    }

    /// # Errors
    /// When it is no Base64.
    pub fn bytes(&self) -> Result<Vec<u8>, DecodeError> {
        BASE64.decode(self.base64.as_bytes())
    }
}

/// Without the value.
impl fmt::Debug for ContentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentRequest")
    }
}
