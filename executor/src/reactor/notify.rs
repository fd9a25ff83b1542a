//! How another thread wakes this executor: a queue of words, and a bell that is rung once per batch.
//!
//! ```text
//!   any thread                                      the owner, hanging the bell (once)
//!   1 put the word into the queue                   h hang the bell
//!   2 was_rung = rung.swap(true)                    i fence
//!   3 fence                                         the owner, emptying
//!   4 unless was_rung: look for the bell, ring it   a rung.swap(false)
//!                                                   b take everything from the queue
//!                                                   the owner, before it waits for the bell
//!                                                   c rung? then a, b instead
//! ```
//!
//! **No lost wake-up.** All (2) and (a) of one inbox are read-modify-writes of one flag, so they have an order.
//! * *A (2) before an (a)*: (a) reads what it, or a later one, wrote, so the word (1) is there for (b).
//! * *A (2) after the last (a)*: `rung` stays up, and the first such (2) finds it down and goes on to (4).
//!   If it finds the bell there, the owner's wait ends. If it does not, then by the two fences (3) comes before (i): so
//!   (2) is seen by every later (c), and the owner does not wait.
//!
//! The two fences are needed: without them a pusher may look for the bell before its flag is up for the others, while
//! the owner looks at the flag before its bell hangs for the others, and both find nothing. (a) has to be a swap: a
//! plain store takes nothing over from the pusher that found the flag up, and (b) could miss its word.
//!
//! `tests/loom_notify.rs` runs this file in every order of two pushers and an owner. It needs nothing else of this crate.

use super::parts::{AtomicBool, Bell, Hook, Mail, Ordering, fence};

/// Words woken by other threads, and the bell that tells of them.
pub(crate) struct Inbox {
    mail: Mail,
    rung: AtomicBool,
    hook: Hook,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Inbox { mail: Mail::new(), rung: AtomicBool::new(false), hook: Hook::new() }
    }

    /// Any thread: queues a word and rings, unless somebody has since the owner last looked.
    pub(crate) fn push(&self, word: u64) {
        self.mail.put(word);
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        fence(Ordering::SeqCst);
        if let Some(bell) = self.hook.bell() {
            bell.ring();
        }
    }

    /// The owner: everything that has come.
    pub(crate) fn drain(&self, into: &mut Vec<u64>) {
        self.rung.swap(false, Ordering::AcqRel);
        self.mail.take_all(into);
    }

    /// The owner, before it waits for the bell: is there anything to do first?
    pub(crate) fn has_mail(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// The owner: from now on a push rings this bell.
    pub(crate) fn hang_bell(&self, bell: Bell) {
        self.hook.hang(bell);
        fence(Ordering::SeqCst);
    }
}
