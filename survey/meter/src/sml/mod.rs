//! SML, transport version 1: frames between escape sequences, messages of typed fields in them.

mod fields;
mod frame;
mod list;

pub(crate) use self::frame::step;

/// What a frame starts with.
pub const START: [u8; 8] = [0x1b, 0x1b, 0x1b, 0x1b, 1, 1, 1, 1];
