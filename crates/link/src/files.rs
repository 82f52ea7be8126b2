//! Keys and certificates in files: PEM texts, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// A key or certificate file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read `{path}`; check that it belongs to the user holm runs as")]
    Read { path: PathBuf, source: io::Error },
    #[error("`{path}` is not there; restore it from a backup")]
    Missing { path: PathBuf },
    #[error("cannot write `{path}`; check the directory's owner and its free space")]
    Write { path: PathBuf, source: io::Error },
    #[error("`{path}` holds no {what} in PEM form; restore it from a backup")]
    Content { path: PathBuf, what: &'static str },
}

/// Replaces `path` by `content`, readable by its owner only; after a power cut the file is the old
/// or the new one.
pub(crate) fn write_secret(path: &Path, content: &str) -> Result<(), FileError> {
    let error = |source| FileError::Write { path: path.to_owned(), source };
    let beside = path.with_extension("tmp");
    let write = || {
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(error)
}

/// The file's text; none when there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::Read { path: path.to_owned(), source }),
    }
}

/// The certificates of a PEM text, at least one.
pub(crate) fn certificates(path: &Path, text: &str) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(FileError::Content { path: path.to_owned(), what: "certificate" }),
    }
}

/// The private key of a PEM text.
pub(crate) fn key(path: &Path, text: &str) -> Result<PrivatePkcs8KeyDer<'static>, FileError> {
    PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| FileError::Content { path: path.to_owned(), what: "private key" })
}

/// One PEM block.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|b| char::from(*b)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_replaced_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("some.key");
        assert!(read(&path).unwrap().is_none());
        write_secret(&path, "one").unwrap();
        write_secret(&path, "two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn pem_is_read_back() {
        let der: Vec<u8> = (0..200).collect();
        let text = pem("CERTIFICATE", &der) + &pem("CERTIFICATE", &der[..10]);
        let all = certificates(Path::new("x"), &text).unwrap();
        assert_eq!(all.iter().map(|c| c.len()).collect::<Vec<_>>(), [200, 10]);
        assert!(key(Path::new("x"), &text).is_err());
    }
}
