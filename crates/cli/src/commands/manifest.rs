//! Manifests from files, with errors that show the place.

use std::io::Read as _;
use std::path::Path;

use holm_model::manifest::{self, MOST_BYTES, ManifestError, ManifestErrors};
use holm_model::service::Application;

use crate::failure::Failure;
use crate::output::clean;

/// A manifest that was read and is fine.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) text: String,
    pub(crate) application: Application,
}

/// Reads a file, or standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Manifest, Failure> {
    let (name, text) = if path == Path::new("-") {
        ("stdin".to_owned(), bounded(std::io::stdin()))
    } else {
        (path.display().to_string(), std::fs::File::open(path).and_then(bounded))
    };
    let size = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|file| file.len());
    let bytes = text.map_err(|e| {
        Failure::from_error(format!("cannot read {name}"), &e)
            .hint("give the path of a manifest, or `-` for standard input")
    })?;
    if bytes.len() > MOST_BYTES {
        let size =
            size.map_or_else(|| format!("more than {MOST_BYTES} bytes"), |size| format!("{size} bytes"));
        return Err(Failure::new(format!("{name} has {size}; a manifest has at most {MOST_BYTES}"))
            .hint("is it really a manifest? `holm schema` tells what one holds"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|e| Failure::from_error(format!("{name} is no text in UTF-8"), &e.utf8_error()))?;
    parse(text, &name)
}

/// `name` stands in errors.
pub(crate) fn parse(text: String, name: &str) -> Result<Manifest, Failure> {
    match manifest::parse(&text, name) {
        Ok(application) => Ok(Manifest { text, application }),
        Err(errors) => Err(Failure::new(explain(&errors, &text))
            .hint("`holm schema` prints what a manifest may hold, for editors too")),
    }
}

/// A byte more than a manifest may have is enough to know that it has too many.
fn bounded(from: impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Every fault with its line and a caret below the place.
fn explain(errors: &ManifestErrors, text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let mut out = String::from("the manifest is refused");
    for error in &errors.errors {
        out.push_str(&format!("\n{}:{}", clean(&errors.file), clean(&error.to_string())));
        if let Some(shown) = pointed(error, &lines) {
            out.push_str(&shown);
        }
    }
    if errors.more > 0 {
        out.push_str(&format!("\n… and {} more", errors.more));
    }
    out
}

fn pointed(error: &ManifestError, lines: &[&str]) -> Option<String> {
    const MOST: usize = 100;
    let line = lines.get(usize::try_from(error.line).ok()?.checked_sub(1)?)?;
    let column = usize::try_from(error.column).ok()?.checked_sub(1)?;
    if column >= MOST {
        return None;
    }
    // A tab before the place must be as wide below it.
    let before: String = line.chars().take(column).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let number = error.line.to_string();
    let margin = " ".repeat(number.len());
    let line = clean(&line.chars().take(MOST).collect::<String>());
    Some(format!("\n {number} | {line}\n {margin} | {before}^"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_shown_at_its_place() {
        let text = "holm: v1\napplication: shop\nservices:\n  web:\n    runtime: process\n    command: [true]\n    replicas: many\n";
        let failure = parse(text.to_owned(), "app.yaml").unwrap_err().to_string();
        assert!(failure.contains("app.yaml:7:15: services.web.replicas"), "{failure}");
        assert!(failure.contains("\n 7 |     replicas: many\n   |               ^"), "{failure}");
    }

    #[test]
    fn a_long_file_is_not_read_to_its_end() {
        let bytes = bounded(std::io::repeat(b'x')).unwrap();
        assert_eq!(bytes.len(), MOST_BYTES + 1);
    }
}
