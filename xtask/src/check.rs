//! `cargo xtask check`: format, lints, licences and sources of dependencies.

use anyhow::Result;

use crate::tool::{self, cargo, output, succeeds};

/// Crates that must not come in: a second TLS stack, or C libraries that break cross builds.
const BANNED: [&str; 4] = ["openssl-sys", "aws-lc-rs", "native-tls", "rusqlite"];

pub(crate) fn run() -> Result<()> {
    tool::run(cargo().args(["fmt", "--all", "--check"]))?;
    tool::run(cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))?;
    // The agent alone is a program of its own: nothing of it may be unused.
    tool::run(cargo().args([
        "clippy",
        "--package",
        "holm-cli",
        "--no-default-features",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))?;
    for banned in BANNED {
        let tree = output(cargo().args(["tree", "--workspace", "--quiet", "--prefix", "none"]))?;
        if let Some(line) = tree.lines().find(|line| line.split(' ').next() == Some(banned)) {
            anyhow::bail!("`{line}` is in the tree; see docs/dependencies.md");
        }
    }
    if succeeds("cargo", &["deny", "--version"]) {
        // Advisories need the network; licences, bans and sources do not.
        tool::run(cargo().args(["deny", "--offline", "check", "licenses", "bans", "sources"]))?;
    } else {
        licences()?;
    }
    Ok(())
}

/// What `cargo deny check licenses` does, as far as Cargo itself knows: every licence expression must
/// have an accepted alternative.
fn licences() -> Result<()> {
    let rules: toml::Table = toml::from_str(&std::fs::read_to_string(tool::root().join("deny.toml"))?)?;
    let accepted = rules["licenses"]["allow"].as_array().into_iter().flatten();
    let accepted: Vec<_> = accepted.filter_map(toml::Value::as_str).collect();
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--quiet"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let mut refused = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let expression = package["license"].as_str().unwrap_or_default().replace('/', " OR ");
        let fine = expression.split(" OR ").any(|alternative| {
            let words = alternative.trim_matches(['(', ')', ' ']).split(" AND ");
            let mut words = words.map(|word| word.trim_matches(['(', ')', ' ']));
            !alternative.is_empty() && words.all(|word| accepted.contains(&word))
        });
        if !fine {
            refused.push(format!("{} ({expression})", package["name"].as_str().unwrap_or_default()));
        }
    }
    anyhow::ensure!(refused.is_empty(), "licences that were not accepted: {}", refused.join(", "));
    eprintln!("cargo-deny is not installed; licences were checked from Cargo's metadata");
    Ok(())
}
