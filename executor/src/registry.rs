//! The executors of this process by number, and the fork epoch: process-wide state, all of it.
//!
//! ```text
//!   waker (executor 7, …) on another thread ─► REGISTRY[7] ─► Inbox of that thread's executor
//! ```
//!
//! Rules:
//! * Numbers are recycled oldest first, so that a stale waker meets a stranger as late as possible.
//! * **What a forked child does to it**: [`forget`] replaces the registry by an empty one without dropping the old
//!   one (its inboxes hold the parent's eventfds), and raises the epoch. The child has one thread, and the forking
//!   thread does not hold the lock, so the lock is free there.

use crate::reactor::notify::Inbox;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

struct Registry {
    /// By executor number minus one (0 means: none).
    inboxes: Vec<Option<Arc<Inbox>>>,
    /// Numbers given back, oldest first.
    free: VecDeque<u16>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { inboxes: Vec::new(), free: VecDeque::new() });

/// How many forks lie between this process and the one that was exec'd. A forked child adds one.
static EPOCH: AtomicU64 = AtomicU64::new(0);

fn lock() -> MutexGuard<'static, Registry> {
    // Nothing in here panics half-way through a change.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number for a new executor, and its inbox.
///
/// A number given back is used again only when 1024 others have been in between or no fresh one is left.
#[track_caller]
pub(crate) fn acquire() -> (u16, Arc<Inbox>) {
    const KEEP_BACK: usize = 1024;
    let inbox = Arc::new(Inbox::new());
    let mut r = lock();
    let fresh = r.inboxes.len() < usize::from(u16::MAX);
    let number = if r.free.len() > KEEP_BACK || !fresh { r.free.pop_front() } else { None };
    let number = number.unwrap_or_else(|| {
        assert!(fresh, "at most 65535 threads can have an executor at a time");
        r.inboxes.push(None);
        u16::try_from(r.inboxes.len()).expect("checked against u16::MAX")
    });
    r.inboxes[usize::from(number) - 1] = Some(Arc::clone(&inbox));
    (number, inbox)
}

pub(crate) fn release(number: u16) {
    let gone = {
        let mut r = lock();
        // None if it was forgotten meanwhile.
        let Some(inbox) = usize::from(number).checked_sub(1).and_then(|at| r.inboxes.get_mut(at)) else {
            return;
        };
        let gone = inbox.take();
        r.free.push_back(number);
        gone
    };
    drop(gone);
}

pub(crate) fn inbox(number: u16) -> Option<Arc<Inbox>> {
    lock().inboxes.get(usize::from(number).checked_sub(1)?)?.clone()
}

pub(crate) fn epoch() -> u64 {
    EPOCH.load(Ordering::Relaxed)
}

pub(crate) fn forget() {
    let old = std::mem::replace(&mut *lock(), Registry { inboxes: Vec::new(), free: VecDeque::new() });
    std::mem::forget(old);
    EPOCH.fetch_add(1, Ordering::Relaxed);
}
