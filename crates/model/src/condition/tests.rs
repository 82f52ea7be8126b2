use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Condition, Facts, Truth};
use crate::capability::Capability;
use crate::member::RuntimeFacts;
use crate::name::Name;

fn labels() -> BTreeMap<String, String> {
    [("zone", "indoor"), ("rack", "7"), ("example.org/row", "b")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
}

fn capabilities() -> BTreeSet<Capability> {
    ["arch/arm64", "os/linux", "runtime/container", "hardware/ble"].map(|text| text.parse().unwrap()).into()
}

fn runtimes() -> [RuntimeFacts; 1] {
    let (name, version) = (Name::new("container").unwrap(), "27.1".to_owned());
    [RuntimeFacts {
        name,
        version,
        unavailable: None,
        enforces: Vec::new(),
        leases: false,
        images: None,
        containers: None,
    }]
}

/// Of a node, and of the class that it is in.
fn truth(text: &str) -> (Truth, Truth) {
    let (labels, capabilities, runtimes) = (labels(), capabilities(), runtimes());
    let class = Facts {
        labels: &labels,
        capabilities: &capabilities,
        name: None,
        cluster: Some("vienna"),
        runtimes: None,
    };
    let node = Facts { name: Some("fl-1"), runtimes: Some(&runtimes), ..class };
    let condition: Condition = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    (condition.holds(&node), condition.holds(&class))
}

#[test]
fn conditions_are_those_of_cel() {
    use Truth::{Missing, No, Open, Yes};
    for (text, node, class) in [
        (r#"labels.zone == "indoor" && arch in ["arm64", "amd64"]"#, Yes, Yes),
        ("labels.zone != 'indoor'", No, No),
        (r#"labels["example.org/row"] == "b""#, Yes, Yes),
        ("'hardware/ble' in caps && !('hardware/gpu' in capabilities)", Yes, Yes),
        ("'container' in runtimes && !('process' in runtimes)", Yes, Yes),
        ("runtimes.container.startsWith('27.')", Yes, Open),
        ("runtimes.process == ''", Missing, Missing),
        ("name == 'fl-1' || name.endsWith('-9')", Yes, Open),
        ("cluster == 'vienna' && name.contains('l-')", Yes, Open),
        ("cluster == 'munich' && name == 'fl-1'", No, No),
        ("int(labels.rack) >= 7 && int(labels.rack) < 8", Yes, Yes),
        ("int(labels.rack) > -7 && int(labels.rack) <= 6", No, No),
        ("int(labels.zone) == 1", Missing, Missing),
        ("labels.floor == '1'", Missing, Missing),
        ("!(labels.floor == '1')", Missing, Missing),
        ("has(labels.floor) && labels.floor == '1'", No, No),
        ("labels.floor == '1' || os == 'linux'", Yes, Yes),
        ("!(labels.floor == '1' && name == 'x')", Yes, Open),
        ("true && !false", Yes, Yes),
    ] {
        assert_eq!(truth(text), (node, class), "{text}");
    }
}

#[test]
fn faults_name_their_place() {
    for (text, at, says) in [
        ("label.zone == 'x'", 0, "there is no `label`; known are `labels`"),
        ("labels.zone = 'x'", 12, "write `==` to compare"),
        ("labels.zone == 'x", 15, "no closing '"),
        ("labels.zone == 1", 12, "`int(…)` makes a number"),
        ("labels.zone", 0, "expected a condition, found a text"),
        ("arch == 'a' && os", 15, "expected a condition, found a text"),
        ("arch.like('x')", 5, "there is no function `like`"),
        ("size(labels) == 1", 0, "there is no function `size`"),
        ("arch in ['a',, 'b']", 13, "expected a name, a text"),
        ("arch.x == ''", 4, "a text has no `x`"),
        ("labels[0] == ''", 7, "expected a quoted key"),
        ("has(arch)", 4, "`has` asks for an entry"),
        ("(true", 5, "expected `)`, found the end"),
        ("true)", 4, "expected `&&`, `||` or the end, found `)`"),
        ("", 0, "expected a name"),
        ("arch == 'ä' §", 12, "`§` has no meaning here"),
        ("1.5 < 2", 0, "only whole numbers"),
        ("99999999999999999999 == 1", 0, "too large"),
        ("'\\n' == ''", 1, "behind `\\`"),
    ] {
        let error = text.parse::<Condition>().unwrap_err();
        assert!(error.message.contains(says) && error.at == at, "{text}: {error:?}");
    }
    let long = format!("arch == '{}'", "x".repeat(1024));
    assert!(long.parse::<Condition>().unwrap_err().message.contains("at most 1024 bytes"));
}

#[test]
fn what_is_nested_deep_is_refused_on_a_small_stack() {
    let try_all = || {
        for open in ["(", "!", "[", "!(", "has(", "int(", "labels["] {
            let text: String = open.repeat(1024 / open.len());
            assert!(text.parse::<Condition>().is_err());
        }
    };
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(try_all).unwrap();
    thread.join().unwrap();
}

#[test]
fn it_is_written_as_it_was_read() {
    let condition: Condition = "arch  ==  'arm64'".parse().unwrap();
    let json = serde_json::to_string(&condition).unwrap();
    assert_eq!(json, r#""arch  ==  'arm64'""#);
    assert_eq!(serde_json::from_str::<Condition>(&json).unwrap(), condition);
    assert!(serde_json::from_str::<Condition>("\"arch\"").is_err());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,80}") {
        let _ = text.parse::<Condition>();
    }

    #[test]
    fn no_row_of_tokens_makes_it_panic(words in prop::collection::vec(prop::sample::select(vec![
        "labels", ".", "zone", "[", "]", "(", ")", "'x'", "==", "in", "!", "&&", "||", "has", "int", "7", "-", ",", "arch",
        "startsWith", "runtimes", "caps", "<", ">=", "true",
    ]), 0..24)) {
        if let Ok(condition) = words.join(" ").parse::<Condition>() {
            let (labels, capabilities) = (labels(), capabilities());
            let facts = Facts { labels: &labels, capabilities: &capabilities, name: None, cluster: None, runtimes: None };
            let class = condition.holds(&facts);
            let runtimes = runtimes();
            let node = Facts { name: Some("x"), cluster: Some("y"), runtimes: Some(&runtimes), ..facts };
            // A class never refuses what one of its nodes allows.
            prop_assert!(class == Truth::Open || class == condition.holds(&node), "{condition}");
        }
    }
}
