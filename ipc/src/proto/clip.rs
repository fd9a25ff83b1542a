//! Texts that must not grow without bound, and bytes that need no detour. ◇
//!
//! ```text
//!   a text that an error or a person wrote ─► clipped ─► what fits … [n bytes cut]
//!   a text inside a control message ─ serialize ─► clipped to SHORT, so that control always fits its frame
//! ```

use serde::de::{SeqAccess, Visitor};
use serde::{Deserializer, Serializer};
use std::borrow::Cow;
use std::fmt;

/// How long a text inside a control message may be, in bytes. Three of them fit into a control frame many times over.
pub(crate) const SHORT: usize = 4096;
/// How many texts of a chain of sources cross the wire.
pub(crate) const FEW: usize = 64;

/// The text, or as much of it as `cap` bytes permit and a note about how much is missing.
pub(crate) fn clipped(text: &str, cap: usize) -> Cow<'_, str> {
    if text.len() <= cap {
        return Cow::Borrowed(text);
    }
    let end = (0..=cap).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    Cow::Owned(format!("{}… [{} bytes cut]", &text[..end], text.len() - end))
}

/// [`clipped`] in place.
pub(crate) fn clip(text: &mut String, cap: usize) {
    if let Cow::Owned(short) = clipped(text, cap) {
        *text = short;
    }
}

/// For `#[serde(serialize_with)]` on the texts of control messages: such a message always fits its frame.
pub(crate) fn short<S: Serializer>(text: &str, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&clipped(text, SHORT))
}

/// For `#[serde(with)]` on bytes: serde's own way takes them one by one.
pub(crate) mod bytes {
    use super::{Deserializer, Serializer, Visitor, fmt};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, v: &[u8]) -> Result<Vec<u8>, E> {
                Ok(v.to_vec())
            }
        }
        d.deserialize_bytes(Bytes)
    }
}

/// For `#[serde(with)]` on a chain of texts: at most [`FEW`] of them, and no memory for more than came.
pub(crate) mod few {
    use super::{Deserializer, FEW, SeqAccess, Serializer, Visitor, fmt};
    use serde::de::Error;

    pub(crate) fn serialize<S: Serializer>(texts: &[String], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(&texts[..texts.len().min(FEW)])
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
        struct Few;
        impl<'de> Visitor<'de> for Few {
            type Value = Vec<String>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {FEW} texts")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = seq.next_element()? {
                    if texts.len() == FEW {
                        return Err(A::Error::invalid_length(FEW + 1, &self));
                    }
                    texts.push(text);
                }
                Ok(texts)
            }
        }
        d.deserialize_seq(Few)
    }
}

#[cfg(test)]
mod tests {
    use super::{clip, clipped};

    /// The most that the note about a cut adds to a text, in bytes: `error_tree::MIN_BUDGET` counts on it.
    const NOTE: usize = 40;

    #[test]
    fn a_text_that_fits_is_left_alone() {
        assert_eq!(clipped("abc", 3), "abc");
    }

    #[test]
    fn a_cut_says_how_much_is_missing_and_respects_characters() {
        assert_eq!(clipped("aéé", 2), "a… [4 bytes cut]");
        let mut long = "x".repeat(10_000);
        clip(&mut long, 100);
        assert!(long.len() <= 100 + NOTE && long.ends_with("[9900 bytes cut]"), "{long}");
    }
}
