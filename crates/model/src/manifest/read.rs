//! A cursor over the tree: reads one value, or notes what is wrong with it and goes on, so that a
//! person sees all faults at once. `None` always means that a fault was noted.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::keys::Keys;
use super::tree::{Node, Value};
use super::{ManifestError, Place};
use crate::name::{Name, shorten};

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: RefCell<Vec<ManifestError>>,
    more: Cell<usize>,
}

/// A node, how it was reached and where faults are noted.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    node: &'a Node,
    /// Of the key, if it is the value of one: where a missing or superfluous value is reported.
    key: Place,
    path: String,
    problems: &'a Problems,
}

/// The known keys of a mapping that were written.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    at: At<'a>,
    values: BTreeMap<&'a str, At<'a>>,
}

// === impl Problems ===

impl Problems {
    const MOST: usize = 50;

    pub(super) fn add(&self, error: ManifestError) {
        self.note(error);
    }

    fn note(&self, error: ManifestError) {
        let mut list = self.list.borrow_mut();
        if list.len() < Self::MOST {
            list.push(error);
        } else {
            self.more.set(self.more.get() + 1);
        }
    }

    /// In the order of the text, and how many were left out.
    pub(super) fn into_list(self) -> (Vec<ManifestError>, usize) {
        let mut list = self.list.into_inner();
        list.sort_by_key(|error| (error.line, error.column));
        (list, self.more.get())
    }
}

// === impl At ===

impl<'a> At<'a> {
    pub(super) fn top(node: &'a Node, problems: &'a Problems) -> Self {
        Self { node, key: node.place, path: String::new(), problems }
    }

