//! A lock that is held across awaits, with what it guards.
//!
//! ```text
//!   lock() ─ free, and nobody waits ─► LockGuard ─ dropped ─► the oldest in line has it │ free
//!             └ else in line ─────────►┘
//! ```
//!
//! Rules:
//! * First come, first served, and `try_lock` does not jump the line: a lock that is given up while somebody waits is theirs
//!   at once (Handed On, see `turns.rs`).
//! * The guard is the lock: whoever drops it gives it up, however its task ends. A guard that is leaked holds the lock for ever.

use super::turns::Turns;
use crate::error::Cancelled;
use crate::runtime::{self, Runtime};
use crate::task::TaskId;
use crate::waits::Waits;
use std::cell::{Cell, RefCell, RefMut};
use std::error::Error;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Guards a value for one task at a time. Source: trio's `Lock` and `StrictFIFOLock`, which here are one.
///
/// What is never held across an await needs no lock: a `Cell` or a `RefCell` does, because all tasks are on one thread.
///
/// ```
/// use pleach_executor::{Cancelled, checkpoint, nursery, run, sync::Lock};
/// let r: Result<u32, Cancelled> = run(async {
///     let total = Lock::new(0);
///     nursery(async |n| {
///         for _ in 0..10 {
///             n.spawn(async {
///                 let mut total = total.lock().await?.expect("not held by this task");
///                 let seen = *total;
///                 checkpoint().await?;
///                 *total = seen + 1;
///                 Ok(())
///             });
///         }
///         Ok(())
///     }).await?;
///     Ok(total.into_inner())
/// });
/// assert_eq!(r.unwrap(), 10);
/// ```
#[derive(Default)]
pub struct Lock<T = ()> {
    held: Cell<bool>,
    /// Which task has acquired it, as far as that has looked.
    owner: Cell<Option<TaskId>>,
    pub(super) turns: Turns,
    value: RefCell<T>,
}

/// Why a [`lock`](Lock::lock) was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockError {
    /// The calling task has acquired it and has not given it up: it would wait for itself. Pass the guard on instead.
    Reentered,
}

/// Why a [`try_lock`](Lock::try_lock) did not get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryLockError {
    /// As [`LockError::Reentered`].
    Reentered,
    /// Somebody has it, or waits for it: [`lock`](Lock::lock) would wait.
    WouldBlock,
}

/// What there is of a [`Lock`] at this moment. Source: trio's lock statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockStats {
    /// Has anybody got it?
    pub locked: bool,
    /// The task that acquired it; `None` also while it is on its way to the next.
    pub owner: Option<TaskId>,
    /// How many wait for it.
    pub waiting: usize,
}

impl<T> Lock<T> {
    /// A free one.
    #[must_use]
    pub fn new(value: T) -> Self {
        Lock {
            held: Cell::new(false),
            owner: Cell::new(None),
            turns: Turns::default(),
            value: RefCell::new(value),
        }
    }

    /// Waits for the lock.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; **Loses place**: cancelled or dropped, it has not got the lock.
    ///
    /// # Errors
    ///
    /// Outside: [`Cancelled`] if the scope around the call is cancelled. Inside: [`LockError`].
    pub async fn lock(&self) -> Result<Result<LockGuard<'_, T>, LockError>, Cancelled> {
        if self.is_mine() {
            return Ok(Err(LockError::Reentered));
        }
        self.turns.wait(Waits::Lock, || self.take(), || self.give_up()).await?;
        Ok(Ok(self.guard()))
    }

    /// The lock, if it is free and nobody waits for it.
    ///
    /// # Errors
    ///
    /// [`TryLockError`].
    pub fn try_lock(&self) -> Result<LockGuard<'_, T>, TryLockError> {
        if self.is_mine() {
            return Err(TryLockError::Reentered);
        }
        if self.take() { Ok(self.guard()) } else { Err(TryLockError::WouldBlock) }
    }

    /// What it guards.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// The same, while nobody else can see the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// What there is of it.
    #[must_use]
    pub fn stats(&self) -> LockStats {
        LockStats { locked: self.held.get(), owner: self.owner.get(), waiting: self.turns.len() }
    }

    fn is_mine(&self) -> bool {
        self.owner.get().is_some_and(|owner| runtime::with(Runtime::task) == Some(owner))
    }

    fn take(&self) -> bool {
        !self.held.replace(true)
    }

    /// The lock is the caller's: makes its guard.
    pub(super) fn guard(&self) -> LockGuard<'_, T> {
        self.owner.set(runtime::with(Runtime::task));
        LockGuard { value: Some(self.value.borrow_mut()), lock: self }
    }

    /// Somebody has joined the line who did not ask whether the lock is free.
    pub(super) fn hand_on_if_free(&self) {
        if self.take() {
            self.give_up();
        }
    }

    pub(super) fn give_up(&self) {
        self.owner.set(None);
        if !self.turns.hand_on() {
            self.held.set(false);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Lock");
        match self.value.try_borrow() {
            Ok(value) => shown.field("value", &value),
            Err(_) => shown.field("value", &format_args!("locked")),
        };
        shown.field("stats", &self.stats()).finish()
    }
}

/// A [`Lock`] that is held. Dropping it gives the lock up.
#[must_use = "the lock is given up when this goes"]
pub struct LockGuard<'l, T> {
    /// `None` only while it is dropped.
    value: Option<RefMut<'l, T>>,
    lock: &'l Lock<T>,
}

impl<'l, T> LockGuard<'l, T> {
    /// Which lock it is of.
    #[must_use]
    pub fn lock(&self) -> &'l Lock<T> {
        self.lock
    }
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("there until it is dropped")
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("there until it is dropped")
    }
}

impl<T> Drop for LockGuard<'_, T> {
    fn drop(&mut self) {
        // Before the next can look at the value.
        drop(self.value.take());
        self.lock.give_up();
    }
}

impl<T: fmt::Debug> fmt::Debug for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

const REENTERED: &str = "this task has the lock already, and would wait for itself: pass the guard on";

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Reentered => f.write_str(REENTERED),
        }
    }
}

impl Error for LockError {}

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryLockError::Reentered => REENTERED,
            TryLockError::WouldBlock => "somebody has the lock, or waits for it",
        })
    }
}

impl Error for TryLockError {}
