//! What a valid telegram says.

use serde::{Deserialize, Serialize};

use crate::decimal::Decimal;

/// A valid telegram's numbers, with whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telegram {
    /// The meter: `server_id` in hexadecimal digits (SML), its number or its identification (text).
    pub meter: Option<String>,
    /// The meter's own time as it says it: seconds of its index (SML), `YYMMDDhhmmss` with `S` or `W` (P1).
    pub meter_time: Option<String>,
    /// In the order of the wire.
    pub entries: Vec<Entry>,
}

/// One number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// As on the wire: `1-0:1.8.0*255` (SML), shorter in text.
    pub obis: String,
    pub value: Decimal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What was meant, where the meter's maker is known to err and the model is an affected one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_corrected: Option<Decimal>,
}

impl Telegram {
    /// Whether the meter seems locked (no PIN was entered): it counts in whole kWh and says no power.
    pub fn seems_locked(&self) -> bool {
        let mut counted = false;
        for entry in &self.entries {
            let whole = match entry.unit.as_deref() {
                Some("Wh") => entry.value.is_multiple_of_ten_to(3),
                Some("kWh") => entry.value.is_multiple_of_ten_to(0),
                Some("W" | "kW") => return false,
                _ => continue,
            };
            if !whole {
                return false;
            }
            counted |= !entry.value.is_zero();
        }
        counted
    }
}
