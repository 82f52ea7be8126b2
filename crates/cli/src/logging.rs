//! The log: on standard error, as text or JSON lines.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What daemons log by default, and with `-v`, `-vv`. `RUST_LOG` says it in detail.
const LEVELS: [&str; 3] = ["info", "debug", "trace"];

/// For daemons; commands for people say what they have to say themselves.
pub(crate) fn start(format: LogFormat, verbose: u8) {
    let level = LEVELS[usize::from(verbose).min(LEVELS.len() - 1)];
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("warn,{}", ours(level))));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start changes nothing: the first one's settings stay.
    let _ = match format {
        LogFormat::Text => log.with_ansi(crate::output::ink(std::io::stderr().is_terminal())).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

fn ours(level: &str) -> String {
    ["core", "store", "link", "runtime", "node", "orchestrator", "api", "client"]
        .map(|name| format!("holm_{name}={level}"))
        .into_iter()
        .chain([format!("holm={level}")])
        .collect::<Vec<_>>()
        .join(",")
}
