//! Where on earth something is, and how far that is from somewhere else.
//!
//! Degrees are kept as whole millionths (about 11 cm), so that places can be compared, hashed and written
//! the same everywhere; there is no NaN to guard against.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::shorten;

/// Degrees of latitude, -90 to 90, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Latitude(i32);

/// Degrees of longitude, -180 to 180, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Longitude(i32);

/// A place on earth. Text: `48.2082,16.3738`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    pub lat: Latitude,
    pub lon: Longitude,
}

/// A way over ground, in metres. Text: `800m`, `5km`, `1.5km`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance(pub u32);

/// Somewhere in a circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    pub centre: Point,
    pub radius: Distance,
}

/// The text is no place, angle or distance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct GeoError {
    text: String,
    expected: &'static str,
}

const LATITUDE: &str = "a latitude: degrees from -90 to 90, as in `48.2082`";
const LONGITUDE: &str = "a longitude: degrees from -180 to 180, as in `16.3738`";
const POINT: &str = "a location: latitude and longitude in degrees, as in `48.2082,16.3738`";
const DISTANCE: &str = "a distance of at most 40000km, as in `800m` or `5km`";

/// Mean radius, metres.
const EARTH: f64 = 6_371_000.0;
const MILLION: f64 = 1_000_000.0;
/// Once around.
const MOST: u64 = 40_000_000;

// === impl Latitude, Longitude ===

impl Latitude {
    #[must_use]
    pub fn degrees(self) -> f64 {
        f64::from(self.0) / MILLION
    }
}

impl Longitude {
    #[must_use]
    pub fn degrees(self) -> f64 {
        f64::from(self.0) / MILLION
    }
}

impl FromStr for Latitude {
    type Err = GeoError;

    fn from_str(text: &str) -> Result<Self, GeoError> {
        millionths(text, 90).map(Self).ok_or_else(|| GeoError::new(text, LATITUDE))
    }
}

impl FromStr for Longitude {
    type Err = GeoError;

    fn from_str(text: &str) -> Result<Self, GeoError> {
        millionths(text, 180).map(Self).ok_or_else(|| GeoError::new(text, LONGITUDE))
    }
}

impl fmt::Display for Latitude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        degrees(self.0, f)
    }
}

impl fmt::Display for Longitude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        degrees(self.0, f)
    }
}

/// Rounded to the millionth; a small number may be written as programs do (`1e-6`).
fn millionths(text: &str, most: i32) -> Option<i32> {
    let plain = |b: u8| b.is_ascii_digit() || b"-.e".contains(&b);
    if text.len() > 32
        || !text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        || !text.bytes().all(plain)
    {
        return None;
    }
    let value: f64 = text.parse::<f64>().ok().filter(|value| value.abs() <= f64::from(most))?;
    // At most 180 million.
    #[expect(clippy::cast_possible_truncation, reason = "see above")]
    Some((value * MILLION).round() as i32)
}

/// The shortest text that is read as the same number.
fn degrees(millionths: i32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (sign, size) = (if millionths < 0 { "-" } else { "" }, millionths.unsigned_abs());
    let fraction = format!("{:06}", size % 1_000_000);
    match fraction.trim_end_matches('0') {
        "" => write!(f, "{sign}{}", size / 1_000_000),
        fraction => write!(f, "{sign}{}.{fraction}", size / 1_000_000),
    }
}

// === impl Point ===

impl Point {
    /// Over ground, on a sphere (haversine): within half a per cent of the truth, to the metre.
    #[must_use]
    pub fn distance(self, other: Self) -> Distance {
        let (from, to) = (self.lat.degrees().to_radians(), other.lat.degrees().to_radians());
        let across = (other.lon.degrees() - self.lon.degrees()).to_radians();
        let half = |angle: f64| (angle / 2.0).sin().powi(2);
        let chord = half(to - from) + from.cos() * to.cos() * half(across);
        let metres = 2.0 * EARTH * chord.sqrt().min(1.0).asin();
        // At most half of the circumference: 20 million.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
        Distance(metres.round() as u32)
    }
}

impl FromStr for Point {
    type Err = GeoError;

    fn from_str(text: &str) -> Result<Self, GeoError> {
        let (lat, lon) = text.split_once(',').ok_or_else(|| GeoError::new(text, POINT))?;
        Ok(Self { lat: lat.trim().parse()?, lon: lon.trim().parse()? })
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.lat, self.lon)
    }
}

// === impl Area ===

impl Area {
    /// Exactly there.
    #[must_use]
    pub const fn at(centre: Point) -> Self {
        Self { centre, radius: Distance(0) }
    }

