//! Bytes to messages: the input side of a connection. ◇
//!
//! ```text
//!   socket ─ handle_bytes │ space + filled ─► [ consumed │ frame │ frame │ half a fr… │ spare ]
//!                                                            │
//!   poll_message ◄─ message ◄─ postcard ◄─ length, kind, limit ─ broken? ─► poisoned: the same error for ever
//! ```
//!
//! Rules:
//! * **Any cut**: bytes may come in pieces of any size; what is half there stays until the rest comes.
//! * **No trust in numbers**: memory grows with the bytes that came (to at most twice as much, and never beyond one
//!   frame of the limit and [`CHUNK`]), not with the length a peer announces.
//! * **Never skip**: a frame that breaks the protocol is an error, and so is everything after it.

use super::frame::{HEADER_BYTES, Kind, LENGTH_BYTES};
use super::limits::{FrameLen, Limits};
use super::message::{Message, PROTOCOL};
use std::fmt;

/// How many bytes of room [`Decoder::space`] offers at least.
pub const CHUNK: usize = 8 * 1024;
/// An empty buffer larger than this is given back.
const KEEP: usize = 64 * 1024;

/// The input side of one connection. New, it is in boot: every frame must be within [`Limits::BOOT`].
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    booting: bool,
    /// Consumed up to `start`, received up to `end`, room after that.
    buf: Vec<u8>,
    start: usize,
    end: usize,
    broken: Option<ProtocolError>,
}

impl Decoder {
    /// The decoder of a connection that is already up.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Decoder { limits, booting: false, buf: Vec::new(), start: 0, end: 0, broken: None }
    }

    /// The decoder of a connection whose handshake is yet to come; see [`open`](Self::open).
    #[must_use]
    pub fn booting() -> Self {
        Decoder { booting: true, ..Self::new(Limits::default()) }
    }

    /// The handshake is done: from now on these limits hold, also for bytes that are already here.
    pub fn open(&mut self, limits: Limits) {
        self.limits = limits;
        self.booting = false;
    }

    /// Takes bytes that came. Afterwards call [`poll_message`](Self::poll_message) until it gives `None`.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        if self.broken.is_some() {
            return;
        }
        self.make_room(bytes.len());
        self.buf[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Room to read into, never empty; then say [`filled`](Self::filled). Poll the messages that are there first: they
    /// keep their place.
    pub fn space(&mut self) -> &mut [u8] {
        // A frame that is on its way gets as much room as it has shown bytes; so few reads, and no trust in its length.
        let received = self.end - self.start;
        let limit = self.longest().as_usize() + LENGTH_BYTES;
        self.make_room(received.min(limit.saturating_sub(received)).max(CHUNK));
        &mut self.buf[self.end..]
    }

    /// The first `n` bytes of [`space`](Self::space) have been read into.
    ///
    /// # Panics
    ///
    /// If there was less room.
    pub fn filled(&mut self, n: usize) {
        assert!(n <= self.buf.len() - self.end, "more bytes were read than there was room for");
        if self.broken.is_none() {
            self.end += n;
        }
    }

    /// The next message, if all of it is here.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`]: the peer broke the protocol. The decoder is poisoned: it takes no more bytes and gives the
    /// same error again. End the connection.
    pub fn poll_message(&mut self) -> Option<Result<Message, ProtocolError>> {
        if let Some(e) = &self.broken {
            return Some(Err(e.clone()));
        }
        let next = self.next_message().transpose()?;
        if let Err(e) = &next {
            self.broken = Some(e.clone());
            (self.buf, self.start, self.end) = (Vec::new(), 0, 0);
        }
        Some(next)
    }

    /// No more bytes will come. Call it after [`poll_message`](Self::poll_message) gave `None`.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Truncated`] if the stream ended inside a frame, or what broke the decoder before.
    pub fn end_of_stream(&self) -> Result<(), ProtocolError> {
        match (&self.broken, self.end - self.start) {
            (Some(e), _) => Err(e.clone()),
            (None, 0) => Ok(()),
            (None, received) => Err(ProtocolError::Truncated { received }),
        }
    }

    /// How many bytes are here that belong to no complete message yet, or to messages not yet polled.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.end - self.start
    }

    fn next_message(&mut self) -> Result<Option<Message>, ProtocolError> {
        let here = &self.buf[self.start..self.end];
        let Some((length, rest)) = here.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let len = FrameLen::new(u32::from_le_bytes(*length));
        if len.get() == 0 {
            return Err(ProtocolError::Empty);
        }
        // As early as possible: the length alone may already be too much for any kind.
        self.within(len, self.longest())?;
        let Some(byte) = rest.first() else { return Ok(None) };
        let kind = Kind::from_byte(*byte).ok_or(ProtocolError::UnknownKind { byte: *byte })?;
        self.within(len, self.limits.of(kind))?;
        let Some(body) = rest.get(..len.as_usize()) else { return Ok(None) };
        let message = decode(kind, &body[HEADER_BYTES - LENGTH_BYTES..])?;
        self.consume(LENGTH_BYTES + len.as_usize());
        Ok(Some(message))
    }

    /// The longest frame of any kind at this stage.
    fn longest(&self) -> FrameLen {
        if self.booting { Limits::BOOT } else { self.limits.frame.max(Limits::BOOT).max(Limits::CONTROL) }
    }

    fn within(&self, len: FrameLen, limit: FrameLen) -> Result<(), ProtocolError> {
        if len <= limit { Ok(()) } else { Err(ProtocolError::TooLong { len, limit, booting: self.booting }) }
    }

    fn consume(&mut self, n: usize) {
        self.start += n;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buf.len() > KEEP {
                self.buf = Vec::new();
            }
        }
    }

    /// Makes room for `n` more bytes after `end`.
    fn make_room(&mut self, n: usize) {
        if self.buf.len() - self.end >= n {
            return;
        }
        self.buf.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buf.len() < self.end + n {
            // Exactly: how fast the buffer grows is decided by the callers, not by `Vec`.
            self.buf.reserve_exact(self.end + n - self.buf.len());
            self.buf.resize(self.end + n, 0);
        }
    }
}

