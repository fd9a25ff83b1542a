//! Which run of which fork epoch something belongs to.
//!
//! ```text
//!   handle { RunKey } ─ used ─► require_run: the active run? else a panic that names both
//!                     ─ dropped ─► is_current_epoch: else it is a forked child's copy, and cleans nothing up
//! ```

use super::{Runtime, try_with, with};
use crate::registry;
use std::fmt;

/// Which run of which executor in which fork epoch: what a handle belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RunKey {
    epoch: u32,
    run: u32,
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} of fork epoch {}", self.run, self.epoch)
    }
}

impl Runtime {
    #[inline]
    pub(crate) fn key(&self) -> RunKey {
        RunKey { epoch: registry::epoch() as u32, run: self.run.get() }
    }

    /// See [`require_run`].
    #[inline]
    #[track_caller]
    pub(crate) fn require_run(&self, key: RunKey, what: &str) {
        if !self.is_active() || key != self.key() {
            wrong_run(key, what);
        }
    }
}

/// The key of the active run.
#[inline]
#[track_caller]
pub(crate) fn run_key() -> RunKey {
    let (active, key) = with(|rt| (rt.is_active(), rt.key()));
    assert!(active, "no run is active on this thread: call this inside pleach_executor::run");
    key
}

/// Panics, naming both, unless `key` is the active run: an object of one run was used in another.
#[track_caller]
pub(crate) fn require_run(key: RunKey, what: &str) {
    let fine = with(|rt| rt.is_active() && key == rt.key());
    if !fine {
        wrong_run(key, what);
    }
}

#[cold]
#[track_caller]
fn wrong_run(key: RunKey, what: &str) -> ! {
    let (active, now) = with(|rt| (rt.is_active(), rt.key()));
    if active {
        panic!("this {what} belongs to {key}, and was used in {now}: make it inside the run that uses it");
    }
    panic!("this {what} belongs to {key}, and was used outside any run");
}

/// Is this key of the present run, active or just ended?
pub(crate) fn is_current_run(key: RunKey) -> bool {
    try_with(|rt| rt.key() == key).unwrap_or(false)
}

/// Is this key of the present fork epoch? For destructors: an inherited object cleans nothing up in a forked child.
#[inline]
pub(crate) fn is_current_epoch(key: RunKey) -> bool {
    key.epoch == registry::epoch() as u32
}
