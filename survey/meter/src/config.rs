//! What `holm-meter run` is told: one TOML file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::decoder::Protocol;
use crate::source::Source;

const MAX_PROBES: usize = 16;
const DAY: u64 = 24 * 3600;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The device's name; it also spreads when devices send.
    pub device: String,
    /// A directory, made if it is not there.
    pub outbox: PathBuf,
    /// A file that readings are appended to as JSON lines; none keeps them only.
    pub send_to: Option<PathBuf>,
    /// Seconds; on the full quarter hour with the default.
    #[serde(default = "quarter_hour")]
    pub measure_every: u64,
    /// Seconds.
    #[serde(default = "hour")]
    pub send_every: u64,
    #[serde(rename = "probe", default)]
    pub probes: Vec<Probe>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub name: String,
    pub source: Source,
    pub protocol: Wire,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    Sml,
    D0,
    P1,
}

impl From<Wire> for Protocol {
    fn from(wire: Wire) -> Self {
        match wire {
            Wire::Sml => Self::Sml,
            Wire::D0 | Wire::P1 => Self::Text,
        }
    }
}

fn quarter_hour() -> u64 {
    15 * 60
}

fn hour() -> u64 {
    60 * 60
}

impl Config {
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not right", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text)?;
        ensure!(!config.device.is_empty(), "`device` is empty; name the device");
        let probes = config.probes.len();
        ensure!((1..=MAX_PROBES).contains(&probes), "{probes} probes; give 1 to {MAX_PROBES} `[[probe]]`");
        let mut names = BTreeSet::new();
        for probe in &config.probes {
            ensure!(!probe.name.is_empty(), "a probe has no name; name each");
            ensure!(names.insert(&probe.name), "two probes are named `{}`; rename one", probe.name);
        }
        for (field, seconds) in [("measure_every", config.measure_every), ("send_every", config.send_every)] {
            ensure!(
                seconds > 0 && DAY.is_multiple_of(seconds),
                "`{field} = {seconds}` does not divide a day (86400 s)"
            );
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    const GOOD: &str =
        "device = 'd'\noutbox = '/o'\n[[probe]]\nname = 'a'\nsource = 'tcp:h:1'\nprotocol = 'sml'\n";

    #[test]
    fn mistakes_are_said() {
        assert_eq!(Config::parse(GOOD).unwrap().measure_every, 900);
        let twice = format!("{GOOD}{}", &GOOD[GOOD.find("[[").unwrap()..]);
        for (text, said) in [
            (GOOD.replace("tcp:", "udp:"), "`udp:h:1` is no source"),
            (GOOD.replace("'sml'", "'smt'"), "smt"),
            (GOOD.replace("device", "devise"), "devise"),
            (format!("measure_every = 7\n{GOOD}"), "does not divide a day"),
            (twice, "two probes are named `a`"),
            (GOOD[..GOOD.find("[[").unwrap()].to_owned(), "0 probes"),
        ] {
            let error = format!("{:#}", Config::parse(&text).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }
}
