//! Which children of this process somebody holds: a root that reaps what dead parents have left has to know whose is nobody's.
//!
//! ```text
//!   making() ─► a child is made ─► Hold, in its Process ─► reaped        is_held(pid)
//!      └── as long as a number is not known ──┘                          all_made_before(moment)
//! ```
//!
//! Rules:
//! * From the moment at which a child may be there until it is reaped there is a [`Making`] or a [`Hold`]. So a child of
//!   this process for which neither is there was made by somebody else.
//! * A forked child holds nobody: what it finds here is its parent's.

use crate::process::Pid;
use pleach_executor::low_level;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Threads may have runs of their own, and children are the process'.
static HELD: Mutex<Held> = Mutex::new(Held::new());

struct Held {
    /// Whose they are.
    epoch: u64,
    /// A handle that changes hands is there twice for a moment.
    pids: BTreeMap<Pid, u32>,
    begun: u64,
    making: BTreeSet<u64>,
}

impl Held {
    const fn new() -> Self {
        Held { epoch: 0, pids: BTreeMap::new(), begun: 0, making: BTreeSet::new() }
    }
}

fn held() -> MutexGuard<'static, Held> {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let epoch = low_level::epoch();
    if held.epoch != epoch {
        *held = Held { epoch, ..Held::new() };
    }
    held
}

/// A child is being made, and its number is nobody's yet.
#[derive(Debug)]
pub(crate) struct Making {
    epoch: u64,
    number: u64,
}

/// From now on a child may be there.
pub(crate) fn making() -> Making {
    let mut held = held();
    held.begun += 1;
    let number = held.begun;
    held.making.insert(number);
    Making { epoch: held.epoch, number }
}

impl Drop for Making {
    fn drop(&mut self) {
        let mut held = held();
        if held.epoch == self.epoch {
            held.making.remove(&self.number);
        }
    }
}

/// A child that is held as long as this lives.
#[derive(Debug)]
pub(crate) struct Hold {
    epoch: u64,
    pid: Pid,
}

impl Hold {
    pub(crate) fn new(pid: Pid) -> Self {
        let mut held = held();
        *held.pids.entry(pid).or_default() += 1;
        Hold { epoch: held.epoch, pid }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = held();
        if held.epoch != self.epoch {
            return;
        }
        if let Some(hands) = held.pids.get_mut(&self.pid) {
            *hands -= 1;
            if *hands == 0 {
                held.pids.remove(&self.pid);
            }
        }
    }
}

/// Does a [`Process`](crate::Process) of this process stand for this child, or is it being put down?
#[must_use]
pub fn is_held(pid: Pid) -> bool {
    held().pids.contains_key(&pid)
}

/// A moment in the order of the children that this process makes.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    begun: u64,
}

impl Moment {
    /// This one.
    #[must_use]
    pub fn now() -> Self {
        Moment { begun: held().begun }
    }

    /// Is every child that was being made at that moment held by now, or refused? Until then one that is not held may be one
    /// of them.
    #[must_use]
    pub fn has_settled(self) -> bool {
        held().making.first().is_none_or(|first| *first > self.begun)
    }
}

#[cfg(test)]
mod tests {
    use super::{Hold, Moment, is_held, making};
    use crate::process::Pid;

    #[test]
    fn a_child_is_held_until_the_last_hand_lets_go() {
        let pid = Pid::from_raw(i32::MAX);
        assert!(!is_held(pid));
        let first = Hold::new(pid);
        let second = Hold::new(pid);
        drop(first);
        assert!(is_held(pid));
        drop(second);
        assert!(!is_held(pid));
    }

    #[test]
    fn a_moment_has_settled_when_those_that_were_being_made_then_are() {
        let early = making();
        let moment = Moment::now();
        let late = making();
        assert!(!moment.has_settled());
        drop(early);
        // Other tests of this process make children as well, and each of theirs ends.
        while !moment.has_settled() {
            std::thread::yield_now();
        }
        assert!(!Moment::now().has_settled());
        drop(late);
    }
}
