//! The outbox survives a power cut at any byte.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use holm_meter::outbox::{Limits, Outbox};
use holm_meter::reading::{Measured, Reading, Series};

const QUARTER: u64 = 900;

fn series(meter: &str) -> Series {
    Series { probe: "grid".to_owned(), meter: meter.to_owned() }
}

fn measured(meter: &str, quarter: u64) -> Measured {
    let at = quarter * QUARTER;
    Measured {
        series: series(meter),
        at,
        received: at + 1,
        meter_time: None,
        locked: false,
        entries: Vec::new(),
    }
}

fn small() -> Limits {
    Limits { segment: 400, ..Limits::default() }
}

fn pending(outbox: &Outbox) -> Vec<Reading> {
    outbox.pending().cloned().collect()
}

/// Quarter hours of each meter, in order and each once.
fn check_order(readings: &[Reading]) {
    let mut last = BTreeMap::new();
    for reading in readings {
        let place = (reading.sequence, reading.measured.at);
        if let Some(before) = last.insert(reading.measured.series.clone(), place) {
            assert!(before.0 + 1 == place.0 && before.1 < place.1, "{before:?} then {place:?}");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Files of a directory with the newest last, as (path, length).
fn newest(dir: &Path) -> (std::path::PathBuf, u64) {
    let logs = fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).filter(|f| f.extension().is_some());
    let last = logs.max().unwrap();
    let length = fs::metadata(&last).unwrap().len();
    (last, length)
}

/// Cut anywhere behind what was acknowledged, nothing of that is lost; what comes later goes on without a gap or a double.
#[test]
fn a_cut_at_any_byte_loses_nothing_acknowledged() {
    let original = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(original.path(), small()).unwrap();
    // (segment, its length, what is pending) after each acknowledged batch.
    let mut acknowledged = Vec::new();
    for quarter in 0..5 {
        outbox.append(vec![measured("a", quarter), measured("b", quarter)]).unwrap();
        if quarter == 2 {
            outbox.taken(&series("a"), 2).unwrap();
        }
        acknowledged.push((newest(original.path()), pending(&outbox)));
    }
    drop(outbox);
    let logs: Vec<_> = fs::read_dir(original.path())
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|f| f.extension().is_some())
        .collect();
    assert!(logs.len() > 2, "several segments");
    for log in &logs {
        for length in 0..=fs::metadata(log).unwrap().len() {
            let cut = tempfile::tempdir().unwrap();
            copy(original.path(), cut.path());
            // The cut was while this segment was written: later ones are not there.
            for later in logs.iter().filter(|other| *other > log) {
                fs::remove_file(cut.path().join(later.file_name().unwrap())).unwrap();
            }
            let damaged = cut.path().join(log.file_name().unwrap());
            fs::OpenOptions::new().write(true).open(&damaged).unwrap().set_len(length).unwrap();
            let mut outbox = Outbox::open(cut.path(), small()).unwrap();
            let found = pending(&outbox);
            check_order(&found);
            let known =
                acknowledged.iter().rfind(|((file, size), _)| file < log || (file == log && *size <= length));
            for reading in known.map(|(_, pending)| pending).into_iter().flatten() {
                // Taken later by a record that survived the cut, or there.
                let taken = reading.measured.series == series("a") && reading.sequence < 2;
                assert!(taken || found.contains(reading), "{} cut at {length}", log.display());
            }
            // It goes on, over a further start.
            outbox
                .append((4..7).flat_map(|quarter| [measured("a", quarter), measured("b", quarter)]).collect())
                .unwrap();
            let all = pending(&outbox);
            check_order(&all);
            drop(outbox);
            assert_eq!(pending(&Outbox::open(cut.path(), small()).unwrap()), all);
        }
    }
}

#[test]
fn a_quarter_hour_is_kept_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(dir.path(), small()).unwrap();
    assert_eq!(outbox.append(vec![measured("a", 1)]).unwrap(), 1);
    drop(outbox);
    let mut outbox = Outbox::open(dir.path(), small()).unwrap();
    assert_eq!(outbox.append(vec![measured("a", 1), measured("b", 1)]).unwrap(), 1);
    assert!(Outbox::open(dir.path(), small()).is_err(), "one process at a time");
}

#[test]
fn a_swapped_meter_begins_a_series() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(dir.path(), small()).unwrap();
    for (meter, quarter) in [("old", 1), ("old", 2), ("new", 3), ("new", 4)] {
        outbox.append(vec![measured(meter, quarter)]).unwrap();
    }
    let sequences: Vec<_> = outbox.pending().map(|reading| reading.sequence).collect();
    assert_eq!(sequences, [0, 1, 0, 1]);
}

/// What was taken goes after 90 days, what was not stays; and the sequence goes on when its readings are gone.
#[test]
fn old_readings_go_when_they_were_taken() {
    let dir = tempfile::tempdir().unwrap();
    let limits = small();
    let mut outbox = Outbox::open(dir.path(), limits).unwrap();
    for quarter in 0..20 {
        outbox.append(vec![measured("a", quarter)]).unwrap();
    }
    let later = 20 * QUARTER + limits.age;
    let files = || fs::read_dir(dir.path()).unwrap().count();
    let before = files();
    assert_eq!(outbox.prune(later).unwrap(), 0);
    assert_eq!(files(), before, "not taken");
    outbox.taken(&series("a"), 20).unwrap();
    assert_eq!(outbox.prune(19 * QUARTER).unwrap(), 0);
    assert_eq!(files(), before, "not old");
    outbox.append((0..9).map(|n| measured(&format!("m{n}"), 20)).collect()).unwrap();
    outbox.append(vec![measured("b", 21)]).unwrap();
    assert_eq!(outbox.prune(later).unwrap(), 0);
    assert!(files() < before, "gone");
    drop(outbox);
    let mut outbox = Outbox::open(dir.path(), limits).unwrap();
    outbox.append(vec![measured("a", 30)]).unwrap();
    let last = outbox.pending().last().unwrap();
    assert_eq!((last.measured.series.meter.as_str(), last.sequence), ("a", 20));
}

#[test]
fn the_size_is_bounded_and_the_loss_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { total: 3000, ..small() };
    let mut outbox = Outbox::open(dir.path(), limits).unwrap();
    let mut lost = 0;
    for quarter in 0..100 {
        outbox.append(vec![measured("a", quarter)]).unwrap();
        lost += outbox.prune(quarter * QUARTER).unwrap();
    }
    assert!(lost > 0);
    assert_eq!(outbox.pending().count() + lost, 100);
    let logs = fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum::<u64>();
    assert!(logs <= limits.total + limits.segment, "{logs}");
    drop(outbox);
    let outbox = Outbox::open(dir.path(), limits).unwrap();
    assert_eq!(outbox.pending().count() + lost, 100, "the same after a start");
}
