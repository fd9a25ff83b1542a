//! Who has a worker that waits for work: the owner, which wants to give it some, or the worker itself, which wants to leave.
//!
//! ```text
//!   taken ─ the work is done: free() ─► free ─┬─ the owner: claim() ─► taken: work is on its way
//!                                             └─ the worker, after a while: claim() ─► taken: it leaves
//! ```
//!
//! * **One Winner.** A free seat is claimed by one of the two. A worker that finds its seat taken waits on: its work is on its
//!   way. An owner that finds it taken has nobody to give work to.
//!
//! `tests/loom_seat.rs` runs this file.

use super::parts::{AtomicBool, Ordering};

/// The seat of one worker. New: taken, by the work that it is made for.
pub(crate) struct Seat {
    taken: AtomicBool,
}

impl Seat {
    pub(crate) fn new() -> Self {
        Seat { taken: AtomicBool::new(true) }
    }

    /// The worker: its work is done.
    pub(crate) fn free(&self) {
        // A swap as in claim(): the changes of the flag then follow each other one by one, for the model as well.
        self.taken.swap(false, Ordering::AcqRel);
    }

    /// The owner or the worker: is it mine now?
    #[must_use = "who does not have the seat leaves it alone"]
    pub(crate) fn claim(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }

    /// The owner, of a worker that it has given nothing since: has it left?
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire)
    }
}
