//! Secrets that people give: by a flag, the environment, or a file; and those that are kept for them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

#[cfg(feature = "full")]
use holm_model::view::people::Password;

use crate::failure::Failure;

/// Bytes of a file with a secret: more than any password, token or link has.
const MOST: usize = 64 << 10;

/// The secret that was given, or else the one line of the file.
pub(crate) fn given_or_in(secret: Option<String>, file: Option<&Path>) -> Result<Option<String>, Failure> {
    match (secret, file) {
        (Some(secret), _) => Ok(Some(secret)),
        (None, Some(file)) => read(file).map(|text| Some(text.trim().to_owned())),
        (None, None) => Ok(None),
    }
}

/// A password that the API would take: the first line of the file.
#[cfg(feature = "full")]
pub(crate) fn password(file: &Path) -> Result<String, Failure> {
    let line = line(file)?;
    if line.len() > Password::MOST {
        let failure = format!("the first line of {} has {} bytes", file.display(), line.len());
        return Err(Failure::wrong_use(failure)
            .hint(format!("a password has {} bytes at most: is this the right file?", Password::MOST)));
    }
    Ok(line)
}

/// The first line of the file; spaces belong to it.
#[cfg(feature = "full")]
pub(crate) fn line(file: &Path) -> Result<String, Failure> {
    let text = read(file)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Failure::wrong_use(format!("{} is empty", file.display()))),
    }
}

/// A password for somebody who changes it at the first log-in: 100 bits, easily read aloud.
#[cfg(feature = "full")]
pub(crate) fn random_password() -> Result<String, Failure> {
    // No letter or digit that looks like another.
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; 20];
    File::open("/dev/urandom")
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
    let mut text = String::new();
    // One byte more tells that there is more.
    let read = File::open(file).and_then(|file| file.take(MOST as u64 + 1).read_to_string(&mut text));
    match read {
        Ok(read) if read > MOST => {
            let failure = format!("{} is longer than {} KiB: that is no secret", file.display(), MOST >> 10);
            Err(Failure::wrong_use(failure).hint("give a file with the secret alone"))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::from_error(format!("cannot read {}", file.display()), &error)),
    }
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

    #[test]
    fn a_file_of_any_size_is_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "x".repeat(Password::MOST)).unwrap();
        assert_eq!(password(&file).unwrap().len(), Password::MOST);
        std::fs::write(&file, "x".repeat(Password::MOST + 1)).unwrap();
        let failure = password(&file).unwrap_err().to_string();
        assert!(failure.contains("has 257 bytes") && !failure.contains("xx"), "{failure}");
        std::fs::write(&file, "x".repeat(10 << 20)).unwrap();
        assert!(password(&file).unwrap_err().to_string().contains("longer than 64 KiB"));
        // It has no end.
        assert!(given_or_in(None, Some(Path::new("/dev/zero"))).is_err());
    }
}
