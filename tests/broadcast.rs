//! Promise: every receiver of a broadcast channel gets every item, or is told how many it has missed.
//!
//! ```text
//!   send ─► a's cursor, b's cursor, …        too slow ─► Lagged { missed }, then the oldest that is there
//! ```

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::{message, poll_once};
use fault::{Run, shape};
use futures_util::future::join;
use orders::in_every_order;
use pleach_executor::sync::broadcast::{ReceiveError, SendError, TryReceiveError, channel};
use pleach_executor::testing::{wait_until_idle, wake_random};
use pleach_executor::{CancelScope, check, checkpoint, run};
use std::cell::{Cell, RefCell};
use std::panic::catch_unwind;
use std::rc::Rc;

/// The first consumer is cancelled, in each window; it has lost nothing, and neither has the second.
/// Case S118.
#[test]
fn a_cancelled_receive_has_taken_nothing() {
    in_every_order(async || {
        let (tx, rx) = channel(4);
        let other = rx.clone();
        // Before its first poll.
        let mut first = Box::pin(rx.receive());
        tx.send(1).unwrap();
        drop(first);
        // Parked.
        assert_eq!(rx.try_receive(), Ok(1));
        first = Box::pin(rx.receive());
        assert!(poll_once(first.as_mut()).await.is_pending());
        assert_eq!(rx.stats().receiving, 1);
        drop(first);
        assert_eq!(rx.stats().receiving, 0);
        // Woken and not polled.
        first = Box::pin(rx.receive());
        assert!(poll_once(first.as_mut()).await.is_pending());
        tx.send(2).unwrap();
        drop(first);
        // Cancelled before it begins.
        let r = Run::move_on_after(std::time::Duration::ZERO, async |_| {
            assert!(rx.receive().await.is_err());
            Ok(check()?)
        });
        assert!(matches!(r.await, Ok(None)));
        assert_eq!(rx.receive().await.unwrap(), Ok(2));
        assert_eq!(rx.try_receive(), Err(TryReceiveError::WouldBlock));
        assert_eq!((other.try_receive(), other.try_receive()), (Ok(1), Ok(2)));
        assert_eq!(rx.stats().buffered, 0, "everybody has everything");
    });
}

