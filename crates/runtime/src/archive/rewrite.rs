//! For engines, which would make whatever an archive says: only what may be goes on, under its new name.

use std::io::{Read, Write};
use std::path::PathBuf;

use tar::EntryType;

use super::item::{Beneath, Item, Kind};
use super::unpack::renamed;
use super::write::{Marks, Writer};
use super::{Copied, CopyError, Target, read};

/// Reads `input` and writes what may be unpacked to `target`, as [`super::unpack`] would.
///
/// # Errors
/// See [`CopyError`].
pub fn rewrite(input: impl Read, output: impl Write, target: &Target) -> Result<Copied, CopyError> {
    let (mut writer, mut copied, mut top) = (Writer::new(output), Copied::default(), None);
    let rename = target.rename.as_deref();
    read::each(input, usize::from(rename.is_some()), |name, item, data| {
        let item = item.and_then(|mut item| {
            renamed(&mut item.path.0, rename, &mut top)?;
            if let Kind::Again { target } = &mut item.kind {
                renamed(&mut target.0, rename, &mut top)?;
            }
            Ok(item)
        });
        match item {
            Ok(item) => {
                copied.entries += 1;
                write(&mut writer, &item, data)
            }
            Err(reason) => {
                copied.refused.add(name, reason);
                Ok(())
            }
        }
    })?;
    writer.finish()?;
    Ok(copied)
}

fn write<W: Write>(writer: &mut Writer<W>, item: &Item, data: &mut dyn Read) -> Result<(), CopyError> {
    let path = joined(&item.path);
    let marks = Marks { mode: item.mode, mtime: item.mtime };
    match &item.kind {
        // The target itself is there already.
        Kind::Directory if item.path.0.is_empty() => Ok(()),
        Kind::Directory => writer.directory(&path, marks),
        Kind::File { size } => writer.file(&path, *size, marks, data),
        Kind::Symlink { target } => writer.link(EntryType::Symlink, &path, target, marks),
        Kind::Again { target } => writer.link(EntryType::Link, &path, &joined(target), marks),
    }
}

fn joined(path: &Beneath) -> PathBuf {
    path.0.iter().collect()
}
