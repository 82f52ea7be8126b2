//! Frames. A start sequence, groups of four bytes, `1b1b1b1b 1a`, how many bytes filled the last group, CRC-16/X.25
//! (low byte first). `1b1b1b1b` in the payload is doubled. A frame that is not valid gives up one byte only: the next
//! one may have begun within it.

use crc::{CRC_16_IBM_SDLC, Crc};

use super::{START, list};
use crate::decoder::{MAX_TELEGRAM, Step};

pub(super) const X25: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);
const ESCAPE: [u8; 4] = [0x1b; 4];

pub(crate) fn step(bytes: &[u8]) -> Step {
    match memchr::memmem::find(bytes, &START) {
        Some(0) => frame(bytes),
        Some(offset) => Step::Skip(offset),
        None => match bytes.len().saturating_sub(START.len() - 1) {
            0 => Step::More,
            none => Step::Skip(none),
        },
    }
}

fn frame(bytes: &[u8]) -> Step {
    let mut payload = Vec::new();
    let mut at = START.len();
    while at <= MAX_TELEGRAM {
        let Some(group) = bytes.get(at..at + 4) else { return Step::More };
        at += 4;
        if group != ESCAPE {
            payload.extend_from_slice(group);
            continue;
        }
        let Some(escaped) = bytes.get(at..at + 4) else { return Step::More };
        at += 4;
        match *escaped {
            [0x1b, 0x1b, 0x1b, 0x1b] => payload.extend_from_slice(&ESCAPE),
            [0x1a, filled, low, high] => {
                return match end(&bytes[..at - 2], payload, filled, [low, high]) {
                    Some(telegram) => Step::Telegram(at, telegram),
                    None => Step::Skip(1),
                };
            }
            _ => return Step::Skip(1),
        }
    }
    Step::Skip(1)
}

fn end(summed: &[u8], mut payload: Vec<u8>, filled: u8, crc: [u8; 2]) -> Option<crate::telegram::Telegram> {
    if X25.checksum(summed) != u16::from_le_bytes(crc) || filled > 3 {
        return None;
    }
    let fill = payload.split_off(payload.len().checked_sub(filled.into())?);
    if fill.iter().any(|&byte| byte != 0) {
        return None;
    }
    list::telegram(&payload)
}
