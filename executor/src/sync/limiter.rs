//! So much of something for everybody together, and one for each who borrows; the amount may change at any time.
//!
//! ```text
//!   acquire(), acquire_for(who) ─ borrowed < total, and nobody waits ─► Token ─ dropped ─► the oldest in line │ available
//!                                 └ else in line ──────────────────────►┘
//!   set_total(n) ─► lower: nobody loses a token │ higher: exactly as many of the oldest as there is room for
//! ```
//!
//! Rules: first come, first served (Handed On, see `turns.rs`). Who has a token or waits for one is in `borrowers`.

use super::turns::Turns;
use crate::error::Cancelled;
use crate::runtime::{self, Runtime};
use crate::task::TaskId;
use crate::waits::Waits;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;

/// Limits how many borrow at a time. Source: trio's `CapacityLimiter`.
///
/// ```
/// use pleach_executor::{Cancelled, run, sync::CapacityLimiter};
/// let r: Result<(), Cancelled> = run(async {
///     let limiter = CapacityLimiter::new(2);
///     let token = limiter.acquire().await?.expect("this task has none yet");
///     assert_eq!((limiter.stats().borrowed, limiter.available()), (1, Some(1)));
///     drop(token);
///     limiter.set_total(None);
///     assert_eq!(limiter.available(), None);
///     Ok(())
/// });
/// r.unwrap();
/// ```
pub struct CapacityLimiter {
    /// `None`: any number.
    total: Cell<Option<usize>>,
    borrowed: Cell<usize>,
    borrowers: RefCell<BTreeSet<Borrower>>,
    turns: Turns,
}

/// Who borrows: each has one token at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Borrower {
    /// A task.
    Task(TaskId),
    /// Something that a task borrows for: a connection, a job, by a number of the caller's.
    Other(u64),
}

/// Why an [`acquire`](CapacityLimiter::acquire) was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BorrowError {
    /// This borrower has a token or waits for one, and may have one only.
    Borrows(Borrower),
}

/// Why a [`try_acquire`](CapacityLimiter::try_acquire) got no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryBorrowError {
    /// As [`BorrowError::Borrows`].
    Borrows(Borrower),
    /// No token is available, or others wait before us: [`acquire`](CapacityLimiter::acquire) would wait.
    WouldBlock,
}

/// What there is of a [`CapacityLimiter`] at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimiterStats {
    /// Tokens there are; `None` for any number.
    pub total: Option<usize>,
    /// Tokens that are borrowed, or on their way to the next.
    pub borrowed: usize,
    /// Who has one, or waits.
    pub borrowers: Vec<Borrower>,
    /// How many wait.
    pub waiting: usize,
}

impl CapacityLimiter {
    /// With so many tokens; with 0 nobody gets in until there are more.
    #[must_use]
    pub fn new(total: usize) -> Self {
        Self::with(Some(total))
    }

