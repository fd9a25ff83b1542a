//! A fair queue of waiting tasks: what everything in [`crate::sync`] blocks on.
//!
//! ```text
//!   park(): push to the back ─► waits ─► unpark(n): the n oldest are released, in order
//!                                 ├─ repark(n, to): the n oldest wait there from now on, and do not notice
//!                                 ├─ break_lot(): all fail, and whoever comes later
//!                                 └─ cancelled or dropped: leaves the middle of the queue, order kept
//! ```
//!
//! Rules:
//! * **In Line at Once**: the first poll of [`ParkingLot::park`] queues, even if the task's budget then makes it yield.
//!   What the caller has checked just before the call still holds when it is in line, so no release is missed.
//! * Released is a fact in the queue, not a wake: a spurious poll releases nobody.
//! * A release by [`ParkingLot::unpark`] is a hand-off: if the future that got it is dropped unpolled, it passes on to
//!   the next in line. One by [`ParkingLot::unpark_all`] is an announcement, and ends with who heard it.
//! * Who was moved finds in its old slot where it is now.

mod broken;
pub(crate) mod list;
mod until;

use crate::checkpoint::Wait;
use crate::error::Cancelled;
use crate::runtime;
use crate::task::TaskId;
use crate::waits::Waits;
pub use broken::{Breaker, Broken};
use list::{List, Place};
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
#[cfg(feature = "stream")]
pub(crate) use until::Until;

/// One waiting task. In line exactly as long as that is what it is.
enum Parked {
    InLine(Waker),
    Released {
        pass_on: bool,
    },
    /// It waits there.
    Moved(Rc<ParkingLot>, Place),
    /// The lot was broken.
    Broken,
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
    /// In whose name it was broken, each time.
    broken_by: RefCell<Vec<TaskId>>,
}

/// What there is of a [`ParkingLot`] at this moment. Source: trio's statistics of one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkingLotStats {
    /// How many wait in it.
    pub waiting: usize,
    /// The tasks in whose names it was broken, each as often as it was; of one that is whole there are none.
    pub broken_by: Vec<TaskId>,
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
    ///
    /// # Panics
    ///
    /// If the lot is broken, or is while it waits: a lot that may be is parked in by
    /// [`park_unless_broken`](ParkingLot::park_unless_broken).
    pub async fn park(&self) -> Result<(), Cancelled> {
        self.park_for(Waits::ParkingLot).await
    }

    /// The same for an operation that stands on this.
    pub(crate) async fn park_for(&self, what: Waits) -> Result<(), Cancelled> {
        match self.park_or_fail(what).await? {
            Ok(()) => Ok(()),
            Err(broken) => panic!("{broken}: park by `park_unless_broken` in a lot that may be"),
        }
    }

    async fn park_or_fail(&self, what: Waits) -> Result<Result<(), Broken>, Cancelled> {
        let mut ticket = Ticket { at: At::Here(self), place: None };
        let mut wait = Wait::on(what);
        let released = poll_fn(|cx| {
            if ticket.place.is_none() && self.is_broken() {
                return wait.poll(cx, |_| Poll::Ready(Err(())));
            }
            // In Line at Once. In a cancelled scope the ticket goes again before anybody else can see it.
            ticket.place.get_or_insert_with(|| self.join(cx.waker()));
            wait.poll(cx, |cx| ticket.poll(cx.waker()))
        })
        .await?;
        Ok(released.map_err(|()| ticket.at.lot().why_broken()))
    }

    /// Has the `n` oldest, or all if there are fewer, wait in `to` from now on, at the end of its line and in their order; says
    /// how many. They do not wake, and a cancellation finds them there. In a lot that is broken they hear of that.
    ///
    /// # Panics
    ///
    /// If `to` is this very lot.
    #[track_caller]
    pub fn repark(&self, n: usize, to: &Rc<ParkingLot>) -> usize {
        assert!(
            !std::ptr::eq(self, Rc::as_ptr(to)),
            "a lot cannot be moved into itself: its order would be another"
        );
        let mut line = self.line.borrow_mut();
        let mut moved = 0;
        while moved < n {
            let Some(oldest) = line.take_first() else { break };
            let Parked::InLine(waker) = std::mem::replace(oldest, Parked::Broken) else {
                unreachable!("in line exactly as long as parked")
            };
            *oldest = Parked::Moved(Rc::clone(to), to.line.borrow_mut().push(Parked::InLine(waker)));
            moved += 1;
        }
        drop(line);
        if to.is_broken() {
            to.break_all();
        }
        moved
    }

    /// As [`repark`](ParkingLot::repark), everybody.
    ///
    /// # Panics
    ///
    /// If `to` is this very lot.
    #[track_caller]
    pub fn repark_all(&self, to: &Rc<ParkingLot>) -> usize {
        self.repark(usize::MAX, to)
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

    /// What there is of it.
    #[must_use]
    pub fn stats(&self) -> ParkingLotStats {
        ParkingLotStats { waiting: self.len(), broken_by: self.broken_by.borrow().clone() }
    }

    fn join(&self, waker: &Waker) -> Place {
        // Cloned outside: a foreign waker may do anything.
        let waker = waker.clone();
        self.line.borrow_mut().push(Parked::InLine(waker))
    }

    fn release(&self, n: usize, pass_on: bool) -> usize {
        self.release_as(n, || Parked::Released { pass_on })
    }

    /// Takes the `n` oldest out of line, leaves in each slot what it finds there, and wakes it.
    fn release_as(&self, n: usize, mut found: impl FnMut() -> Parked) -> usize {
        // A foreign waker may run anything, a new `park` too: the count is taken before.
        let n = n.min(self.len());
        let mut released = 0;
        runtime::wake_each(std::iter::from_fn(|| {
            let found = found();
            let mut line = self.line.borrow_mut();
            let oldest = if released < n { line.take_first()? } else { return None };
            released += 1;
            match std::mem::replace(oldest, found) {
                Parked::InLine(waker) => Some(waker),
                _ => unreachable!("in line exactly as long as parked"),
            }
        }));
        released
    }
}

