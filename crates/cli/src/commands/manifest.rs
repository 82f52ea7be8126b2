//! Manifests from files, with errors that show the place.

use std::io::Read as _;
use std::path::Path;

use clap::Args;
use holm_model::manifest::foreign::{self, Format, Surroundings};
use holm_model::manifest::{self, MOST_BYTES, ManifestError, ManifestErrors, show};
use holm_model::service::Application;

use super::beside::Beside;
use crate::failure::Failure;
use crate::output::clean;

/// A manifest that was read and is fine.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) text: String,
    pub(crate) application: Application,
}

/// How files of other systems are read.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Reading {
    /// Services of a Compose file that have a profile are left out without it; may be given several times
    #[arg(long, value_name = "NAME", env = "COMPOSE_PROFILES", value_delimiter = ',')]
    profile: Vec<String>,
    /// Refuse what a file of another system says and Holm does in another way
    #[arg(long)]
    strict: bool,
}

/// Reads a file that holds one application, or standard input for `-`.
pub(crate) fn read(path: &Path, reading: &Reading) -> Result<Manifest, Failure> {
    let mut all = read_all(path, reading)?;
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => Err(Failure::new(format!("{} holds several applications, and one is needed", path.display()))
            .hint("`holm convert` prints each")),
    }
}

/// Reads a file, or standard input for `-`; of another system's it says what it is, and what is not as it was there.
pub(crate) fn read_all(path: &Path, reading: &Reading) -> Result<Vec<Manifest>, Failure> {
    let (name, text) = text(path)?;
    let beside = Beside::of(path);
    let profiles = reading.profile.iter().cloned().collect();
    let around = Surroundings {
        name: &beside.name,
        variables: &|name| beside.variable(name),
        files: &|path| beside.file(path),
        profiles: &profiles,
    };
    let found = foreign::read(&text, &name, &around).map_err(|errors| refused(&errors, &text))?;
    if found.format == Format::Native {
        let manifest = |application| Manifest { text: text.clone(), application };
        return Ok(found.applications.into_iter().map(manifest).collect());
    }
    let warnings = found.warnings.iter().map(|warning| format!("{name}:{warning}"));
    let warnings: Vec<String> = warnings.map(|warning| clean(&warning)).collect();
    if reading.strict && !warnings.is_empty() {
        let list = warnings.join("\n");
        return Err(Failure::new(format!(
            "{name} is {}, and not all of it is done here:\n{list}",
            found.format
        ))
        .hint("without --strict these are warnings"));
    }
    eprintln!("{} is {}; `holm convert` shows the manifest that it becomes", clean(&name), found.format);
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(found
        .applications
        .into_iter()
        .map(|application| Manifest { text: show(&application), application })
        .collect())
}

/// A file's name for people, and what is in it.
fn text(path: &Path) -> Result<(String, String), Failure> {
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
    Ok((name, text))
}

/// `name` stands in errors.
pub(crate) fn parse(text: String, name: &str) -> Result<Manifest, Failure> {
    match manifest::parse(&text, name) {
        Ok(application) => Ok(Manifest { text, application }),
        Err(errors) => Err(refused(&errors, &text)),
    }
}

fn refused(errors: &ManifestErrors, text: &str) -> Failure {
    Failure::new(explain(errors, text)).hint("`holm schema` prints what a manifest may hold, for editors too")
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
