//! Promise: a parking lot releases in the order in which tasks have parked, moves them without waking, and tells all of them when
//! it is broken.
//!
//! ```text
//!   park ─► unpark │ repark(to) ─► unpark there │ break_lot, a Breaker that goes ─► Broken { by }
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/orders.rs"]
mod orders;

use by_hand::{message, settle};
use orders::in_every_order;
use pleach_executor::parking::{Broken, ParkingLot};
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{CancelScope, Cancelled, Nursery, TaskId, current_task, nursery, sleep_forever};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Three who park in a lot one after the other, and the order in which they go on.
async fn three<'s, 'env>(
    n: &'s Nursery<'s, 'env, Cancelled>,
    lot: &'env ParkingLot,
    order: &'env RefCell<Vec<u32>>,
) -> Result<(), Cancelled> {
    for k in 0..3 {
        n.spawn(async move {
            lot.park().await?;
            order.borrow_mut().push(k);
            Ok(())
        });
        wait_until_idle().await?;
    }
    assert_eq!(lot.len(), 3);
    Ok(())
}

/// Case 145. One by one, strictly in the order in which they came.
#[test]
fn tasks_go_on_in_the_order_in_which_they_parked() {
    in_every_order(async || {
        let (lot, order) = (ParkingLot::new(), RefCell::new(Vec::new()));
        nursery(async |n| {
            three(n, &lot, &order).await?;
            for k in 0..3 {
                assert_eq!(lot.unpark(1), 1);
                wait_until_idle().await?;
                assert_eq!(order.borrow().last(), Some(&k));
            }
            Ok(())
        })
        .await
        .unwrap();
    });
}

/// Case 146. In an empty lot nobody is released, whatever the number; of three, two are the two oldest.
#[test]
fn so_many_of_the_oldest_are_released() {
    in_every_order(async || {
        let (lot, order) = (ParkingLot::new(), RefCell::new(Vec::new()));
        assert_eq!((lot.unpark(0), lot.unpark(1), lot.unpark(usize::MAX), lot.unpark_all()), (0, 0, 0, 0));
        nursery(async |n| {
            three(n, &lot, &order).await?;
            assert_eq!((lot.unpark(2), lot.len()), (2, 1));
            wait_until_idle().await?;
            order.borrow_mut().sort_unstable();
            assert_eq!(*order.borrow(), [0, 1]);
            assert_eq!(lot.unpark(7), 1);
            Ok(())
        })
        .await
        .unwrap();
    });
}

