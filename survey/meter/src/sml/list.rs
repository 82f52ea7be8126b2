//! Messages, and the lists of values (`GetList.Res`) among them.

use crc::{CRC_16_KERMIT, Crc};

use super::fields::{Field, Reader};
use super::frame::X25;
use crate::decimal::Decimal;
use crate::telegram::{Entry, Telegram};

const KERMIT: Crc<u16> = Crc::<u16>::new(&CRC_16_KERMIT);
const GET_LIST_RESPONSE: u64 = 0x701;

/// A telegram of messages; `None` unless each is whole and its check sum right.
pub(super) fn telegram(payload: &[u8]) -> Option<Telegram> {
    let mut telegram = Telegram { meter: None, meter_time: None, entries: Vec::new() };
    let mut reader = Reader::new(payload);
    while !reader.is_done() {
        let begin = reader.at();
        reader.list_of(6)?;
        let (_transaction, _group, _abort) = (reader.field()?, reader.field()?, reader.field()?);
        let body = reader.field()?;
        let summed = &payload[begin..reader.at()];
        let crc = u16::try_from(reader.field()?.unsigned()?).ok()?.swap_bytes();
        // Some makers (Holley) take the other polynomial's start value here.
        if crc != X25.checksum(summed) && crc != KERMIT.checksum(summed) {
            return None;
        }
        if reader.byte()? != 0 {
            return None;
        }
        let [kind, body] = body.list()? else { return None };
        if kind.unsigned()? == GET_LIST_RESPONSE {
            values(body, &mut telegram)?;
        }
    }
    Some(telegram)
}

fn values(body: &Field<'_>, telegram: &mut Telegram) -> Option<()> {
    let [_client, server, _name, time, values, _signature, _gateway_time] = body.list()? else { return None };
    let server = server.octets()?;
    telegram.meter = (!server.is_empty()).then(|| hex(server));
    telegram.meter_time = seconds(time);
    for value in values.list()? {
        telegram.entries.extend(entry(value, server)?);
    }
    Some(())
}

/// Some meters leave the choice out and send the number only.
fn seconds(time: &Field<'_>) -> Option<String> {
    let seconds = match time.list() {
        Some([_choice, seconds]) => seconds.unsigned()?,
        _ => time.unsigned()?,
    };
    Some(seconds.to_string())
}

/// The inner `None` is no number (a name, a key).
fn entry(value: &Field<'_>, server: &[u8]) -> Option<Option<Entry>> {
    let [name, _status, _time, unit, scaler, value, _signature] = value.list()? else { return None };
    let raw = match value {
        Field::Int(raw, _) => i128::from(*raw),
        Field::Unsigned(raw) => i128::from(*raw),
        _ => return Some(None),
    };
    let scaler = match scaler {
        Field::Int(scaler, _) => i8::try_from(*scaler).ok()?,
        absent if absent.is_absent() => 0,
        _ => return None,
    };
    let unit = match unit {
        Field::Unsigned(code) => unit_name(u8::try_from(*code).ok()?),
        absent if absent.is_absent() => None,
        _ => return None,
    };
    let &[a, b, c, d, e, f] = name.octets()? else { return None };
    Some(Some(Entry {
        obis: format!("{a}-{b}:{c}.{d}.{e}*{f}"),
        value: Decimal::scaled(raw, scaler),
        unit,
        value_corrected: meant(value, (c, d, e), server).map(|raw| Decimal::scaled(raw.into(), scaler)),
    }))
}

/// DZG's DVS74 sends power above 32767 steps as a negative number of two bytes. Newer models do feed in: only the serial
/// numbers that are known to err are mended.
fn meant(value: &Field<'_>, obis: (u8, u8, u8), server: &[u8]) -> Option<u16> {
    let &Field::Int(raw @ ..0, 2) = value else { return None };
    let &[0x0a, 0x01, b'D', b'Z', b'G', 0x00, s1, s2, s3, s4] = server else { return None };
    let serial = u32::from_be_bytes([s1, s2, s3, s4]);
    let affected = matches!(serial, 42_000_000..=48_999_999 | 55_000_000..=58_999_999);
    if obis != (16, 7, 0) || !affected {
        return None;
    }
    i16::try_from(raw).ok().map(i16::cast_unsigned)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Units of DLMS/COSEM (IEC 62056-6-2) by their codes.
fn unit_name(code: u8) -> Option<String> {
    Some(
        match code {
            7 => "s",
            8 => "°",
            9 => "°C",
            13 | 14 => "m3",
            27 => "W",
            28 => "VA",
            29 => "var",
            30 => "Wh",
            31 => "VAh",
            32 => "varh",
            33 => "A",
            35 => "V",
            44 => "Hz",
            255 => return None,
            other => return Some(format!("unit {other}")),
        }
        .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::{Field, meant};

    #[test]
    fn only_power_of_affected_serials_is_mended() {
        let id = |serial: u32| [&[0x0a, 1, b'D', b'Z', b'G', 0][..], &serial.to_be_bytes()].concat();
        let power = (16, 7, 0);
        let wrong = Field::Int(-29912, 2);
        for (serial, mended) in [
            (41_999_999, false),
            (42_000_000, true),
            (48_999_999, true),
            (49_000_000, false),
            (58_999_999, true),
            (59_000_000, false),
        ] {
            assert_eq!(meant(&wrong, power, &id(serial)), mended.then_some(35624), "{serial}");
        }
        assert_eq!(meant(&Field::Int(-29912, 4), power, &id(42_000_000)), None);
        assert_eq!(meant(&Field::Int(29912, 2), power, &id(42_000_000)), None);
        assert_eq!(meant(&wrong, (1, 8, 0), &id(42_000_000)), None);
        assert_eq!(meant(&wrong, power, b"other"), None);
    }
}
