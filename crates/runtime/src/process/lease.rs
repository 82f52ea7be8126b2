//! `lease.json`: until when an exclusive instance may run. Written by the agent, read by the supervisor when it thinks
//! that the end has come: a renewal needs no message to it, and an agent that is gone renews nothing.
//!
//! A renewal overwrites the file in place, in room that it has already: a full disk ends no lease. What is read while it
//! is written is recognized, since it says everything twice.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::dir::{InstanceDir, read_json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    /// Boot time of this machine, in milliseconds. After a reboot there is neither program nor supervisor.
    until: u64,
    again: u64,
}

/// The longest text, `{"until":…,"again":…}` with numbers of 20 digits.
const ROOM: usize = 64;
/// Whoever reads just when it is written reads again.
const READS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(1);

/// # Errors
/// Those of the file system.
pub(super) fn write(dir: &InstanceDir, until: Duration) -> io::Result<()> {
    let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
    let mut text = serde_json::to_vec(&Lease { until, again: until })?;
    // White space behind JSON is no part of it.
    text.resize(ROOM.max(text.len()), b' ');
    let file = File::options().write(true).create(true).truncate(false).open(dir.lease())?;
    file.write_all_at(&text, 0)
}

/// `None`: it needs no lease.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read(dir: &InstanceDir) -> io::Result<Option<Duration>> {
    let mut last = io::Error::from(io::ErrorKind::InvalidData);
    for _ in 0..READS {
        match read_json::<Lease>(&dir.lease()) {
            Ok(None) => return Ok(None),
            Ok(Some(lease)) if lease.until == lease.again => {
                return Ok(Some(Duration::from_millis(lease.until)));
            }
            Ok(Some(_)) => {}
            Err(error) => last = error,
        }
        std::thread::sleep(PAUSE);
    }
    Err(last)
}

/// Since the machine was started, sleep included.
///
/// # Errors
/// Those of the kernel; Linux has had the clock since 2.6.39.
pub(super) fn boot_time() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_BOOTTIME)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_keeps_its_room_and_half_of_one_is_none() {
        let made = tempfile::tempdir().unwrap();
        let dir = InstanceDir(made.path().to_owned());
        assert_eq!(read(&dir).unwrap(), None);
        for millis in [7, 30_000, u64::MAX] {
            write(&dir, Duration::from_millis(millis)).unwrap();
            assert_eq!(std::fs::metadata(dir.lease()).unwrap().len(), ROOM as u64);
            assert_eq!(read(&dir).unwrap(), Some(Duration::from_millis(millis)));
        }
        std::fs::write(dir.lease(), r#"{"until":39999,"again":29999}"#).unwrap();
        assert!(read(&dir).is_err());
    }
}
