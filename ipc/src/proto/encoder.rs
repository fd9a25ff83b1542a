//! Messages to bytes: the output queue of a connection, in order and bounded. ◇
//!
//! ```text
//!   message ─► size? limit? room? ─ no ─► typed error, nothing was written
//!                    │ yes
//!                    ▼
//!            [frame][frame][frame]…   unsent() ─► socket;  sent(n) gives the bytes back
//! ```
//!
//! Rules:
//! * **Whole or not at all**: a message that is refused leaves no byte behind; one that is accepted is complete.
//! * **One order**: frames leave in the order in which they were pushed. Control does not overtake data (a `Goodbye`
//!   that overtook a `Return` would lose it); it only never waits for room: it has a reserve of its own.

use super::frame::{HEADER_BYTES, Kind, LENGTH_BYTES, header};
use super::limits::{FrameLen, Limits};
use super::message::Message;
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use std::fmt;

/// A sent part of the queue longer than this is given up as soon as it is the larger part.
const COMPACT: usize = 64 * 1024;

/// The output queue of one connection.
#[derive(Debug)]
pub struct Encoder {
    limits: Limits,
    queue: Vec<u8>,
    /// How much of `queue` has been written already.
    sent: usize,
}

impl Encoder {
    /// An empty queue under these limits.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Encoder { limits, queue: Vec::new(), sent: 0 }
    }

    /// From now on these limits hold. What is queued stays.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Queues one message, whole.
    ///
    /// # Errors
    ///
    /// [`EncodeError`]; the queue is as it was. Only `Full` passes by itself, when bytes have been
    /// [`sent`](Self::sent).
    pub fn push(&mut self, message: &Message) -> Result<(), EncodeError> {
        let before = self.queue.len();
        frame(message, &self.limits, &mut self.queue)?;
        let size = self.queue.len() - before;
        let waiting = before - self.sent;
        let most = self.limits.in_flight.as_usize();
        let full = match message.kind() {
            // A single frame always has room in an empty queue, however the limits were set.
            Kind::Data => waiting > 0 && waiting + size > most,
            Kind::Boot | Kind::Control => waiting + size > most + Limits::CONTROL_RESERVE.as_usize(),
        };
        if full {
            self.queue.truncate(before);
            return Err(EncodeError::Full { message: message.name(), size, waiting });
        }
        Ok(())
    }

    /// The bytes that are to be written next.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        &self.queue[self.sent..]
    }

    /// The first `n` bytes of [`unsent`](Self::unsent) have been written.
    ///
    /// # Panics
    ///
    /// If there were fewer.
    pub fn sent(&mut self, n: usize) {
        assert!(n <= self.queue.len() - self.sent, "more bytes were sent than were queued");
        self.sent += n;
        if self.sent == self.queue.len() {
            self.sent = 0;
            self.queue.clear();
            self.queue.shrink_to(COMPACT);
        } else if self.sent > COMPACT && self.sent > self.queue.len() / 2 {
            self.queue.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Nothing waits to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent == self.queue.len()
    }
}

/// Appends the frame of one message to `out`.
///
/// # Errors
///
/// [`EncodeError::TooLarge`] and [`EncodeError::Unencodable`]; `out` is as it was.
pub fn frame(message: &Message, limits: &Limits, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (start, kind) = (out.len(), message.kind());
    let limit = limits.of(kind);
    out.extend_from_slice(&header(FrameLen::new(0), kind));
    let room = limit.as_usize() - (HEADER_BYTES - LENGTH_BYTES);
    let written = postcard::serialize_with_flavor::<_, _, usize>(message, Bounded { out, room, size: 0 });
    let failed = match written {
        Ok(size) if size <= room => {
            let body = FrameLen::new((size + HEADER_BYTES - LENGTH_BYTES) as u32);
            out[start..start + HEADER_BYTES].copy_from_slice(&header(body, kind));
            return Ok(());
        }
        Ok(size) => {
            EncodeError::TooLarge { message: message.name(), size: size + HEADER_BYTES - LENGTH_BYTES, limit }
        }
        Err(source) => EncodeError::Unencodable { message: message.name(), source },
    };
    out.truncate(start);
    Err(failed)
}

/// How many bytes a value takes on the wire; more than there can be, if it cannot be encoded.
pub(crate) fn wire_len<T: Serialize>(value: &T) -> usize {
    let mut nowhere = Vec::new();
    postcard::serialize_with_flavor(value, Bounded { out: &mut nowhere, room: 0, size: 0 })
        .unwrap_or(usize::MAX)
}

