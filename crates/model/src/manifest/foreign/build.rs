//! Native nodes that know the foreign place.

use crate::manifest::Place;
use crate::manifest::tree::{Node, Value};

/// A mapping that grows.
#[derive(Debug)]
pub(super) struct Map {
    place: Place,
    entries: Vec<(Node, Node)>,
}

impl Map {
    pub(super) const fn new(place: Place) -> Self {
        Self { place, entries: Vec::new() }
    }

    pub(super) fn put(&mut self, key: &str, value: Node) {
        self.entries.push((scalar(value.place, key), value));
    }

    pub(super) fn say(&mut self, key: &str, place: Place, text: impl Into<String>) {
        self.put(key, scalar(place, text));
    }

    /// If there is one, and nothing if it is empty.
    pub(super) fn put_map(&mut self, key: &str, map: Self) {
        if !map.entries.is_empty() {
            self.put(key, map.done());
        }
    }

    pub(super) fn put_list(&mut self, key: &str, place: Place, items: Vec<Node>) {
        if !items.is_empty() {
            self.put(key, Node { place, value: Value::List(items) });
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| matches!(&name.value, Value::Scalar { text, .. } if text == key))
    }

    pub(super) fn done(self) -> Node {
        Node { place: self.place, value: Value::Map(self.entries) }
    }
}

pub(super) fn scalar(place: Place, text: impl Into<String>) -> Node {
    Node { place, value: Value::Scalar { text: text.into(), quoted: false } }
}

pub(super) fn list(place: Place, texts: impl IntoIterator<Item = String>) -> Node {
    Node { place, value: Value::List(texts.into_iter().map(|text| scalar(place, text)).collect()) }
}

/// The top of a native manifest.
pub(super) fn application(place: Place, name: Node, services: Map) -> Node {
    let mut top = Map::new(place);
    top.say("holm", place, "v1");
    top.put("application", name);
    top.put("services", services.done());
    top.done()
}
