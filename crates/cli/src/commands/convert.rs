//! `holm convert`: a manifest in its normal form.

use std::path::PathBuf;

use clap::Args;
use holm_model::manifest::show;

use super::manifest;
use crate::failure::Failure;
use crate::output::{Format, Output, say};

#[derive(Args, Debug)]
pub(crate) struct Convert {
    /// A manifest; `-` for standard input
    file: PathBuf,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(convert: &Convert) -> Result<(), Failure> {
    let text = show(&manifest::read(&convert.file)?.application);
    match convert.output.format {
        // Manifests are YAML already.
        Format::Table | Format::Wide | Format::Yaml => say(&text),
        Format::Json => {
            let manifest: serde_json::Value = serde_saphyr::from_str(&text)
                .map_err(|e| Failure::from_error("a bug: a manifest that cannot be read", &e))?;
            convert.output.print(&manifest, String::new)
        }
    }
}
