//! IEC 62056-21 (D0) and DSMR/P1: lines of text between `/` and `!`, with a check sum of one kind, of another, or none.

mod lines;

use crc::{CRC_16_ARC, Crc};

use self::lines::Lines;
use crate::decoder::{MAX_TELEGRAM, Step};
use crate::telegram::Telegram;

const ARC: Crc<u16> = Crc::<u16>::new(&CRC_16_ARC);
const STX: u8 = 2;
const ETX: u8 = 3;

pub(crate) fn step(bytes: &[u8], end: bool, summed: &mut bool) -> Step {
    match memchr::memchr(b'/', bytes) {
        None => Step::Skip(bytes.len()),
        Some(0) => whole(bytes, end, summed).unwrap_or(Step::Skip(1)),
        Some(offset) => Step::Skip(offset),
    }
}

/// `None` is no telegram.
fn whole(bytes: &[u8], end: bool, summed: &mut bool) -> Option<Step> {
    let Some(stop) = stop(bytes)? else { return Some(Step::More) };
    let (length, sum) = match sum(bytes, stop, end)? {
        Sum::More => return Some(Step::More),
        Sum::Right(length) => (length, true),
        Sum::Missing(length) => (length, false),
    };
    let text = std::str::from_utf8(&bytes[..stop]).ok()?;
    let lines = Lines::parse(text)?;
    // Without a sum only the grammar is left: a telegram that should have one or says a thing twice was damaged.
    if !sum && (*summed || must_have_sum(text) || lines.says_twice()) {
        return None;
    }
    *summed |= sum;
    Some(Step::Telegram(length, Telegram::from(lines)))
}

/// DSMR 4 and later and Belgium's P1, which say their version and the time, always send a CRC.
fn must_have_sum(text: &str) -> bool {
    ["1-3:0.2.8(", "0-0:96.1.4(", "0-0:1.0.0("].iter().any(|line| text.contains(line))
}

/// Where `!` stands at a line's start, if it was received. `None`: these bytes are no telegram.
fn stop(bytes: &[u8]) -> Option<Option<usize>> {
    for at in 1..bytes.len() {
        if at > MAX_TELEGRAM {
            return None;
        }
        let fresh = matches!(bytes[at - 1], b'\n' | b'\r' | STX);
        match bytes[at] {
            b'!' => return fresh.then_some(Some(at)),
            b'/' if fresh => return None,
            b'\r' | b'\n' | b' '..=b'~' => {}
            STX if fresh => {}
            _ => return None,
        }
    }
    Some(None)
}

enum Sum {
    More,
    /// Both with the telegram's length.
    Right(usize),
    Missing(usize),
}

/// The check sum behind `!`; `None` if it is wrong.
fn sum(bytes: &[u8], stop: usize, end: bool) -> Option<Sum> {
    let after = &bytes[stop + 1..];
    let digits = after.iter().take(4).take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits < 4 && digits == after.len() && !end {
        return Some(Sum::More);
    }
    if digits > 0 {
        let closed = digits == 4 || matches!(after.get(digits), None | Some(b'\r' | b'\n'));
        let said = u16::from_str_radix(std::str::from_utf8(&after[..digits]).ok()?, 16).ok()?;
        return (closed && said == ARC.checksum(&bytes[..=stop])).then_some(Sum::Right(stop + 1 + digits));
    }
    let begin = memchr::memchr(STX, &bytes[..stop]);
    let ends = after.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).take(4).count();
    match (begin, after.get(ends)) {
        (_, None) if !end => Some(Sum::More),
        (_, None | Some(b'/')) => Some(Sum::Missing(stop + 1)),
        // What goes on as data does was no end.
        (None, Some(&(b'(' | b'!' | ETX))) => None,
        (None, Some(next)) if ends > 0 => (!next.is_ascii_alphanumeric()).then_some(Sum::Missing(stop + 1)),
        (Some(begin), Some(&ETX)) => match after.get(ends + 1) {
            None if end => None,
            None => Some(Sum::More),
            Some(&said) => {
                let summed = &bytes[begin + 1..=stop + 1 + ends];
                block_sum(summed, said).then_some(Sum::Right(stop + 1 + ends + 2))
            }
        },
        _ => None,
    }
}

/// Exclusive or of all bytes; a terminal that made `LF LF` of `CR LF` is forgiven.
fn block_sum(summed: &[u8], said: u8) -> bool {
    let sum = summed.iter().fold(0, |sum, byte| sum ^ byte);
    let ends = summed.windows(2).filter(|two| two == b"\n\n").count();
    let changed = if ends % 2 == 1 && !summed.contains(&b'\r') { b'\r' ^ b'\n' } else { 0 };
    [sum, sum ^ changed].contains(&(said & 0x7f))
}
