//! Whatever happens to the bytes: never a panic, never a value that no valid telegram said.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod synthetic;

use holm_meter::decoder::{Decoder, Protocol};
use holm_meter::telegram::Telegram;
use proptest::prelude::*;

/// IEC 62056-21 with its block check.
fn d0(register: u32) -> Vec<u8> {
    let mut text = b"/HLM5METER\r\n\x02".to_vec();
    let data = format!("C.1.0(77)\r\n1.8.0({register:06}.1*kWh)\r\n!\r\n\x03").into_bytes();
    let sum = data.iter().fold(0, |sum, byte| sum ^ byte);
    text.extend(data);
    text.push(sum);
    text
}

fn decode<'a>(protocol: Protocol, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Telegram> {
    let mut found = Vec::new();
    let mut decoder = Decoder::new(protocol);
    for part in parts {
        decoder.feed(part, |telegram| found.push(telegram));
    }
    decoder.finish(|telegram| found.push(telegram));
    found
}

fn whole(protocol: Protocol, bytes: &[u8]) -> Vec<Telegram> {
    decode(protocol, [bytes])
}

/// Three SML telegrams, one with every kind of escape in its payload.
fn sml() -> Vec<Vec<u8>> {
    let escapes = [0x1b1b_1b1b_1b1b_1b1b, 0x1b1b_1b1b_0101_0101, 0x001b_1b1b_1b1a_0000, -1];
    vec![
        synthetic::sml(b"one", &[172_433_683, 5]),
        synthetic::sml(&[0x1b; 40], &escapes),
        synthetic::sml(b"three", &[0]),
    ]
}

fn text() -> Vec<Vec<u8>> {
    vec![synthetic::p1(1_234), d0(77), synthetic::p1(1_235)]
}

fn both() -> [(Protocol, Vec<Vec<u8>>); 2] {
    [(Protocol::Sml, sml()), (Protocol::Text, text())]
}

#[test]
fn all_are_found_however_they_are_split() {
    for (protocol, telegrams) in both() {
        let bytes = telegrams.concat();
        let expected = whole(protocol, &bytes);
        assert_eq!(expected.len(), telegrams.len());
        assert_eq!(decode(protocol, bytes.chunks(1)), expected);
        for at in 0..bytes.len() {
            let (one, other) = bytes.split_at(at);
            assert_eq!(decode(protocol, [one, other]), expected, "split at {at}");
        }
    }
}

#[test]
fn values_of_escapes_are_exact() {
    let found = whole(Protocol::Sml, &sml()[1]);
    let values: Vec<_> = found[0].entries.iter().map(|entry| entry.value.as_str()).collect();
    assert_eq!(values, ["195318466662807017.1", "195318466619015193.7", "762962760394342.4", "-0.1"]);
}

/// Cut anywhere, the rest is found: the telegram that is cut says nothing and takes no other with it.
#[test]
fn a_cut_costs_one_telegram() {
    for (protocol, telegrams) in both() {
        let expected = whole(protocol, &telegrams.concat());
        for end in 0..telegrams[0].len() {
            let cut = [&telegrams[0][..end], &telegrams[1], &telegrams[2]].concat();
            let found = whole(protocol, &cut);
            let first = found.len() == 3 && end + 2 >= telegrams[0].len();
            assert!(first || found == expected[1..], "{protocol:?} cut at {end}: {found:?}");
        }
    }
}

#[test]
fn every_prefix_says_nothing_new() {
    for (protocol, telegrams) in both() {
        let bytes = telegrams.concat();
        let expected = whole(protocol, &bytes);
        for end in 0..bytes.len() {
            let found = whole(protocol, &bytes[..end]);
            assert_eq!(found, expected[..found.len()], "first {end} bytes");
        }
    }
}

