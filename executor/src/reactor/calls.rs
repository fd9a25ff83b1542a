//! What other threads ask the owner of a run to do: a line of calls in front of the inbox, with an end.
//!
//! ```text
//!   any thread                                  the owner
//!   1 lock: over? then refused                  a takes CALLS out of its inbox
//!           else to the back of the line        b lock: takes the whole line
//!   2 was the line empty? inbox.push(CALLS)     c makes the calls
//!                                               z lock: over; takes what is left, and makes it
//! ```
//!
//! * **No Lost Call.** The line is under one lock, so every (1) lies before one (b) or (z) that takes its call, or after (z),
//!   and then it is refused. If a line that is not empty is never taken, then whoever made it so has pushed CALLS, or is
//!   about to: and by the argument of [`super::notify`] the owner hears of that.
//! * **Accepted Is Made.** The owner ends a line by (z) only, and makes what it took.
//! * **One Word.** However long the line grows, one word is pushed for it, and the bell rings at most once.
//!
//! A call that is made once for all who asked ([`Calls::put_once`]) is in line exactly as long as its flag is up. The flag
//! goes up under the lock, and down right before the call: who finds it up has asked in time, and what it wrote before is
//! seen by the call, because both are read-modify-writes of the flag.
//!
//! `tests/loom_calls.rs` runs this file and `notify.rs` in every order of two threads and an owner.

use super::notify::Inbox;
use super::parts::{AtomicBool, Mutex, MutexGuard, Ordering, PoisonError};
use std::sync::Arc;

/// The word that stands for a line of calls. No task has it: executors are numbered from 1.
pub(crate) const CALLS: u64 = 0;

enum Line<T> {
    Open(Vec<T>),
    Over,
}

/// The calls that other threads asked for, oldest first.
pub(crate) struct Calls<T> {
    line: Mutex<Line<T>>,
    inbox: Arc<Inbox>,
}

/// What is asked for comes too late.
#[derive(Debug)]
pub(crate) struct Over;

impl<T> Calls<T> {
    /// A line whose owner is told through this inbox.
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Calls { line: Mutex::new(Line::Open(Vec::new())), inbox }
    }

    fn lock(&self) -> MutexGuard<'_, Line<T>> {
        // Nothing of a user's runs under the lock.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Any thread: puts a call at the end of the line. It comes back if the line is over.
    pub(crate) fn put(&self, call: T) -> Result<(), T> {
        let first = match &mut *self.lock() {
            Line::Over => return Err(call),
            Line::Open(line) => {
                line.push(call);
                line.len() == 1
            }
        };
        if first {
            self.inbox.push(CALLS);
        }
        Ok(())
    }

    /// Any thread: the same, unless this call is in line already. `call` must not run anything of a user's.
    pub(crate) fn put_once(&self, in_line: &AtomicBool, call: impl FnOnce() -> T) -> Result<(), Over> {
        let first = match &mut *self.lock() {
            Line::Over => return Err(Over),
            Line::Open(_) if in_line.swap(true, Ordering::AcqRel) => false,
            Line::Open(line) => {
                line.push(call());
                line.len() == 1
            }
        };
        if first {
            self.inbox.push(CALLS);
        }
        Ok(())
    }

    /// The owner: takes the whole line, in exchange for an empty one.
    pub(crate) fn take(&self, empty: &mut Vec<T>) {
        debug_assert!(empty.is_empty(), "calls that were taken are made");
        if let Line::Open(line) = &mut *self.lock() {
            std::mem::swap(line, empty);
        }
    }

    /// The owner: ends the line, and takes what is left in it.
    #[must_use = "what was accepted is made"]
    pub(crate) fn end(&self) -> Vec<T> {
        match std::mem::replace(&mut *self.lock(), Line::Over) {
            Line::Open(line) => line,
            Line::Over => Vec::new(),
        }
    }

    /// Any thread: how many calls are in line.
    pub(crate) fn len(&self) -> usize {
        match &*self.lock() {
            Line::Open(line) => line.len(),
            Line::Over => 0,
        }
    }

    /// Any thread: is the line over?
    pub(crate) fn is_over(&self) -> bool {
        matches!(*self.lock(), Line::Over)
    }
}

/// The owner, right before it makes a call that was put in once: who asks from now on has it made again.
pub(crate) fn leaves_line(in_line: &AtomicBool) {
    in_line.swap(false, Ordering::AcqRel);
}
