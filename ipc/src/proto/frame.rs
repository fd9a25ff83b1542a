//! The shape of a frame on the wire, and the planes that frames belong to. ◇
//!
//! ```text
//!   ┌──────────────┬────────┬──────────────────────┐
//!   │ u32, LE: n   │ kind   │ payload: postcard    │
//!   └──────────────┴────────┴──────────────────────┘
//!     4 bytes        1 byte   n - 1 bytes
//! ```
//!
//! The kind stands outside the payload so that a limit can be applied after five bytes, before anything is buffered
//! or decoded; and it must agree with the message inside, so it cannot be used to dodge a limit.

use super::limits::FrameLen;
use std::fmt;

/// How many bytes of a frame are its length.
pub const LENGTH_BYTES: usize = 4;
/// How many bytes come before the payload: the length and the kind.
pub const HEADER_BYTES: usize = LENGTH_BYTES + 1;

/// The plane a message belongs to. It decides which limit and which part of the output queue apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Who is there, what it is to do, and why it failed before it was up. Always small; one limit for all versions.
    Boot = 1,
    /// What steers the tree: cancel, its answer, births, deaths, goodbye. Small, and accepted when data has to wait.
    Control = 2,
    /// What users and errors say: results, failures, progress. As long as the limits of the connection permit.
    Data = 3,
}

impl Kind {
    /// The kind that this byte stands for, if it is one.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Kind::Boot),
            2 => Some(Kind::Control),
            3 => Some(Kind::Data),
            _ => None,
        }
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Boot => "boot",
            Kind::Control => "control",
            Kind::Data => "data",
        })
    }
}

/// The first bytes of a frame whose body (kind and payload) has this length.
#[must_use]
pub const fn header(body: FrameLen, kind: Kind) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = body.get().to_le_bytes();
    [a, b, c, d, kind.byte()]
}

#[cfg(test)]
mod tests {
    use super::{FrameLen, Kind, header};

    #[test]
    fn a_header_is_a_little_endian_length_and_a_kind() {
        assert_eq!(header(FrameLen::new(0x0102), Kind::Data), [2, 1, 0, 0, 3]);
    }

    #[test]
    fn every_kind_has_its_byte() {
        let known: Vec<Kind> = (0..=u8::MAX).filter_map(Kind::from_byte).collect();
        assert_eq!(known, [Kind::Boot, Kind::Control, Kind::Data]);
        assert!(known.iter().all(|k| Kind::from_byte(k.byte()) == Some(*k)));
    }
}