#[derive(Clone, Debug)]
enum Damage {
    Drop(usize, usize),
    Flip(usize, u8),
    Insert(usize, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let noise = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..40),
        Just(vec![0x1b]),
        Just(vec![0x1b; 4]),
        Just(vec![0x1b, 0x1b, 0x1b, 0x1b, 1, 1, 1, 1]),
        Just(vec![0x1b, 0x1b, 0x1b, 0x1b, 0x1a, 0, 0, 0]),
        Just(b"/".to_vec()),
        Just(b"!\r\n".to_vec()),
    ];
    prop_oneof![
        (any::<usize>(), 1..20_usize).prop_map(|(at, n)| Damage::Drop(at, n)),
        (any::<usize>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (any::<usize>(), noise).prop_map(|(at, noise)| Damage::Insert(at, noise)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: Damage) {
    let place = |at: usize, length: usize| at % length.max(1);
    match damage {
        Damage::Drop(at, n) => {
            let at = place(at, bytes.len());
            bytes.drain(at..(at + n).min(bytes.len()));
        }
        Damage::Flip(at, bit) => {
            let at = place(at, bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        Damage::Insert(at, noise) => {
            let at = place(at, bytes.len() + 1);
            bytes.splice(at..at, noise);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_sml_says_nothing_wrong(damages in proptest::collection::vec(damage(), 1..6), cut in any::<usize>()) {
        let mut bytes = sml().concat();
        let expected = whole(Protocol::Sml, &bytes);
        damages.into_iter().for_each(|damage| apply(&mut bytes, damage));
        let found = whole(Protocol::Sml, &bytes);
        prop_assert!(found.iter().all(|telegram| expected.contains(telegram)));
        let (one, other) = bytes.split_at(cut % (bytes.len() + 1));
        prop_assert_eq!(decode(Protocol::Sml, [one, other]), found);
    }

    /// Of P1: it has a CRC. One exclusive or (D0) cannot promise that much.
    #[test]
    fn damaged_p1_says_nothing_wrong(damages in proptest::collection::vec(damage(), 1..4), cut in any::<usize>()) {
        let mut bytes = [synthetic::p1(1_234), synthetic::p1(99)].concat();
        let expected = whole(Protocol::Text, &bytes);
        damages.into_iter().for_each(|damage| apply(&mut bytes, damage));
        let found = whole(Protocol::Text, &bytes);
        prop_assert!(found.iter().all(|telegram| expected.contains(telegram)), "{:?}", found);
        let (one, other) = bytes.split_at(cut % (bytes.len() + 1));
        prop_assert_eq!(decode(Protocol::Text, [one, other]), found);
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for protocol in [Protocol::Sml, Protocol::Text] {
            prop_assert!(whole(protocol, &bytes).is_empty());
        }
    }
}

/// One flipped bit of a D0 telegram is always noticed by its block check.
#[test]
fn one_flipped_bit_of_d0_is_noticed() {
    let bytes = d0(77);
    let expected = whole(Protocol::Text, &bytes);
    assert_eq!(expected.len(), 1);
    let begin = bytes.iter().position(|byte| *byte == 2).unwrap();
    for at in begin..bytes.len() - 1 {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            assert!(whole(Protocol::Text, &damaged).is_empty(), "byte {at}, bit {bit}");
        }
    }
}

/// Real captures, damaged at random: each SML telegram that is found is one of the undamaged ones.
#[test]
fn damaged_captures_say_nothing_wrong() {
    let Some(folder) = std::env::var_os("HOLM_METER_CAPTURES") else {
        eprintln!("skipped: HOLM_METER_CAPTURES names no folder of captures");
        return;
    };
    let files = std::fs::read_dir(std::path::Path::new(&folder).join("sml"))
        .unwrap()
        .map(|file| file.unwrap().path());
    let captures: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "bin"))
        .map(|file| std::fs::read(file).unwrap())
        .map(|bytes| (whole(Protocol::Sml, &bytes), bytes))
        .collect();
    let config = ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() };
    let damages = proptest::collection::vec(damage(), 1..12);
    proptest!(config, |(which in 0..captures.len(), damages in damages)| {
        let (expected, mut bytes) = captures[which].clone();
        damages.into_iter().for_each(|damage| apply(&mut bytes, damage));
        let found = whole(Protocol::Sml, &bytes);
        prop_assert!(found.iter().all(|telegram| expected.contains(telegram)));
    });
}
