//! Promise: memory channels hand items over in order, to one owner each, and say by whose fault it is when they cannot.
//!
//! ```text
//!   send ─► a waiting receiver │ room │ in line        own handle closed: Closed    other side gone: Broken, End
//! ```

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::poll_once;
use fault::{Run, shape};
use futures_util::future::{Either, join, select};
use orders::in_every_order;
use pleach_executor::sync::channel::{
    NextError, ReceiveError, SendError, TryReceiveError, TrySendError, bounded, unbounded,
};
use pleach_executor::testing::{wait_until_idle, wake_random};
use pleach_executor::{CancelScope, Cancelled, check, checkpoint, move_on_after};
use std::cell::RefCell;
use std::pin::pin;
use std::time::Duration;

/// Case 179. A channel of two holds two; then a send, and on an empty one a receive, would block.
#[test]
fn a_channel_holds_as_much_as_it_says_and_gives_it_in_order() {
    in_every_order(async || {
        let (tx, rx) = bounded(2);
        tx.try_send(1).unwrap();
        tx.send(2).await.unwrap().unwrap();
        assert_eq!(tx.try_send(3), Err(TrySendError::WouldBlock(3)));
        assert_eq!(rx.try_receive(), Ok(1));
        assert_eq!(rx.receive().await.unwrap(), Ok(2));
        assert_eq!(rx.try_receive(), Err(TryReceiveError::WouldBlock));
        let stats = rx.stats();
        assert_eq!((stats.buffered, stats.capacity, stats.peak), (0, Some(2), 2), "the peak stays");
    });
}

