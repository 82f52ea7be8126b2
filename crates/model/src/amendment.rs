//! What an operator says about a node, over what the node finds and was started with.
//!
//! Its one home is the node itself: whoever is above learns it with the node's facts, so that nobody can
//! know another thing after a restart, a lost store, or a link that was down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::geo::{GeoError, Point};
use crate::member::NodeFacts;
use crate::taint::Taints;
use crate::units::{MOST_UNITS, Units};

/// Everything that was said and still makes a difference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Amendments {
    /// `true`: it has it all the same; `false`: it is not to be used.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, bool>)]
    pub capabilities: BTreeMap<Capability, bool>,
    /// `null`: it has no such label, whatever it was started with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Option<String>>,
    /// How many units it has of a capability.
    #[serde(default, skip_serializing_if = "Units::is_empty")]
    #[schema(value_type = BTreeMap<String, u32>)]
    pub units: Units,
    /// What keeps new work away from it.
    #[serde(default, skip_serializing_if = "Taints::is_empty")]
    pub taints: Taints,
}

/// One thing that an operator says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Amendment {
    Capability {
        capability: Capability,
        has: bool,
    },
    Label {
        key: String,
        value: Option<String>,
    },
    /// It can do so, and has so many units.
    Units {
        capability: Capability,
        units: u32,
    },
    /// `value: None`: it has no such taint any more.
    Taint {
        key: String,
        value: Option<String>,
    },
}

/// Why it cannot be said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmendmentError {
    #[error(
        "`{0}` follows from what the node is and runs; `arch/…`, `os/…` and `runtime/…` cannot be added or removed"
    )]
    Fixed(Capability),
    #[error(
        "`{0}` is no key of a label or taint: 1 to {MOST_KEY} letters, digits or `-_./`, beginning and ending with a letter or digit"
    )]
    Key(String),
    #[error("a value has at most {MOST_VALUE} bytes and no control characters")]
    Value,
    #[error("the label `location` is where the node stands: {0}")]
    Location(#[from] GeoError),
    #[error("{0} units: from 1 to {MOST_UNITS} can be counted")]
    Units(u32),
    #[error("more than {MOST} changes would be kept for the node; remove some first")]
    TooMany,
}

/// The key of the label by which [`NodeFacts::place`] knows where a node stands.
pub const LOCATION: &str = "location";

/// Of capabilities and labels each.
const MOST: usize = 256;
const MOST_KEY: usize = 63;
const MOST_VALUE: usize = 256;
/// Types of capabilities that [`NodeFacts::all_capabilities`] derives.
const FIXED: [&str; 3] = ["arch", "os", "runtime"];

// === impl Amendment ===

impl Amendment {
    /// # Errors
    /// When it makes no sense for any node.
    pub fn check(&self) -> Result<(), AmendmentError> {
        match self {
            Self::Capability { capability, .. } | Self::Units { capability, .. }
                if FIXED.contains(&capability.kind.as_str()) =>
            {
                Err(AmendmentError::Fixed(capability.clone()))
            }
            Self::Units { units, .. } if !(1..=MOST_UNITS).contains(units) => {
                Err(AmendmentError::Units(*units))
            }
            Self::Capability { .. } | Self::Units { .. } => Ok(()),
            Self::Label { key, .. } | Self::Taint { key, .. } if !is_key(key) => {
                Err(AmendmentError::Key(key.chars().take(MOST_KEY).collect()))
            }
            Self::Label { value: Some(value), .. } | Self::Taint { value: Some(value), .. }
                if !is_value(value) =>
            {
                Err(AmendmentError::Value)
            }
            Self::Label { key, value: Some(value) } if key == LOCATION => {
                Ok(value.parse::<Point>().map(drop)?)
            }
            Self::Label { .. } | Self::Taint { .. } => Ok(()),
        }
    }
}

/// Of a label or taint.
pub(crate) fn is_value(value: &str) -> bool {
    value.len() <= MOST_VALUE && !value.contains(char::is_control)
}

pub(crate) fn is_key(key: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric();
    let ends = key.bytes().next().is_some_and(plain) && key.bytes().last().is_some_and(plain);
    ends && key.len() <= MOST_KEY && key.bytes().all(|b| plain(b) || b"-_./".contains(&b))
}

// === impl Amendments ===

