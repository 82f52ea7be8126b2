//! What the entries of the list of revocations say. Each is a text: the key of its row, and of its item in the
//! lists of members.
//!
//! | entry | what | who is told |
//! | --- | --- | --- |
//! | `<serial number>` | a certificate is void | clusters |
//! | `revoke:<id>` | every certificate of the member is void; its orchestrator sends it away | clusters |
//! | `signer:<id>` | the same of a member that signs for others | clusters and nodes |
//! | `remove:<id>` | its orchestrator removes the member | clusters |
//! | anything else | about people and their tokens ([`people`](crate::orchestrator::people)), or of a later version | clusters |
//!
//! Ids are never given again, so that an entry stays true.

use std::collections::BTreeSet;
use std::fmt;

use holm_model::id::MemberId;
use holm_model::item::ItemKey;

use crate::held::Held;

/// One entry; Display is its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    /// By its serial number (hex).
    Certificate(&'a str),
    Member(MemberId),
    /// Nodes hear of it, too: their instances verify what others had signed.
    Signer(MemberId),
    /// An order.
    Removal(MemberId),
    Other(&'a str),
}

/// Whose certificates are void.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Void {
    /// Serial numbers (hex) of certificates.
    pub serials: BTreeSet<String>,
    /// Members, whatever certificates they and those below them have: the store may have forgotten some.
    pub members: BTreeSet<MemberId>,
}

const REVOKE: &str = "revoke:";
const SIGNER: &str = "signer:";
const REMOVE: &str = "remove:";

// === impl Entry ===

impl<'a> Entry<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let id = |word: &str| text.strip_prefix(word).and_then(|id| id.parse().ok());
        if is_serial(text) {
            return Self::Certificate(text);
        }
        let known = id(REVOKE).map(Self::Member);
        let known = known.or_else(|| id(SIGNER).map(Self::Signer));
        known.or_else(|| id(REMOVE).map(Self::Removal)).unwrap_or(Self::Other(text))
    }

    /// Whether it makes certificates void, whoever says so.
    pub(crate) const fn voids(self) -> bool {
        matches!(self, Self::Certificate(_) | Self::Member(_) | Self::Signer(_))
    }
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(text) | Self::Other(text) => f.write_str(text),
            Self::Member(id) => write!(f, "{REVOKE}{id}"),
            Self::Signer(id) => write!(f, "{SIGNER}{id}"),
            Self::Removal(id) => write!(f, "{REMOVE}{id}"),
        }
    }
}

// === impl Void ===

impl Void {
    pub(crate) fn of<'a>(entries: impl IntoIterator<Item = &'a str>) -> Self {
        let mut void = Self::default();
        for entry in entries {
            match Entry::parse(entry) {
                Entry::Certificate(serial) => {
                    void.serials.insert(serial.to_owned());
                }
                Entry::Member(id) | Entry::Signer(id) => {
                    void.members.insert(id);
                }
                Entry::Removal(_) | Entry::Other(_) => {}
            }
        }
        void
    }
}

/// As certificates have them (RFC 5280): 20 bytes at most, in lower-case hexadecimal.
fn is_serial(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The entries that our parent told us.
pub(crate) fn told(held: &Held) -> impl Iterator<Item = &str> {
    held.items().filter_map(|packed| match &packed.key {
        ItemKey::Revocation(text) => Some(text.as_str()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use holm_model::id::{Epoch, Uid};

    use super::*;

    #[test]
    fn certificates_members_and_signers_are_void_and_nothing_else() {
        let id = |counter| MemberId(Uid { epoch: Epoch::new(1, 7), counter });
        let (member, signer, removed) = (id(1), id(2), id(3));
        let entries = [
            "0a1b".to_owned(),
            Entry::Member(member).to_string(),
            Entry::Signer(signer).to_string(),
            Entry::Removal(removed).to_string(),
            "all:7".to_owned(),
            "token:abc".to_owned(),
            format!("person:{member}:7"),
            "revoke:nobody".to_owned(),
            "all".to_owned(),
            "0A1B".to_owned(),
            "0".repeat(41),
            String::new(),
        ];
        assert!(entries.iter().all(|text| Entry::parse(text).to_string() == *text));
        let void = Void::of(entries.iter().map(String::as_str));
        let serials = BTreeSet::from(["0a1b".to_owned()]);
        assert_eq!(void, Void { serials, members: BTreeSet::from([member, signer]) });
    }
}
