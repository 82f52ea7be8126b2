//! The drills of `cargo xtask drill`, so that they cannot rot.

use std::process::{Command, Stdio};

use crate::harness::command::PROGRAM;

/// From this version to itself: there may be no release to upgrade from, and building one takes minutes. It takes
/// about 40 s: a rolling deployment gives each slot ten, and every daemon is stopped and started at least once.
#[test]
fn a_sea_is_upgraded_from_the_top_and_its_applications_never_notice() {
    let words = ["upgrade", "--previous", PROGRAM];
    let Some(told) = drill(&words) else { return };
    assert!(told.contains("the schema is the same"), "{told}");
}

/// A busy machine is no reason to be red: what times there are is shown. It takes about 60 s.
#[test]
fn what_is_lost_heals_and_what_changes_costs_whoever_asks_nothing_needs_root() {
    drill(&["healing", "--partition=15", "--untimed"]);
}

/// What it said; `None`: there is no program to run it.
fn drill(words: &[&str]) -> Option<String> {
    let Ok(xtask) = std::env::var("HOLM_TEST_XTASK") else {
        println!("skipped: HOLM_TEST_XTASK does not name the program xtask");
        return None;
    };
    let mut drill = Command::new(xtask);
    drill.arg("drill").args(words).args(["--program", PROGRAM]).stdin(Stdio::null());
    let output = drill.output().expect("xtask");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (told, wrong) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{told}\n{wrong}");
    assert!(told.contains("everything was as it must be"), "{told}");
    Some(told)
}
