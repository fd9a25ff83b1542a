//! The protocol as values and pure state machines. ◇
//!
//! ```text
//!   bytes ─► decoder ─┐                       ┌─► encoder ─► bytes
//!                     ├─ message ─► handshake ┤
//!   limits, frame ────┘                       └─► last_words (a child that must not allocate)
//! ```
//!
//! Nothing here knows a clock, a socket, a waker or an executor: time is the caller's, and so are the bytes.

mod clip;
pub mod decoder;
pub mod dialogs;
pub mod encoder;
pub mod error_tree;
pub mod frame;
pub mod handshake;
pub mod last_words;
pub mod limits;
pub mod message;

pub use decoder::{Decoder, ProtocolError};
pub use encoder::{EncodeError, Encoder};
pub use error_tree::{Origin, Payload, WireError, WireErrorKind};
pub use frame::Kind;
pub use handshake::{ChildBoot, ChildStep, Expected, HandshakeError, ParentBoot, ParentStep};
pub use last_words::last_words;
pub use limits::{FrameLen, Limits, LimitsError};
pub use message::{
    Backend, BootPhase, Cancel, Hello, LastWords, Ledger, Message, PROTOCOL, Reaped, Role, Spec, Started,
    Why, WireCause, WireEnding, WireStatus,
};
