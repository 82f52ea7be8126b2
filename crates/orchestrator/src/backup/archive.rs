//! What is in a backup: a tar of `backup.json` and the files that it lists.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use data_encoding::HEXLOWER;
use holm_model::time::Time;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What the backup is of; its first entry, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Contents {
    pub(super) format: u32,
    /// Of the program that made it.
    pub(super) version: String,
    /// `root` or `cluster`.
    pub(super) role: String,
    pub(super) name: String,
    pub(super) sea: String,
    /// Of the sea's root certificate.
    pub(super) fingerprint: String,
    pub(super) created: Time,
    pub(super) files: BTreeMap<String, FileSum>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileSum {
    pub(super) size: u64,
    /// Hexadecimal.
    pub(super) sha256: String,
}

/// The content of a backup is not what a backup has.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("the backup cannot be read or written")]
    Io(#[from] io::Error),
    #[error("the backup has no list of its contents")]
    NoContents,
    #[error("the backup is of format {0}, this program reads 1; use the version that made it")]
    Format(u32),
    #[error("the backup holds `{0}`, which no backup has")]
    Stranger(String),
    #[error("`{0}` in the backup is not what was backed up")]
    Changed(String),
    #[error("the backup lacks `{0}`")]
    Missing(String),
}

/// The store's copy, then whatever else proves who the orchestrator is.
pub(super) const STORE: &str = "holm.db";
pub(super) const KEPT: [&str; 6] =
    [STORE, holm_store::SEAL_KEY, "ca.key", "ca.pem", "credentials.pem", "platform-time"];
const CONTENTS: &str = "backup.json";
const FORMAT: u32 = 1;
const MAX_CONTENTS: u64 = 64 * 1024;

pub(super) const fn format() -> u32 {
    FORMAT
}

/// Hashes a file of the backup.
pub(super) fn sum(path: &Path) -> io::Result<FileSum> {
    let (mut file, mut hash, mut size) = (File::open(path)?, Sha256::new(), 0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(FileSum { size, sha256: HEXLOWER.encode(&hash.finalize()) });
        }
        hash.update(&buffer[..read]);
        size += read as u64;
    }
}

/// Writes the archive; `files` says where each is.
pub(super) fn write<W: Write>(
    out: W,
    contents: &Contents,
    files: &BTreeMap<String, std::path::PathBuf>,
) -> Result<W, ArchiveError> {
    let mut tar = tar::Builder::new(out);
    let listed = serde_json::to_vec_pretty(contents).map_err(io::Error::other)?;
    tar.append_data(&mut header(listed.len() as u64), CONTENTS, &listed[..])?;
    for (name, sum) in &contents.files {
        let path = files.get(name).ok_or_else(|| ArchiveError::Missing(name.clone()))?;
        // As long as it was when it was hashed: the length in the header is a promise.
        tar.append_data(&mut header(sum.size), name, File::open(path)?.take(sum.size))?;
    }
    Ok(tar.into_inner()?)
}

fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    header
}

/// Unpacks into `dir`, which is empty. Only what a backup has is written, and only under its plain name.
pub(super) fn read<R: Read>(input: R, dir: &Path) -> Result<Contents, ArchiveError> {
    let mut tar = tar::Archive::new(input);
    let mut contents: Option<Contents> = None;
    let mut seen = Vec::new();
    for entry in tar.entries()? {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(listed) = &contents else {
            contents = Some(listing(&name, entry)?);
            continue;
        };
        let known = KEPT.iter().find(|kept| **kept == name).filter(|_| entry.header().entry_type().is_file());
        let (Some(known), Some(sum)) = (known, listed.files.get(&name)) else {
            return Err(ArchiveError::Stranger(name.chars().take(100).collect()));
        };
        if seen.contains(known) || entry.size() != sum.size {
            return Err(ArchiveError::Changed(name));
        }
        seen.push(*known);
        let path = dir.join(known);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        io::copy(&mut entry, &mut file)?;
        file.sync_all()?;
        if self::sum(&path)? != *sum {
            return Err(ArchiveError::Changed(name));
        }
    }
    let contents = contents.ok_or(ArchiveError::NoContents)?;
    match contents.files.keys().find(|name| !seen.contains(&name.as_str())) {
        Some(missing) => Err(ArchiveError::Missing(missing.clone())),
        None if !seen.contains(&STORE) => Err(ArchiveError::Missing(STORE.to_owned())),
        None => Ok(contents),
    }
}

