//! The core decides and does nothing else: no clock, socket, file, task or randomness of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

/// Crates that the core may build on; none of them does I/O.
const ALLOWED: [&str; 8] =
    ["base64", "ciborium", "holm-model", "serde", "serde_bytes", "serde_json", "sha2", "thiserror"];

/// Ways out of a pure machine.
const FORBIDDEN: [&str; 17] = [
    "std::env",
    "std::fs",
    "std::io",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os",
    "std::process",
    "std::sync::mpsc",
    "std::thread",
    "thread_local!",
    "Instant",
    "SystemTime",
    "RandomState",
    "HashMap",
    "HashSet",
    "println!",
    "rand::",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The code of a line, without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// Whether `word` stands in `code`, not as a part of a longer word.
fn mentions(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let open_end = word.ends_with("Tcp") || word.ends_with("Udp") || word.ends_with(':');
        !before.is_some_and(part) && (open_end || !after.is_some_and(part))
    })
}

#[test]
fn no_dependency_does_io() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, rest) = manifest.split_once("\n[dependencies]\n").expect("a table of dependencies");
    let table = rest.split("\n[").next().unwrap_or(rest);
    let names: Vec<_> = table
        .lines()
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect();
    assert!(names.contains(&"holm-model"), "{names:?}");
    let others: Vec<_> = names.iter().filter(|name| !ALLOWED.contains(name)).collect();
    assert!(others.is_empty(), "the core must not depend on {others:?}: decide here, do it in a shell");
}

#[test]
fn no_source_reaches_outside() {
    let mut found = Vec::new();
    let files = sources(&root().join("src"));
    assert!(files.len() > 10, "the sources were not found");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let hits = FORBIDDEN.iter().filter(|word| mentions(code(line), word));
            found.extend(hits.map(|word| format!("{}:{}: {word}", file.display(), number + 1)));
        }
    }
    assert!(found.is_empty(), "the core is told these, it does not take them:\n{}", found.join("\n"));
}

#[test]
fn the_search_finds_what_it_looks_for() {
    assert!(mentions("let now = std::time::Instant::now();", "Instant"));
    assert!(mentions("std::net::TcpStream::connect", "std::net::Tcp"));
    assert!(mentions("rand::random()", "rand::"));
    assert!(!mentions("InstanceState::Instantiating", "Instant"));
    assert!(!mentions("use std::net::SocketAddr;", "std::net::Tcp"));
}
