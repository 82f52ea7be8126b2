//! Items as rows of the store.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use holm_model::item::{EndpointsKey, ItemKey, PackedItem};
use holm_model::name::Name;
use holm_model::slot::ServiceKey;
use serde::{Deserialize, Serialize};

/// [`ItemKey`] as the key of a row: `assignment/<id>`, `endpoints/<wish>/<service>/<port>`, ….
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowKey(pub(super) ItemKey);

/// A row names no item.
#[derive(Debug, thiserror::Error)]
#[error(
    "this names no item; expected `share/<id>`, `assignment/<id>`, `endpoints/<wish>/<service>/<port>`, `revocation/<serial>`, `secret/<project>/<name>`, `file/<project>/<name>`, `project/<name>` or `decommission/`"
)]
pub(super) struct RowKeyError;

/// [`PackedItem`] as a row: its bytes in Base64, not as a JSON array of numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RowText", into = "RowText")]
pub(super) struct RowItem(pub(super) PackedItem);

#[derive(Serialize, Deserialize)]
pub(super) struct RowText {
    key: ItemKey,
    body: String,
}

// === impl RowKey ===

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ItemKey::Share(id) => write!(f, "share/{id}"),
            ItemKey::Assignment(id) => write!(f, "assignment/{id}"),
            ItemKey::Endpoints(EndpointsKey { service, port }) => {
                write!(f, "endpoints/{}/{}/{port}", service.wish, service.service)
            }
            ItemKey::Revocation(serial) => write!(f, "revocation/{serial}"),
            ItemKey::Content(key) => key.fmt(f),
            ItemKey::Project(name) => write!(f, "project/{name}"),
            ItemKey::Decommission => f.write_str("decommission/"),
            // Never a row: see `kept`.
            ItemKey::Newer(newer) => write!(f, "newer/{}", newer.kind()),
        }
    }
}

impl FromStr for RowKey {
    type Err = RowKeyError;

    fn from_str(text: &str) -> Result<Self, RowKeyError> {
        let (kind, rest) = text.split_once('/').ok_or(RowKeyError)?;
        let key = match kind {
            "share" => ItemKey::Share(rest.parse().map_err(|_| RowKeyError)?),
            "assignment" => ItemKey::Assignment(rest.parse().map_err(|_| RowKeyError)?),
            "endpoints" => ItemKey::Endpoints(endpoints_key(rest).ok_or(RowKeyError)?),
            "revocation" => ItemKey::Revocation(rest.to_owned()),
            "decommission" if rest.is_empty() => ItemKey::Decommission,
            "project" => ItemKey::Project(Name::new(rest).map_err(|_| RowKeyError)?),
            "secret" | "file" => ItemKey::Content(text.parse().map_err(|_| RowKeyError)?),
            _ => return Err(RowKeyError),
        };
        Ok(Self(key))
    }
}

fn endpoints_key(text: &str) -> Option<EndpointsKey> {
    let mut parts = text.split('/');
    let (wish, service, port) = (parts.next()?, parts.next()?, parts.next()?);
    let service = ServiceKey { wish: wish.parse().ok()?, service: Name::new(service).ok()? };
    let key = EndpointsKey { service, port: Name::new(port).ok()? };
    parts.next().is_none().then_some(key)
}

// === impl RowItem ===

impl From<RowItem> for RowText {
    fn from(row: RowItem) -> Self {
        Self { key: row.0.key, body: BASE64.encode(&row.0.body) }
    }
}

impl TryFrom<RowText> for RowItem {
    type Error = base64::DecodeError;

    fn try_from(text: RowText) -> Result<Self, base64::DecodeError> {
        Ok(Self(PackedItem { key: text.key, body: BASE64.decode(text.body)?.into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::id::{AssignmentId, Epoch, Uid, WishId};

    #[test]
    fn every_key_survives_as_text() {
        let uid = Uid { epoch: Epoch::new(3, 0xabc), counter: 17 };
        let service = ServiceKey { wish: WishId(uid), service: Name::new("web").unwrap() };
        let port = Name::new("http").unwrap();
        for key in [
            ItemKey::Share(AssignmentId(uid)),
            ItemKey::Assignment(AssignmentId(uid)),
            ItemKey::Endpoints(EndpointsKey { service, port }),
            ItemKey::Revocation("00ff".to_owned()),
            ItemKey::Content("secret/default/db".parse().unwrap()),
            ItemKey::Project(Name::new("blue").unwrap()),
            ItemKey::Decommission,
        ] {
            let text = RowKey(key.clone()).to_string();
            assert_eq!(text.parse::<RowKey>().unwrap(), RowKey(key), "{text}");
        }
        for bad in ["", "share", "share/x", "endpoints/3-000000000abc-17/web", "thing/1"] {
            assert!(bad.parse::<RowKey>().is_err(), "{bad}");
        }
    }
}
