//! A fair queue of waiting tasks: what everything in [`crate::sync`] blocks on.
//!
//! ```text
//!   park(): push to the back ─► waits ─► unpark(n): the n oldest are released, in order
//!                                 └─ cancelled or dropped: leaves the middle of the queue, order kept
//! ```
//!
//! Rules:
//! * **In Line at Once**: the first poll of [`ParkingLot::park`] queues, even if the task's budget then makes it yield.
//!   What the caller has checked just before the call still holds when it is in line, so no release is missed.
//! * Released is a fact in the queue, not a wake: a spurious poll releases nobody.
//! * A release by [`ParkingLot::unpark`] is a hand-off: if the future that got it is dropped unpolled, it passes on to
//!   the next in line. One by [`ParkingLot::unpark_all`] is an announcement, and ends with who heard it.

pub(crate) mod list;
mod until;

use crate::checkpoint::Wait;
use crate::error::Cancelled;
use crate::runtime;
use crate::waits::Waits;
use list::{List, Place};
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// One waiting task. In line exactly as long as it is `Parked`.
enum Parked {
    Parked(Waker),
    Released { pass_on: bool },
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
    line: RefCell<List<Parked>>,
}

impl ParkingLot {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until released. It is in line when its first poll returns, and always waits for a release that comes
    /// after that.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; **Loses place**. A release that reaches a future which never runs again goes to the next in
    /// line (see [`unpark`](ParkingLot::unpark)).
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the scope around the call is cancelled.
    pub async fn park(&self) -> Result<(), Cancelled> {
        self.park_for(Waits::ParkingLot).await
    }

    /// The same for an operation that stands on this.
    pub(crate) async fn park_for(&self, what: Waits) -> Result<(), Cancelled> {
        let mut ticket = Ticket { lot: self, place: None };
        let mut wait = Wait::on(what);
        poll_fn(|cx| {
            // In Line at Once. In a cancelled scope the ticket goes again before anybody else can see it.
            ticket.place.get_or_insert_with(|| ticket.lot.join(cx.waker()));
            wait.poll(cx, |cx| ticket.poll(cx.waker()))
        })
        .await
    }

    /// Releases the `n` oldest, or all if there are fewer; says how many. Those who park meanwhile are not among them.
    ///
    /// Each release is handed to one waiting task: if that task's wait is dropped before it ran, the next in line gets
    /// it.
    pub fn unpark(&self, n: usize) -> usize {
        self.release(n, true)
    }

    /// Releases all who wait now; says how many. Nothing is passed on.
    pub fn unpark_all(&self) -> usize {
        self.release(usize::MAX, false)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.line.borrow().len()
    }

    /// Does nobody wait?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn join(&self, waker: &Waker) -> Place {
        // Cloned outside: a foreign waker may do anything.
        let waker = waker.clone();
        self.line.borrow_mut().push(Parked::Parked(waker))
    }

    fn release(&self, n: usize, pass_on: bool) -> usize {
        // A foreign waker may run anything, a new `park` too: the count is taken before.
        let n = n.min(self.len());
        let mut released = 0;
        runtime::wake_each(std::iter::from_fn(|| {
            let mut line = self.line.borrow_mut();
            let oldest = if released < n { line.take_first()? } else { return None };
            released += 1;
            match std::mem::replace(oldest, Parked::Released { pass_on }) {
                Parked::Parked(waker) => Some(waker),
                Parked::Released { .. } => unreachable!("in line exactly as long as parked"),
            }
        }));
        released
    }
}

/// A place in the queue.
struct Ticket<'a> {
    lot: &'a ParkingLot,
    place: Option<Place>,
}

impl Ticket<'_> {
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        let mut line = self.lot.line.borrow_mut();
        let place = self.place.as_ref().expect("In Line at Once");
        let before = match line.get(place) {
            Parked::Released { .. } => {
                let place = self.place.take().expect("just looked at");
                let _ = line.remove(place);
                return Poll::Ready(());
            }
            Parked::Parked(w) if w.will_wake(waker) => return Poll::Pending,
            Parked::Parked(w) => std::mem::replace(w, waker.clone()),
        };
        drop(line);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let left = self.lot.line.borrow_mut().remove(place);
        if let Parked::Released { pass_on: true } = left {
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
    use crate::{CancelScope, check, checkpoint, nursery, run, yield_now};
    use std::future::Future;
    use std::pin::Pin;

    type Parking<'a> = Pin<Box<dyn Future<Output = Result<(), Cancelled>> + 'a>>;

    fn parking(lot: &ParkingLot) -> Parking<'_> {
        Box::pin(lot.park())
    }

    /// Polls it once; `true` if it is ready.
    async fn poll_once(fut: &mut Parking<'_>) -> bool {
        poll_fn(|cx| Poll::Ready(fut.as_mut().poll(cx).is_ready())).await
    }

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
    fn a_hand_off_to_a_dropped_future_passes_on_in_order() {
        let lot = ParkingLot::new();
        run(async {
            let (mut a, mut b, mut c) = (parking(&lot), parking(&lot), parking(&lot));
            for f in [&mut a, &mut b, &mut c] {
                assert!(!poll_once(f).await);
            }
            assert_eq!(lot.unpark(1), 1);
            drop(a);
            assert_eq!(lot.len(), 1);
            assert!(!poll_once(&mut c).await);
            b.await.unwrap();
            drop(c);
        });
        assert!(lot.is_empty());
    }

    #[test]
    fn an_announcement_is_not_passed_on_to_later_ones() {
        let lot = ParkingLot::new();
        run(async {
            let (mut early, mut late) = (parking(&lot), parking(&lot));
            assert!(!poll_once(&mut early).await);
            assert_eq!(lot.unpark_all(), 1);
            assert!(!poll_once(&mut late).await);
            drop(early);
            assert_eq!(lot.len(), 1);
            assert!(!poll_once(&mut late).await);
        });
    }

    #[test]
    fn a_release_that_is_there_wins_over_a_cancellation() {
        let lot = ParkingLot::new();
        let r: Result<Option<()>, Cancelled> = run(async {
            CancelScope::new()
                .run(async |scope| {
                    let mut parked = parking(&lot);
                    assert!(!poll_once(&mut parked).await);
                    lot.unpark(1);
                    scope.cancel();
                    parked.await.unwrap();
                    check()
                })
                .await
        });
        assert!(matches!(r, Ok(None)));
    }

    #[test]
    fn spurious_polls_release_nobody() {
        let lot = ParkingLot::new();
        run(async {
            let mut parked = parking(&lot);
            for _ in 0..100 {
                assert!(!poll_once(&mut parked).await);
                yield_now().await;
            }
            lot.unpark(1);
            assert!(poll_once(&mut parked).await);
        });
    }

    #[test]
    fn who_parks_with_a_used_up_budget_misses_no_release() {
        let lot = ParkingLot::new();
        run(async {
            // Each cycle is one ready operation more in the same poll; one of them is the last of the budget.
            for spent in 0..200 {
                yield_now().await;
                let ready = crate::sync::Event::new();
                ready.set();
                for _ in 0..spent % 130 {
                    ready.wait().await.unwrap();
                }
                let mut parked = parking(&lot);
                let done = poll_once(&mut parked).await;
                assert_eq!((done, lot.unpark(1)), (false, 1), "not in line after {spent} operations");
                parked.await.unwrap();
            }
        });
    }
}