/// Case 148. The oldest is moved and does not wake; being released there wakes it.
#[test]
fn a_task_is_moved_to_another_lot_without_waking() {
    in_every_order(async || {
        let (lot, other, order) = (ParkingLot::new(), Rc::new(ParkingLot::new()), RefCell::new(Vec::new()));
        nursery(async |n| {
            three(n, &lot, &order).await?;
            assert_eq!((lot.repark(1, &other), lot.len(), other.len()), (1, 2, 1));
            wait_until_idle().await?;
            assert!(order.borrow().is_empty());
            assert_eq!(other.unpark_all(), 1);
            wait_until_idle().await?;
            assert_eq!(*order.borrow(), [0]);
            assert_eq!((lot.repark_all(&other), lot.len(), other.len()), (2, 0, 2));
            // And back again: who has been moved twice is still one.
            let back = Rc::new(ParkingLot::new());
            assert_eq!((other.repark_all(&back), back.unpark(5)), (2, 2));
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(order.borrow().len(), 3);
    });
}

/// Case 149. Cancelled after it was moved, a task is gone from where it was moved to, and the others wake as ever.
#[test]
fn a_moved_task_that_is_cancelled_leaves_the_new_lot() {
    in_every_order(async || {
        let (lot, other, woken) = (ParkingLot::new(), Rc::new(ParkingLot::new()), Cell::new(0));
        nursery(async |n| {
            let inner = CancelScope::new();
            let cancel = inner.handle();
            n.spawn(async { inner.run(async |_| lot.park().await).await.map(drop) });
            wait_until_idle().await?;
            n.spawn(async {
                lot.park().await?;
                woken.set(woken.get() + 1);
                Ok(())
            });
            wait_until_idle().await?;
            assert_eq!((lot.repark_all(&other), other.len()), (2, 2));
            cancel.cancel();
            wait_until_idle().await?;
            assert_eq!((other.len(), woken.get()), (1, 0));
            other.unpark_all();
            Ok::<_, Cancelled>(())
        })
        .await
        .unwrap();
        assert_eq!(woken.get(), 1);
    });
}

/// A release that was handed to one who had been moved, and who never looks, goes to the next there.
#[test]
fn a_release_of_a_moved_task_that_is_dropped_goes_to_the_next_there() {
    run_virtual(async {
        let (lot, other) = (ParkingLot::new(), Rc::new(ParkingLot::new()));
        let (mut first, mut second) = (Box::pin(lot.park()), Box::pin(lot.park()));
        settle(first.as_mut()).await;
        settle(second.as_mut()).await;
        lot.repark_all(&other);
        assert_eq!(other.unpark(1), 1);
        drop(first);
        assert!(second.await.is_ok() && other.is_empty());
    });
}

#[test]
fn a_lot_is_not_moved_into_itself() {
    run_virtual(async {
        let lot = Rc::new(ParkingLot::new());
        let refused = catch_unwind(AssertUnwindSafe(|| lot.repark_all(&lot))).unwrap_err();
        assert!(message(refused).contains("into itself"));
    });
}

fn me() -> TaskId {
    current_task().expect("inside of one")
}

/// Case 151. In whose name a lot was broken is kept, each time; and whoever parks from then on hears of it.
#[test]
fn a_lot_keeps_in_whose_name_it_was_broken() {
    in_every_order(async || {
        let lot = ParkingLot::new();
        lot.break_lot();
        lot.break_lot();
        let broken = lot.park_unless_broken().await.unwrap().unwrap_err();
        assert_eq!(broken.by, [me(), me()]);
        assert!(lot.is_broken() && broken.to_string().contains("was broken by"), "{broken}");
        assert_eq!((lot.unpark_all(), lot.len()), (0, 0));
        let misuse = Box::pin(async { lot.park().await });
        let misuse = catch_unwind(AssertUnwindSafe(|| {
            std::pin::pin!(misuse)
                .as_mut()
                .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
        }));
        assert!(message(misuse.map(|_| ()).unwrap_err()).contains("park_unless_broken"));
    });
}

/// Case 152. A task that was to release others ends without having done so: they hear of it.
#[test]
fn who_parks_hears_that_the_releaser_has_gone() {
    in_every_order(async || {
        let (lot, releaser) = (ParkingLot::new(), Cell::new(None));
        nursery(async |n| {
            n.spawn(async {
                releaser.set(Some(me()));
                let breaker = lot.breaker();
                wait_until_idle().await?;
                drop(breaker);
                Ok::<_, Cancelled>(())
            });
            let broken = lot.park_unless_broken().await?.unwrap_err();
            assert_eq!(Some(broken), releaser.get().map(|by| gone([by])));
            Ok(())
        })
        .await
        .unwrap();
    });
}

/// What is expected of a lot that these have broken.
fn gone(by: impl IntoIterator<Item = TaskId>) -> Broken {
    let lot = ParkingLot::new();
    // The type is open for more: so it is made by what makes it.
    lot.break_lot();
    let mut parked = Box::pin(lot.park_unless_broken());
    let polled = parked.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    let std::task::Poll::Ready(Ok(Err(mut broken))) = polled else { panic!("it is broken") };
    broken.by = by.into_iter().collect();
    broken
}

/// Case 154. A lot that is broken already takes another breaker, whose end adds its name.
#[test]
fn a_broken_lot_takes_another_breaker() {
    in_every_order(async || {
        let (lot, other) = (ParkingLot::new(), Cell::new(None));
        lot.break_lot();
        nursery(async |n| {
            n.spawn(async {
                other.set(Some(me()));
                let _breaker = lot.breaker();
                Ok::<_, Cancelled>(())
            });
            Ok(())
        })
        .await
        .unwrap();
        let broken = lot.park_unless_broken().await.unwrap().unwrap_err();
        assert_eq!(Some(broken.by), other.get().map(|other| vec![me(), other]));
    });
}

/// Case X17. Three breakers that all go are all named.
#[test]
fn every_breaker_that_goes_is_named() {
    in_every_order(async || {
        let lot = ParkingLot::new();
        nursery(async |n| {
            for _ in 0..3 {
                n.spawn(async {
                    let _breaker = lot.breaker();
                    sleep_forever().await.map(drop)
                });
            }
            wait_until_idle().await?;
            assert!(!lot.is_broken());
            n.cancel();
            Ok::<_, Cancelled>(())
        })
        .await
        .unwrap();
        let by = lot.park_unless_broken().await.unwrap().unwrap_err().by;
        assert!(by.len() == 3 && by[0] != by[1] && by[1] != by[2] && by[0] != by[2], "{by:?}");
    });
}

#[test]
fn a_breaker_that_is_disarmed_breaks_nothing() {
    run_virtual(async {
        let (lot, broken) = (ParkingLot::new(), Rc::new(ParkingLot::new()));
        lot.breaker().disarm();
        assert!(!lot.is_broken());
        // Moved into a broken lot, one hears of that.
        broken.break_lot();
        let mut parked = Box::pin(lot.park_unless_broken());
        settle(parked.as_mut()).await;
        assert_eq!((lot.repark_all(&broken), broken.len()), (1, 0));
        assert!(parked.await.unwrap().is_err());
    });
}
