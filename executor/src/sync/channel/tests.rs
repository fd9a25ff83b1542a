//! The promises of the channel, one test each.

use super::*;
use crate::{CancelScope, check, checkpoint, move_on_after, nursery, run, yield_now};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

type Boxed<'a, V> = Pin<Box<dyn Future<Output = Result<V, Cancelled>> + 'a>>;
type Sent = Result<(), SendError<u32>>;
type Got = Result<u32, ReceiveError>;

async fn poll_once<V>(fut: &mut Boxed<'_, V>) -> Option<V> {
    poll_fn(|cx| match fut.as_mut().poll(cx) {
        Poll::Ready(v) => Poll::Ready(Some(v.unwrap())),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn sending(tx: &Sender<u32>, item: u32) -> Boxed<'_, Sent> {
    Box::pin(tx.send(item))
}

fn receiving(rx: &Receiver<u32>) -> Boxed<'_, Got> {
    Box::pin(rx.receive())
}

#[test]
fn a_full_channel_and_an_empty_one_would_block() {
    run(async {
        let (tx, rx) = bounded(2);
        tx.try_send(1).unwrap();
        tx.send(2).await.unwrap().unwrap();
        assert_eq!(tx.try_send(3), Err(TrySendError::WouldBlock(3)));
        assert_eq!(rx.receive().await.unwrap(), Ok(1));
        assert_eq!(rx.try_receive(), Ok(2));
        assert_eq!(rx.try_receive(), Err(TryReceiveError::WouldBlock));
        assert_eq!(tx.stats().peak, 2);
    });
}

/// Who waits, is cancelled and then kept instead of dropped.
#[test]
fn a_cancelled_wait_that_is_kept_is_in_nobodys_way() {
    run(async {
        let (tx, rx) = bounded(1);
        let r: Result<Option<()>, Cancelled> = CancelScope::new()
            .run(async |scope| {
                let mut received = receiving(&rx);
                assert!(poll_once(&mut received).await.is_none());
                scope.cancel();
                let told = poll_fn(|cx| received.as_mut().poll(cx)).await;
                assert!(told.is_err());
                assert_eq!((rx.stats().receiving, tx.try_send(1)), (0, Ok(())));
                assert_eq!(rx.try_receive(), Ok(1), "it was not handed to one who does not come for it");
                drop(received);
                check()
            })
            .await;
        assert!(matches!(r, Ok(None)));
        tx.try_send(1).unwrap();
        let r: Result<Option<()>, Cancelled> = CancelScope::new()
            .run(async |scope| {
                let mut sent = sending(&tx, 2);
                assert!(poll_once(&mut sent).await.is_none());
                scope.cancel();
                assert!(poll_fn(|cx| sent.as_mut().poll(cx)).await.is_err());
                assert_eq!((tx.stats().sending, rx.try_receive()), (0, Ok(1)));
                assert_eq!(rx.try_receive(), Err(TryReceiveError::WouldBlock), "nobody receives it");
                drop(sent);
                check()
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

#[test]
fn every_operation_on_a_ready_channel_is_a_checkpoint() {
    let (tx, rx) = bounded(2);
    tx.try_send(1).unwrap();
    let r: Result<Option<()>, Cancelled> = run(async {
        CancelScope::new()
            .run(async |scope| {
                scope.cancel();
                assert!(tx.send(2).await.is_err() && rx.receive().await.is_err());
                check()
            })
            .await
    });
    assert!(matches!(r, Ok(None)));
    assert_eq!((rx.try_receive(), rx.stats().buffered), (Ok(1), 0));
}

#[test]
fn a_receive_that_timed_out_leaves_no_trace() {
    run(async {
        let (tx, rx) = bounded(1);
        let r: Result<Option<Got>, Cancelled> =
            move_on_after(Duration::from_millis(1), async |_| rx.receive().await).await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(rx.stats().receiving, 0);
        tx.try_send(1).unwrap();
        assert_eq!(rx.try_receive(), Ok(1));
    });
}

#[test]
fn a_cancelled_send_leaves_no_item() {
    let (tx, rx) = bounded(0);
    let r: Result<(), Cancelled> = run(nursery(async |n| {
        n.spawn(async { tx.send(1).await.map(Result::unwrap) });
        checkpoint().await?;
        assert_eq!(rx.stats().sending, 1);
        n.cancel();
        checkpoint().await?;
        checkpoint().await?;
        assert_eq!(rx.try_receive(), Err(TryReceiveError::WouldBlock));
        Ok(())
    }));
    r.unwrap();
}

#[test]
fn many_senders_and_an_end_after_the_last() {
    let r: Result<(), Cancelled> = run(nursery(async |n| {
        let (tx, rx) = bounded(0);
        for i in 0..10 {
            let tx = tx.clone();
            n.spawn(async move {
                for k in 0..3 {
                    tx.send(i * 10 + k).await?.unwrap();
                }
                Ok(())
            });
        }
        drop(tx);
        let mut got = Vec::new();
        while let Ok(item) = rx.receive().await? {
            got.push(item);
        }
        got.sort_unstable();
        let all: Vec<_> = (0..10).flat_map(|i| (0..3).map(move |k| i * 10 + k)).collect();
        assert_eq!(got, all);
        assert_eq!(rx.receive().await?, Err(ReceiveError::End));
        Ok(())
    }));
    r.unwrap();
}

#[test]
fn closing_a_sender_withdraws_what_waits_on_it_and_ends_the_receiver() {
    run(async {
        let (tx, rx) = bounded(0);
        let mut blocked = sending(&tx, 7);
        assert!(poll_once(&mut blocked).await.is_none());
        tx.close();
        tx.close();
        // Before the sender has run: the item is withdrawn already.
        assert_eq!(rx.try_receive(), Err(TryReceiveError::End));
        assert_eq!(blocked.await.unwrap(), Err(SendError::Closed(7)));
        assert_eq!(tx.send(8).await.unwrap(), Err(SendError::Closed(8)));
        assert_eq!(tx.try_send(9).unwrap_err().into_item(), 9);
        assert_eq!(rx.receive().await.unwrap(), Err(ReceiveError::End));
    });
}

#[test]
fn closing_the_last_receiver_breaks_sends_and_gives_items_back() {
    run(async {
        let (tx, rx) = bounded(1);
        tx.try_send(1).unwrap();
        let mut blocked = sending(&tx, 2);
        assert!(poll_once(&mut blocked).await.is_none());
        rx.close();
        assert_eq!(blocked.await.unwrap(), Err(SendError::Broken(2)));
        assert_eq!(tx.send(3).await.unwrap(), Err(SendError::Broken(3)));
        assert_eq!(rx.receive().await.unwrap(), Err(ReceiveError::Closed));
        assert_eq!(rx.try_receive(), Err(TryReceiveError::Closed));
        assert_eq!(tx.stats().buffered, 0);
    });
}

#[test]
fn own_close_wins_over_the_others() {
    let (tx, rx) = bounded(1);
    rx.close();
    tx.close();
    assert_eq!(tx.try_send(1), Err(TrySendError::Closed(1)));
    assert_eq!(rx.try_receive(), Err(TryReceiveError::Closed));
}

#[test]
fn a_channel_lives_until_its_last_receiver_is_closed() {
    let (tx, a) = bounded(4);
    let (b, c) = (a.clone(), a.clone());
    a.close();
    b.close();
    assert!(!a.clone().open.get(), "a clone of a closed handle is closed");
    tx.try_send(1).unwrap();
    assert_eq!(c.try_receive(), Ok(1));
    drop(c);
    assert_eq!(tx.try_send(2), Err(TrySendError::Broken(2)));
}

#[test]
fn closing_one_receiver_wakes_its_own_task_and_the_next_item_goes_to_the_other() {
    run(async {
        let (tx, a) = bounded(0);
        let b = a.clone();
        let (mut on_a, mut on_b) = (receiving(&a), receiving(&b));
        assert!(poll_once(&mut on_a).await.is_none() && poll_once(&mut on_b).await.is_none());
        a.close();
        // In the same step, before the closed one has run.
        tx.try_send(5).unwrap();
        assert_eq!(on_a.await.unwrap(), Err(ReceiveError::Closed));
        assert_eq!(on_b.await.unwrap(), Ok(5));
    });
}

#[test]
fn a_blocked_task_hears_of_a_close_by_its_waker() {
    let (tx, rx) = bounded::<u32>(0);
    let other = tx.clone();
    let r: Result<(), Cancelled> = run(nursery(async |n| {
        n.spawn(async {
            assert_eq!(rx.receive().await?, Err(ReceiveError::End));
            Ok(())
        });
        checkpoint().await?;
        tx.close();
        checkpoint().await?;
        assert_eq!(tx.stats().receiving, 1);
        other.close();
        Ok(())
    }));
    r.unwrap();
}

#[test]
fn items_and_an_end_come_in_order_through_a_large_buffer() {
    run(async {
        let (tx, rx) = bounded(usize::MAX);
        (0..10).for_each(|i| tx.try_send(i).unwrap());
        tx.close();
        for i in 0..10 {
            assert_eq!(rx.receive().await.unwrap(), Ok(i));
        }
        assert_eq!(rx.receive().await.unwrap(), Err(ReceiveError::End));
    });
}

#[test]
fn a_blocked_receiver_owns_the_item_before_it_runs() {
    run(async {
        let (tx, rx) = bounded(1);
        let mut blocked = receiving(&rx);
        assert!(poll_once(&mut blocked).await.is_none());
        tx.try_send(1).unwrap();
        assert_eq!(rx.try_receive(), Err(TryReceiveError::WouldBlock));
        assert_eq!(blocked.await.unwrap(), Ok(1));
    });
}

#[test]
fn a_blocked_sender_owns_the_next_free_place() {
    run(async {
        let (tx, rx) = bounded(1);
        tx.try_send(1).unwrap();
        let mut blocked = sending(&tx, 2);
        assert!(poll_once(&mut blocked).await.is_none());
        assert_eq!(rx.try_receive(), Ok(1));
        assert_eq!(tx.try_send(3), Err(TrySendError::WouldBlock(3)));
        assert_eq!(rx.try_receive(), Ok(2));
        assert_eq!(blocked.await.unwrap(), Ok(()));
    });
}

#[test]
fn an_item_of_a_dropped_receive_goes_to_the_next_or_back_to_the_front() {
    run(async {
        let (tx, rx) = bounded(2);
        let (mut a, mut b) = (receiving(&rx), receiving(&rx));
        assert!(poll_once(&mut a).await.is_none() && poll_once(&mut b).await.is_none());
        tx.try_send(1).unwrap();
        drop(a);
        assert_eq!(poll_once(&mut b).await, Some(Ok(1)));
        drop(b);
        let mut c = receiving(&rx);
        assert!(poll_once(&mut c).await.is_none());
        tx.try_send(2).unwrap();
        tx.try_send(3).unwrap();
        drop(c);
        assert_eq!((rx.try_receive(), rx.try_receive()), (Ok(2), Ok(3)));
    });
}

#[test]
fn an_item_that_came_back_makes_no_room_in_a_rendezvous() {
    run(async {
        let (tx, rx) = bounded(0);
        let mut dropped = receiving(&rx);
        assert!(poll_once(&mut dropped).await.is_none());
        tx.try_send(1).unwrap();
        drop(dropped);
        let mut blocked = sending(&tx, 2);
        assert!(poll_once(&mut blocked).await.is_none());
        assert_eq!(rx.try_receive(), Ok(1));
        assert!(poll_once(&mut blocked).await.is_none(), "nobody has received 2");
        assert_eq!(rx.try_receive(), Ok(2));
        assert_eq!(poll_once(&mut blocked).await, Some(Ok(())));
    });
}

#[test]
fn a_hand_over_that_is_there_wins_over_a_cancellation() {
    let (tx, rx) = bounded(0);
    let r: Result<Option<()>, Cancelled> = run(async {
        CancelScope::new()
            .run(async |scope| {
                let mut blocked = receiving(&rx);
                assert!(poll_once(&mut blocked).await.is_none());
                tx.try_send(1).unwrap();
                scope.cancel();
                assert_eq!(blocked.await?, Ok(1));
                check()
            })
            .await
    });
    assert!(matches!(r, Ok(None)));
}

#[test]
fn an_item_may_use_the_channel_in_its_destructor() {
    struct Nosy(Sender<Option<Nosy>>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            assert!(matches!(self.0.try_send(None), Err(TrySendError::Broken(None))));
        }
    }
    let (tx, rx) = bounded(1);
    tx.try_send(Some(Nosy(tx.clone()))).unwrap();
    rx.close();
    assert_eq!(tx.stats().senders, 1);
}

#[test]
fn spurious_polls_neither_take_nor_lose() {
    run(async {
        let (tx, rx) = bounded(0);
        let mut blocked = receiving(&rx);
        for _ in 0..50 {
            assert!(poll_once(&mut blocked).await.is_none());
            yield_now().await;
        }
        tx.try_send(4).unwrap();
        assert_eq!(poll_once(&mut blocked).await, Some(Ok(4)));
        assert_eq!(rx.stats().receiving, 0);
    });
}
