//! Records on disk: length and check sum (CRC-32, of length and payload), four bytes each, little endian; then JSON.

use crc::{CRC_32_ISO_HDLC, Crc};
use serde::{Deserialize, Serialize};

use crate::reading::{Reading, Series};

const SUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
const HEAD: usize = 8;
/// A telegram of 16 KiB becomes at most that much JSON.
const MAX_PAYLOAD: usize = 1024 * 1024;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    Reading(Reading),
    /// All before this sequence were taken by the receiver.
    Taken {
        series: Series,
        before: u64,
    },
    /// Where a series stands; at a segment's begin, so that older ones may go.
    Head {
        series: Series,
        next: u64,
        taken: u64,
        last_at: Option<u64>,
    },
}

impl Record {
    pub(super) fn write(&self, to: &mut Vec<u8>) -> std::io::Result<()> {
        let payload = serde_json::to_vec(self)?;
        let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= MAX_PAYLOAD);
        let length =
            length.ok_or_else(|| std::io::Error::other("a record of more than 1 MiB"))?.to_le_bytes();
        to.extend(length);
        to.extend(sum(length, &payload).to_le_bytes());
        to.extend(payload);
        Ok(())
    }
}

fn sum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut digest = SUM.digest();
    digest.update(&length);
    digest.update(payload);
    digest.finalize()
}

/// Records up to the first that is not whole, and whether all bytes are of such.
pub(super) fn read(mut bytes: &[u8]) -> (Vec<Record>, bool) {
    let mut records = Vec::new();
    while let Some((record, rest)) = first(bytes) {
        records.push(record);
        bytes = rest;
    }
    (records, bytes.is_empty())
}

fn first(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (said, rest) = rest.split_first_chunk::<{ HEAD - 4 }>()?;
    let size = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|size| *size <= MAX_PAYLOAD)?;
    let (payload, rest) = rest.split_at_checked(size)?;
    let whole = u32::from_le_bytes(*said) == sum(*length, payload);
    Some((serde_json::from_slice(payload).ok().filter(|_| whole)?, rest))
}
