//! Waiting, with a lock given up meanwhile, for something that the lock guards.
//!
//! ```text
//!   wait(guard) ─ in line; the lock given up ─► notify ─► in line for the lock ─► (guard, Ok)
//!                    └ cancelled, in either line ─► the lock again, uncancellable ─► (guard, Err)
//! ```
//!
//! Rules:
//! * **The Guard Comes Back**: whatever ends a wait, but for dropping it, the lock is held again.
//! * Who is notified is in line for the lock from that moment: whoever comes later has it later.

use super::lock::{Lock, LockGuard, LockStats};
use crate::checkpoint::Wait;
use crate::error::Cancelled;
use crate::parking::list::{List, Place};
use crate::waits::Waits;
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::task::{Poll, Waker};

enum Waiting {
    /// To be notified.
    Here(Waker),
    /// For the lock, there.
    ForLock(Place),
}

/// A condition variable of one [`Lock`]. Source: trio's `Condition`.
///
/// ```
/// use pleach_executor::{Cancelled, nursery, run, sync::{Condition, Lock}};
/// let r: Result<(), Cancelled> = run(async {
///     let queue = Lock::new(Vec::new());
///     let filled = Condition::new(&queue);
///     nursery(async |n| {
///         n.spawn(async {
///             let mut queue = queue.lock().await?.expect("not held by this task");
///             while queue.is_empty() {
///                 let waited;
///                 (queue, waited) = filled.wait(queue).await;
///                 waited?;
///             }
///             assert_eq!(queue.pop(), Some(7));
///             Ok(())
///         });
///         n.spawn(async {
///             let mut queue = queue.lock().await?.expect("not held by this task");
///             queue.push(7);
///             filled.notify(&queue, 1);
///             Ok(())
///         });
///         Ok(())
///     }).await
/// });
/// r.unwrap();
/// ```
pub struct Condition<'l, T = ()> {
    lock: &'l Lock<T>,
    line: RefCell<List<Waiting>>,
}

/// What there is of a [`Condition`] at this moment. Source: trio's condition statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConditionStats {
    /// How many wait to be notified.
    pub waiting: usize,
    /// What there is of its lock; those who were notified, or cancelled, wait there.
    pub lock: LockStats,
}

impl<'l, T> Condition<'l, T> {
    /// One for something that `lock` guards.
    #[must_use]
    pub fn new(lock: &'l Lock<T>) -> Self {
        Condition { lock, line: RefCell::default() }
    }

    /// Gives the lock up, waits to be notified, and takes the lock again.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. Cancelled, it takes the lock again all the same, uncancellable, so that the guard comes back with
    /// the error. If it is dropped, the lock is given up. Either way a notification that had reached it is used up: a wait is
    /// for something that the lock guards, and whoever changes that notifies again.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], beside the guard, if the scope around the call is cancelled.
    ///
    /// # Panics
    ///
    /// If the guard is of another lock.
    pub async fn wait(&self, guard: LockGuard<'l, T>) -> (LockGuard<'l, T>, Result<(), Cancelled>) {
        self.require_lock(&guard);
        let mut ticket = Ticket { condition: self, stage: Stage::Outside };
        let mut guard = Some(guard);
        let mut wait = Wait::on(Waits::Condition);
        let waited = poll_fn(|cx| {
            wait.poll(cx, |cx| {
                if guard.is_some() {
                    // In line before the lock is anybody else's, who may notify.
                    ticket.begin(cx.waker());
                    drop(guard.take());
                    return Poll::Pending;
                }
                ticket.poll(cx.waker())
            })
        })
        .await;
        if let Some(guard) = guard {
            // Cancelled before it began.
            return (guard, waited);
        }
        if waited.is_err() {
            ticket.go_for_the_lock();
            // Nothing but the lock ends this.
            poll_fn(|cx| ticket.poll_lock(cx.waker())).await;
        }
        (self.lock.guard(), waited)
    }

    /// Notifies the `n` who have waited longest; says how many that were. They have the lock after those who are in line for it.
    ///
    /// # Panics
    ///
    /// If the guard is of another lock.
    pub fn notify(&self, guard: &LockGuard<'_, T>, n: usize) -> usize {
        self.require_lock(guard);
        let mut notified = 0;
        let mut line = self.line.borrow_mut();
        while notified < n {
            let Some(waiting) = line.take_first() else { break };
            // The lock is held, so nobody has to be woken for being in line.
            take_with(waiting, |waker| self.lock.turns.join(waker));
            notified += 1;
        }
        notified
    }

