//! Whether a parent is behind what was obeyed last, and what it is told then.

use holm_model::item::{ItemKey, Obeyed, PackedItem};
use holm_model::message::{Up, Welcome};

/// Items of one `Holding` message together stay below this many bytes.
const CHUNK: usize = 1 << 20;

/// Whether the parent knows the reign and revision that was obeyed last. One that was restored from a
/// backup, or started from a copy, does not.
pub(crate) fn covers(welcome: &Welcome, obeyed: &Obeyed) -> bool {
    let last = if welcome.epoch == obeyed.epoch {
        Some(welcome.revision)
    } else {
        welcome.reigns.iter().find(|(epoch, _)| *epoch == obeyed.epoch).map(|(_, last)| *last)
    };
    welcome.store == obeyed.store && last.is_some_and(|last| obeyed.revision <= last)
}

/// All items, in messages of bounded size, so that the parent can be made to know them. Secrets and files
/// stay here: a parent that forgot one asks people. So do projects, which are the parent's.
pub(super) fn holding<'a>(items: impl Iterator<Item = &'a PackedItem>) -> Vec<Up> {
    let mut chunks = vec![Vec::new()];
    let mut size = 0;
    for item in items.filter(|item| !matches!(item.key, ItemKey::Content(_) | ItemKey::Project(_))) {
        if size > 0 && size + item.body.len() > CHUNK {
            chunks.push(Vec::new());
            size = 0;
        }
        size += item.body.len();
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(item.clone());
        }
    }
    let last = chunks.len() - 1;
    let message = |(i, items)| Up::Holding { items, complete: i == last };
    chunks.into_iter().enumerate().map(message).collect()
}
