//! What travels on a link, byte for byte, for ever.
//!
//! Each message kind has a file `golden/<version>/<kind>.hex`, written once. A test decodes the stored
//! bytes and encodes them anew; nothing of it may change within a version. A change of the wire is a new
//! version with files of its own (`HOLM_GOLDEN=write cargo test -p holm-model --test golden` writes those
//! that are missing); the old files stay, and must still be read.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code")]

#[path = "golden/samples.rs"]
mod samples;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use ciborium::Value;
use holm_model::fact::Fact;
use holm_model::identity::Proof;
use holm_model::message::{Down, Hearing, Invited, PROTOCOL, Testimony, Up};
use holm_model::state::InstanceState;
use holm_model::transfer::Secret;
use holm_model::tunnel::{Answer, ExecIn, ExecOut, LogLine, Request};
use holm_model::usage::UsageHistory;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn dir() -> PathBuf {
    let version = format!("v{}", PROTOCOL.1);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// Sixty-four digits per line.
fn hex(bytes: &[u8]) -> String {
    let digits = data_encoding::HEXLOWER.encode(bytes).into_bytes();
    digits.chunks(64).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect()
}

fn stored(name: &str) -> Vec<u8> {
    let path = dir().join(format!("{name}.hex"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let digits: String = text.split_whitespace().collect();
    data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap()
}

/// Checks one kind and returns the name of its file.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) -> String {
    let path = dir().join(format!("{name}.hex"));
    if std::env::var("HOLM_GOLDEN").is_ok_and(|v| v == "write") && !path.exists() {
        fs::create_dir_all(dir()).unwrap();
        fs::write(&path, hex(&encode(value))).unwrap();
    }
    let bytes = stored(name);
    let decoded: T = ciborium::from_reader(&bytes[..]).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(decoded, *value, "{name} means another thing");
    assert_eq!(hex(&encode(&decoded)), hex(&bytes), "{name} is written in another way");
    format!("{name}.hex")
}

#[test]
fn every_message_is_read_and_written_as_ever() {
    let mut names = BTreeSet::new();
    names.extend(samples::up().iter().map(|up| check(samples::up_name(up), up)));
    names.extend(samples::down().iter().map(|down| check(samples::down_name(down), down)));
    names.extend(samples::requests().iter().map(|(name, request)| check::<Request>(name, request)));
    names.extend(samples::proofs().iter().map(|(name, proof)| check::<Proof>(name, proof)));
    names.extend(samples::answers().iter().map(|(name, answer)| check::<Answer>(name, answer)));
    names.insert(check::<Testimony>("witness-testimony", &samples::testimony()));
    names.insert(check::<Hearing>("witness-hearing", &Hearing { refused: None, invited: None }));
    let refused = Hearing { refused: Some("it was revoked or removed".to_owned()), invited: None };
    names.insert(check::<Hearing>("witness-hearing-refused", &refused));
    let asks = Testimony { asks: Some("fl-1".parse().unwrap()), ..samples::testimony() };
    names.insert(check::<Testimony>("witness-asks", &asks));
    let invited = Invited { name: "vienna-fl-1".parse().unwrap(), token: Secret("holm-join.x".to_owned()) };
    let invited = Hearing { refused: None, invited: Some(invited) };
    names.insert(check::<Hearing>("witness-invited", &invited));
    names.insert(check::<LogLine>("tunnel-log-line", &samples::log_line()));
    names.insert(check::<UsageHistory>("tunnel-usage-history", &samples::usage_history()));
    names.extend(samples::exec_in().iter().map(|(name, frame)| check::<ExecIn>(name, frame)));
    names.extend(samples::exec_out().iter().map(|(name, frame)| check::<ExecOut>(name, frame)));
    names.extend(samples::later_facts().iter().map(|(name, fact)| check::<Fact>(name, fact)));
    let ready = samples::fact_of_a_ready_instance();
    names.insert(check::<Fact>("fact-instance-ready", &ready));
    names.extend(samples::items().iter().map(|(name, item)| check(name, item)));
    let files = fs::read_dir(dir()).unwrap();
    let files: BTreeSet<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names, files, "each file is a message, each message has a file");
}

/// `samples` cannot forget a kind: its names come from a match over all of them.
#[test]
fn every_kind_has_a_sample() {
    let up: BTreeSet<_> = samples::up().iter().map(samples::up_name).collect();
    let down: BTreeSet<_> = samples::down().iter().map(samples::down_name).collect();
    assert_eq!((up.len(), down.len()), (samples::UP_KINDS, samples::DOWN_KINDS));
}

/// A field that this version does not know, in what the message holds.
fn with_a_newer_field(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut value: Value = ciborium::from_reader(bytes).unwrap();
    let Value::Map(tagged) = &mut value else { return None };
    let Value::Map(fields) = &mut tagged.first_mut()?.1 else { return None };
    fields.push((Value::Text("newer".to_owned()), Value::Array(vec![Value::Integer(1.into())])));
    Some(encode(&value))
}

#[test]
fn fields_of_a_newer_minor_version_are_passed_over() {
    let mut tried = 0;
    for up in samples::up() {
        let Some(bytes) = with_a_newer_field(&stored(samples::up_name(&up))) else { continue };
        assert_eq!(ciborium::from_reader::<Up, _>(&bytes[..]).unwrap(), up);
        tried += 1;
    }
    for down in samples::down() {
        let Some(bytes) = with_a_newer_field(&stored(samples::down_name(&down))) else { continue };
        assert_eq!(ciborium::from_reader::<Down, _>(&bytes[..]).unwrap(), down);
        tried += 1;
    }
    assert!(tried >= 13, "{tried}");
}

/// A whole message that is unknown cannot be decoded: sessions skip and count it (their tests show it).
#[test]
fn a_newer_message_is_an_error_and_a_newer_state_is_unknown() {
    let newer = Value::Map(vec![(Value::Text("Newer".to_owned()), Value::Map(Vec::new()))]);
    assert!(ciborium::from_reader::<Up, _>(&encode(&newer)[..]).is_err());
    assert!(ciborium::from_reader::<Down, _>(&encode(&newer)[..]).is_err());

    let bytes = encode(&samples::fact_of_an_instance());
    let (old, new) = (b"gRUNNING".as_slice(), b"jLEVITATING".as_slice());
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    let bytes = [&bytes[..at], new, &bytes[at + old.len()..]].concat();
    let Fact::Instance(report) = ciborium::from_reader(&bytes[..]).unwrap() else { panic!("an instance") };
    assert_eq!(report.status.state, InstanceState::Unknown);
}

/// docs/placement.md says what finding a coordinate costs.
#[test]
fn measuring_the_way_is_cheap() {
    let size = |name: &str| stored(name).len();
    assert!(size("up-ping") <= 24 && size("down-pong") <= 72, "{} {}", size("up-ping"), size("down-pong"));
}
