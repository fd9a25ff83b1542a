//! Which run of which fork epoch something belongs to.
//!
//! ```text
//!   handle { RunKey } ─ used ─► require_run: the active run? else a panic that names both
//!                     ─ dropped ─► is_current_epoch: else it is a forked child's copy, and cleans nothing up
//! ```

use super::{Runtime, try_with, with};
use crate::registry;
use std::fmt;
use std::num::NonZeroU64;

/// Which run of which executor in which fork epoch: what a handle belongs to. One number, so that every operation can
/// afford to compare it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RunKey(NonZeroU64);

impl RunKey {
    /// `run` is not 0.
    fn new(epoch: u32, run: u32) -> Self {
        let bits = u64::from(epoch) << 32 | u64::from(run);
        RunKey(NonZeroU64::new(bits).expect("runs are counted from 1"))
    }

    fn epoch(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    fn run(self) -> u32 {
        self.0.get() as u32
    }

    /// That of the run after this one, in the present fork epoch.
    pub(super) fn next(before: Option<RunKey>) -> Self {
        let run = before.map_or(0, RunKey::run).wrapping_add(1);
        RunKey::new(registry::epoch() as u32, run.max(1))
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} of fork epoch {}", self.run(), self.epoch())
    }
}

impl Runtime {
    /// See [`require_run`].
    #[inline]
    #[track_caller]
    pub(crate) fn require_run(&self, key: RunKey, what: &str) {
        if self.active.get() != Some(key) {
            wrong_run(key, what);
        }
    }
}

/// The key of the active run.
#[inline]
#[track_caller]
pub(crate) fn run_key() -> RunKey {
    let Some(key) = with(|rt| rt.active.get()) else {
        panic!("no run is active on this thread: call this inside pleach_executor::run");
    };
    key
}

/// Panics, naming both, unless `key` is the active run: an object of one run was used in another.
#[inline]
#[track_caller]
pub(crate) fn require_run(key: RunKey, what: &str) {
    if with(|rt| rt.active.get()) != Some(key) {
        wrong_run(key, what);
    }
}

#[cold]
#[track_caller]
fn wrong_run(key: RunKey, what: &str) -> ! {
    if let Some(now) = with(|rt| rt.active.get()) {
        panic!("this {what} belongs to {key}, and was used in {now}: make it inside the run that uses it");
    }
    panic!("this {what} belongs to {key}, and was used outside any run");
}

/// Is this key of the present run, active or just ended?
pub(crate) fn is_current_run(key: RunKey) -> bool {
    try_with(|rt| rt.last.get() == Some(key) && is_current_epoch(key)).unwrap_or(false)
}

/// Is this key of the present fork epoch? For destructors: an inherited object cleans nothing up in a forked child.
#[inline]
pub(crate) fn is_current_epoch(key: RunKey) -> bool {
    key.epoch() == registry::epoch() as u32
}
