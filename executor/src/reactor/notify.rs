//! How another thread wakes this executor: a queue of words, and a bell that is rung once per batch, and only for a sleeper.
//!
//! ```text
//!   any thread                                      the owner, once: hangs the bell
//!   1 put the word into the queue
//!   2 was_rung = rung.swap(true)                    the owner, going to wait for the bell
//!   3 fence                                         h asleep = true
//!   4 unless was_rung: asleep? then ring            i fence
//!                                                   c rung? then it does not wait:
//!                                                   w asleep = false
//!                                                   the owner, emptying
//!                                                   a rung.swap(false)
//!                                                   b take everything from the queue
//! ```
//!
//! **No lost wake-up.** All (2) and (a) of one inbox are read-modify-writes of one flag, so they have an order.
//! * *A (2) before an (a)*: (a) reads what it, or a later one, wrote, so the word (1) is there for (b).
//! * *A (2) after the last (a)*: `rung` stays up, and the first such (2) finds it down and goes on to (4).
//!   If it finds the owner asleep, it rings, and the owner's wait ends. If it does not, then by the two fences (3) comes
//!   before (i): so (2) is seen by every later (c), and the owner does not wait.
//!
//! A ring that comes after (w) ends the next wait early, and is no more than that. The two fences are needed: without them a
//! pusher may look for a sleeper before its flag is up for the others, while the owner looks at the flag before the others
//! see it asleep, and both find nothing. (a) has to be a swap: a plain store takes nothing over from the pusher that found
//! the flag up, and (b) could miss its word.
//!
//! `tests/loom_notify.rs` runs this file in every order of two pushers and an owner. It needs nothing else of this crate.

use super::parts::{AtomicBool, Bell, Hook, Mail, Ordering, fence};

/// Words woken by other threads, and the bell that tells of them.
pub(crate) struct Inbox {
    mail: Mail,
    rung: AtomicBool,
    /// The owner waits for the bell, or is about to.
    asleep: AtomicBool,
    hook: Hook,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Inbox {
            mail: Mail::new(),
            rung: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            hook: Hook::new(),
        }
    }

    /// Any thread: queues a word, and rings if the owner sleeps and nobody has since it last looked.
    pub(crate) fn push(&self, word: u64) {
        self.mail.put(word);
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Acquire)
            && let Some(bell) = self.hook.bell()
        {
            bell.ring();
        }
    }

    /// The owner: everything that has come.
    pub(crate) fn drain(&self, into: &mut Vec<u64>) {
        self.rung.swap(false, Ordering::AcqRel);
        self.mail.take_all(into);
    }

    /// The owner: has anything come since it last emptied it?
    pub(crate) fn has_mail(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// The owner: what wakes it from now on is this bell. Once, before it first sleeps.
    pub(crate) fn hang_bell(&self, bell: Bell) {
        self.hook.hang(bell);
    }

    /// The owner, before it waits for the bell: pushes ring from now on. `false` if something has come, and it is not to
    /// wait.
    #[must_use = "who waits in spite of mail may wait for ever"]
    pub(crate) fn sleep(&self) -> bool {
        self.asleep.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        let sleeps = !self.has_mail();
        if !sleeps {
            self.awake();
        }
        sleeps
    }

    /// The owner has waited.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}
