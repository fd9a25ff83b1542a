//! The timer of an operation that waits, for the time of one run.
//!
//! ```text
//!   Alarm::arm(at, waker) ─► armed ─┬─ the moment has come ─► not armed any more: it has fired
//!                                   └─ disarm
//! ```
//!
//! Rules: in another run than its own an alarm was never armed. A run ends its timers when it ends, also those of what was
//! leaked.

use super::{RunKey, TimerTarget, run_key, try_with, with};
use crate::clock::Instant;
use crate::deadline::TimerKey;
use std::task::Waker;

/// A timer that was armed, which may have fired since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alarm {
    key: TimerKey,
    run: RunKey,
}

impl Alarm {
    /// Arms a timer that wakes a waker.
    #[track_caller]
    pub(crate) fn arm(at: Instant, now: Instant, waker: Waker) -> Alarm {
        let run = run_key();
        with(|rt| {
            let key = rt.timers.borrow_mut().insert(at, now, TimerTarget::Wake(waker));
            rt.ring_host();
            Alarm { key, run }
        })
    }

    /// Is it one of the active run?
    #[inline]
    pub(crate) fn is_of_this_run(self) -> bool {
        with(|rt| rt.active.get() == Some(self.run))
    }

    /// Is it still armed? Then it wakes this waker from now on.
    #[inline]
    pub(crate) fn is_armed(self, waker: &Waker) -> bool {
        with(|rt| {
            match rt.timers.borrow_mut().get_mut(self.key) {
                None => return false,
                Some(TimerTarget::Wake(before)) if before.will_wake(waker) => return true,
                Some(_) => {}
            }
            // Cloned and dropped outside: a foreign waker may do anything.
            let mut target = TimerTarget::Wake(waker.clone());
            if let Some(before) = rt.timers.borrow_mut().get_mut(self.key) {
                std::mem::swap(before, &mut target);
            }
            drop(target);
            true
        })
    }

    /// Disarms it, if it has not fired and its run is the active one.
    #[inline]
    pub(crate) fn disarm(self) {
        let gone = try_with(|rt| {
            (rt.active.get() == Some(self.run)).then(|| rt.timers.borrow_mut().remove(self.key))
        });
        drop(gone);
    }
}
