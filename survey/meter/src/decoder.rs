//! Bytes in, telegrams out: no input or output of its own, bounded memory, the same result however the bytes are split.

use crate::telegram::Telegram;
use crate::{sml, text};

/// A telegram is at most that long, in bytes; so is what is kept of a stream.
pub const MAX_TELEGRAM: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// SML, transport version 1.
    Sml,
    /// IEC 62056-21 (D0) and DSMR/P1: one grammar; which check sum there is, the telegram says.
    Text,
}

impl Protocol {
    /// SML if its start sequence is in there, else text.
    pub fn guess(bytes: &[u8]) -> Self {
        if memchr::memmem::find(bytes, &sml::START).is_some() { Self::Sml } else { Self::Text }
    }
}

/// What the first bytes of a buffer are.
#[derive(Debug)]
pub(crate) enum Step {
    /// More bytes decide; said of at most [`MAX_TELEGRAM`] and a few.
    More,
    /// That many bytes (at least one) belong to no telegram.
    Skip(usize),
    /// A telegram of that many bytes.
    Telegram(usize, Telegram),
}

#[derive(Debug)]
pub struct Decoder {
    protocol: Protocol,
    buffer: Vec<u8>,
    /// This meter sends check sums: text without one is damaged.
    summed: bool,
}

impl Decoder {
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, buffer: Vec::new(), summed: false }
    }

    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Telegram)) {
        for part in bytes.chunks(MAX_TELEGRAM) {
            self.buffer.extend_from_slice(part);
            self.go(false, &mut each);
        }
    }

    /// The stream ended: what waited for more bytes is a telegram or is none.
    pub fn finish(mut self, mut each: impl FnMut(Telegram)) {
        self.go(true, &mut each);
    }

    fn go(&mut self, end: bool, each: &mut impl FnMut(Telegram)) {
        let mut at = 0;
        while at < self.buffer.len() {
            let rest = &self.buffer[at..];
            let step = match self.protocol {
                Protocol::Sml => sml::step(rest),
                Protocol::Text => text::step(rest, end, &mut self.summed),
            };
            at += match step {
                Step::Telegram(length, telegram) => {
                    each(telegram);
                    length
                }
                Step::Skip(length) => length,
                Step::More if end => 1,
                Step::More => break,
            };
        }
        self.buffer.drain(..at);
    }
}
