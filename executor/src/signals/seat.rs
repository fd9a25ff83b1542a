//! A stream's place with the handler: what it hears, what it has taken, and the way back to how it was.
//!
//! ```text
//!   Seat::take(bell) ─► listen(signal) … ─► next() ─► drop: bell down ─► dispositions back ─► what nobody took is raised
//! ```
//!
//! Rules:
//! * Half-way through an opening that fails, dropping it puts back what was changed so far.
//! * **Forgets Itself**: inherited by a forked child it does nothing.

use super::{OpenError, Signal, dispositions, handler};
use crate::{runtime, sys};
use std::cell::Cell;
use std::os::fd::RawFd;

/// Signals that were taken from the handler and not handed out, and whose turn it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    waiting: u64,
    /// The bit behind the last one handed out: the search starts there, so that no signal starves another.
    from: u32,
}

impl Turns {
    fn add(&mut self, set: u64) {
        self.waiting |= set;
    }

    fn next(&mut self) -> Option<Signal> {
        if self.waiting == 0 {
            return None;
        }
        let ahead = self.waiting.rotate_right(self.from).trailing_zeros();
        let index = (ahead + self.from) % 64;
        self.waiting &= !(1 << index);
        self.from = (index + 1) % 64;
        Some(Signal::from_raw(index as i32 + 1))
    }
}

/// Whether a stream goes on listening when a signal has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listens {
    ToAll,
    /// From the first on the signal has its default effect again, even before anybody has taken it.
    ToTheFirst,
}

#[derive(Debug)]
pub(super) struct Seat {
    place: usize,
    held: u64,
    turns: Cell<Turns>,
    epoch: u64,
}

impl Seat {
    pub(super) fn take(bell: RawFd) -> Result<Self, OpenError> {
        let place = dispositions::take_place(bell).ok_or(OpenError::Full)?;
        Ok(Seat { place, held: 0, turns: Cell::default(), epoch: runtime::epoch() })
    }

    /// Listens to a signal as well. Once is enough: the second time nothing happens.
    pub(super) fn listen(&mut self, signal: Signal, how: Listens) -> Result<(), OpenError> {
        if self.held & signal.bit() != 0 {
            return Ok(());
        }
        // In this order: see `handler::on_signal`.
        handler::hear(self.place, signal.bit(), how == Listens::ToTheFirst);
        dispositions::hold(signal)?;
        self.held |= signal.bit();
        // Whoever started this process may have blocked it, and it would never come.
        sys::unblock_signal(signal.as_raw());
        Ok(())
    }

    pub(super) fn held(&self) -> u64 {
        self.held
    }

    pub(super) fn next(&self) -> Option<Signal> {
        let mut turns = self.turns.get();
        turns.add(handler::take_pending(self.place));
        let next = turns.next();
        self.turns.set(turns);
        next
    }

    /// As if it had not been taken.
    pub(super) fn give_back(&self, signal: Signal) {
        let mut turns = self.turns.get();
        turns.add(signal.bit());
        self.turns.set(turns);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.epoch != runtime::epoch() {
            return;
        }
        let left = self.turns.get().waiting | dispositions::leave_place(self.place);
        let gone = Signal::each(self.held).filter(|signal| dispositions::release(*signal));
        let gone = gone.fold(0, |set, signal| set | signal.bit());
        // Nobody has heard of these, so they do what they would have done without a stream.
        Signal::each(gone & left).for_each(|signal| sys::raise_signal(signal.as_raw()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(turns: &mut Turns) -> Vec<Signal> {
        std::iter::from_fn(|| turns.next()).collect()
    }

    #[test]
    fn each_has_its_turn_whatever_comes_meanwhile() {
        let mut turns = Turns::default();
        let both = Signal::USR1.bit() | Signal::USR2.bit();
        for _ in 0..3 {
            turns.add(both);
            assert_eq!(turns.next(), Some(Signal::USR1));
            turns.add(both);
            assert_eq!(turns.next(), Some(Signal::USR2));
        }
        turns.add(u64::MAX);
        assert_eq!(order(&mut turns).len(), 64);
        assert_eq!(turns.next(), None);
    }
}
