//! A worker: a thread that does one piece of work after another, and leaves when there has been none for a while.
//!
//! ```text
//!   Worker (owner) ─ Work ─► channel ─► the thread: name, do, name back, free the seat, tell the owner ─┐
//!     dropped: the channel ends ─► it leaves                     none for IDLE, and the seat is its own: it leaves ◄─┘
//! ```
//!
//! Rules:
//! * The worker's seat is free before the owner is told, so that whoever hears of the end can use the thread again.
//! * Nothing that a piece of work does, its panics and destructors included, ends the thread.

use super::seat::Seat;
use crate::sys;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::ffi::CString;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// What a worker is called while it has no work with a name.
pub(super) const NAME: &str = "pleach-worker";

/// How long a worker waits for work before it leaves.
const IDLE: Duration = Duration::from_secs(10);

/// One piece of work, in two parts: the second, which tells the owner, comes after the seat is free.
pub(super) struct Work {
    pub(super) name: Option<String>,
    pub(super) work: Box<dyn FnOnce() + Send>,
    pub(super) tell: Box<dyn FnOnce() + Send>,
}

/// A thread, as its owner holds it.
pub(super) struct Worker {
    work: Sender<Work>,
    seat: Arc<Seat>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// A thread that begins with this work. `left` is called in the thread when it leaves by itself.
    pub(super) fn start(first: Work, left: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (work, works) = bounded(1);
        let seat = Arc::new(Seat::new());
        let theirs = Arc::clone(&seat);
        let thread = Builder::new().name(NAME.into()).spawn(move || {
            if stay(first, &works, &theirs) {
                left();
            }
        })?;
        Ok(Worker { work, seat, thread })
    }

    /// Gives it work. If it has left, or is at work, the work comes back.
    pub(super) fn give(&self, work: Work) -> Result<(), Work> {
        if !self.seat.claim() {
            return Err(work);
        }
        // It has room for one, and the thread waits for it (One Winner).
        self.work.send(work).map_err(|refused| refused.0)
    }

    /// Is it without work? Then it gets none any more.
    #[must_use = "nobody but the claimer can end it"]
    pub(super) fn claim(&self) -> bool {
        self.seat.claim()
    }

    /// An idle one: has it left by itself?
    pub(super) fn has_left(&self) -> bool {
        self.seat.is_taken()
    }

    /// Waits until the thread has ended. For one that is idle, has left, or whose seat the owner has claimed.
    pub(super) fn join(self) {
        drop(self.work);
        // It does not panic, by the rules above.
        let _ = self.thread.join();
    }
}

/// The thread's life. True if it leaves by itself.
fn stay(first: Work, works: &Receiver<Work>, seat: &Seat) -> bool {
    let mut next = Some(first);
    loop {
        if let Some(work) = next.take() {
            do_it(work, seat);
        }
        match works.recv_timeout(IDLE) {
            Ok(work) => next = Some(work),
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) if seat.claim() => return true,
            // Work is on its way (One Winner).
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn do_it(Work { name, work, tell }: Work, seat: &Seat) {
    let named = name.map(|name| sys::name_thread(&c_name(&name)));
    without_panic(work);
    if named.is_some() {
        sys::name_thread(&c_name(NAME));
    }
    seat.free();
    without_panic(tell);
}

/// What a destructor panics with has been printed, and goes nowhere else.
fn without_panic(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        std::mem::forget(payload);
    }
}

/// The part before a zero, if there is one.
fn c_name(name: &str) -> CString {
    let part = name.split('\0').next().unwrap_or_default();
    CString::new(part).expect("cut at the first zero")
}