    /// A circle around all of them; `None` of none. Near the middle of their angles, which is good enough for
    /// what lies on one side of the date line.
    #[must_use]
    pub fn around(points: &[Point]) -> Option<Self> {
        let middle = |of: &dyn Fn(&Point) -> i32| {
            let (least, most) = (points.iter().map(of).min()?, points.iter().map(of).max()?);
            i32::try_from(i64::midpoint(i64::from(least), i64::from(most))).ok()
        };
        let centre = Point {
            lat: Latitude(middle(&|point| point.lat.0)?),
            lon: Longitude(middle(&|point| point.lon.0)?),
        };
        let radius = points.iter().map(|point| centre.distance(*point)).max()?;
        Some(Self { centre, radius })
    }

    /// The least that anything in it can be away from `point`.
    #[must_use]
    pub fn least_distance(&self, point: Point) -> Distance {
        Distance(self.centre.distance(point).0.saturating_sub(self.radius.0))
    }
}

// === impl Distance ===

impl FromStr for Distance {
    type Err = GeoError;

    fn from_str(text: &str) -> Result<Self, GeoError> {
        metres(text).map(Self).ok_or_else(|| GeoError::new(text, DISTANCE))
    }
}

fn metres(text: &str) -> Option<u32> {
    let (number, unit) = match text.strip_suffix("km") {
        Some(number) => (number, 1_000),
        None => (text.strip_suffix('m')?, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (unit == 1 && number.contains('.')) {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let metres = whole.parse::<u64>().ok()? * unit + if unit == 1 { 0 } else { fraction };
    u32::try_from(metres).ok().filter(|_| metres <= MOST)
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kilometres, metres) = (self.0 / 1_000, self.0 % 1_000);
        if kilometres == 0 {
            return write!(f, "{metres}m");
        }
        match format!("{metres:03}").trim_end_matches('0') {
            "" => write!(f, "{kilometres}km"),
            fraction => write!(f, "{kilometres}.{fraction}km"),
        }
    }
}

// === impl GeoError ===

impl GeoError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: shorten(text), expected }
    }
}

// === serde: texts, as people write them ===

macro_rules! text {
    ($type:ty, $name:literal, $description:literal, $pattern:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $description, "pattern": $pattern })
            }
        }
    };
}

text!(Point, "Point", "Latitude and longitude in degrees, `48.2082,16.3738`.", r"^-?[0-9.]+, ?-?[0-9.]+$");
text!(Distance, "Distance", "`800m`, `5km`, `1.5km`.", "^[0-9]+(m|(\\.[0-9]+)?km)$");

#[cfg(test)]
mod tests {
    use super::*;

    fn point(text: &str) -> Point {
        text.parse().unwrap()
    }

    #[test]
    fn distances_are_those_of_a_map() {
        let (vienna, linz) = (point("48.2082,16.3738"), point("48.3069,14.2858"));
        let found = vienna.distance(linz).0;
        assert!((154_000..=156_000).contains(&found), "{found}");
        assert_eq!((vienna.distance(vienna), linz.distance(vienna)), (Distance(0), Distance(found)));
        assert_eq!(point("0,0").distance(point("0,180")).0 / 1_000, 20_015, "half around");
        assert_eq!(point("90,0").distance(point("90,120")), Distance(0), "the pole is one point");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for wrong in [
            "91,0",
            "-90.1,0",
            "0,180.000001",
            "NaN,0",
            "1e3,0",
            "inf,0",
            "1e-,0",
            "48.2",
            "",
            ",",
            "+1,1",
            "0x1,1",
        ] {
            assert!(wrong.parse::<Point>().is_err(), "{wrong}");
        }
        for wrong in ["5", "-1km", "1e3m", "NaNkm", "1.5m", "40001km", "km", "5 km"] {
            assert!(wrong.parse::<Distance>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn texts_are_read_as_they_are_written() {
        for text in ["48.2082,16.3738", "-0.5,-180", "0,0", "89.999999,0.000001"] {
            assert_eq!(point(text).to_string(), text);
        }
        for text in ["0m", "800m", "5km", "1.5km", "1.025km"] {
            assert_eq!(text.parse::<Distance>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_area_holds_its_points() {
        let points = [point("48,16"), point("48.5,16.2"), point("48.1,15.8")];
        let area = Area::around(&points).unwrap();
        assert!(points.iter().all(|at| area.least_distance(*at) == Distance(0)));
        assert!(area.least_distance(point("50,20")) <= points[1].distance(point("50,20")));
        assert_eq!(Area::around(&[]), None);
    }
}
