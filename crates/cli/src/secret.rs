//! Secrets that people give: by a flag, the environment, or a file; and those that are kept for them.

use std::path::Path;

use crate::failure::Failure;

/// The secret that was given, or else the one line of the file.
pub(crate) fn given_or_in(secret: Option<String>, file: Option<&Path>) -> Result<Option<String>, Failure> {
    match (secret, file) {
        (Some(secret), _) => Ok(Some(secret)),
        (None, Some(file)) => read(file).map(|text| Some(text.trim().to_owned())),
        (None, None) => Ok(None),
    }
}

/// The first line of the file; spaces belong to it.
#[cfg(feature = "full")]
pub(crate) fn password(file: &Path) -> Result<String, Failure> {
    let text = read(file)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Failure::wrong_use(format!("{} is empty", file.display()))),
    }
}

/// A password for somebody who changes it at the first log-in: 100 bits, easily read aloud.
#[cfg(feature = "full")]
pub(crate) fn random_password() -> Result<String, Failure> {
    use std::io::Read as _;
    // No letter or digit that looks like another.
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; 20];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .map_err(|e| Failure::from_error("the system gives no random numbers", &e))?;
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 32)]);
    let groups = random.chunks(5).map(|group| group.iter().map(letter).collect::<String>());
    Ok(groups.collect::<Vec<_>>().join("-"))
}

/// Writes a file that only its owner can read; beside it first, so that whoever reads sees the old or the new one.
#[cfg(feature = "full")]
pub(crate) fn keep(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let new = file.with_extension("new");
    match std::fs::remove_file(&new) {
        // Left there by somebody who was ended in between.
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&new, file)
}

fn read(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file);
    text.map_err(|e| Failure::from_error(format!("cannot read {}", file.display()), &e))
}

#[cfg(all(test, feature = "full"))]
mod tests {
    use super::*;

    #[test]
    fn random_passwords_differ_and_are_long() {
        let [one, other] = [random_password().unwrap(), random_password().unwrap()];
        assert_ne!(one, other);
        assert_eq!(one.len(), 23, "{one}");
    }

    #[test]
    fn a_password_keeps_its_spaces() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, " two words \nmore\n").unwrap();
        assert_eq!(password(&file).unwrap(), " two words ");
        std::fs::write(&file, "\n").unwrap();
        assert!(password(&file).is_err());
    }
}
