//! A one-way flag that tasks wait for.
//!
//! ```text
//!   down: wait() parks ── set() ──► up for ever: all who parked are released, wait() returns at once
//! ```

use crate::checkpoint::cancellable;
use crate::error::Cancelled;
use crate::parking::ParkingLot;
use crate::waits::Waits;
use std::cell::Cell;
use std::task::Poll;

/// A flag that goes up once and stays. Source: trio's `Event`.
///
/// ```
/// use pleach_executor::{Cancelled, nursery, run, sync::Event};
/// let up = Event::new();
/// let r: Result<(), Cancelled> = run(nursery(async |n| {
///     n.spawn(async { up.wait().await });
///     up.set();
///     Ok(())
/// }));
/// r.unwrap();
/// ```
#[derive(Debug, Default)]
pub struct Event {
    up: Cell<bool>,
    lot: ParkingLot,
}

/// What there is of an [`Event`] at this moment. Source: trio's event statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventStats {
    /// Is it up?
    pub set: bool,
    /// How many wait for it.
    pub waiting: usize,
}

impl Event {
    /// One that is down.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag and releases all who wait. Raising it again does nothing.
    pub fn set(&self) {
        if !self.up.replace(true) {
            self.lot.unpark_all();
        }
    }

    /// Is it up?
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.up.get()
    }

    /// How many wait for it.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lot.len()
    }

    /// What there is of it.
    #[must_use]
    pub fn stats(&self) -> EventStats {
        EventStats { set: self.is_set(), waiting: self.waiting() }
    }

    /// Waits until the flag is up.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the scope around the call is cancelled.
    pub async fn wait(&self) -> Result<(), Cancelled> {
        if self.up.get() {
            return cancellable(Waits::Event, |_| Poll::Ready(())).await;
        }
        // The flag was down in this very poll, and `park` is in line at once: no `set` comes in between.
        self.lot.park_for(Waits::Event).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CancelScope, checkpoint, nursery, run, yield_now};
    use std::future::{Future, poll_fn};
    use std::pin::pin;

    #[test]
    fn releases_all_who_wait_and_never_blocks_again() {
        let (up, released) = (Event::new(), Cell::new(0));
        let r: Result<(), Cancelled> = run(nursery(async |n| {
            for _ in 0..3 {
                n.spawn(async {
                    up.wait().await?;
                    released.set(released.get() + 1);
                    Ok(())
                });
            }
            checkpoint().await?;
            assert_eq!((up.is_set(), up.waiting(), released.get()), (false, 3, 0));
            up.set();
            up.set();
            assert_eq!((up.is_set(), up.waiting()), (true, 0));
            up.wait().await
        }));
        r.unwrap();
        assert_eq!(released.get(), 3);
    }

    #[test]
    fn a_cancelled_wait_leaves_no_trace_even_if_the_flag_is_up() {
        let (up, down) = (Event::new(), Event::new());
        up.set();
        let r: Result<Option<()>, Cancelled> = run(async {
            CancelScope::new()
                .run(async |scope| {
                    scope.cancel();
                    assert!(up.wait().await.is_err());
                    down.wait().await
                })
                .await
        });
        assert!(matches!(r, Ok(None)));
        assert_eq!(down.waiting(), 0);
    }

    #[test]
    fn a_wait_that_yields_for_its_budget_is_in_line_when_it_does() {
        run(async {
            let spend = Event::new();
            spend.set();
            for spent in 0..150 {
                let up = Event::new();
                yield_now().await;
                for _ in 0..spent {
                    spend.wait().await.unwrap();
                }
                let mut waiting = pin!(up.wait());
                poll_fn(|cx| {
                    assert!(waiting.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                assert_eq!(up.waiting(), 1, "after {spent} operations");
                up.set();
                waiting.await.unwrap();
            }
        });
    }
}
