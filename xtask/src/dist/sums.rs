//! SHA-256 of files, as `sha256sum -c` reads it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

pub(super) fn of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text of `SHA256SUMS` for these files below `dir`.
pub(super) fn list(dir: &Path, names: &[String]) -> Result<String> {
    let mut names = names.to_vec();
    names.sort();
    let line = |name: &String| {
        let bytes = fs::read(dir.join(name)).with_context(|| format!("cannot read {name}"))?;
        Ok(format!("{}  {name}\n", of(&bytes)))
    };
    names.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_everybody() {
        assert_eq!(of(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