#[test]
fn an_item_that_is_there_wins_over_a_cancellation() {
    in_every_order(async || {
        let (tx, rx) = channel(1);
        let r = CancelScope::new()
            .run(async |scope| {
                let mut waiting = Box::pin(rx.receive());
                assert!(poll_once(waiting.as_mut()).await.is_pending());
                tx.send(1).unwrap();
                scope.cancel();
                assert_eq!(waiting.await?, Ok(1));
                check()
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

/// Case S122.
#[test]
fn a_slow_receiver_is_told_once_how_much_it_missed_and_goes_on() {
    in_every_order(async || {
        let (tx, slow) = channel(3);
        let fast = slow.clone();
        let r = Run::nursery(async |n| {
            let got = n.task(async {
                let mut got = Vec::new();
                loop {
                    match fast.receive().await? {
                        Ok(item) => got.push(item),
                        Err(e) => return Ok((got, e)),
                    }
                }
            });
            for i in 0..10 {
                tx.send(i).unwrap();
                wait_until_idle().await?;
            }
            assert_eq!(slow.receive().await?, Err(ReceiveError::Lagged { missed: 7 }));
            assert_eq!(slow.receive().await?, Ok(7));
            tx.send(10).unwrap();
            drop(tx);
            assert_eq!([slow.try_receive(), slow.try_receive()], [Ok(8), Ok(9)]);
            assert_eq!(slow.receive().await?, Ok(10));
            assert_eq!(slow.receive().await?, Err(ReceiveError::End));
            assert_eq!(slow.try_receive(), Err(TryReceiveError::End));
            assert_eq!(got.await?, (Vec::from_iter(0..=10), ReceiveError::End));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

#[test]
fn a_late_subscriber_sees_what_comes_and_a_clone_what_its_original_has_not_seen() {
    in_every_order(async || {
        let (tx, rx) = channel(4);
        tx.send(1).unwrap();
        tx.send(2).unwrap();
        assert_eq!(rx.try_receive(), Ok(1));
        let (clone, late) = (rx.clone(), tx.subscribe());
        tx.send(3).unwrap();
        assert_eq!((clone.try_receive(), clone.try_receive()), (Ok(2), Ok(3)));
        assert_eq!((late.try_receive(), late.try_receive()), (Ok(3), Err(TryReceiveError::WouldBlock)));
        drop((rx, clone, late));
        assert_eq!((tx.stats().buffered, tx.stats().receivers), (0, 0), "nobody has yet to receive 2 and 3");
        assert_eq!(tx.send(4), Err(SendError::Broken(4)));
        let again = tx.subscribe();
        tx.send(5).unwrap();
        assert_eq!(again.try_receive(), Ok(5));
    });
}

/// Case S119.
#[test]
fn closing_a_handle_ends_the_waits_on_it_only() {
    in_every_order(async || {
        let (tx, rx) = channel(2);
        let other = rx.clone();
        let r = Run::nursery(async |n| {
            let closed = n.task(async { Ok(rx.receive().await?) });
            let served = n.task(async { Ok(other.receive().await?) });
            wait_until_idle().await?;
            rx.close();
            rx.close();
            assert_eq!(closed.await?, Err(ReceiveError::Closed));
            assert_eq!((rx.clone().try_receive(), tx.stats().receivers), (Err(TryReceiveError::Closed), 1));
            assert!(!served.is_ended());
            tx.send(1).unwrap();
            assert_eq!(served.await?, Ok(1));
            let second = tx.clone();
            tx.close();
            tx.close();
            assert_eq!(tx.send(2), Err(SendError::Closed(2)));
            assert_eq!(tx.clone().send(2), Err(SendError::Closed(2)), "of a closed one it is closed as well");
            let ended = n.task(async { Ok(other.receive().await?) });
            wait_until_idle().await?;
            assert!(!ended.is_ended());
            drop(second);
            assert_eq!(ended.await?, Err(ReceiveError::End));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Two waits on one receiver share its cursor.
/// Case S121.
#[test]
fn two_tasks_on_one_receiver_get_each_item_once() {
    in_every_order(async || {
        let (tx, rx) = channel(8);
        let log = RefCell::new(Vec::new());
        let r = Run::nursery(async |n| {
            for _ in 0..2 {
                n.spawn(async {
                    while let Ok(item) = rx.receive().await? {
                        log.borrow_mut().push(item);
                        wake_random(9, item);
                        checkpoint().await?;
                    }
                    Ok(())
                });
            }
            for i in 0..20 {
                wait_until_idle().await?;
                tx.send(i).unwrap();
                wake_random(9, i + 1);
            }
            drop(tx);
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        log.borrow_mut().sort_unstable();
        assert_eq!(*log.borrow(), Vec::from_iter(0..20));
    });
}

/// An item whose clone and destructor use the channel that it is in.
struct Nosy {
    tx: pleach_executor::sync::broadcast::Sender<Nosy>,
    clones: Rc<Cell<u32>>,
    drops: Rc<Cell<u32>>,
}

impl Clone for Nosy {
    fn clone(&self) -> Self {
        self.clones.set(self.clones.get() + 1);
        assert!(self.tx.stats().capacity > 0, "not borrowed");
        drop(self.tx.subscribe());
        Nosy { tx: self.tx.clone(), clones: Rc::clone(&self.clones), drops: Rc::clone(&self.drops) }
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
        drop(self.tx.subscribe());
    }
}

#[test]
fn items_are_cloned_and_dropped_when_nothing_is_borrowed_and_the_last_one_gets_the_original() {
    in_every_order(async || {
        let (tx, rx) = channel(1);
        let other = rx.clone();
        let (clones, drops) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let nosy = || Nosy { tx: tx.clone(), clones: Rc::clone(&clones), drops: Rc::clone(&drops) };
        assert!(tx.send(nosy()).is_ok());
        drop(rx.receive().await.unwrap().ok());
        drop(other.receive().await.unwrap().ok());
        assert_eq!((clones.get(), drops.get()), (1, 2));
        assert!(tx.send(nosy()).is_ok() && tx.send(nosy()).is_ok());
        assert_eq!(drops.get(), 3, "the one that both have missed");
        rx.close();
        other.close();
        assert_eq!((clones.get(), drops.get()), (1, 4));
    });
}

#[test]
fn two_receivers_wait_in_one_task() {
    in_every_order(async || {
        let (tx, rx) = channel(1);
        let other = tx.subscribe();
        let r = Run::nursery(async |n| {
            n.spawn(async {
                wait_until_idle().await?;
                tx.send(3).unwrap();
                Ok(())
            });
            let (a, b) = join(rx.receive(), other.receive()).await;
            assert_eq!((a?, b?), (Ok(3), Ok(3)));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

#[test]
fn a_channel_without_room_is_refused() {
    let payload = catch_unwind(|| run(async { drop(channel::<u8>(0)) })).expect_err("refused");
    assert!(message(payload).contains("room for one or more"));
}
