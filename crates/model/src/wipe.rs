//! What a node that is decommissioned has wiped, as it tells it.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The proof of a node: all is wiped but its keys and its store, by which it tells this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WipeReport {
    /// Named volumes, as the engine calls them.
    pub volumes: BTreeSet<String>,
    /// Images that Holm had pulled.
    pub images: BTreeSet<String>,
    /// Files of the data directory.
    pub files: u64,
    /// In them.
    pub bytes: u64,
    /// What could not be wiped, and why.
    pub left: BTreeSet<String>,
}

/// Names that people read; of more there is the number.
const NAMED: usize = 20;

// === impl WipeReport ===

impl WipeReport {
    /// What an attempt that was interrupted had wiped counts, too; what it left is there no more, or is told anew.
    pub fn add_earlier(&mut self, earlier: Self) {
        self.volumes.extend(earlier.volumes);
        self.images.extend(earlier.images);
        self.files += earlier.files;
        self.bytes += earlier.bytes;
    }
}

impl fmt::Display for WipeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { volumes, images, files, bytes, left } = self;
        write!(f, "all instances; {} files ({bytes} bytes)", files)?;
        write!(f, "; volumes: {}; images: {}", named(volumes), named(images))?;
        f.write_str("; its keys and its store go as soon as it hears that this is known")?;
        if left.is_empty() { Ok(()) } else { write!(f, "; LEFT THERE: {}", named(left)) }
    }
}

fn named(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_names_few_and_counts_all() {
        let images: BTreeSet<String> = (0..22).map(|n| format!("web:{n:02}")).collect();
        let mut report = WipeReport { images, files: 3, bytes: 70, ..WipeReport::default() };
        let earlier = WipeReport { volumes: ["data".to_owned()].into(), files: 1, ..WipeReport::default() };
        report.add_earlier(earlier);
        let text = report.to_string();
        assert!(
            text.starts_with("all instances; 4 files (70 bytes); volumes: data; images: web:00, "),
            "{text}"
        );
        assert!(text.contains("web:19 and 2 more") && !text.contains("LEFT"), "{text}");
        report.left.insert("volume data: in use".to_owned());
        assert!(report.to_string().ends_with("LEFT THERE: volume data: in use"));
    }
}