fn listing(name: &str, entry: impl Read) -> Result<Contents, ArchiveError> {
    if name != CONTENTS {
        return Err(ArchiveError::NoContents);
    }
    let contents: Contents =
        serde_json::from_reader(entry.take(MAX_CONTENTS)).map_err(|_| ArchiveError::NoContents)?;
    if contents.format == FORMAT { Ok(contents) } else { Err(ArchiveError::Format(contents.format)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(dir: &Path, names: &[&str]) -> (Contents, BTreeMap<String, std::path::PathBuf>) {
        let paths: BTreeMap<_, _> = names.iter().map(|name| ((*name).to_owned(), dir.join(name))).collect();
        let files = paths.iter().map(|(name, path)| (name.clone(), sum(path).unwrap())).collect();
        let text = |text: &str| text.to_owned();
        let contents = Contents {
            format: FORMAT,
            version: text("1"),
            role: text("root"),
            name: text("root"),
            sea: text("sea"),
            fingerprint: text("ff"),
            created: Time(0),
            files,
        };
        (contents, paths)
    }

    fn backup(names: &[&str]) -> (tempfile::TempDir, Contents, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(dir.path().join(name), format!("content of {name}")).unwrap();
        }
        let (contents, paths) = contents(dir.path(), names);
        let bytes = write(Vec::new(), &contents, &paths).unwrap();
        (dir, contents, bytes)
    }

    fn read_back(bytes: &[u8]) -> Result<(tempfile::TempDir, Contents), ArchiveError> {
        let dir = tempfile::tempdir().unwrap();
        let contents = read(bytes, dir.path())?;
        Ok((dir, contents))
    }

    #[test]
    fn what_was_put_in_comes_out() {
        let (_, contents, bytes) = backup(&[STORE, "ca.key"]);
        let (dir, read) = read_back(&bytes).unwrap();
        assert_eq!(read, contents);
        assert_eq!(std::fs::read_to_string(dir.path().join("ca.key")).unwrap(), "content of ca.key");
    }

    #[test]
    fn what_no_backup_has_is_refused() {
        assert!(
            matches!(read_back(&backup(&[STORE, "evil"]).2), Err(ArchiveError::Stranger(name)) if name == "evil")
        );
        assert!(
            matches!(read_back(&backup(&["ca.key"]).2), Err(ArchiveError::Missing(name)) if name == STORE)
        );
        assert!(matches!(read_back(b""), Err(ArchiveError::NoContents)));
    }

    #[test]
    fn links_paths_and_other_contents_are_refused() {
        let (_, contents, _) = backup(&[STORE]);
        let listed = serde_json::to_vec(&contents).unwrap();
        let evil = |entry: &dyn Fn(&mut tar::Builder<Vec<u8>>)| {
            let mut tar = tar::Builder::new(Vec::new());
            tar.append_data(&mut header(listed.len() as u64), CONTENTS, &listed[..]).unwrap();
            entry(&mut tar);
            read_back(&tar.into_inner().unwrap()).map(drop).unwrap_err().to_string()
        };
        let link = evil(&|tar| {
            let mut header = header(0);
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, STORE, "/etc/passwd").unwrap();
        });
        assert!(link.contains("no backup has"), "{link}");
        let changed = evil(&|tar| tar.append_data(&mut header(4), STORE, &b"evil"[..]).unwrap());
        assert!(changed.contains("not what was backed up"), "{changed}");
        let mut path = header(4);
        path.as_gnu_mut().unwrap().name[..10].copy_from_slice(b"../holm.db");
        path.set_cksum();
        let path = evil(&|tar| tar.append(&path, &b"evil"[..]).unwrap());
        assert!(path.contains("no backup has"), "{path}");
    }
}
