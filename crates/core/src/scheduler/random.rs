//! Random, and the same each time: a number from slot and member.

use holm_model::id::MemberId;

/// The member with the least one takes the slot: each member is as likely as the others, and one that comes or goes
/// moves nobody else.
#[must_use]
pub fn draw(slot: u64, member: MemberId) -> u64 {
    let id = member.0;
    mix(slot ^ mix(id.epoch.holder ^ mix(id.counter ^ u64::from(id.epoch.number).rotate_left(48))))
}

/// The number of a slot, from the texts that are its alone.
#[must_use]
pub fn number(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| mix(hash ^ u64::from(byte)))
}

/// The last step of splitmix64: every bit depends on every bit.
pub(crate) const fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
