//! The log: on standard error, as text or JSON lines.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// How a daemon logs.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Log")]
pub(crate) struct Log {
    /// How a daemon writes its log [default: text]
    #[arg(long, value_enum, env = "HOLM_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Log more; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What daemons log by default, and with `-v`, `-vv`. `RUST_LOG` says it in detail.
const LEVELS: [LevelFilter; 3] = [LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE];

/// For daemons; commands for people say what they have to say themselves.
pub(crate) fn start(format: LogFormat, verbose: u8) {
    let level = LEVELS[usize::from(verbose).min(LEVELS.len() - 1)];
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = tracing_subscriber::registry().with(filter(level));
    // A second start changes nothing: the first one's settings stay.
    let _ = match format {
        LogFormat::Text => log.with(layer.with_ansi(ink(std::io::stderr().is_terminal()))).try_init(),
        LogFormat::Json => log.with(layer.json()).try_init(),
    };
}

/// What `RUST_LOG` says (`target=level,…`), or else our own parts at `ours` and others at `warn`.
fn filter(ours: LevelFilter) -> Targets {
    let told = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    told.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        // A target matches by its beginning: this stands for all of our crates.
        Targets::new().with_default(LevelFilter::WARN).with_target("holm", ours)
    })
}

/// Whether to use colours on a stream that is a terminal or not: <https://no-color.org>.
pub(crate) fn ink(terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    terminal && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}
