//! How another thread wakes this executor: a queue of words, and a bell that is rung once per batch.
//!
//! ```text
//!   any thread                                owner
//!   1 queue.push(word)                        a take the bell's state down: rung = false
//!   2 if !rung.swap(true): ring the bell      b empty the queue
//!                                             before blocking: hang the bell, c look at `rung`, then wait
//! ```
//!
//! **No lost wake-up.** A word pushed (1) before the owner empties the queue (b) is taken. One pushed after it finds
//! `rung` false unless another push came in between, because (a) precedes (b): so somebody rings (2), or has set `rung`
//! before the owner looks (c). A pusher that finds no bell hung has set `rung` before, and the owner hangs the bell
//! before it looks (c): it sees `rung` and does not wait. That last case is two stores and two loads crosswise, so a
//! sequentially consistent fence lies between store and load on both sides.
//!
//! `tests/loom_notify.rs` checks this protocol in every interleaving.

use crossbeam_channel::{Receiver, Sender, unbounded};
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};

/// Words woken by other threads, and the bell that tells of them.
pub(crate) struct Inbox {
    send: Sender<u64>,
    receive: Receiver<u64>,
    rung: AtomicBool,
    bell: OnceLock<Bell>,
}

/// The reactor's eventfd, to be rung from any thread.
#[derive(Debug)]
pub(crate) struct Bell(pub(super) Arc<File>);

impl Bell {
    fn ring(&self) {
        // A full counter is rung already; an eventfd that is open refuses nothing else.
        let _ = (&*self.0).write_all(&1u64.to_ne_bytes());
    }
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let (send, receive) = unbounded();
        Inbox { send, receive, rung: AtomicBool::new(false), bell: OnceLock::new() }
    }

    /// Any thread: queues a word and rings, unless somebody has since the owner last looked.
    pub(crate) fn push(&self, word: u64) {
        // The receiver is in the same structure: it cannot be gone.
        let _ = self.send.send(word);
        if !self.rung.swap(true, Ordering::SeqCst) {
            // Pairs with the one in `hang_bell`: of "rung" and "hung", at least one side sees the other's.
            fence(Ordering::SeqCst);
            if let Some(bell) = self.bell.get() {
                bell.ring();
            }
        }
    }

    /// The owner: everything that has come.
    pub(crate) fn drain(&self, into: &mut Vec<u64>) {
        self.rung.store(false, Ordering::SeqCst);
        into.extend(self.receive.try_iter());
    }

    /// The owner, after hanging the bell and before waiting: is there anything to do first?
    pub(crate) fn has_mail(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    /// The owner: from now on a push rings this bell.
    pub(crate) fn hang_bell(&self, bell: Bell) {
        let hung = self.bell.set(bell);
        debug_assert!(hung.is_ok(), "one reactor for one inbox");
        fence(Ordering::SeqCst);
    }
}
