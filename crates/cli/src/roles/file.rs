//! The configuration file: TOML, a table for each role. Unknown keys are errors.
//!
//! ```toml
//! log-format = "json"
//! proxy = "http://proxy.example:3128"
//! [node]
//! parent = "root.example:7700"
//! label = ["floor=1", "zone=indoor"]
//! ```

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::options::{ClusterOptions, LimitOptions, NodeOptions, ProxyOptions, RootOptions};
use crate::failure::Failure;
use crate::logging::LogFormat;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct ConfigFile {
    pub(crate) log_format: Option<LogFormat>,
    /// As often as `-v` would be given.
    pub(crate) verbose: Option<u8>,
    pub(crate) proxy: Option<String>,
    pub(crate) proxy_credentials_file: Option<PathBuf>,
    pub(crate) root: Option<RootOptions>,
    pub(crate) cluster: Option<ClusterOptions>,
    pub(crate) node: Option<NodeOptions>,
    /// Of the orchestrator's API.
    pub(crate) limits: Option<LimitOptions>,
}

// === impl ConfigFile ===

impl ConfigFile {
    pub(crate) fn proxy(&self) -> ProxyOptions {
        let (proxy, proxy_credentials_file) = (self.proxy.clone(), self.proxy_credentials_file.clone());
        ProxyOptions { proxy, proxy_credentials_file }
    }

    /// Which roles it configures.
    #[cfg(feature = "full")]
    pub(crate) fn roles(&self) -> Vec<&'static str> {
        let roles = [
            ("root", self.root.is_some()),
            ("cluster", self.cluster.is_some()),
            ("node", self.node.is_some()),
        ];
        roles.iter().filter(|(_, there)| *there).map(|(role, _)| *role).collect()
    }
}

/// # Errors
/// When it cannot be read, or is no configuration: with the line and the reason.
pub(crate) fn read(path: &Path) -> Result<ConfigFile, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|e| Failure::from_error(format!("cannot read {}", path.display()), &e))?;
    parse(&text).map_err(|reason| {
        Failure::wrong_use(format!("{}: {reason}", path.display()))
            .hint("the keys are the flags of `holm root|cluster|node --help` without `--`, in a table [root], [cluster], [node] or [limits]")
    })
}

/// The error has the line and shows it.
fn parse(text: &str) -> Result<ConfigFile, String> {
    toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_a_key() {
        let text = "log-format = \"json\"\nproxy = \"http://p:1\"\nproxy-credentials-file = \"/x\"\n[root]\nlisten = \"127.0.0.1:7700\"\nunknown-after = \"5s\"\n\
                    [node]\nlabel = [\"floor=1\"]\ncapability = [\"hardware/ble\"]\nreserve-memory = \"64Mi\"\n\
                    [limits]\nrequest-rate = 7\nstreams-each = 3\n";
        let file = parse(text).unwrap();
        assert_eq!(file.roles(), ["root", "node"]);
        assert_eq!(file.proxy().proxy.as_deref(), Some("http://p:1"));
        assert_eq!(file.limits.unwrap().request_rate, Some(7));
        let node = file.node.unwrap();
        assert_eq!(node.label.unwrap()[0].value, "1");
        assert_eq!(node.capability.unwrap()[0].to_string(), "hardware/ble");
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let error = parse("[root]\nlisten = \"127.0.0.1:1\"\nlissten = 1\n").unwrap_err();
        assert!(error.contains("line 3") && error.contains("lissten"), "{error}");
        let error = parse("[root]\nlisten = \"nowhere\"\n").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn what_is_said_wins_over_the_file() {
        let said = RootOptions { sea: Some("flag".to_owned()), ..RootOptions::default() };
        let file = RootOptions {
            sea: Some("file".to_owned()),
            listen: "127.0.0.1:1".parse().ok(),
            ..RootOptions::default()
        };
        let both = said.or(file);
        assert_eq!(both.sea.as_deref(), Some("flag"));
        assert!(both.listen.is_some());
    }
}
