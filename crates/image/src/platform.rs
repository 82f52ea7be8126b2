//! Architectures, as images name them.

use std::fmt;

use holm_model::build::EMULATION;
use holm_model::view::NodeView;

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

/// Nobody has such machines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no platform that is known here: amd64, arm64, armv7, armv6, 386, riscv64, ppc64le, s390x, loong64"
)]
pub struct PlatformError(String);

const KNOWN: [&str; 8] = ["amd64", "arm64", "arm", "386", "riscv64", "ppc64le", "s390x", "loong64"];

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

    /// Of a machine of this architecture, as nodes tell it.
    #[must_use]
    pub fn of_machine(architecture: &str) -> Self {
        match architecture {
            "x86_64" => Self::linux("amd64"),
            "aarch64" => Self::linux("arm64"),
            "arm" | "armv7" | "armv7l" => Self::linux("arm/v7"),
            "armv6" => Self::linux("arm/v6"),
            other => Self::linux(other),
        }
    }

    /// As people write it: `amd64`, `armv7`, `linux/arm64`, `linux/arm/v7`.
    ///
    /// # Errors
    /// When it is none that Linux has.
    pub fn parse(text: &str) -> Result<Self, PlatformError> {
        let architecture = text.strip_prefix("linux/").unwrap_or(text);
        let known = Self::of_machine(architecture);
        let is_known = KNOWN.contains(&known.architecture.as_str())
            && known.variant.as_deref().is_none_or(|variant| matches!(variant, "v6" | "v7" | "v8"));
        if is_known { Ok(known) } else { Err(PlatformError(text.chars().take(40).collect())) }
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

    /// Whether this node runs it: itself, or in an emulator.
    #[must_use]
    pub fn runs_at(&self, node: &NodeView) -> bool {
        let emulated = |capability: &String| {
            let arch = capability.strip_prefix(EMULATION).and_then(|rest| rest.strip_prefix('/'));
            arch.is_some_and(|arch| self.runs_on(arch))
        };
        self.runs_on(&node.arch) || node.capabilities.iter().any(emulated)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_as_people_write_them() {
        let shown = |text: &str| Platform::parse(text).map(|platform| platform.to_string());
        for (text, is) in [
            ("amd64", "linux/amd64"),
            ("linux/arm64", "linux/arm64"),
            ("armv7", "linux/arm/v7"),
            ("linux/arm/v7", "linux/arm/v7"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(is), "{text}");
        }
        assert!(shown("windows/amd64").is_err() && shown("arm/v99").is_err() && shown("").is_err());
    }
}
