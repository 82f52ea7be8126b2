//! The files of a layer, as a compressed tar archive that is the same wherever and whenever it is made: no times, no owners, no
//! bits that give rights.

use std::io::{self, Read, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// A layer that is being written to `W`.
pub struct Layer<W: Write> {
    tar: Builder<Hashing<flate2::write::GzEncoder<W>>>,
}

struct Hashing<W> {
    inner: W,
    hasher: Sha256,
}

/// As configurations name what is in a layer: `sha256:…` of the archive before it is compressed.
pub type DiffId = String;

// === impl Layer ===

impl<W: Write> Layer<W> {
    /// Begins one.
    pub fn new(out: W) -> Self {
        // Not the system, not the time.
        let gzip = GzBuilder::new().mtime(0).operating_system(255).write(out, Compression::default());
        Self { tar: Builder::new(Hashing { inner: gzip, hasher: Sha256::new() }) }
    }

    /// A directory.
    ///
    /// # Errors
    /// When writing fails.
    pub fn dir(&mut self, path: &str, mode: u32) -> io::Result<()> {
        let mut header = header(EntryType::Directory, mode | 0o111, 0);
        self.tar.append_data(&mut header, format!("{}/", inside(path)), io::empty())
    }

    /// A file of exactly `size` bytes.
    ///
    /// # Errors
    /// When writing fails, or `content` has fewer bytes.
    pub fn file(&mut self, path: &str, mode: u32, size: u64, content: &mut impl Read) -> io::Result<()> {
        let mut counted = Counted { inner: content.take(size), read: 0 };
        let mut header = header(EntryType::Regular, mode, size);
        self.tar.append_data(&mut header, inside(path), &mut counted)?;
        if counted.read == size {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("`{path}` is cut off")))
        }
    }

    /// A link by name.
    ///
    /// # Errors
    /// When writing fails.
    pub fn symlink(&mut self, path: &str, to: &Path) -> io::Result<()> {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        self.tar.append_link(&mut header, inside(path), to)
    }

    /// Another name of a file of this layer.
    ///
    /// # Errors
    /// When writing fails.
    pub fn hard_link(&mut self, path: &str, to: &str) -> io::Result<()> {
        let mut header = header(EntryType::Link, 0o644, 0);
        self.tar.append_link(&mut header, inside(path), inside(to))
    }

    /// Ends it.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(self) -> io::Result<(W, DiffId)> {
        let Hashing { inner, hasher } = self.tar.into_inner()?;
        let digest: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((inner.finish()?, format!("sha256:{digest}")))
    }
}

fn inside(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    // Neither set-user-id nor sticky bits; whoever runs it reads it.
    header.set_mode((mode & 0o755) | 0o444);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write> std::fmt::Debug for Layer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layer").finish_non_exhaustive()
    }
}