    /// With any number of tokens: it counts, and limits nobody.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::with(None)
    }

    fn with(total: Option<usize>) -> Self {
        CapacityLimiter {
            total: Cell::new(total),
            borrowed: Cell::new(0),
            borrowers: RefCell::default(),
            turns: Turns::default(),
        }
    }

    /// How many tokens there are; `None` for any number.
    #[must_use]
    pub fn total(&self) -> Option<usize> {
        self.total.get()
    }

    /// Changes how many tokens there are. If there are fewer than are borrowed, nobody loses one, and nobody follows those who
    /// give theirs back until there is room again. If there are more, exactly as many of those who wait get in.
    pub fn set_total(&self, total: Option<usize>) {
        self.total.set(total);
        self.admit();
    }

    /// How many tokens nobody has; `None` for any number.
    #[must_use]
    pub fn available(&self) -> Option<usize> {
        self.total.get().map(|total| total.saturating_sub(self.borrowed.get()))
    }

    /// Waits for a token for this task.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; **Loses place**: cancelled or dropped, it has no token.
    ///
    /// # Errors
    ///
    /// Outside: [`Cancelled`] if the scope around the call is cancelled. Inside: [`BorrowError`].
    ///
    /// # Panics
    ///
    /// Outside a task.
    pub async fn acquire(&self) -> Result<Result<Token<'_>, BorrowError>, Cancelled> {
        self.acquire_for(this_task()).await
    }

    /// The same for another borrower.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](CapacityLimiter::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire`](CapacityLimiter::acquire).
    pub async fn acquire_for(&self, who: Borrower) -> Result<Result<Token<'_>, BorrowError>, Cancelled> {
        let Some(listed) = Listed::new(self, who) else { return Ok(Err(BorrowError::Borrows(who))) };
        self.turns.wait(Waits::Permit, || self.take(), || self.give_back()).await?;
        Ok(Ok(Token { listed }))
    }

    /// A token for this task, if one is available.
    ///
    /// # Errors
    ///
    /// [`TryBorrowError`].
    ///
    /// # Panics
    ///
    /// Outside a task.
    pub fn try_acquire(&self) -> Result<Token<'_>, TryBorrowError> {
        self.try_acquire_for(this_task())
    }

    /// The same for another borrower.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](CapacityLimiter::try_acquire).
    pub fn try_acquire_for(&self, who: Borrower) -> Result<Token<'_>, TryBorrowError> {
        let listed = Listed::new(self, who).ok_or(TryBorrowError::Borrows(who))?;
        if self.turns.len() == 0 && self.take() {
            Ok(Token { listed })
        } else {
            Err(TryBorrowError::WouldBlock)
        }
    }

    /// What there is of it.
    #[must_use]
    pub fn stats(&self) -> LimiterStats {
        LimiterStats {
            total: self.total.get(),
            borrowed: self.borrowed.get(),
            borrowers: self.borrowers.borrow().iter().copied().collect(),
            waiting: self.turns.len(),
        }
    }

    fn take(&self) -> bool {
        let room = self.total.get().is_none_or(|total| self.borrowed.get() < total);
        self.borrowed.set(self.borrowed.get() + usize::from(room));
        room
    }

    fn give_back(&self) {
        self.borrowed.set(self.borrowed.get() - 1);
        self.admit();
    }

    /// Lets in as many of those who wait as there is room for.
    fn admit(&self) {
        while self.turns.len() > 0 && self.take() {
            if !self.turns.hand_on() {
                self.borrowed.set(self.borrowed.get() - 1);
            }
        }
    }
}

/// The task that is being polled.
#[track_caller]
fn this_task() -> Borrower {
    Borrower::Task(
        runtime::with(Runtime::task)
            .expect("a token is borrowed by a task: name another borrower outside of one"),
    )
}

impl fmt::Debug for CapacityLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CapacityLimiter").field(&self.stats()).finish()
    }
}

/// A borrower's entry in the list.
struct Listed<'l> {
    limiter: &'l CapacityLimiter,
    who: Borrower,
}

impl<'l> Listed<'l> {
    fn new(limiter: &'l CapacityLimiter, who: Borrower) -> Option<Self> {
        let is_new = limiter.borrowers.borrow_mut().insert(who);
        // Not made at all if it is not: it would take the other's entry with it.
        is_new.then(|| Listed { limiter, who })
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let _was_there = self.limiter.borrowers.borrow_mut().remove(&self.who);
    }
}

/// One token of a [`CapacityLimiter`]. Dropping it gives it back.
#[must_use = "the token goes back when this goes"]
pub struct Token<'l> {
    listed: Listed<'l>,
}

impl Token<'_> {
    /// Who has borrowed it.
    #[must_use]
    pub fn borrower(&self) -> Borrower {
        self.listed.who
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        self.listed.limiter.give_back();
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").field(&self.listed.who).finish()
    }
}

fn borrows(f: &mut fmt::Formatter<'_>, who: Borrower) -> fmt::Result {
    write!(f, "{who:?} has a token of this limiter, or waits for one, and may have one only")
}

impl fmt::Display for BorrowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BorrowError::Borrows(who) => borrows(f, *who),
        }
    }
}

impl Error for BorrowError {}

impl fmt::Display for TryBorrowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryBorrowError::Borrows(who) => borrows(f, *who),
            TryBorrowError::WouldBlock => f.write_str("no token is available, or others wait before us"),
        }
    }
}

impl Error for TryBorrowError {}
