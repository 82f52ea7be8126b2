//! Real captures with their expected decoding, from the folder `HOLM_METER_CAPTURES`; they are not ours to keep here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn folder(name: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("HOLM_METER_CAPTURES") else {
        eprintln!("skipped: HOLM_METER_CAPTURES names no folder of captures");
        return None;
    };
    Some(Path::new(&folder).join(name))
}

/// Captures of a folder with their truth.
fn captures(name: &str, extension: &str) -> Vec<(PathBuf, Value)> {
    let Some(folder) = folder(name) else { return Vec::new() };
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let captures: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|e| e == extension))
        .map(|file| {
            let truth = fs::read(file.with_extension("truth.json")).unwrap();
            (file, serde_json::from_slice(&truth).unwrap())
        })
        .collect();
    assert!(!captures.is_empty());
    captures
}

fn decoded(file: &Path, protocol: Option<&str>) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holm-meter"));
    command.arg("decode").args(protocol.map(|p| format!("--protocol={p}"))).arg(file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
        .stdout
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect()
}

fn chosen(entry: &Value) -> Value {
    let fields = ["obis", "value", "unit", "value_corrected"].into_iter();
    fields.filter_map(|field| entry.get(field).map(|value| (field.to_owned(), value.clone()))).collect()
}

#[test]
fn sml_entry_for_entry() {
    for (file, truth) in captures("sml", "bin") {
        let valid =
            truth["telegrams"].as_array().unwrap().iter().filter(|telegram| telegram["valid"] == true);
        let expected: Vec<Vec<_>> = valid
            .map(|telegram| {
                let entries = telegram["entries"].as_array().unwrap().iter();
                entries.filter(|entry| entry.get("value").is_some()).map(chosen).collect()
            })
            .collect();
        assert_eq!(Value::from(expected.len()), truth["valid_telegrams"]);
        for protocol in [None, Some("sml")] {
            let found = decoded(&file, protocol);
            let entries: Vec<_> =
                found.iter().map(|telegram| telegram["entries"].as_array().unwrap().clone()).collect();
            assert_eq!(entries, expected, "{}", file.display());
        }
    }
}

#[test]
fn text_entry_for_entry() {
    for (file, truth) in captures("text", "txt") {
        let mut expected = Vec::new();
        for record in truth["entries"].as_array().unwrap() {
            for value in
                record["values"].as_array().unwrap().iter().filter(|value| value.get("unit").is_some())
            {
                let mut entry = value.clone();
                entry["obis"] = record["obis"].clone();
                expected.push(entry);
            }
        }
        for protocol in [None, Some("d0"), Some("p1")] {
            let found = decoded(&file, protocol);
            assert_eq!(found.len(), 1, "{}", file.display());
            assert_eq!(found[0]["entries"].as_array().unwrap(), &expected, "{}", file.display());
        }
    }
}

#[test]
fn a_meter_without_pin_is_recognized() {
    use holm_meter::decoder::{Decoder, Protocol};
    for (file, _) in captures("sml", "bin") {
        let (mut locked, mut all) = (0, 0);
        let mut decoder = Decoder::new(Protocol::Sml);
        let mut count = |telegram: holm_meter::telegram::Telegram| {
            all += 1;
            locked += usize::from(telegram.seems_locked());
        };
        decoder.feed(&fs::read(&file).unwrap(), &mut count);
        decoder.finish(count);
        let expected = if file.to_string_lossy().contains("without_PIN") { all } else { 0 };
        assert_eq!(locked, expected, "{}", file.display());
    }
}
