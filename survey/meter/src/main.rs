//! `holm-meter`: reads electricity meters.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use holm_meter::config::Config;
use holm_meter::decoder::{Decoder, Protocol};
use holm_meter::run::run;
use holm_meter::telegram::Entry;
use serde::Serialize;

#[derive(Debug, Parser)]
#[command(
    name = "holm-meter",
    version,
    about = "Reads electricity meters through optical probes and P1 ports"
)]
enum Command {
    /// Prints one JSON line for each valid telegram of a recorded stream.
    Decode {
        /// Guessed from the bytes if left out.
        #[arg(long, value_enum)]
        protocol: Option<Wire>,
        /// The recorded bytes.
        file: PathBuf,
    },
    /// Reads the meters of a configuration on the quarter hour and keeps what they say until it is sent.
    Run {
        /// TOML; see docs/survey.md.
        #[arg(long)]
        config: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Wire {
    Sml,
    D0,
    P1,
}

#[derive(Serialize)]
struct Line<'a> {
    telegram: usize,
    entries: &'a [Entry],
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Decode { protocol, file } => decode(protocol, &file),
        Command::Run { config } => Config::load(&config).and_then(|config| run(&config)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holm-meter: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn decode(wire: Option<Wire>, path: &Path) -> Result<()> {
    let at = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(at)?;
    let mut chunk = vec![0; 64 * 1024];
    let mut length = file.read(&mut chunk).with_context(at)?;
    let protocol = match wire {
        Some(Wire::Sml) => Protocol::Sml,
        Some(Wire::D0 | Wire::P1) => Protocol::Text,
        None => Protocol::guess(&chunk[..length]),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut number = 0;
    let mut written = Ok(());
    let mut each = |telegram: holm_meter::telegram::Telegram| {
        if written.is_ok() {
            number += 1;
            written = line(&mut out, &Line { telegram: number, entries: &telegram.entries });
        }
    };
    let mut decoder = Decoder::new(protocol);
    while length > 0 {
        decoder.feed(&chunk[..length], &mut each);
        length = file.read(&mut chunk).with_context(at)?;
    }
    decoder.finish(each);
    written.and_then(|()| Ok(out.flush()?)).context("cannot write what was decoded")
}

fn line(out: &mut impl Write, line: &Line<'_>) -> Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    Ok(out.write_all(b"\n")?)
}
