//! The timer of an operation that waits, for the time of one run.
//!
//! ```text
//!   Alarm::arm(at, waker) ─► Armed ─┬─ the moment has come ─────► Fired
//!                                   ├─ disarm
//!                                   └─ the run ends, or a fork ─► Gone: to be armed anew, if somebody still waits
//! ```
//!
//! Rules: a run ends its timers when it ends, also those of what was leaked; in a forked child none of its parent's is touched.

use super::{Runtime, TimerTarget, try_with, with};
use crate::clock::Instant;
use crate::deadline::TimerKey;
use crate::registry;
use std::task::Waker;

/// A timer that was armed in a fork epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alarm {
    key: TimerKey,
    epoch: u64,
}

impl Alarm {
    /// Arms a timer that wakes a waker.
    #[inline]
    pub(crate) fn arm(at: Instant, now: Instant, waker: Waker) -> Alarm {
        Alarm { key: arm(at, now, waker), epoch: registry::epoch() }
    }

    /// Is it of this fork epoch?
    #[inline]
    pub(crate) fn is_ours(self) -> bool {
        self.epoch == registry::epoch()
    }

    /// Is this one, which is ours, still armed? Then it wakes this waker from now on.
    pub(crate) fn is_armed(self, waker: &Waker) -> bool {
        with(|rt| {
            match rt.timers.borrow_mut().get_mut(self.key) {
                None => return false,
                Some(TimerTarget::Wake(before)) if before.will_wake(waker) => return true,
                Some(_) => {}
            }
            self.wake_instead(rt, waker);
            true
        })
    }

    /// Has one that is ours, not armed any more, and was armed for `at`, fired? Else its run has ended.
    pub(crate) fn has_fired(at: Instant) -> bool {
        with(|rt| rt.timers.borrow().has_come(at))
    }

    /// From now on it wakes this one.
    fn wake_instead(self, rt: &Runtime, waker: &Waker) {
        // Cloned and dropped outside: a foreign waker may do anything.
        let mut target = TimerTarget::Wake(waker.clone());
        if let Some(before) = rt.timers.borrow_mut().get_mut(self.key) {
            std::mem::swap(before, &mut target);
        }
        drop(target);
    }

    /// Disarms it, if it is armed.
    #[inline]
    pub(crate) fn disarm(self) {
        if self.is_ours() {
            disarm(self.key);
        }
    }
}

fn arm(at: Instant, now: Instant, waker: Waker) -> TimerKey {
    with(|rt| {
        let key = rt.timers.borrow_mut().insert(at, now, TimerTarget::Wake(waker));
        rt.ring_host();
        key
    })
}

fn disarm(key: TimerKey) {
    let gone = try_with(|rt| rt.timers.borrow_mut().remove(key));
    drop(gone);
}
