//! A fair queue of waiting tasks: what everything in [`crate::sync`] blocks on.
//!
//! ```text
//!   park(): push to the back ─► waits ─► unpark(n): the n oldest are released, in order
//!                                 └─ cancelled or dropped: leaves the middle of the queue, order kept
//! ```
//!
//! Rules:
//! * Released is a fact in the queue, not a wake: a spurious poll releases nobody.
//! * A release that meets a future which is then dropped unpolled passes on to the next in the queue.

use crate::checkpoint::Wait;
use crate::error::Cancelled;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::task::{Poll, Waker};

#[derive(Default)]
struct Queue {
    next: u64,
    /// By ticket, so by age. A ticket that is not in here has been released.
    parked: BTreeMap<u64, Waker>,
}

/// A fair wait queue that tolerates cancellation. Source: trio's `ParkingLot`.
///
/// ```
/// use pleach_executor::{Cancelled, checkpoint, nursery, parking::ParkingLot, run};
/// let lot = ParkingLot::new();
/// let r: Result<(), Cancelled> = run(nursery(async |n| {
///     n.spawn(async { lot.park().await });
///     checkpoint().await?;
///     assert_eq!(lot.unpark(5), 1);
///     Ok(())
/// }));
/// r.unwrap();
/// ```
#[derive(Default)]
pub struct ParkingLot {
    queue: RefCell<Queue>,
}

impl ParkingLot {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until released.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; **Loses place**.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the scope around the call is cancelled.
    pub async fn park(&self) -> Result<(), Cancelled> {
        let mut ticket = Ticket { lot: self, number: None };
        let mut wait = Wait::new();
        poll_fn(|cx| wait.poll(cx, |cx| ticket.poll(cx.waker()))).await
    }

    /// Releases the `n` oldest, or all if there are fewer; says how many.
    pub fn unpark(&self, n: usize) -> usize {
        let mut released = 0;
        while released < n {
            let oldest = self.queue.borrow_mut().parked.pop_first();
            let Some((_, waker)) = oldest else { break };
            released += 1;
            waker.wake();
        }
        released
    }

    /// Releases all.
    pub fn unpark_all(&self) -> usize {
        self.unpark(usize::MAX)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.borrow().parked.len()
    }

    /// Does nobody wait?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A place in the queue.
struct Ticket<'a> {
    lot: &'a ParkingLot,
    number: Option<u64>,
}

impl Ticket<'_> {
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        let mut q = self.lot.queue.borrow_mut();
        let Some(number) = self.number else {
            let number = q.next;
            q.next += 1;
            q.parked.insert(number, waker.clone());
            self.number = Some(number);
            return Poll::Pending;
        };
        let before = match q.parked.get_mut(&number) {
            Some(w) if w.will_wake(waker) => None,
            Some(w) => Some(std::mem::replace(w, waker.clone())),
            None => {
                self.number = None;
                return Poll::Ready(());
            }
        };
        drop(q);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let waiting = self.lot.queue.borrow_mut().parked.remove(&number);
        if waiting.is_none() {
            // Released, and never polled again: the release is the next one's.
            self.lot.unpark(1);
        }
    }
}

impl fmt::Debug for ParkingLot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParkingLot").field("waiting", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CancelScope, checkpoint, nursery, run};
    use std::future::Future;

    #[test]
    fn releases_the_oldest_first() {
        let (lot, order) = (ParkingLot::new(), RefCell::new(Vec::new()));
        let r: Result<(), Cancelled> = run(nursery(async |n| {
            for i in 0..4 {
                let (lot, order) = (&lot, &order);
                n.spawn(async move {
                    lot.park().await?;
                    order.borrow_mut().push(i);
                    Ok(())
                });
            }
            checkpoint().await?;
            checkpoint().await?;
            assert_eq!((lot.len(), lot.unpark(3), lot.len()), (4, 3, 1));
            checkpoint().await?;
            checkpoint().await?;
            assert_eq!(*order.borrow(), [0, 1, 2]);
            assert_eq!(lot.unpark_all(), 1);
            Ok(())
        }));
        r.unwrap();
    }

    #[test]
    fn a_cancelled_one_leaves_the_middle_and_the_rest_keep_their_order() {
        let (lot, order) = (ParkingLot::new(), RefCell::new(Vec::new()));
        let r: Result<(), Cancelled> = run(nursery(async |n| {
            let scope = CancelScope::new();
            let handle = scope.handle();
            let (lot, order) = (&lot, &order);
            n.spawn(async move {
                lot.park().await?;
                order.borrow_mut().push(0);
                Ok(())
            });
            n.spawn(async move {
                let r = scope.run(async |_| lot.park().await).await?;
                assert!(r.is_none());
                Ok(())
            });
            n.spawn(async move {
                lot.park().await?;
                order.borrow_mut().push(2);
                Ok(())
            });
            checkpoint().await?;
            checkpoint().await?;
            handle.cancel();
            checkpoint().await?;
            checkpoint().await?;
            assert_eq!(lot.unpark_all(), 2);
            Ok(())
        }));
        r.unwrap();
        assert_eq!(*order.borrow(), [0, 2]);
    }

    #[test]
    fn a_release_of_a_dropped_future_passes_on() {
        let lot = ParkingLot::new();
        run(async {
            let mut first = Box::pin(lot.park());
            let mut second = Box::pin(lot.park());
            poll_fn(|cx| {
                assert!(first.as_mut().poll(cx).is_pending() && second.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            lot.unpark(1);
            drop(first);
            second.await.unwrap();
        });
        assert!(lot.is_empty());
    }
}