fn decode(kind: Kind, payload: &[u8]) -> Result<Message, ProtocolError> {
    match postcard::take_from_bytes::<Message>(payload) {
        Ok((message, [])) if message.kind() == kind => Ok(message),
        Ok((message, [])) => Err(ProtocolError::WrongKind { message: message.name(), kind }),
        Ok((message, rest)) => Err(ProtocolError::Trailing { message: message.name(), extra: rest.len() }),
        Err(source) => Err(match their_version(kind, payload) {
            Some(theirs) if theirs != PROTOCOL => ProtocolError::Version { theirs },
            _ => ProtocolError::Undecodable { kind, source },
        }),
    }
}

/// The version in a `Hello`, which stands where every version has it, even if the rest cannot be read.
fn their_version(kind: Kind, payload: &[u8]) -> Option<u16> {
    let ((variant, version), _) = postcard::take_from_bytes::<(u32, u16)>(payload).ok()?;
    (kind == Kind::Boot && variant == 0).then_some(version)
}

/// A peer broke the protocol: its fault, and fatal for the connection. Nothing else is harmed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A frame announced no bytes at all.
    Empty,
    /// A frame announced more bytes than its kind may have. If that was meant: raise the limit for both ends.
    TooLong {
        /// How long it said it is.
        len: FrameLen,
        /// How long it may be.
        limit: FrameLen,
        /// Was the handshake still on?
        booting: bool,
    },
    /// There is no such kind of frame: the peer speaks something else, or the stream is corrupt.
    UnknownKind {
        /// The byte that came.
        byte: u8,
    },
    /// The payload is no message.
    Undecodable {
        /// The kind of its frame.
        kind: Kind,
        /// What was wrong.
        source: postcard::Error,
    },
    /// A message, and then more.
    Trailing {
        /// Which message.
        message: &'static str,
        /// How many bytes too many.
        extra: usize,
    },
    /// A message in a frame of another kind.
    WrongKind {
        /// Which message.
        message: &'static str,
        /// The kind of the frame.
        kind: Kind,
    },
    /// The peer speaks another version. Start both from the same build.
    Version {
        /// Its version.
        theirs: u16,
    },
    /// The stream ended inside a frame: the peer was ended, or ended itself, while it was writing.
    Truncated {
        /// How many bytes of the frame had come.
        received: usize,
    },
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer broke the protocol: ")?;
        match self {
            ProtocolError::Empty => f.write_str("a frame of no bytes"),
            ProtocolError::TooLong { len, limit, booting } => {
                let when = if *booting { " during the handshake" } else { "" };
                write!(f, "a frame of {len}, where {limit} are the most{when}")
            }
            ProtocolError::UnknownKind { byte } => write!(f, "no kind of frame has the number {byte}"),
            ProtocolError::Undecodable { kind, source } => {
                write!(f, "a {kind} frame that is no message: {source}")
            }
            ProtocolError::Trailing { message, extra } => write!(f, "{extra} bytes too many after {message}"),
            ProtocolError::WrongKind { message, kind } => write!(f, "{message} in a {kind} frame"),
            ProtocolError::Version { theirs } => write!(f, "it speaks version {theirs}, this end {PROTOCOL}"),
            ProtocolError::Truncated { received } => {
                write!(f, "the stream ended inside a frame, {received} bytes after its begin")
            }
        }
    }
}

