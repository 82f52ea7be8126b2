//! Telegrams of meters that do not exist.

use crc::{CRC_16_ARC, CRC_16_IBM_SDLC, Crc};

const X25: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);

fn octets(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() + 1;
    let mut field = if length < 16 {
        vec![u8::try_from(length).unwrap()]
    } else {
        let length = length + 1;
        vec![0x80 | u8::try_from(length >> 4).unwrap(), u8::try_from(length & 15).unwrap()]
    };
    field.extend(bytes);
    field
}

fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0x76, 0x05, 0, 0, 0, 1, 0x62, 0, 0x62, 0, 0x72, 0x63];
    message.extend(kind.to_be_bytes());
    message.extend(body);
    let crc = X25.checksum(&message);
    message.push(0x63);
    message.extend(crc.to_le_bytes());
    message.push(0);
    message
}

/// An SML frame of a meter with such an id and registers `1.8.<index>` in steps of 0.1 Wh.
pub(crate) fn sml(id: &[u8], registers: &[i64]) -> Vec<u8> {
    let mut list = vec![0x77, 0x01];
    list.extend(octets(id));
    list.extend([0x01, 0x72, 0x62, 1, 0x65, 0, 0, 1, 0]);
    assert!(registers.len() < 16);
    list.push(0x70 | u8::try_from(registers.len()).unwrap());
    for (index, register) in registers.iter().enumerate() {
        list.extend([
            0x77,
            0x07,
            1,
            0,
            1,
            8,
            u8::try_from(index).unwrap(),
            255,
            1,
            1,
            0x62,
            30,
            0x52,
            0xff,
            0x59,
        ]);
        list.extend(register.to_be_bytes());
        list.push(1);
    }
    list.extend([1, 1]);
    let mut payload = message(0x0701, &list);
    let filled = (4 - payload.len() % 4) % 4;
    payload.resize(payload.len() + filled, 0);
    let mut frame = vec![0x1b, 0x1b, 0x1b, 0x1b, 1, 1, 1, 1];
    for group in payload.chunks(4) {
        if group == [0x1b; 4] {
            frame.extend(group);
        }
        frame.extend(group);
    }
    frame.extend([0x1b, 0x1b, 0x1b, 0x1b, 0x1a, u8::try_from(filled).unwrap()]);
    let crc = X25.checksum(&frame);
    frame.extend(crc.to_le_bytes());
    frame
}

pub(crate) fn p1(register: u32) -> Vec<u8> {
    let mut text = format!(
        "/HLM5METER\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(261123221500W)\r\n0-0:96.1.1(4D31)\r\n1-0:1.8.1({register:09}.123*kWh)\r\n!"
    )
    .into_bytes();
    let crc = Crc::<u16>::new(&CRC_16_ARC).checksum(&text);
    text.extend(format!("{crc:04X}\r\n").into_bytes());
    text
}
