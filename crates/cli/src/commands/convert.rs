//! `holm convert`: a manifest in its normal form, or what a file of another system becomes.

use std::path::PathBuf;

use clap::Args;

use super::manifest::{self, Manifest, Reading};
use crate::failure::Failure;
use crate::output::{Format, Output, say};
use holm_model::manifest::show;

#[derive(Args, Debug)]
pub(crate) struct Convert {
    /// A manifest, a Compose file, a deployment file of edgeIO or an SLA of Oakestra; `-` for standard input
    file: PathBuf,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(convert: &Convert) -> Result<(), Failure> {
    let all = manifest::read_all(&convert.file, &convert.reading)?;
    let texts: Vec<String> = all.iter().map(|Manifest { application, .. }| show(application)).collect();
    match convert.output.format {
        // Manifests are YAML already; one in each document.
        Format::Table | Format::Wide | Format::Yaml => say(&texts.join("---\n")),
        Format::Json => {
            let read = |text: &String| {
                serde_saphyr::from_str::<serde_json::Value>(text)
                    .map_err(|e| Failure::from_error("a bug: a manifest that cannot be read", &e))
            };
            let values = texts.iter().map(read).collect::<Result<Vec<_>, _>>()?;
            match &values[..] {
                [one] => convert.output.print(one, String::new),
                several => convert.output.print(&several, String::new),
            }
        }
    }
}