impl Amendments {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.capabilities.is_empty()
            && self.labels.is_empty()
            && self.units.is_empty()
            && self.taints.is_empty()
    }

    /// Takes in what somebody says about a node that finds `found` by itself. What agrees with that needs
    /// not be kept, so that "add" after "remove" leads back to what is found.
    ///
    /// # Errors
    /// When it makes no sense, or too much was said already. Then nothing is changed.
    pub fn amend(&mut self, found: &NodeFacts, amendment: Amendment) -> Result<(), AmendmentError> {
        amendment.check()?;
        let mut new = self.clone();
        match amendment {
            Amendment::Capability { capability, has } => {
                new.units.remove(&capability);
                new.say_capable(found, capability, has);
            }
            Amendment::Units { capability, units } => {
                new.units.remove(&capability);
                if found.units.get(&capability) != Some(units) {
                    new.units.set(capability.clone(), units);
                }
                new.say_capable(found, capability, true);
            }
            Amendment::Taint { key, value: None } => {
                new.taints.remove(&key);
            }
            Amendment::Taint { key, value: Some(value) } => {
                new.taints.insert(key, value);
            }
            Amendment::Label { key, value } if found.labels.get(&key) == value.as_ref() => {
                new.labels.remove(&key);
            }
            Amendment::Label { key, value } => {
                new.labels.insert(key, value);
            }
        }
        if [new.capabilities.len(), new.labels.len(), new.taints.len()].into_iter().any(|said| said > MOST) {
            return Err(AmendmentError::TooMany);
        }
        *self = new;
        Ok(())
    }

    fn say_capable(&mut self, found: &NodeFacts, capability: Capability, has: bool) {
        if found.capabilities.contains(&capability) == has {
            self.capabilities.remove(&capability);
        } else {
            self.capabilities.insert(capability, has);
        }
    }

    /// `found` as it is to be told to others.
    #[must_use]
    pub fn applied_to(&self, mut found: NodeFacts) -> NodeFacts {
        for (capability, has) in &self.capabilities {
            match has {
                true => found.capabilities.insert(capability.clone()),
                false => {
                    found.units.remove(capability);
                    found.capabilities.remove(capability)
                }
            };
        }
        for (capability, units) in self.units.iter() {
            found.units.set(capability.clone(), units);
        }
        for (key, value) in &self.labels {
            match value {
                Some(value) => found.labels.insert(key.clone(), value.clone()),
                None => found.labels.remove(key),
            };
        }
        found.amendments = self.clone();
        found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn capability(text: &str, has: bool) -> Amendment {
        Amendment::Capability { capability: text.parse().unwrap(), has }
    }

    fn label(key: &str, value: Option<&str>) -> Amendment {
        Amendment::Label { key: key.to_owned(), value: value.map(str::to_owned) }
    }

    fn found() -> NodeFacts {
        NodeFacts {
            capabilities: BTreeSet::from(["hardware/zigbee".parse().unwrap()]),
            labels: BTreeMap::from([("floor".to_owned(), "1".to_owned())]),
            ..NodeFacts::default()
        }
    }

    fn told(amendments: &Amendments) -> (Vec<String>, Vec<String>) {
        let facts = amendments.applied_to(found());
        let labels = facts.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        (facts.capabilities.iter().map(ToString::to_string).collect(), labels)
    }

    #[test]
    fn what_is_said_wins_over_what_is_found() {
        let mut amendments = Amendments::default();
        for amendment in [
            capability("hardware/ble", true),
            capability("hardware/zigbee", false),
            label("floor", Some("2")),
            label("zone", Some("indoor")),
        ] {
            amendments.amend(&found(), amendment).unwrap();
        }
        assert_eq!(
            told(&amendments),
            (vec!["hardware/ble".into()], vec!["floor=2".into(), "zone=indoor".into()])
        );
        let json = serde_json::to_string(&amendments).unwrap();
        assert_eq!(serde_json::from_str::<Amendments>(&json).unwrap(), amendments);
    }

    #[test]
    fn taking_it_back_leads_back_to_what_is_found() {
        let mut amendments = Amendments::default();
        for amendment in [
            capability("hardware/zigbee", false),
            label("floor", None),
            label("zone", Some("x")),
            capability("hardware/zigbee", true),
            label("zone", None),
            label("floor", Some("1")),
            capability("hardware/ble", false),
        ] {
            amendments.amend(&found(), amendment).unwrap();
        }
        assert!(amendments.is_empty(), "{amendments:?}");
    }

    #[test]
    fn units_are_said_of_what_is_there_and_go_with_it() {
        let gpu: Capability = "hardware/gpu".parse().unwrap();
        let started = NodeFacts {
            capabilities: BTreeSet::from([gpu.clone()]),
            units: Units::from_iter([(gpu.clone(), 2)]),
            ..NodeFacts::default()
        };
        let mut amendments = Amendments::default();
        let mut say = |amendment| {
            amendments.amend(&started, amendment).unwrap();
            let facts = amendments.applied_to(started.clone());
            (facts.capabilities.contains(&gpu), facts.units.get(&gpu), amendments.is_empty())
        };
        let units = |units| Amendment::Units { capability: gpu.clone(), units };
        assert_eq!(say(units(4)), (true, Some(4), false));
        assert_eq!(say(capability("hardware/gpu", false)), (false, None, false));
        assert_eq!(say(units(2)), (true, Some(2), true), "as it was started");
        let none = Amendment::Units { capability: gpu.clone(), units: 0 };
        assert_eq!(amendments.amend(&started, none), Err(AmendmentError::Units(0)));
    }

    #[test]
    fn what_makes_no_sense_changes_nothing() {
        let long = "x".repeat(MOST_KEY + 1);
        let mut amendments = Amendments::default();
        let taint = |key: &str, value: &str| Amendment::Taint { key: key.into(), value: Some(value.into()) };
        for wrong in [
            taint("a b", ""),
            taint("a", "x\ny"),
            capability("arch/arm64", true),
            capability("runtime/process", false),
            label("", None),
            label("a b", Some("x")),
            label("../x", Some("x")),
            label(&long, Some("x")),
            label("a", Some("x\ny")),
            label("a", Some(&"x".repeat(MOST_VALUE + 1))),
        ] {
            amendments.amend(&found(), wrong.clone()).expect_err(&format!("{wrong:?}"));
        }
        for number in 0..MOST {
            amendments.amend(&found(), label(&format!("l{number}"), Some("x"))).unwrap();
        }
        assert_eq!(amendments.amend(&found(), label("more", Some("x"))), Err(AmendmentError::TooMany));
        assert_eq!(amendments.labels.len(), MOST);
    }

    #[test]
    fn a_location_that_is_on_no_map_is_refused_with_the_range() {
        for (text, range) in
            [("99,16", "from -90 to 90"), ("48,200", "from -180 to 180"), ("hall", "as in `48.2082,16.3738`")]
        {
            let error = label("location", Some(text)).check().unwrap_err().to_string();
            assert!(error.contains(range), "{error}");
        }
        assert!(
            label("location", Some("48.2,16.4")).check().is_ok() && label("location", None).check().is_ok()
        );
        assert!(label("place", Some("99,200")).check().is_ok());
    }
}
