//! The drills of `cargo xtask drill`, so that they cannot rot.

use std::process::{Command, Stdio};

use crate::harness::command::PROGRAM;

/// From this version to itself: there may be no release to upgrade from, and building one takes minutes. It takes
/// about 40 s: a rolling deployment gives each slot ten, and every daemon is stopped and started at least once.
#[test]
fn a_sea_is_upgraded_from_the_top_and_its_applications_never_notice() {
    let Ok(xtask) = std::env::var("HOLM_TEST_XTASK") else {
        println!("skipped: HOLM_TEST_XTASK does not name the program xtask");
        return;
    };
    let mut drill = Command::new(xtask);
    drill.args(["drill", "upgrade", "--previous", PROGRAM, "--program", PROGRAM]).stdin(Stdio::null());
    let output = drill.output().expect("xtask");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (told, wrong) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{told}\n{wrong}");
    assert!(told.contains("the schema is the same"), "{told}");
    assert!(told.contains("everything was as it must be"), "{told}");
}
