//! Typed fields: a type and a length, then bytes, or further fields (lists).

/// So deep are lists nested at most; the standard needs six.
const MAX_DEPTH: usize = 12;

#[derive(Debug)]
pub(super) enum Field<'a> {
    Octets(&'a [u8]),
    Bool,
    /// Signed; so many bytes on the wire.
    Int(i64, usize),
    Unsigned(u64),
    List(Vec<Self>),
}

impl<'a> Field<'a> {
    pub(super) fn octets(&self) -> Option<&'a [u8]> {
        if let Self::Octets(octets) = self { Some(octets) } else { None }
    }

    pub(super) fn list(&self) -> Option<&[Self]> {
        if let Self::List(fields) = self { Some(fields) } else { None }
    }

    pub(super) fn unsigned(&self) -> Option<u64> {
        if let Self::Unsigned(value) = self { Some(*value) } else { None }
    }

    /// An optional field that is left out is an empty string of octets.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Octets([]))
    }
}

/// Reads fields one by one; `None` is no SML.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    /// A list's length; for lists that are read field by field.
    pub(super) fn list_of(&mut self, length: usize) -> Option<()> {
        (self.head()? == (0x70, length)).then_some(())
    }

    /// Type and length. The length of all but lists counts the head's own bytes too: those are taken off here.
    fn head(&mut self) -> Option<(u8, usize)> {
        let first = self.byte()?;
        let kind = first & 0x70;
        let mut length = usize::from(first & 0x0f);
        let mut heads = 1;
        let mut more = first & 0x80 != 0;
        while more {
            let next = self.byte()?;
            if next & 0x70 != 0 || heads == 4 {
                return None;
            }
            length = length << 4 | usize::from(next & 0x0f);
            heads += 1;
            more = next & 0x80 != 0;
        }
        let length = if kind == 0x70 { length } else { length.checked_sub(heads)? };
        Some((kind, length))
    }

    pub(super) fn field(&mut self) -> Option<Field<'a>> {
        self.nested(0)
    }

    fn nested(&mut self, depth: usize) -> Option<Field<'a>> {
        let (kind, length) = self.head()?;
        Some(match kind {
            0x00 => Field::Octets(self.take(length)?),
            0x40 if length == 1 => {
                self.take(1)?;
                Field::Bool
            }
            0x50 if (1..=8).contains(&length) => Field::Int(signed(self.take(length)?), length),
            0x60 if (1..=8).contains(&length) => Field::Unsigned(unsigned(self.take(length)?)),
            0x70 if depth < MAX_DEPTH => {
                // No room is set aside for a length that is only claimed: each field is there before the next.
                let mut fields = Vec::new();
                for _ in 0..length {
                    fields.push(self.nested(depth + 1)?);
                }
                Field::List(fields)
            }
            _ => return None,
        })
    }
}

fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// Two's complement of as many bytes.
fn signed(bytes: &[u8]) -> i64 {
    let unused = 64 - 8 * bytes.len();
    (unsigned(bytes) << unused).cast_signed() >> unused
}

#[cfg(test)]
mod tests {
    use super::{Field, Reader};

    #[test]
    fn integers_of_every_size() {
        for length in 1..=8_u8 {
            let mut bytes = vec![0x50 | (length + 1)];
            bytes.extend(vec![0xff; usize::from(length)]);
            assert!(
                matches!(Reader::new(&bytes).field(), Some(Field::Int(-1, n)) if n == usize::from(length))
            );
            bytes[0] = 0x60 | (length + 1);
            let most = u64::MAX >> (64 - 8 * u32::from(length));
            assert!(matches!(Reader::new(&bytes).field(), Some(Field::Unsigned(value)) if value == most));
        }
        assert!(matches!(Reader::new(&[0x53, 0x80, 0]).field(), Some(Field::Int(-32768, 2))));
        assert!(Reader::new(&[0x51]).field().is_none(), "without a byte it is no number");
    }

    #[test]
    fn lengths_and_depths_are_bounded() {
        assert!(Reader::new(&[0xf0; 4000]).field().is_none());
        assert!(Reader::new(&[0x71; 4000]).field().is_none());
        assert!(Reader::new(&[0x8f, 0x8f, 0x8f, 0x0f, 1]).field().is_none());
    }
}
