//! What the doorbell protocol ([`super::notify`]) and the line of calls ([`super::calls`]) are made of: a queue, a flag, a lock, and a place where the bell hangs.
//!
//! `tests/loom_notify.rs` and `tests/loom_calls.rs` put their models in place of these, under the same names, and run the same protocols.

use crossbeam_channel::{Receiver, Sender, unbounded};
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

pub(crate) use std::sync::atomic::AtomicBool;
pub(super) use std::sync::atomic::{Ordering, fence};
pub(super) use std::sync::{Mutex, MutexGuard, PoisonError};

/// Many threads put in, one takes out.
pub(super) struct Mail {
    put: Sender<u64>,
    take: Receiver<u64>,
}

impl Mail {
    pub(super) fn new() -> Self {
        let (put, take) = unbounded();
        Mail { put, take }
    }

    pub(super) fn put(&self, word: u64) {
        // Refused only if the taking end is gone, and that is in the same structure.
        let _ = self.put.send(word);
    }

    pub(super) fn take_all(&self, into: &mut Vec<u64>) {
        into.extend(self.take.try_iter());
    }
}

/// What is rung from any thread.
#[derive(Debug)]
pub(crate) enum Bell {
    /// The reactor's eventfd.
    Eventfd(Arc<File>),
    /// The task of another executor that a hosted run lives in.
    Host(Arc<HostBell>),
}

/// The host's waker, as of the last poll.
pub(crate) type HostBell = Mutex<Option<Waker>>;

impl Bell {
    pub(super) fn ring(&self) {
        match self {
            Bell::Eventfd(file) => {
                // A full counter is rung already; an eventfd that is open refuses nothing else (`eventfd(2)`).
                let _ = (&**file).write_all(&1u64.to_ne_bytes());
            }
            Bell::Host(host) => {
                // Woken outside of the lock. A waker of an earlier poll is as good: whoever has changed it since looks
                // for mail after that.
                let waker = host.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }
}

/// A bell is rung by a waker as well, on the thread of the run itself.
impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}

/// Where the bell hangs. Hung once.
#[derive(Debug)]
pub(super) struct Hook(OnceLock<Bell>);

impl Hook {
    pub(super) fn new() -> Self {
        Hook(OnceLock::new())
    }

    pub(super) fn hang(&self, bell: Bell) {
        let hung = self.0.set(bell);
        debug_assert!(hung.is_ok(), "one reactor for one inbox");
    }

    pub(super) fn bell(&self) -> Option<&Bell> {
        self.0.get()
    }
}
