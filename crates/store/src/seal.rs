//! Secrets at rest: values of some rows are sealed with a key that is not in the database.
//!
//! `version 1 | nonce (24 bytes) | XChaCha20-Poly1305`, the table and the row's key being its associated
//! data, so that no value can be moved to another row. The key is a file beside the database, made when
//! the first secret is written: a copy of the database alone tells none.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use holm_model::record::Table;

use crate::file::{remove, sync_parent, with_suffix};

/// The name of the key's file in the data directory.
pub const FILE: &str = "seal.key";

const VERSION: u8 = 1;
const KEY: usize = 32;
const NONCE: usize = 24;

/// Seals and opens; knows the key once one was needed.
#[derive(Clone)]
pub(crate) struct Seal {
    path: PathBuf,
    cipher: Option<XChaCha20Poly1305>,
}

/// A value was not sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error(
        "{} is missing, and {row} was sealed with it; put it back beside the database, or restore a backup \
         (`holm restore`)",
        path.display()
    )]
    Missing { path: PathBuf, row: String },
    #[error(
        "{} does not open {row}: it is another store's key, or the row was changed; put the right one back, or \
         restore a backup",
        path.display()
    )]
    Wrong { path: PathBuf, row: String },
    #[error("{} is no key: it has {length} bytes, not {KEY}; put the right one back", path.display())]
    Length { path: PathBuf, length: usize },
    #[error("cannot read or make {}; check the owner of the data directory", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
}

/// Whether the row's value is a secret: in the tables of contents and items those below `secret/`.
pub(crate) fn is_secret(table: Table, key: &str) -> bool {
    matches!(table, Table::Content | Table::Item) && key.starts_with("secret/")
}

// === impl Seal ===

impl Seal {
    pub(crate) fn beside(database: &Path) -> Self {
        Self { path: database.with_file_name(FILE), cipher: None }
    }

    /// # Errors
    /// See [`SealError`]; nothing is sealed then.
    pub(crate) fn seal(&mut self, table: Table, key: &str, value: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)?;
        let associated = associated(table, key);
        let payload = Payload { msg: value, aad: &associated };
        // Fails only for values of more than 256 GiB.
        let sealed = self.obtain()?.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| self.wrong(table, key))?;
        Ok([&[VERSION][..], &nonce, &sealed].concat())
    }

    /// # Errors
    /// See [`SealError`].
    pub(crate) fn open(&mut self, table: Table, key: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let missing = || SealError::Missing { path: self.path.clone(), row: row(table, key) };
        let cipher = match &self.cipher {
            Some(cipher) => cipher.clone(),
            None => self.read()?.ok_or_else(missing)?,
        };
        let (nonce, text) = sealed
            .split_first()
            .filter(|(version, _)| **version == VERSION)
            .and_then(|(_, rest)| rest.split_first_chunk::<NONCE>())
            .ok_or_else(|| self.wrong(table, key))?;
        let associated = associated(table, key);
        let opened = cipher.decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: &associated });
        self.cipher = Some(cipher);
        opened.map_err(|_| self.wrong(table, key))
    }

    fn wrong(&self, table: Table, key: &str) -> SealError {
        SealError::Wrong { path: self.path.clone(), row: row(table, key) }
    }

    /// The cipher, with a new key if there is none.
    fn obtain(&mut self) -> Result<XChaCha20Poly1305, SealError> {
        let cipher = match &self.cipher {
            Some(cipher) => cipher.clone(),
            None => match self.read()? {
                Some(cipher) => cipher,
                None => self.make()?,
            },
        };
        self.cipher = Some(cipher.clone());
        Ok(cipher)
    }

    fn read(&self) -> Result<Option<XChaCha20Poly1305>, SealError> {
        let path = self.path.clone();
        match std::fs::read(&path) {
            Ok(key) => XChaCha20Poly1305::new_from_slice(&key)
                .map(Some)
                .map_err(|_| SealError::Length { path, length: key.len() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SealError::File { path, source }),
        }
    }

    /// On the disk before anything is sealed with it.
    fn make(&self) -> Result<XChaCha20Poly1305, SealError> {
        let mut key = [0; KEY];
        getrandom::fill(&mut key)?;
        let write = || -> io::Result<()> {
            let unfinished = with_suffix(&self.path, ".new");
            remove(&unfinished)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
            file.write_all(&key)?;
            file.sync_all()?;
            std::fs::rename(&unfinished, &self.path)?;
            sync_parent(&self.path)
        };
        write().map_err(|source| SealError::File { path: self.path.clone(), source })?;
        Ok(XChaCha20Poly1305::new((&key).into()))
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").field("path", &self.path).finish_non_exhaustive()
    }
}

fn associated(table: Table, key: &str) -> Vec<u8> {
    // No name of a table has a NUL.
    [table.name().as_bytes(), b"\0", key.as_bytes()].concat()
}

fn row(table: Table, key: &str) -> String {
    format!("the row `{key}` of table `{}`", table.name())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn seal(dir: &Path) -> Seal {
        Seal::beside(&dir.join("holm.db"))
    }

    #[test]
    fn what_was_sealed_is_opened_by_another_process_with_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = seal(dir.path()).seal(Table::Content, "secret/default/db", b"hunter2").unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        let again = seal(dir.path()).seal(Table::Content, "secret/default/db", b"hunter2").unwrap();
        assert_ne!(sealed, again, "another nonce each time");
        let opened = seal(dir.path()).open(Table::Content, "secret/default/db", &sealed).unwrap();
        assert_eq!(opened, b"hunter2");
        let mode = dir.path().join(FILE).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn no_value_can_be_moved_or_changed() {
        let dir = tempfile::tempdir().unwrap();
        let mut seal = seal(dir.path());
        let sealed = seal.seal(Table::Content, "secret/blue/db", b"hunter2").unwrap();
        for (table, key) in [(Table::Content, "secret/red/db"), (Table::Item, "secret/blue/db")] {
            assert!(matches!(seal.open(table, key, &sealed), Err(SealError::Wrong { .. })));
        }
        for at in [0, 1, NONCE, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(seal.open(Table::Content, "secret/blue/db", &changed).is_err());
        }
        for short in [0, 1, NONCE] {
            assert!(seal.open(Table::Content, "secret/blue/db", &sealed[..short]).is_err());
        }
    }

    #[test]
    fn a_key_that_is_missing_or_anothers_is_named() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sealed = seal(dir.path()).seal(Table::Item, "secret/default/db", b"x").unwrap();
        seal(other.path()).seal(Table::Item, "secret/default/db", b"x").unwrap();
        let error = seal(other.path()).open(Table::Item, "secret/default/db", &sealed).unwrap_err();
        assert!(error.to_string().contains("seal.key does not open"), "{error}");
        std::fs::remove_file(other.path().join(FILE)).unwrap();
        let error = seal(other.path()).open(Table::Item, "secret/default/db", &sealed).unwrap_err();
        assert!(error.to_string().contains("seal.key is missing"), "{error}");
        std::fs::write(other.path().join(FILE), b"short").unwrap();
        let error = seal(other.path()).open(Table::Item, "secret/default/db", &sealed).unwrap_err();
        assert!(error.to_string().contains("5 bytes"), "{error}");
    }

    #[test]
    fn only_secrets_are_sealed() {
        assert!(
            is_secret(Table::Content, "secret/default/db") && is_secret(Table::Item, "secret/default/db")
        );
        assert!(!is_secret(Table::Content, "file/default/conf") && !is_secret(Table::Item, "share/1"));
        assert!(!is_secret(Table::Meta, "secret/default/db"));
    }
}
