//! Locks, permits, tokens, conditions, barriers and cells: a wait that is dropped at any step holds nothing and nobody up.
//!
//! ```text
//!   one holds, one is dropped after 0, 1, 2, … polls, one waits behind it ─► that one has its turn, and then it is free
//! ```

use crate::by_hand::poll_once;
use crate::fault::Fault;
use crate::orders::in_every_order;
use crate::{S, WINDOWS, Window, any_drop_is_clean, drop_in};
use futures_util::future::{join, join3};
use pleach_executor::parking::ParkingLot;
use pleach_executor::sync::{Barrier, Borrower, CapacityLimiter, Condition, Lock, OnceCell, Semaphore};
use pleach_executor::{Cancelled, sleep};
use std::task::Poll;

#[test]
fn dropped_waits_for_a_lock_leave_nothing() {
    any_drop_is_clean("lock", 9, || async {
        let lock = Lock::new(0);
        let held = lock.try_lock().expect("nobody has it");
        let holding = async {
            let r = sleep(2 * S).await;
            drop(held);
            r
        };
        // A guard belongs to its task, and all of this is one: so that it is not refused, it is not the one who asks.
        let waiting = pleach_executor::gather([async {
            *lock.lock().await?.expect("another task's") += 1;
            Ok::<_, Cancelled>(())
        }]);
        join(holding, waiting).await
    });
}

#[test]
fn dropped_waits_for_a_permit_or_a_token_leave_nothing() {
    any_drop_is_clean("Semaphore::acquire", 9, || async {
        let one = Semaphore::new(0);
        let adding = async {
            let r = sleep(2 * S).await;
            one.add(1).expect("it has no bound");
            r
        };
        join3(async { one.acquire().await.map(drop) }, async { one.acquire().await.map(drop) }, adding).await
    });
    any_drop_is_clean("CapacityLimiter::acquire_for", 9, || async {
        let limiter = CapacityLimiter::new(0);
        let borrow = async |n| limiter.acquire_for(Borrower::Other(n)).await.map(drop);
        let raising = async {
            let r = sleep(2 * S).await;
            limiter.set_total(Some(1));
            r
        };
        join3(borrow(1), borrow(2), raising).await
    });
}

#[test]
fn dropped_waits_for_a_condition_or_at_a_barrier_leave_nothing() {
    any_drop_is_clean("Condition::wait", 9, || async {
        let lock = Lock::new(());
        let condition = Condition::new(&lock);
        let waiting = async {
            let (guard, r) = condition.wait(lock.try_lock().expect("nobody has it")).await;
            drop(guard);
            r
        };
        let notifying = async {
            sleep(2 * S).await?;
            let guard = lock.try_lock().expect("who waits has given it up");
            condition.notify(&guard, 1);
            // It is in line for the lock now.
            let r = sleep(2 * S).await;
            drop(guard);
            r
        };
        join(waiting, notifying).await
    });
    any_drop_is_clean("Barrier::wait", 9, || async {
        let barrier = Barrier::new(3.try_into().expect("not 0"));
        let last = async {
            sleep(2 * S).await?;
            barrier.wait().await
        };
        join3(barrier.wait(), barrier.wait(), last).await
    });
}

#[test]
fn dropped_waits_in_a_lot_or_for_a_cell_leave_nothing() {
    any_drop_is_clean("ParkingLot::park", 9, || async {
        let lot = ParkingLot::new();
        let releasing = async {
            let r = sleep(2 * S).await;
            lot.unpark(2);
            r
        };
        join3(lot.park(), lot.park(), releasing).await
    });
    any_drop_is_clean("OnceCell::get_or_init", 9, || async {
        let cell = OnceCell::new();
        let make = async || {
            sleep(2 * S).await?;
            Ok::<_, Fault>(7)
        };
        let (a, b, c) = join3(cell.get_or_init(make), cell.get_or_init(make), cell.wait()).await;
        (a.ok().copied(), b.ok().copied(), c.ok().copied())
    });
}

/// Whichever way the wait in the middle of the line goes, the one behind it has its turn, and nothing is held in the end.
#[test]
fn a_permit_passes_by_a_wait_that_was_dropped() {
    for window in WINDOWS {
        in_every_order(async || {
            let one = Semaphore::bounded(1, 1);
            let held = one.try_acquire().expect("one is left");
            let mut behind = Box::pin(one.acquire());
            let gone = one.acquire();
            drop_in(window, gone, || {
                drop(held);
                if window != Window::WokenAndNotPolled {
                    assert_eq!(one.stats().left, 1, "nobody is in line");
                }
            })
            .await;
            let Poll::Ready(Ok(permit)) = poll_once(behind.as_mut()).await else { panic!("{window:?}") };
            assert_eq!((one.stats().left, one.stats().waiting), (0, 0));
            drop(permit);
            assert_eq!(one.stats().left, 1);
        });
    }
}

/// The same with one that waits already: what was handed to the dropped wait is handed on, and is never free in between.
#[test]
fn what_was_handed_to_a_dropped_wait_is_handed_on() {
    in_every_order(async || {
        let one = Semaphore::bounded(1, 1);
        let held = one.try_acquire().expect("one is left");
        let (mut first, mut second) = (Box::pin(one.acquire()), Box::pin(one.acquire()));
        assert!(poll_once(first.as_mut()).await.is_pending());
        assert!(poll_once(second.as_mut()).await.is_pending());
        drop(held);
        drop(first);
        assert!(one.try_acquire().is_err(), "it is the second's");
        assert!(poll_once(second.as_mut()).await.is_ready());
    });
}
