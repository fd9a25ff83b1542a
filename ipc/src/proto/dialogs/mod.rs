//! Many dialogs over one connection: opened by either end, each with its argument, streams, result and end. ◇
//!
//! ```text
//!            open, send, receive, cancel, finish          handle_bytes ◄─ bytes of the peer
//!   user ──────────────────────────────────────► mux ◄──┤
//!        ◄────────────────────── poll_event ─────┘       poll_transmit ─► bytes for the peer, one batch
//!
//!   mux ── one for each dialog:  state (who may do what, how it ended)
//!     │                          outbox (messages yet to send, policy) ── credit: the allowance
//!     │                          inbox (pieces yet to be read) ────────── credit: the window
//!     └─ schedule (control first, then one chunk each in turn), alive (is the peer there), ops and code (the bytes)
//! ```
//!
//! Rules:
//! * **Pull**: nothing that waits is encoded. A batch is made when the transport can take it, so a control operation
//!   is behind at most that batch.
//! * **Bounded**: what a peer can make this end keep is in [`Terms`]. Every limit has its variant of [`Limit`]; breaking
//!   one ends the connection and nothing else.
//! * **Whole**: a message that was taken by [`Mux::send`] is told to the peer whole, or as a gap, or the dialog ends.
//! * Time is an argument: how long it is since a moment of the caller's choice, never going back.
//!
//! The bytes, states and limits are specified in `docs/dialogs.md`.

mod alive;
mod code;
mod credit;
mod ended;
mod inbox;
mod limit;
mod mux;
mod ops;
mod outbox;
mod schedule;
mod state;

pub use alive::KeepAlive;
pub use credit::Credit;
pub use ended::{EndedBy, Ender, Loss};
pub use inbox::Received;
pub use limit::{BODY, Breach, CAUSE, CHUNK, Limit, NAME, Terms};
pub use mux::{Event, Mux, OpenError, Outcome};
pub use ops::{Class, DialogId, How, KIND, Mode, Op, Refusal, Side};
pub use outbox::{Overflow, Policy, SendError, Sent};