/// An operation that is ready is a checkpoint too: in a cancelled scope it does not happen.
#[test]
fn every_operation_is_a_checkpoint() {
    in_every_order(async || {
        let (tx, rx) = unbounded();
        tx.try_send(1).unwrap();
        let r: Result<Option<()>, Cancelled> = CancelScope::new()
            .run(async |scope| {
                scope.cancel();
                let mut into = Vec::new();
                assert!(tx.send(2).await.is_err() && rx.receive().await.is_err());
                assert!(rx.next().await.is_err() && rx.receive_many(&mut into, 9).await.is_err());
                assert!(into.is_empty());
                check()
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!((rx.try_receive(), rx.stats().buffered), (Ok(1), 0));
    });
}

/// Case 181. The receive that timed out stands in nobody's way.
#[test]
fn a_receive_that_timed_out_leaves_no_trace() {
    in_every_order(async || {
        let (tx, rx) = bounded(1);
        let r = Run::move_on_after(Duration::from_secs(1), async |_| Ok(rx.receive().await?)).await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(rx.stats().receiving, 0);
        tx.send(1).await.unwrap().unwrap();
        assert_eq!(rx.try_receive(), Ok(1));
    });
}

/// Case 182. The iteration ends by itself, when the last producer has gone and everything is received.
#[test]
fn iteration_yields_what_all_producers_sent_and_ends() {
    in_every_order(async || {
        let (tx, rx) = bounded(0);
        let r = Run::nursery(async |n| {
            for producer in 0..10 {
                let tx = tx.clone();
                n.spawn(async move {
                    for i in 0..3 {
                        tx.send(producer * 3 + i).await?.unwrap();
                    }
                    Ok(())
                });
            }
            drop(tx);
            let mut got = Vec::new();
            while let Some(item) = rx.next().await?.unwrap() {
                got.push(item);
            }
            got.sort_unstable();
            assert_eq!(got, Vec::from_iter(0..30));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Closing one's own handle is not the end of the items.
#[test]
fn iteration_over_a_closed_handle_is_an_error() {
    in_every_order(async || {
        let (tx, rx) = bounded::<u8>(1);
        rx.close();
        assert_eq!(rx.next().await.unwrap(), Err(NextError::Closed));
        drop(tx);
        assert_eq!(rx.next().await.unwrap(), Err(NextError::Closed), "own closed wins over the end");
    });
}

/// Case 184. The item of the blocked send is withdrawn, and comes back with the error.
#[test]
fn a_closed_sender_fails_its_sends_and_ends_its_receiver() {
    in_every_order(async || {
        let (tx, rx) = bounded(0);
        let r = Run::nursery(async |n| {
            n.spawn(async {
                assert_eq!(tx.send(1).await?, Err(SendError::Closed(1)));
                Ok(())
            });
            wait_until_idle().await?;
            tx.close();
            assert_eq!(tx.try_send(2), Err(TrySendError::Closed(2)));
            assert_eq!(tx.send(3).await?, Err(SendError::Closed(3)));
            assert_eq!(rx.try_receive(), Err(TryReceiveError::End));
            assert_eq!(rx.receive().await?, Err(ReceiveError::End));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case 185. Nobody will ever take it: a fault of the other side.
#[test]
fn a_send_breaks_when_the_last_receiver_goes() {
    in_every_order(async || {
        let (tx, rx) = bounded(0);
        let r = Run::nursery(async |n| {
            n.spawn(async {
                assert_eq!(tx.send(1).await?, Err(SendError::Broken(1)));
                Ok(())
            });
            wait_until_idle().await?;
            drop(rx);
            assert_eq!(tx.try_send(2), Err(TrySendError::Broken(2)));
            assert_eq!(tx.send(3).await?, Err(SendError::Broken(3)));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case 187. Closing a handle and dropping it are the same to those who are blocked; there is one close, and it does not
/// wait.
#[test]
fn close_and_drop_have_the_same_effects() {
    for by_drop in [false, true] {
        in_every_order(async || {
            let (tx, rx) = bounded::<u8>(0);
            let (other_tx, other_rx) = bounded::<u8>(0);
            let r = Run::nursery(async |n| {
                let received = n.task(async { Ok(rx.receive().await?) });
                let sent = n.task(async { Ok(other_tx.send(1).await?) });
                wait_until_idle().await?;
                if by_drop {
                    drop((tx, other_rx));
                } else {
                    tx.close();
                    other_rx.close();
                }
                assert_eq!(received.await?, Err(ReceiveError::End));
                assert_eq!(sent.await?, Err(SendError::Broken(1)));
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
        });
    }
}

/// Case 188. The clone of a closed handle is closed: cloning cannot fail here, using it does.
#[test]
fn the_receiving_side_is_closed_by_its_last_handle() {
    in_every_order(async || {
        let (tx, rx) = bounded(3);
        let (second, third) = (rx.clone(), rx.clone());
        assert_eq!(rx.stats().receivers, 3);
        rx.close();
        rx.close();
        drop(second);
        tx.try_send(1).unwrap();
        assert_eq!(rx.clone().try_receive(), Err(TryReceiveError::Closed));
        assert_eq!(rx.stats().receivers, 1, "closed handles and their clones do not count");
        drop(third);
        assert_eq!(tx.try_send(2), Err(TrySendError::Broken(2)));
    });
}

/// Case 190. The other one stays in line and gets the next item.
#[test]
fn closing_a_handle_ends_the_waits_on_it_only() {
    in_every_order(async || {
        let (tx, rx) = bounded(0);
        let other = rx.clone();
        let r = Run::nursery(async |n| {
            let closed = n.task(async { Ok(rx.receive().await?) });
            let served = n.task(async { Ok(other.receive().await?) });
            wait_until_idle().await?;
            rx.close();
            wait_until_idle().await?;
            assert!(closed.is_ended() && !served.is_ended());
            assert_eq!(tx.try_send(7), Ok(()));
            assert_eq!((closed.await?, served.await?), (Err(ReceiveError::Closed), Ok(7)));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case 191. Nothing but memory holds it back.
#[test]
fn an_unbounded_channel_takes_any_number_and_gives_all_of_it() {
    in_every_order(async || {
        let (tx, rx) = unbounded();
        assert_eq!(tx.stats().capacity, None);
        for i in 0..10 {
            tx.try_send(i).unwrap();
        }
        for i in 10..1000 {
            let mut sending = pin!(tx.send(i));
            // Never in line: it can only yield for its budget.
            while poll_once(sending.as_mut()).await.is_pending() {
                assert_eq!(tx.stats().sending, 0);
                checkpoint().await.unwrap();
            }
        }
        assert_eq!((tx.stats().buffered, tx.stats().peak), (1000, 1000));
        tx.close();
        for i in 0..1000 {
            assert_eq!(rx.next().await.unwrap(), Ok(Some(i)));
        }
        assert_eq!(rx.next().await.unwrap(), Ok(None));
    });
}

/// Case 193. The item is the waiting receiver's before that has run.
#[test]
fn nobody_takes_what_was_handed_to_a_waiting_receiver() {
    for capacity in [Some(0), Some(1), None] {
        in_every_order(async || {
            let (tx, rx) = capacity.map_or_else(unbounded, bounded);
            let r = Run::nursery(async |n| {
                let waiting = n.task(async { Ok(rx.receive().await?) });
                wait_until_idle().await?;
                tx.try_send(1).unwrap();
                assert_eq!(rx.try_receive(), Err(TryReceiveError::WouldBlock));
                assert_eq!(waiting.await?, Ok(1));
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
        });
    }
}

/// Case 194. The slot that becomes free is the waiting sender's before that has run.
#[test]
fn nobody_takes_the_place_that_a_waiting_sender_was_given() {
    in_every_order(async || {
        let (tx, rx) = bounded(1);
        tx.try_send(1).unwrap();
        let r = Run::nursery(async |n| {
            let waiting = n.task(async { Ok(tx.send(2).await?) });
            wait_until_idle().await?;
            assert_eq!(rx.try_receive(), Ok(1));
            assert_eq!(tx.try_send(3), Err(TrySendError::WouldBlock(3)));
            assert_eq!(rx.try_receive(), Ok(2));
            assert_eq!(waiting.await?, Ok(()));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

#[test]
fn many_are_received_up_to_the_limit_and_never_none() {
    in_every_order(async || {
        let (tx, rx) = bounded(2);
        let r = Run::nursery(async |n| {
            let mut got = vec![0];
            for i in 1..=4 {
                let tx = tx.clone();
                n.spawn(async move {
                    tx.send(i).await?.unwrap();
                    Ok(())
                });
                wait_until_idle().await?;
            }
            assert_eq!(rx.receive_many(&mut got, 3).await?, Ok(3), "one of a waiting send is among them");
            assert_eq!(got, [0, 1, 2, 3], "appended");
            assert_eq!(rx.receive_many(&mut got, 3).await?, Ok(1));
            n.spawn(async {
                wait_until_idle().await?;
                tx.try_send(5).unwrap();
                tx.try_send(6).unwrap();
                tx.close();
                Ok(())
            });
            assert_eq!(rx.receive_many(&mut got, usize::MAX).await?, Ok(2), "it has waited for the first");
            assert_eq!(rx.receive_many(&mut got, 3).await?, Err(ReceiveError::End));
            assert_eq!(got, [0, 1, 2, 3, 4, 5, 6]);
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// A foreign `select` drops the loser in the very step in which both are ready.
#[test]
fn a_select_over_two_channels_loses_nothing() {
    in_every_order(async || {
        let (left, from_left) = unbounded();
        let (right, from_right) = unbounded();
        let got = RefCell::new(Vec::new());
        let r = Run::nursery(async |n| {
            n.spawn(async {
                for i in 0..50 {
                    left.try_send(i).unwrap();
                    right.try_send(100 + i).unwrap();
                    wake_random(20, i);
                    if i % 3 == 0 {
                        checkpoint().await?;
                    }
                }
                Ok(())
            });
            while got.borrow().len() < 100 {
                let item = match select(pin!(from_left.receive()), pin!(from_right.receive())).await {
                    Either::Left((item, _)) | Either::Right((item, _)) => item?.unwrap(),
                };
                got.borrow_mut().push(item);
            }
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        let got = got.into_inner();
        let side = |from: u64| got.iter().copied().filter(|i| i / 100 == from).collect::<Vec<_>>();
        assert_eq!((side(0), side(1)), (Vec::from_iter(0..50), Vec::from_iter(100..150)));
    });
}

/// Both ends in one task.
#[test]
fn both_ends_meet_inside_a_foreign_join() {
    in_every_order(async || {
        let (tx, rx) = bounded(0);
        let r = move_on_after(Duration::from_secs(1), async |_| {
            let (sent, got) = join(tx.send(1), rx.receive()).await;
            assert_eq!((sent?, got?), (Ok(()), Ok(1)));
            Ok::<_, Cancelled>(())
        });
        assert!(matches!(r.await, Ok(Some(()))));
    });
}
