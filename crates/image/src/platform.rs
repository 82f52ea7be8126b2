//! Architectures, as images name them.

use std::fmt;

/// Which machines an image is for: `linux/amd64`, `linux/arm/v7`, …
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    /// `linux`, but for WebAssembly.
    pub os: String,
    /// As Go names it: `amd64`, `arm64`, `arm`, …
    pub architecture: String,
    /// `v7`, …
    pub variant: Option<String>,
}

// === impl Platform ===

impl Platform {
    /// Linux on this architecture, which may have its variant behind a slash.
    #[must_use]
    pub fn linux(architecture: &str) -> Self {
        let (architecture, variant) = match architecture.split_once('/') {
            Some((architecture, variant)) => (architecture, Some(variant.to_owned())),
            None => (architecture, None),
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant }
    }

    /// Whether a machine of this architecture, as nodes tell it (`amd64`, `arm64`, `armv7`, …), runs it.
    #[must_use]
    pub fn runs_on(&self, architecture: &str) -> bool {
        let own = match (self.architecture.as_str(), self.variant.as_deref()) {
            ("arm", Some(variant)) => format!("arm{variant}"),
            (other, _) => other.to_owned(),
        };
        let machine = match architecture {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "arm" | "armv7l" => "armv7",
            other => other,
        };
        // WebAssembly is no machine's own.
        own == machine || self.os != "linux"
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}