impl std::error::Error for ProtocolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ProtocolError::Undecodable { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Decoder, ProtocolError};
    use crate::proto::{FrameLen, Kind, Ledger, Limits, Message, PROTOCOL};

    fn poisoned_by(bytes: &[u8]) -> ProtocolError {
        let mut decoder = Decoder::new(Limits::default());
        decoder.handle_bytes(bytes);
        let Some(Err(e)) = decoder.poll_message() else { panic!("accepted {bytes:?}") };
        // Poisoned: what comes later is not looked at, and the end of the stream is no better.
        decoder.handle_bytes(&[1, 0, 0, 0, 2]);
        decoder.space()[0] = 9;
        decoder.filled(1);
        assert_eq!(decoder.poll_message(), Some(Err(e.clone())));
        assert_eq!(decoder.end_of_stream(), Err(e.clone()));
        e
    }

    #[test]
    fn every_breach_has_its_name() {
        assert_eq!(poisoned_by(&[0, 0, 0, 0]), ProtocolError::Empty);
        assert_eq!(poisoned_by(&[9, 0, 0, 0, 77]), ProtocolError::UnknownKind { byte: 77 });
        let goodbye = 10;
        assert_eq!(
            poisoned_by(&[2, 0, 0, 0, 3, goodbye]),
            ProtocolError::WrongKind { message: "Goodbye", kind: Kind::Data }
        );
        assert_eq!(
            poisoned_by(&[4, 0, 0, 0, 2, goodbye, 0, 0]),
            ProtocolError::Trailing { message: "Goodbye", extra: 2 }
        );
        let e = poisoned_by(&[2, 0, 0, 0, 2, 200]);
        assert!(matches!(e, ProtocolError::Undecodable { kind: Kind::Control, .. }), "{e}");
    }

    #[test]
    fn an_unreadable_hello_of_another_version_is_named_so() {
        // Hello is variant 0, and its first field is the version.
        assert_eq!(poisoned_by(&[3, 0, 0, 0, 1, 0, 9]), ProtocolError::Version { theirs: 9 });
        let ours = poisoned_by(&[3, 0, 0, 0, 1, 0, PROTOCOL as u8]);
        assert!(matches!(ours, ProtocolError::Undecodable { .. }), "{ours}");
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_bytes_come() {
        let limits = Limits { frame: FrameLen::kib(100), ..Limits::default() };
        let mut decoder = Decoder::new(limits);
        decoder.handle_bytes(&FrameLen::kib(101).get().to_le_bytes());
        let Some(Err(ProtocolError::TooLong { len, limit, booting: false })) = decoder.poll_message() else {
            panic!()
        };
        assert_eq!((len, limit), (FrameLen::kib(101), FrameLen::kib(100)));

        // Within the limit of data, but over that of control.
        let mut decoder = Decoder::new(limits);
        decoder.handle_bytes(&FrameLen::kib(99).get().to_le_bytes());
        assert_eq!(decoder.poll_message(), None);
        decoder.handle_bytes(&[Kind::Control.byte()]);
        assert!(matches!(
            decoder.poll_message(),
            Some(Err(ProtocolError::TooLong { limit: Limits::CONTROL, .. }))
        ));
    }

    #[test]
    fn a_large_frame_has_to_wait_for_the_end_of_the_handshake() {
        let length = FrameLen::kib(65).get().to_le_bytes();
        let mut decoder = Decoder::booting();
        decoder.handle_bytes(&length);
        assert!(matches!(decoder.poll_message(), Some(Err(ProtocolError::TooLong { booting: true, .. }))));

        let mut decoder = Decoder::booting();
        decoder.handle_bytes(&length);
        decoder.open(Limits::default());
        assert_eq!(decoder.poll_message(), None);
    }

    #[test]
    fn memory_follows_the_bytes_and_not_the_announcement() {
        let mut decoder = Decoder::new(Limits::default());
        let announced = Limits::default().frame.get();
        decoder.handle_bytes(&announced.to_le_bytes());
        decoder.handle_bytes(&[Kind::Data.byte()]);
        assert_eq!(decoder.poll_message(), None);
        let mut received = 5;
        while received < 3_000_000 {
            let n = decoder.space().len();
            decoder.filled(n);
            received += n;
            assert_eq!(decoder.poll_message(), None);
            assert!(decoder.buf.capacity() <= 2 * received + CHUNK);
        }
    }

    #[test]
    fn one_frame_of_the_limit_and_a_chunk_is_the_most() {
        let limits = Limits { frame: FrameLen::kib(200), ..Limits::default() };
        let message = Message::Return { value: vec![1; 200 * 1024 - 10], ledger: Ledger::default() };
        let mut bytes = Vec::new();
        crate::proto::encoder::frame(&message, &limits, &mut bytes).unwrap();
        assert_eq!(bytes.len(), 4 + 200 * 1024);
        let mut decoder = Decoder::new(limits);
        let mut at = 0;
        while at < bytes.len() {
            assert_eq!(decoder.poll_message(), None);
            let space = decoder.space();
            let n = space.len().min(bytes.len() - at);
            space[..n].copy_from_slice(&bytes[at..at + n]);
            decoder.filled(n);
            at += n;
            assert!(decoder.buf.capacity() <= bytes.len() + CHUNK);
        }
        assert!(decoder.poll_message() == Some(Ok(message)));
        assert_eq!(decoder.buf.capacity(), 0, "a large buffer is given back");
    }

    #[test]
    fn the_end_between_frames_is_clean_and_inside_one_is_not() {
        let mut decoder = Decoder::new(Limits::default());
        assert_eq!(decoder.end_of_stream(), Ok(()));
        decoder.handle_bytes(&[2, 0, 0, 0, 2, 10, 2, 0]);
        assert_eq!(decoder.poll_message(), Some(Ok(Message::Goodbye)));
        assert_eq!(decoder.poll_message(), None);
        assert_eq!(decoder.end_of_stream(), Err(ProtocolError::Truncated { received: 2 }));
        assert_eq!(decoder.buffered(), 2);
    }
}
