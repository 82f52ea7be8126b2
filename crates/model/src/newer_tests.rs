use proptest::prelude::*;

use super::*;
use crate::fact::{Fact, FactKey};
use crate::id::{AssignmentId, Epoch, Uid};
use crate::item::{Digest, ItemKey, PackedItem};
use crate::message::{Down, Facts, FactsPart, ListChange, Up};

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn entry(kind: &str, content: Value) -> Value {
    Value::Map(vec![(Value::Text(kind.to_owned()), content)])
}

fn share() -> ItemKey {
    ItemKey::Share(AssignmentId(Uid { epoch: Epoch::new(3, 7), counter: 9 }))
}

/// Whatever a later version may come up with.
fn content() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| Value::Integer(number.into())),
        ".*".prop_map(Value::Text),
        any::<Vec<u8>>().prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((".*".prop_map(Value::Text), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn an_item_of_a_future_kind_stands_beside_others_and_counts_in_the_digest(
        content in content(),
        body: Vec<u8>,
        alone: bool,
    ) {
        let future = if alone { Value::Text("Gossip".to_owned()) } else { entry("Gossip", content) };
        let change = ListChange {
            store: crate::id::StoreId(Uid { epoch: Epoch::new(1, 1), counter: 0 }),
            epoch: Epoch::new(1, 1),
            from: None,
            to: 4,
            put: vec![PackedItem { key: share(), body: body.clone().into() }],
            removed: vec![share()],
            digest: Digest::default(),
        };
        // As a later version writes it: the same message with one more item.
        let mut value = Value::serialized(&Down::Change(change)).unwrap();
        let item = Value::Map(vec![
            (Value::Text("key".to_owned()), future.clone()),
            (Value::Text("body".to_owned()), Value::Bytes(body)),
        ]);
        list(&mut value, "Change", "put").insert(0, item);
        list(&mut value, "Change", "removed").push(future.clone());
        let bytes = encode(&value);
        let read: Down = ciborium::from_reader(&bytes[..]).unwrap();
        let Down::Change(change) = &read else { panic!("{read:?}") };
        let ItemKey::Newer(newer) = &change.put[0].key else { panic!("{change:?}") };
        prop_assert_eq!(newer.kind(), "Gossip");
        prop_assert_eq!(&change.put[1].key, &share());
        prop_assert_eq!(&change.removed, &[share(), ItemKey::Newer(newer.clone())]);
        prop_assert!(change.put[0].unpack().is_err());
        prop_assert_eq!(encode(&read), bytes, "it is written as it was read");
        prop_assert_eq!(encode(&change.put[0].key), encode(&future), "and so are digests");
    }

    #[test]
    fn facts_of_a_future_kind_are_passed_over(content in content()) {
        let facts = Facts {
            session: 1,
            sequence: 2,
            part: FactsPart::Change,
            revision: 3,
            put: vec![Fact::Aggregate(crate::member::Aggregate::default())],
            gone: vec![FactKey::Aggregate],
        };
        let mut value = Value::serialized(&Up::Facts(facts.clone())).unwrap();
        list(&mut value, "Facts", "put").insert(0, entry("Weather", content.clone()));
        list(&mut value, "Facts", "gone").insert(0, Value::Text("Weather".to_owned()));
        list(&mut value, "Facts", "gone").push(entry("Weather", content));
        let read: Up = ciborium::from_reader(&encode(&value)[..]).unwrap();
        prop_assert_eq!(read, Up::Facts(facts));
    }
}

/// A field of a message that is a list.
fn list<'a>(message: &'a mut Value, kind: &str, field: &str) -> &'a mut Vec<Value> {
    let Value::Map(entries) = message else { panic!("no message") };
    let (Value::Text(found), Value::Map(fields)) = &mut entries[0] else { panic!("no fields") };
    assert_eq!(found, kind);
    let found = fields.iter_mut().find(|(name, _)| *name == Value::Text(field.to_owned()));
    let Some((_, Value::Array(list))) = found else { panic!("no list {field}") };
    list
}

#[test]
fn damaged_content_of_a_known_kind_is_an_error() {
    for damaged in [
        entry("Share", Value::Text("no id".to_owned())),
        Value::Map(Vec::new()),
        Value::Map(vec![
            (Value::Text("Revocation".to_owned()), Value::Text("00".to_owned())),
            (Value::Text("Revocation".to_owned()), Value::Text("01".to_owned())),
        ]),
        Value::Integer(7.into()),
    ] {
        assert!(ciborium::from_reader::<ItemKey, _>(&encode(&damaged)[..]).is_err(), "{damaged:?}");
    }
}