    /// The same, with its faults noted elsewhere.
    pub(super) fn noting<'b>(&self, problems: &'b Problems) -> At<'b>
    where
        'a: 'b,
    {
        At { node: self.node, key: self.key, path: self.path.clone(), problems }
    }

    /// Notes a fault of this value.
    pub(super) fn refuse<T>(&self, message: impl Display) -> Option<T> {
        self.problems.note(ManifestError::new(self.node.place, &self.path, &message.to_string()));
        None
    }

    /// Notes a fault `at` characters into this text, if it stands on one line as it was written.
    pub(super) fn refuse_inside<T>(&self, at: usize, message: impl Display) -> Option<T> {
        let mut place = self.node.place;
        if let Value::Scalar { text, quoted } = &self.node.value
            && !text.contains('\n')
        {
            place.column += u64::try_from(at).unwrap_or(0) + u64::from(*quoted);
        }
        self.problems.note(ManifestError::new(place, &self.path, &message.to_string()));
        None
    }

    /// Notes a fault of the key that holds this value: it should not be there, or lacks something.
    pub(super) fn refuse_key<T>(&self, message: impl Display) -> Option<T> {
        self.problems.note(ManifestError::new(self.key, &self.path, &message.to_string()));
        None
    }

    fn expected<T>(&self, what: impl Display) -> Option<T> {
        self.refuse(format!("expected {what}, found {}", self.found()))
    }

    /// What stands here, for errors.
    pub(super) fn found(&self) -> String {
        match &self.node.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar { text, quoted: false } => format!("`{}`", shorten(text)),
            Value::Scalar { text, quoted: true } => format!("the text \"{}\"", shorten(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// The text of any scalar as it was written; `None` for anything else, without a fault.
    pub(super) fn scalar(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Any scalar as it was written, without NUL, which neither arguments nor environment can carry.
    pub(super) fn text(&self, what: &str) -> Option<&'a str> {
        let Some(text) = self.scalar() else {
            let hint =
                if matches!(self.node.value, Value::Null) { " (write \"\" for an empty one)" } else { "" };
            return self.expected(format_args!("{what}{hint}"));
        };
        if text.contains('\0') { self.refuse("contains a NUL character") } else { Some(text) }
    }

    /// A text by the rule of its type, whose error says what was expected.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, what: &str) -> Option<T> {
        let Some(text) = self.scalar() else { return self.expected(what) };
        text.parse().map_or_else(|error| self.refuse(error), Some)
    }

    pub(super) fn name(&self) -> Option<Name> {
        self.parsed("a name")
    }

    /// A whole number as written by hand: no sign, no leading zero, not quoted.
    pub(super) fn number(&self, range: RangeInclusive<u32>, or: &str) -> Option<u32> {
        match self.digits() {
            Some(number) if range.contains(&number) => Some(number),
            _ => self.expected(format_args!("a number from {} to {}{or}", range.start(), range.end())),
        }
    }

    fn digits(&self) -> Option<u32> {
        let Value::Scalar { text, quoted: false } = &self.node.value else { return None };
        let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        if plain { text.parse().ok() } else { None }
    }

    /// `true` or `false`.
    pub(super) fn switch(&self) -> Option<bool> {
        match &self.node.value {
            Value::Scalar { text, quoted: false } if text == "true" => Some(true),
            Value::Scalar { text, quoted: false } if text == "false" => Some(false),
            _ => self.expected("`true` or `false`"),
        }
    }

    /// One word of a table.
    pub(super) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let found = self.scalar().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if let Some((_, value)) = found {
            return Some(*value);
        }
        let list: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        self.expected(list.join(" or "))
    }

    /// The items of a list, `what` being what each should be.
    pub(super) fn items(&self, what: &str) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else { return self.expected(what) };
        let item = |(i, node): (usize, &'a Node)| Self {
            node,
            key: node.place,
            path: format!("{}[{i}]", self.path),
            problems: self.problems,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The items of a list; `None` for anything else, without a fault.
    pub(super) fn items_or_none(&self) -> Option<Vec<Self>> {
        self.is_list().then(|| self.items("")).flatten()
    }

    /// The entries of a mapping whose keys the person chooses; `key` says what a key must be, and
    /// entries whose key is not are left out after noting them.
    pub(super) fn entries<K>(
        &self,
        what: &str,
        key: impl Fn(&str) -> Result<K, String>,
    ) -> Option<Vec<(K, Self)>> {
        let read = |(name, at): (&str, Self)| match key(name) {
            Ok(key) => Some((key, at)),
            Err(message) => at.refuse_key(message),
        };
        Some(self.pairs(what)?.into_iter().filter_map(read).collect())
    }

    /// The value of one key, if there is one; notes nothing.
    pub(super) fn child(&self, key: &str) -> Option<Self> {
        let Value::Map(entries) = &self.node.value else { return None };
        let is = |(name, _): &&(Node, Node)| matches!(&name.value, Value::Scalar { text, .. } if text == key);
        entries.iter().find(is).map(|(name, node)| self.below(key, node, name.place))
    }

    /// The tree below, for those who only look.
    pub(super) fn node(&self) -> &'a Node {
        self.node
    }

    /// The values of a mapping, whatever their keys; notes nothing about these.
    pub(super) fn values(&self) -> Option<Vec<Self>> {
        let values = self.node.pairs().map(|(key, node)| self.below(key, node, node.place));
        self.is_map().then(|| values.collect())
    }

    /// The entries of a mapping whose keys are given.
    pub(super) fn fields(&self, what: &str, keys: &Keys) -> Option<Fields<'a>> {
        let mut values = BTreeMap::new();
        for (name, at) in self.pairs(what)? {
            match keys.refusal(name) {
                None => drop(values.insert(name, at)),
                Some(message) => at.refuse_key(message).unwrap_or_default(),
            }
        }
        Some(Fields { at: self.clone(), values })
    }

    fn pairs(&self, what: &str) -> Option<Vec<(&'a str, Self)>> {
        let Value::Map(entries) = &self.node.value else { return self.expected(what) };
        let mut pairs = Vec::new();
        for (key, node) in entries {
            let Value::Scalar { text, .. } = &key.value else {
                let at = Self { node: key, ..self.clone() };
                at.expected::<()>("a key");
                continue;
            };
            pairs.push((text.as_str(), self.below(text, node, key.place)));
        }
        Some(pairs)
    }

    fn below(&self, name: &str, node: &'a Node, key: Place) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { node, key, path: format!("{}{dot}{}", self.path, shorten(name)), problems: self.problems }
    }
}

// === impl Fields ===

impl<'a> Fields<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&At<'a>> {
        self.values.get(key)
    }

    /// A key that must be there.
    pub(super) fn required(&self, key: &str, why: &str) -> Option<&At<'a>> {
        let found = self.values.get(key);
        if found.is_none() {
            self.at.refuse_key::<()>(format_args!("`{key}` is missing: {why}"));
        }
        found
    }

    /// `read` of the key, or the default when it was not written.
    pub(super) fn or_default<T: Default>(
        &self,
        key: &str,
        read: impl FnOnce(&At<'a>) -> Option<T>,
    ) -> Option<T> {
        self.get(key).map_or_else(|| Some(T::default()), read)
    }

    /// `read` of the key, if it was written.
    pub(super) fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(&At<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.get(key).map_or(Some(None), |at| read(at).map(Some))
    }
}
