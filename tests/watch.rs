//! Promise: who watches a value sees the latest, never an old one twice, and learns when there will be no more.
//!
//! ```text
//!   send ─► the value ─► changed(): newer than what I have seen        senders gone ─► End; receivers gone ─► unwatched()
//! ```

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::poll_once;
use fault::{Run, shape};
use futures_util::future::join;
use orders::in_every_order;
use pleach_executor::sync::watch::{WatchError, channel};
use pleach_executor::testing::{wait_until_idle, wake_random};
use pleach_executor::{CancelScope, check};
use std::cell::{Cell, RefCell};

#[test]
fn changes_in_between_are_skipped_and_none_is_seen_twice() {
    in_every_order(async || {
        let (tx, rx) = channel(0);
        assert_eq!((*rx.get(), rx.has_changed()), (0, false));
        tx.send(1);
        tx.update(|value| value + 1);
        assert_eq!((*rx.get(), rx.has_changed()), (2, true), "looking is not seeing");
        assert_eq!(*rx.changed().await.unwrap().unwrap(), 2);
        let mut waiting = Box::pin(rx.changed());
        assert!(poll_once(waiting.as_mut()).await.is_pending());
        for seed in 0..20 {
            wake_random(50, seed);
            assert!(poll_once(waiting.as_mut()).await.is_pending());
        }
        tx.send(2);
        assert_eq!(*waiting.await.unwrap().unwrap(), 2, "an equal value is a new one");
    });
}

/// Cancelled or dropped in each window, it has seen nothing.
#[test]
fn a_cancelled_wait_has_seen_nothing() {
    in_every_order(async || {
        let (tx, rx) = channel(0);
        let mut waiting = Box::pin(rx.changed());
        assert!(poll_once(waiting.as_mut()).await.is_pending());
        tx.send(1);
        drop(waiting);
        assert!(rx.has_changed());
        let r = CancelScope::new()
            .run(async |scope| {
                scope.cancel();
                assert!(rx.changed().await.is_err() && rx.wait_for(|_| true).await.is_err());
                check()
            })
            .await;
        assert!(matches!(r, Ok(None)) && rx.has_changed());
        let r = CancelScope::new()
            .run(async |scope| {
                let mut waiting = Box::pin(rx.wait_for(|value| *value == 2));
                assert!(poll_once(waiting.as_mut()).await.is_pending());
                tx.send(2);
                scope.cancel();
                assert_eq!(*waiting.await?.unwrap(), 2, "what is there wins over a cancellation");
                check()
            })
            .await;
        assert!(matches!(r, Ok(None)) && !rx.has_changed());
    });
}

#[test]
fn every_receiver_sees_for_itself_and_the_end_after_the_last_value() {
    in_every_order(async || {
        let (tx, rx) = channel("a");
        let log = RefCell::new(Vec::new());
        let r = Run::nursery(async |n| {
            for i in 0..3 {
                let (rx, log) = (rx.clone(), &log);
                n.spawn(async move {
                    loop {
                        match rx.changed().await? {
                            Ok(value) => log.borrow_mut().push((i, *value)),
                            Err(e) => {
                                assert_eq!((e, *rx.get()), (WatchError::End, "c"));
                                return Ok(());
                            }
                        }
                    }
                });
            }
            wait_until_idle().await?;
            tx.send("b");
            wait_until_idle().await?;
            let second = tx.clone();
            drop(tx);
            wait_until_idle().await?;
            assert_eq!(n.stats().children, 3, "one sender is left");
            second.send("c");
            drop(second);
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        let mut log = log.into_inner();
        log.sort_unstable();
        assert_eq!(log, [(0, "b"), (0, "c"), (1, "b"), (1, "c"), (2, "b"), (2, "c")]);
        assert_eq!((rx.wait_for(|v| *v == "z").await.unwrap(), *rx.get()), (Err(WatchError::End), "c"));
    });
}

#[test]
fn a_wait_for_a_value_looks_at_the_present_one_first() {
    in_every_order(async || {
        let (tx, rx) = channel(5);
        assert_eq!(*rx.wait_for(|value| *value == 5).await.unwrap().unwrap(), 5);
        let r = Run::nursery(async |n| {
            let waiting = n.task(async { Ok(rx.wait_for(|value| value % 4 == 0).await?.unwrap()) });
            for value in [6, 7, 8] {
                wait_until_idle().await?;
                assert!(!waiting.is_ended());
                tx.send(value);
            }
            assert_eq!(*waiting.await?, 8);
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

#[test]
fn a_sender_learns_that_nobody_watches_and_keeps_the_value_for_who_comes() {
    in_every_order(async || {
        let (tx, rx) = channel(0);
        let r = Run::nursery(async |n| {
            let other = rx.clone();
            let unwatched = n.task(async { Ok(tx.unwatched().await?) });
            wait_until_idle().await?;
            drop(rx);
            wait_until_idle().await?;
            assert!(!unwatched.is_ended() && tx.receivers() == 1);
            drop(other);
            unwatched.await?;
            tx.send(7);
            let late = tx.subscribe();
            assert_eq!((*late.get(), late.has_changed()), (7, false));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// A reader may keep a value, and a value may use its watch while it is dropped.
#[test]
fn values_are_held_and_dropped_without_a_borrow() {
    struct Nosy<'a>(&'a Cell<u32>);
    impl Drop for Nosy<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    in_every_order(async || {
        let drops = Cell::new(0);
        let (tx, rx) = channel(Nosy(&drops));
        let held = rx.get();
        tx.send(Nosy(&drops));
        assert_eq!(drops.get(), 0, "held");
        drop(held);
        tx.update(|_| {
            assert!(rx.has_changed());
            Nosy(&drops)
        });
        assert_eq!(drops.get(), 2);
        let (a, b) = join(rx.changed(), rx.clone().wait_for(|_| true)).await;
        assert!(a.unwrap().is_ok() && b.unwrap().is_ok());
    });
}
