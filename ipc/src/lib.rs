//! Messages between the actors of a tree: frames, boot handshake and vocabulary as pure state machines, and a
//! channel that drives them over a Unix socket.
//!
//! ```text
//!                       ◇ proto: bytes in, decisions out; no socket, clock, waker or executor
//!            ┌──────────────────────────────────────────────────────────────┐
//!   socket ─bytes→ decoder ─messages→ handshake (boot), then the layer above
//!   socket ←bytes─ encoder ←messages─ handshake (boot), then the layer above
//!            └──────────────────────────────────────────────────────────────┘
//!   transport   moves bytes, knows no frames          ┐ feature `runtime`
//!   channel     the short loop that joins the two     ┘ (default)
//!   codec    ◇  typed values of users ↔ the payload of a message
//! ```
//!
//! Rules:
//! * A frame that breaks the protocol ends the connection and nothing else; it is never skipped.
//! * No allocation is sized by a number that a peer sent before the bytes came.
//! * Half a frame never reaches the wire, whatever is cancelled or dropped.
//!
//! The bytes themselves are described in `docs/protocol.md`.
//!
//! ```
//! use pleach_ipc::proto::{Decoder, Encoder, Limits, Message};
//!
//! let mut out = Encoder::new(Limits::default());
//! out.push(&Message::Goodbye).unwrap();
//!
//! let mut decoder = Decoder::new(Limits::default());
//! for byte in out.unsent() {
//!     decoder.handle_bytes(&[*byte]);                  // any cut will do
//! }
//! assert_eq!(decoder.poll_message(), Some(Ok(Message::Goodbye)));
//! assert_eq!(decoder.end_of_stream(), Ok(()));
//! ```

#![forbid(unsafe_code)]

#[cfg(feature = "runtime")]
pub mod channel;
pub mod codec;
#[cfg(feature = "runtime")]
mod error;
pub mod proto;
#[cfg(feature = "runtime")]
pub mod transport;

#[cfg(feature = "runtime")]
pub use channel::{Channel, DrainEnd, Drained, Reader, Sent};
#[cfg(feature = "runtime")]
pub use error::ChannelError;
