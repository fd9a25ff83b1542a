//! How much of anything a peer may send or be sent. ◇
//!
//! ```text
//!   kind ───┐
//!   boot? ──┴─► Limits::of ─► FrameLen ─► decoder (refuses), encoder (refuses)
//! ```
//!
//! Rules:
//! * The numbers that must hold before two ends know each other are constants; the others are in the handshake
//!   ([`Spec`](super::Spec)).
//! * A limit of a peer is checked before it is believed ([`Limits::checked`]).

use super::frame::Kind;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A number of bytes: how long the body of a frame is, or may be. The four bytes of the length itself do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FrameLen(u32);

impl FrameLen {
    /// So many bytes.
    #[must_use]
    pub const fn new(bytes: u32) -> Self {
        FrameLen(bytes)
    }

    /// So many times 1024 bytes; as many as a length can say if that is too much.
    #[must_use]
    pub const fn kib(n: u32) -> Self {
        FrameLen(n.saturating_mul(1024))
    }

    /// In bytes.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// In bytes, as the size of something in memory.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for FrameLen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// What one connection may carry. Both ends hold the same values: the parent's, which travel in the `Spec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The longest data frame. Default 16 MiB.
    pub frame: FrameLen,
    /// How many bytes may wait to be written before a sender of data has to wait. Default 64 MiB.
    pub in_flight: FrameLen,
    /// How many dialogs may be open at once. Default 65 536.
    pub dialogs: u32,
}

impl Limits {
    /// The longest frame of any kind before the handshake is done: 64 KiB.
    pub const BOOT: FrameLen = FrameLen::kib(64);
    /// The longest control frame: 64 KiB. Control is small by nature; see [`Kind`].
    pub const CONTROL: FrameLen = FrameLen::kib(64);
    /// What control frames may take beyond [`Limits::in_flight`], so that they never wait behind a full queue: 1 MiB.
    pub const CONTROL_RESERVE: FrameLen = FrameLen::kib(1024);
    /// The longest data frame that any end agrees to: 1 GiB.
    pub const FRAME_MAX: FrameLen = FrameLen::kib(1024 * 1024);

    /// The longest frame of this kind once the handshake is done.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> FrameLen {
        match kind {
            Kind::Boot => Self::BOOT,
            Kind::Control => Self::CONTROL,
            Kind::Data => self.frame,
        }
    }

    /// How many bytes a [`WireError`](super::WireError) may take so that its frame is within the limit.
    #[must_use]
    pub const fn error_budget(&self) -> usize {
        // Kind byte, variant, and a ledger of five numbers of up to five bytes each; generously.
        self.frame.as_usize().saturating_sub(64)
    }

    /// These limits, if an end can work with them.
    ///
    /// # Errors
    ///
    /// [`LimitsError`] names the number that is out of range, and the range.
    pub fn checked(self) -> Result<Self, LimitsError> {
        let within = |what, value: FrameLen, least: FrameLen, most: FrameLen| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(LimitsError { what, value, least, most })
            }
        };
        within("frame", self.frame, Self::BOOT, Self::FRAME_MAX)?;
        within("in_flight", self.in_flight, self.frame, FrameLen(u32::MAX))?;
        Ok(self)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { frame: FrameLen::kib(16 * 1024), in_flight: FrameLen::kib(64 * 1024), dialogs: 65_536 }
    }
}

/// A limit is out of the range that an end can work with. Whoever configured it has to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsError {
    /// Which limit.
    pub what: &'static str,
    /// What it was set to.
    pub value: FrameLen,
    /// The smallest value that is possible.
    pub least: FrameLen,
    /// The largest value that is possible.
    pub most: FrameLen,
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LimitsError { what, value, least, most } = self;
        write!(f, "the limit `{what}` is {value}: it must be from {least} to {most}")
    }
}

impl std::error::Error for LimitsError {}

#[cfg(test)]
mod tests {
    use super::{FrameLen, Limits};

    #[test]
    fn the_defaults_are_within_range() {
        assert!(Limits::default().checked().is_ok());
    }

    #[test]
    fn a_limit_out_of_range_is_named() {
        let tiny = Limits { frame: FrameLen::new(10), ..Limits::default() };
        assert_eq!(tiny.checked().unwrap_err().what, "frame");
        let tight = Limits { in_flight: FrameLen::kib(1), ..Limits::default() };
        assert_eq!(tight.checked().unwrap_err().what, "in_flight");
        let huge = FrameLen::new(u32::MAX);
        let huge = Limits { frame: huge, in_flight: huge, ..Limits::default() };
        assert_eq!(huge.checked().unwrap_err().what, "frame");
    }
}