    /// Notifies all who wait; says how many that were.
    ///
    /// # Panics
    ///
    /// If the guard is of another lock.
    pub fn notify_all(&self, guard: &LockGuard<'_, T>) -> usize {
        self.notify(guard, usize::MAX)
    }

    /// How many wait to be notified.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.line.borrow().len()
    }

    /// What there is of it, and of its lock.
    #[must_use]
    pub fn stats(&self) -> ConditionStats {
        ConditionStats { waiting: self.waiting(), lock: self.lock.stats() }
    }

    fn require_lock(&self, guard: &LockGuard<'_, T>) {
        assert!(
            std::ptr::eq(guard.lock(), self.lock),
            "this guard is of another lock: a condition belongs to the lock it was made with"
        );
    }
}

/// Puts a place in the line for the lock where the waker was.
fn take_with(waiting: &mut Waiting, join: impl FnOnce(Waker) -> Place) {
    let before = std::mem::replace(waiting, Waiting::Here(Waker::noop().clone()));
    *waiting = match before {
        Waiting::Here(waker) => Waiting::ForLock(join(waker)),
        for_lock @ Waiting::ForLock(_) => for_lock,
    };
}

impl<T> fmt::Debug for Condition<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("waiting", &self.waiting())
            .field("lock", &self.lock.stats())
            .finish()
    }
}

/// How far a wait is.
enum Stage {
    Outside,
    /// Its place here; once it was notified, its place in the line for the lock is in the slot.
    Here(Place),
    ForLock(Place),
}

/// One wait.
struct Ticket<'a, 'l, T> {
    condition: &'a Condition<'l, T>,
    stage: Stage,
}

impl<T> Ticket<'_, '_, T> {
    fn begin(&mut self, waker: &Waker) {
        let own = waker.clone();
        self.stage = Stage::Here(self.condition.line.borrow_mut().push(Waiting::Here(own)));
    }

    /// Ready when the lock is its own.
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        match std::mem::replace(&mut self.stage, Stage::Outside) {
            Stage::Here(place) => {
                let own = waker.clone();
                let mut line = self.condition.line.borrow_mut();
                if let Waiting::Here(kept) = line.get(&place) {
                    let before = std::mem::replace(kept, own);
                    self.stage = Stage::Here(place);
                    drop(line);
                    drop(before);
                    return Poll::Pending;
                }
                self.stage = for_lock(line.remove(place));
            }
            // Polled before it is its turn: it keeps its place there.
            for_lock => self.stage = for_lock,
        }
        self.poll_lock(waker)
    }

    fn poll_lock(&mut self, waker: &Waker) -> Poll<()> {
        let Stage::ForLock(place) = std::mem::replace(&mut self.stage, Stage::Outside) else {
            unreachable!("polled while it waits")
        };
        let mut place = Some(place);
        let polled = self.condition.lock.turns.poll(&mut place, waker);
        if let Some(place) = place {
            self.stage = Stage::ForLock(place);
        }
        polled
    }

    /// To the line for the lock, unless it is there.
    fn go_for_the_lock(&mut self) {
        let place = match std::mem::replace(&mut self.stage, Stage::Outside) {
            Stage::Here(place) => place,
            there => return self.stage = there,
        };
        let left = self.condition.line.borrow_mut().remove(place);
        self.stage = match left {
            Waiting::Here(waker) => {
                let place = self.condition.lock.turns.join(waker);
                self.condition.lock.hand_on_if_free();
                Stage::ForLock(place)
            }
            notified => for_lock(notified),
        };
    }
}

fn for_lock(waiting: Waiting) -> Stage {
    match waiting {
        Waiting::ForLock(place) => Stage::ForLock(place),
        Waiting::Here(_) => unreachable!("notified, as was just seen"),
    }
}

impl<T> Drop for Ticket<'_, '_, T> {
    fn drop(&mut self) {
        let place = match std::mem::replace(&mut self.stage, Stage::Outside) {
            Stage::Outside => return,
            Stage::ForLock(place) => place,
            Stage::Here(place) => {
                let left = self.condition.line.borrow_mut().remove(place);
                let Waiting::ForLock(place) = left else { return };
                place
            }
        };
        if self.condition.lock.turns.leave(place) {
            self.condition.lock.give_up();
        }
    }
}