/// Which lot a ticket is for.
enum At<'a> {
    Here(&'a ParkingLot),
    /// It was moved.
    There(Rc<ParkingLot>),
}

impl At<'_> {
    fn lot(&self) -> &ParkingLot {
        match self {
            At::Here(lot) => lot,
            At::There(lot) => lot,
        }
    }
}

/// A place in the queue.
struct Ticket<'a> {
    at: At<'a>,
    place: Option<Place>,
}

impl Ticket<'_> {
    /// `Err` if the lot was broken.
    fn poll(&mut self, waker: &Waker) -> Poll<Result<(), ()>> {
        loop {
            let mut line = self.at.lot().line.borrow_mut();
            let place = self.place.as_ref().expect("In Line at Once");
            match line.get(place) {
                Parked::InLine(w) if w.will_wake(waker) => return Poll::Pending,
                Parked::InLine(w) => {
                    let before = std::mem::replace(w, waker.clone());
                    drop(line);
                    drop(before);
                    return Poll::Pending;
                }
                Parked::Released { .. } | Parked::Moved(..) | Parked::Broken => {}
            }
            let found = line.remove(self.place.take().expect("just looked at"));
            drop(line);
            match found {
                Parked::Released { .. } => return Poll::Ready(Ok(())),
                Parked::Broken => return Poll::Ready(Err(())),
                Parked::Moved(lot, place) => (self.at, self.place) = (At::There(lot), Some(place)),
                Parked::InLine(_) => unreachable!("just looked at"),
            }
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let left = self.at.lot().line.borrow_mut().remove(place);
        match left {
            Parked::Released { pass_on: true } => _ = self.at.lot().unpark(1),
            Parked::Moved(lot, place) => drop(Ticket { at: At::There(lot), place: Some(place) }),
            Parked::Released { pass_on: false } | Parked::Broken | Parked::InLine(_) => {}
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