/// Writes what there is room for and counts the rest, so that a refusal can name the size.
struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    room: usize,
    size: usize,
}

impl Flavor for Bounded<'_> {
    type Output = usize;

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.size = self.size.saturating_add(data.len());
        if self.size <= self.room {
            self.out.extend_from_slice(data);
        }
        Ok(())
    }

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.size)
    }
}

/// Why a message was not queued. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// Longer than a frame of its kind may be. Send less, or raise the limit; errors have
    /// [`bounded`](super::WireError::bounded).
    TooLarge {
        /// Which message.
        message: &'static str,
        /// How long its frame would be, in bytes.
        size: usize,
        /// How long it may be.
        limit: FrameLen,
    },
    /// The peer does not read as fast as this end writes. Flush, then send again.
    Full {
        /// Which message.
        message: &'static str,
        /// How many bytes it needs.
        size: usize,
        /// How many bytes wait to be written.
        waiting: usize,
    },
    /// A value in it has no wire form, or the tree of its errors is too large.
    Unencodable {
        /// Which message.
        message: &'static str,
        /// What was wrong.
        source: postcard::Error,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::TooLarge { message, size, limit } => {
                write!(f, "{message} takes {size} bytes, and a frame of its kind may have {limit}")
            }
            EncodeError::Full { message, size, waiting } => {
                write!(f, "no room for {message} ({size} bytes): {waiting} bytes wait for the peer to read")
            }
            EncodeError::Unencodable { message, source } => {
                write!(f, "{message} cannot be encoded: {source}")
            }
        }
    }
}

impl std::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EncodeError::Unencodable { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EncodeError, Encoder};
    use crate::proto::{FrameLen, Ledger, Limits, Message};

    fn value(bytes: usize) -> Message {
        Message::Return { value: vec![7; bytes], ledger: Ledger::default() }
    }

    fn small() -> Limits {
        Limits { frame: FrameLen::kib(64), in_flight: FrameLen::kib(100), ..Limits::default() }
    }

    #[test]
    fn too_large_names_both_numbers_and_leaves_nothing() {
        let mut out = Encoder::new(small());
        out.push(&Message::Goodbye).unwrap();
        let before = out.unsent().to_vec();
        let e = out.push(&value(100_000)).unwrap_err();
        // kind, variant, length of the value in three bytes, the value, a ledger of zeros
        assert_eq!(e, EncodeError::TooLarge { message: "Return", size: 100_010, limit: FrameLen::kib(64) });
        assert_eq!(out.unsent(), before);
        // Nothing of it was kept in memory either.
        assert!(out.queue.capacity() <= 2 * 64 * 1024);
    }

    #[test]
    fn the_largest_frame_is_exactly_the_limit() {
        let mut out = Encoder::new(small());
        out.push(&value(65_536 - 10)).unwrap();
        assert_eq!(out.unsent().len(), 4 + 65_536);
        assert!(matches!(out.push(&value(65_536 - 9)), Err(EncodeError::TooLarge { .. })));
    }

    #[test]
    fn data_waits_for_room_and_control_does_not() {
        let mut out = Encoder::new(small());
        out.push(&value(60_000)).unwrap();
        assert!(matches!(out.push(&value(60_000)), Err(EncodeError::Full { message: "Return", .. })));
        out.push(&Message::Goodbye).unwrap();
        out.sent(40_000);
        out.push(&value(60_000)).unwrap();
    }

    #[test]
    fn even_control_is_bounded() {
        let mut out = Encoder::new(small());
        let most = (small().in_flight.get() + Limits::CONTROL_RESERVE.get()) as usize;
        while out.push(&Message::Goodbye).is_ok() {
            assert!(out.unsent().len() <= most);
        }
        assert!(out.unsent().len() + 6 > most);
    }

    #[test]
    fn what_was_sent_is_given_back() {
        let mut out = Encoder::new(Limits::default());
        let mut all = Vec::new();
        for i in 0..50 {
            out.push(&value(10_000 + i)).unwrap();
            let n = out.unsent().len().min(9_000);
            all.extend_from_slice(&out.unsent()[..n]);
            out.sent(n);
        }
        all.extend_from_slice(out.unsent());
        let mut whole = Encoder::new(Limits::default());
        (0..50).for_each(|i| whole.push(&value(10_000 + i)).unwrap());
        assert!(all == whole.unsent());
        assert!(out.sent < 200_000, "the sent part is given up");
    }
}
