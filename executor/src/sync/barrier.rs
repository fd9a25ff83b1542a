//! A place where so many tasks wait for one another.
//!
//! ```text
//!   wait() ─ fewer than n are there ─► waits ─┐
//!          └ the n-th, the leader ────────────┴─► all n go on; the next n can come
//! ```
//!
//! Rules: who is cancelled or dropped while it waits was never there.

use crate::checkpoint::cancellable;
use crate::error::Cancelled;
use crate::parking::ParkingLot;
use crate::waits::Waits;
use std::fmt;
use std::num::NonZeroUsize;
use std::task::Poll;

/// Holds tasks until there are as many as it is for; then it is as new.
///
/// ```
/// use pleach_executor::{Cancelled, nursery, run, sync::Barrier};
/// let barrier = Barrier::new(3.try_into().unwrap());
/// let leaders = std::cell::Cell::new(0);
/// let r: Result<(), Cancelled> = run(nursery(async |n| {
///     for _ in 0..3 {
///         n.spawn(async {
///             let passed = barrier.wait().await?;
///             leaders.set(leaders.get() + usize::from(passed.is_leader()));
///             Ok(())
///         });
///     }
///     Ok(())
/// }));
/// r.unwrap();
/// assert_eq!(leaders.get(), 1);
/// ```
pub struct Barrier {
    size: NonZeroUsize,
    lot: ParkingLot,
}

/// What there is of a [`Barrier`] at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BarrierStats {
    /// How many pass together.
    pub size: NonZeroUsize,
    /// How many wait for the others.
    pub waiting: usize,
}

/// How a task came past a [`Barrier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    leader: bool,
}

impl Passed {
    /// Was it the one who came last? One of those who pass together is.
    #[must_use]
    pub fn is_leader(self) -> bool {
        self.leader
    }
}

impl Barrier {
    /// For so many tasks.
    #[must_use]
    pub fn new(size: NonZeroUsize) -> Self {
        Barrier { size, lot: ParkingLot::new() }
    }

    /// Waits until as many tasks do as the barrier is for.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; **Loses place**: cancelled or dropped, it does not count.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the scope around the call is cancelled.
    pub async fn wait(&self) -> Result<Passed, Cancelled> {
        loop {
            if !self.is_last() {
                self.lot.park_for(Waits::Barrier).await?;
                return Ok(Passed { leader: false });
            }
            // It may have to yield first, and meanwhile others come and go: so it is asked again.
            let leader = cancellable(Waits::Barrier, |_| {
                let leader = self.is_last();
                if leader {
                    self.lot.unpark_all();
                }
                Poll::Ready(leader)
            })
            .await?;
            if leader {
                return Ok(Passed { leader });
            }
        }
    }

    /// How many wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lot.len()
    }

    /// What there is of it.
    #[must_use]
    pub fn stats(&self) -> BarrierStats {
        BarrierStats { size: self.size, waiting: self.waiting() }
    }

    fn is_last(&self) -> bool {
        self.lot.len() + 1 >= self.size.get()
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("size", &self.size).field("waiting", &self.waiting()).finish()
    }
}
