//! Typed values of users to and from the payload of a message. ◇
//!
//! ```text
//!   T: Serialize ─ encode ─► Vec<u8> ─ Message::Return ─ … ─► Vec<u8> ─ decode ─► T: Deserialize
//! ```
//!
//! The bytes do not say which type they are: both ends must agree, which they do when they run the same image.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::type_name;
use std::fmt;

/// The bytes of a value.
///
/// # Errors
///
/// [`CodecError`] if the type has no wire form (a sequence of unknown length, an error of its own `Serialize`).
///
/// ```
/// use pleach_ipc::codec::{decode, encode};
/// let bytes = encode(&("seven", 7_u8)).unwrap();
/// assert_eq!(decode::<(String, u8)>(&bytes).unwrap(), ("seven".to_owned(), 7));
/// assert!(decode::<u8>(&bytes).is_err());
/// ```
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    // Most values are small: written in one piece and copied once, instead of into a vector that grows byte by byte.
    let mut room = [0; SMALL];
    let bytes = match postcard::to_slice(value, &mut room) {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(postcard::Error::SerializeBufferFull) => postcard::to_allocvec(value),
        Err(source) => Err(source),
    };
    bytes.map_err(|source| CodecError { doing: Doing::Encode, type_name: type_name::<T>(), source })
}

/// What is encoded on the stack, in bytes.
const SMALL: usize = 2048;

/// The value of these bytes, all of them.
///
/// # Errors
///
/// [`CodecError`] if they are no such value, or there are more of them than the value has.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let error = |doing, source| CodecError { doing, type_name: type_name::<T>(), source };
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(error(Doing::Trailing(rest.len()), postcard::Error::DeserializeBadEncoding)),
        Err(source) => Err(error(Doing::Decode, source)),
    }
}

/// A value and its bytes do not fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError {
    doing: Doing,
    type_name: &'static str,
    source: postcard::Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Encode,
    Decode,
    Trailing(usize),
}

impl CodecError {
    /// The name of the type that was asked for.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CodecError { doing, type_name, source } = self;
        match doing {
            Doing::Encode => write!(f, "a value of type {type_name} cannot be encoded: {source}"),
            Doing::Decode => write!(f, "these bytes are no {type_name}: {source}"),
            Doing::Trailing(n) => write!(f, "these bytes are no {type_name}: there are {n} too many"),
        }
    }
}

impl std::error::Error for CodecError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn errors_name_the_type() {
        let e = decode::<String>(&[200]).unwrap_err();
        assert!(e.type_name().ends_with("String") && e.to_string().contains("String"), "{e}");
        assert!(decode::<u8>(&[1, 2, 3]).unwrap_err().to_string().contains("2 too many"));
        assert_eq!(decode::<Vec<u32>>(&encode(&vec![1_u32, 2]).unwrap()).unwrap(), [1, 2]);
    }

    #[test]
    fn a_value_of_any_size_is_its_bytes() {
        for len in [0, 1, 2040, 2045, 2046, 2047, 2048, 2049, 5000] {
            let value: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let bytes = encode(&value).unwrap();
            assert_eq!(bytes, postcard::to_allocvec(&value).unwrap());
            assert_eq!(decode::<Vec<u8>>(&bytes).unwrap(), value);
        }
    }

    #[test]
    fn a_length_that_is_a_lie_is_an_error_and_no_allocation() {
        // A sequence of 2^34 numbers, in six bytes.
        assert!(decode::<Vec<u64>>(&[0x80, 0x80, 0x80, 0x80, 0x40, 1]).is_err());
    }
}
