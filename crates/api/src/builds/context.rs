//! What a builder gets: the files, packed one way only, and the Dockerfile. All of it blocks.

use std::collections::BTreeSet;
use std::io::{BufReader, Read as _, Seek as _};

use holm_image::archive::{self, ArchiveError, Limits, Packing, Place, Top};
use holm_image::dockerfile::{Dockerfile, Tree, generate};
use holm_image::layer::{DiffId, Layer};
use holm_image::recognize::{Source, Thing};
use holm_registry::{Draft, Store};

use super::asked::Asked;
use super::error::BuildError;

/// A tree that is to be built.
pub(crate) struct Context {
    /// A gzip'd tar archive.
    pub(crate) packed: Draft,
    /// Of what is in it: the same for the same files, however they were packed.
    pub(crate) content: DiffId,
    /// Where the Dockerfile is in it.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) dockerfile: Dockerfile,
    /// Whether it came with the files.
    pub(crate) is_own: bool,
}

/// Bytes of a Dockerfile at most.
const TEXT: u64 = 256 * 1024;
/// Where a generated one lies; nobody has such a file.
const GENERATED: &str = ".holm.Dockerfile";
const OWN: [&str; 2] = ["Dockerfile", "Containerfile"];

impl Context {
    /// Packs what was sent.
    ///
    /// # Errors
    /// When nothing says how it is built, or the archive holds what it must not.
    pub(crate) fn new(
        store: &Store,
        asked: &Asked,
        draft: &Draft,
        thing: &Thing,
    ) -> Result<Self, BuildError> {
        let refused = |error| store.refused(error);
        let mut file = BufReader::new(draft.reader().map_err(refused)?);
        let packing = match thing {
            Thing::Dockerfile => None,
            Thing::Source { packing, .. } | Thing::Files(packing) => Some(*packing),
            other => return Err(BuildError::NoTree(other.to_string())),
        };
        let kind = match thing {
            Thing::Source { kind, .. } => Some(*kind),
            _ => None,
        };
        let top = match packing {
            Some(packing) => archive::top(&mut file, packing)?,
            None => Top::default(),
        };
        file.rewind().map_err(refused)?;
        let is_own = packing.is_none() || kind == Some(Source::Dockerfile);
        // The text of one that is a file of the tree is read from what is sent.
        let text = match packing {
            None => {
                let mut text = String::new();
                let read = file.by_ref().take(TEXT + 1).read_to_string(&mut text).map_err(refused)?;
                if read as u64 > TEXT {
                    return Err(ArchiveError::Text(OWN[0].to_owned()).into());
                }
                Some((OWN[0], text))
            }
            Some(_) if is_own => None,
            Some(_) => Some((GENERATED, generate(&tree(asked, kind, &top.names))?)),
        };
        store.room(draft.length())?;
        let mut packed = Layer::new(store.draft()?);
        if let Some(packing) = packing {
            let place = Place { to: "", of: top.dir.as_deref() };
            archive::copy(&mut file, packing, place, Limits::of(draft.length()), &mut packed)?;
        }
        if let Some((path, text)) = &text {
            packed.file(path, 0o644, text.len() as u64, &mut text.as_bytes()).map_err(refused)?;
        }
        let (packed, content) = packed.finish().map_err(refused)?;
        let (path, text) = match text {
            Some((path, text)) => (path.to_owned(), text),
            None => {
                let mut file = BufReader::new(packed.reader().map_err(refused)?);
                let here = Top { dir: None, names: top.names };
                let found = archive::text(&mut file, Packing::TarGz, &here, &OWN)?;
                found.ok_or_else(|| ArchiveError::Text(OWN[0].to_owned()))?
            }
        };
        let dockerfile = Dockerfile::parse(&text)?;
        Ok(Self { packed, content, path, text, dockerfile, is_own })
    }
}

fn tree<'a>(asked: &'a Asked, kind: Option<Source>, names: &'a BTreeSet<String>) -> Tree<'a> {
    Tree {
        kind,
        names,
        name: &asked.name,
        base: asked.base.as_ref().map(|base| base.written.as_str()),
        build: asked.build.as_deref(),
        has_start: !asked.run.entrypoint.is_empty(),
    }
}
