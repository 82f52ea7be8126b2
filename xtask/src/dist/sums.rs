//! SHA-256 of files, as `sha256sum -c` reads it, and whose sums these are: a signature as `ssh-keygen -Y verify` reads it.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

use crate::tool::run;

pub(super) const FILE: &str = "SHA256SUMS";
const SIGNATURE: &str = "SHA256SUMS.sig";
/// What a signature is for: one of the same key for anything else is none of a release.
const NAMESPACE: &str = "holm-release";

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

/// The signature's name; none without a key, and none of earlier sums then.
pub(super) fn sign(dir: &Path, key: Option<&Path>) -> Result<Option<String>> {
    let signature = dir.join(SIGNATURE);
    match fs::remove_file(&signature) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", signature.display()));
        }
        _ => {}
    }
    let Some(key) = key else { return Ok(None) };
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"]).arg(key).arg(dir.join(FILE));
    run(&mut keygen).context("the sums are not signed")?;
    File::open(&signature).with_context(|| format!("ssh-keygen has not written {}", signature.display()))?;
    Ok(Some(SIGNATURE.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::{self, root, succeeds};

    #[test]
    fn sums_are_those_of_everybody() {
        assert_eq!(of(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn sums_are_signed_by_a_key_for_releases() {
        if !Path::new("/usr/bin/ssh-keygen").exists() {
            return println!("skipped: ssh-keygen is not here");
        }
        let dir = root().join("target/tmp").join(format!("sums-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (key, sums) = (dir.join("key"), dir.join(FILE));
        fs::write(&sums, list(&dir, &[]).unwrap()).unwrap();
        assert!(sign(&dir, Some(&key)).is_err(), "there is no such key");
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key)).unwrap();
        assert_eq!(sign(&dir, Some(&key)).unwrap().as_deref(), Some(SIGNATURE));
        // Whoever makes a release again is not asked anything.
        sign(&dir, Some(&key)).unwrap();
        let check = |namespace: &str| {
            let signature = dir.join(SIGNATURE).display().to_string();
            let words =
                format!("ssh-keygen -Y check-novalidate -n {namespace} -s {signature} <{}", sums.display());
            succeeds("sh", &["-c", &words])
        };
        assert!(check(NAMESPACE) && !check("mail"));
        fs::write(&sums, "other").unwrap();
        assert!(!check(NAMESPACE));
        assert_eq!(sign(&dir, None).unwrap(), None);
        assert!(!dir.join(SIGNATURE).exists(), "a signature of other sums is none");
        tool::remove(&dir);
    }
}
