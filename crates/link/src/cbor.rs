//! CBOR with limits: whatever a peer sends, decoding ends with a value or an error.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Nesting that no message of ours needs.
const MAX_DEPTH: usize = 64;

/// The value cannot be encoded: it has a serde error of its own (a bug).
#[derive(Debug, thiserror::Error)]
#[error("the value cannot be written as CBOR: {0}")]
pub struct EncodeError(String);

/// The bytes are not the message that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("{size} bytes of CBOR are more than the {limit} allowed")]
    TooLarge { size: usize, limit: usize },
    #[error("the CBOR is cut off or malformed at byte {offset}")]
    Malformed { offset: usize },
    #[error("the CBOR has another shape than expected: {0}")]
    Shape(String),
    #[error("the CBOR nests deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("{0} bytes follow the CBOR value")]
    Trailing(usize),
}

/// `value` as CBOR.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(|e| EncodeError(e.to_string()))?;
    Ok(bytes)
}

/// The one value that `bytes`, at most `limit` of them, hold.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    use ciborium::de::Error;

    if bytes.len() > limit {
        return Err(DecodeError::TooLarge { size: bytes.len(), limit });
    }
    let mut rest = bytes;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH);
    let value = value.map_err(|e| match e {
        Error::Io(_) => DecodeError::Malformed { offset: bytes.len() },
        Error::Syntax(offset) => DecodeError::Malformed { offset },
        Error::Semantic(_, reason) => DecodeError::Shape(reason),
        Error::RecursionLimitExceeded => DecodeError::TooDeep,
    })?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::Trailing(rest.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Shape = (u32, String, Vec<Option<i64>>);

    #[test]
    fn what_is_too_large_deep_or_long_is_refused() {
        let bytes = encode(&vec![1u8; 100]).unwrap();
        assert!(matches!(decode::<Vec<u8>>(&bytes, 50), Err(DecodeError::TooLarge { .. })));
        let deep = vec![0x81; 100_000];
        assert_eq!(decode::<ciborium::Value>(&deep, 200_000).unwrap_err(), DecodeError::TooDeep);
        assert_eq!(decode::<u8>(&[1, 2], 10), Err(DecodeError::Trailing(1)));
        // An array that claims 2^60 items.
        let huge = [0x9b, 0x10, 0, 0, 0, 0, 0, 0, 0, 1];
        assert!(decode::<Vec<u64>>(&huge, 100).is_err());
    }

    proptest! {
        #[test]
        fn values_survive(value: Shape) {
            prop_assert_eq!(decode::<Shape>(&encode(&value).unwrap(), usize::MAX).unwrap(), value);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode::<Shape>(&bytes, 1 << 20);
            let _ = decode::<ciborium::Value>(&bytes, 1 << 20);
        }
    }
}
