//! A number of permits, for as many tasks at a time.
//!
//! ```text
//!   acquire() ─ one is left, and nobody waits ─► Permit ─ dropped ─► the oldest in line has it │ one more is left
//!               └ else in line ────────────────►┘
//!   add(n) ─► more of them           Permit::forget() ─► one less, for good
//! ```
//!
//! Rules: first come, first served (Handed On, see `turns.rs`).

use super::turns::Turns;
use crate::error::Cancelled;
use crate::waits::Waits;
use std::cell::Cell;
use std::error::Error;
use std::fmt;

/// A counting semaphore whose permits are values. Source: trio's `Semaphore`.
///
/// To limit by who borrows, or to change the limit while it is in use: [`CapacityLimiter`](super::CapacityLimiter).
///
/// ```
/// use pleach_executor::{Cancelled, checkpoint, nursery, run, sync::Semaphore};
/// let two = Semaphore::new(2);
/// let r: Result<(), Cancelled> = run(nursery(async |n| {
///     for _ in 0..10 {
///         n.spawn(async {
///             let _permit = two.acquire().await?;
///             checkpoint().await
///         });
///     }
///     Ok(())
/// }));
/// r.unwrap();
/// assert_eq!(two.stats().left, 2);
/// ```
pub struct Semaphore {
    left: Cell<usize>,
    most: usize,
    turns: Turns,
}

/// There are as many permits as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtMost;

/// No permit is left, or others wait before us: [`Semaphore::acquire`] would wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPermit;

/// What there is of a [`Semaphore`] at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SemaphoreStats {
    /// Permits that nobody has.
    pub left: usize,
    /// How many there may be left at a time; `None` if any number.
    pub most: Option<usize>,
    /// How many wait for one.
    pub waiting: usize,
}

impl Semaphore {
    /// With so many permits, and no bound to their number.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Semaphore { left: Cell::new(permits), most: usize::MAX, turns: Turns::default() }
    }

    /// With so many permits, and never more than `most` left.
    ///
    /// # Panics
    ///
    /// If `permits` is above `most`.
    #[must_use]
    #[track_caller]
    pub fn bounded(permits: usize, most: usize) -> Self {
        assert!(permits <= most, "a semaphore of at most {most} permits cannot begin with {permits}");
        Semaphore { most, ..Self::new(permits) }
    }

    /// Waits for a permit.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; **Loses place**: cancelled or dropped, it has no permit.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the scope around the call is cancelled.
    pub async fn acquire(&self) -> Result<Permit<'_>, Cancelled> {
        self.turns.wait(Waits::Permit, || self.take(), || self.give_back()).await?;
        Ok(Permit { of: self })
    }

    /// A permit, if one is left. None is while somebody waits.
    ///
    /// # Errors
    ///
    /// [`NoPermit`].
    pub fn try_acquire(&self) -> Result<Permit<'_>, NoPermit> {
        if self.take() { Ok(Permit { of: self }) } else { Err(NoPermit) }
    }

    /// Makes `more` permits. Those who wait have them first.
    ///
    /// # Errors
    ///
    /// [`AtMost`] if then more would be left than may be: none is made.
    pub fn add(&self, more: usize) -> Result<(), AtMost> {
        let wanted = self.turns.len().min(more);
        let left =
            self.left.get().checked_add(more - wanted).filter(|left| *left <= self.most).ok_or(AtMost)?;
        self.left.set(left);
        for _ in 0..wanted {
            // A waker may have had one of them leave the line.
            if !self.turns.hand_on() {
                self.left.set(self.left.get() + 1);
            }
        }
        Ok(())
    }

    /// What there is of it.
    #[must_use]
    pub fn stats(&self) -> SemaphoreStats {
        let most = (self.most < usize::MAX).then_some(self.most);
        SemaphoreStats { left: self.left.get(), most, waiting: self.turns.len() }
    }

    fn take(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }

    fn give_back(&self) {
        if !self.turns.hand_on() {
            // One that was made up for by `add` meanwhile is one too many.
            self.left.set(self.most.min(self.left.get() + 1));
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Semaphore").field(&self.stats()).finish()
    }
}

/// One permit of a [`Semaphore`]. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "the permit goes back when this goes"]
pub struct Permit<'s> {
    of: &'s Semaphore,
}

impl Permit<'_> {
    /// The permit does not go back: there is one less from now on.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.of.give_back();
    }
}

impl fmt::Display for AtMost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the semaphore has as many permits as it may: one was given back that nobody had")
    }
}

impl Error for AtMost {}

impl fmt::Display for NoPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no permit is left, or others wait before us")
    }
}

impl Error for NoPermit {}
