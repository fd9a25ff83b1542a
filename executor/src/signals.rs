//! Signals as values: a stream of them, and Ctrl-C as the cancellation of a run.
//!
//! ```text
//!   kernel ─► handler ─ bit, bell ─► seat of each stream that listens ─► Signals::receive() ─► a task
//!                                                                     └► run_interruptible: the root scope is cancelled
//! ```
//!
//! * `number.rs`: what a signal is called, and which ones may be caught. `handler.rs`: what runs in the handler.
//! * `dispositions.rs`: who listens to what, and what was installed before. `seat.rs`: a stream's place with both.
//! * `stream.rs`: the stream. `interrupt.rs`: Ctrl-C. `error.rs`: why not.
//!
//! Rules:
//! * **Heard By All**: every stream that listens to a signal hears it, in whatever run and on whatever thread.
//! * Signals of one kind coalesce, as they do in the kernel.
//! * **Put Back**: with the last stream for a signal goes our handler; what was installed before comes back, and a signal
//!   that nobody received then does what it would have done.
//! * What a layer above has claimed for a handler of its own is not touched ([`crate::low_level::claim_signal`]).

pub(crate) mod dispositions;
mod error;
pub(crate) mod handler;
mod interrupt;
#[cfg(feature = "stream")]
mod items;
mod number;
mod seat;
mod stream;

pub use error::{OpenError, ReceiveError, TryReceiveError};
pub use interrupt::{Stopped, run_interruptible};
pub use number::Signal;
pub use stream::Signals;
