//! Promise: a stream in memory keeps to what a stream promises: everything before the end, and an error by whose fault it is.
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, Run, shape};
use futures_util::future::join;
use orders::in_every_order;
use pleach_executor::testing::streams::{
    MemoryReceive, MemorySend, ReceiveError, SendError, lock_step_pair, lock_step_pipe, memory_pair,
    memory_pipe,
};
use pleach_executor::testing::{assert_checkpoints, wait_until_idle};
use pleach_executor::{CancelScope, checkpoint};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::task::Poll;

/// How many of the results are this error.
fn count<T, E: PartialEq>(results: &[Result<T, E>], error: E) -> usize {
    results.iter().filter(|r| matches!(r, Err(e) if *e == error)).count()
}

/// Both kinds of pipe.
fn pipes() -> [(MemorySend, MemoryReceive); 2] {
    [memory_pipe(), lock_step_pipe()]
}

/// Case X32. What was sent is taken in any slices; of two who send at once one is `Busy`; after the close sending fails with
/// `Closed`, and what was sent can be taken still.
#[test]
fn what_is_on_the_way_is_taken_in_any_slices_and_survives_the_close() {
    in_every_order(async || {
        let (send, receive) = memory_pipe();
        send.hold();
        send.send_all(b"123").await.unwrap().unwrap();
        assert_eq!(
            (send.take_sent(1), send.take_sent(5), send.take_sent(5)),
            (b"1".into(), b"23".into(), vec![])
        );
        let (a, b) = join(send.send_all(b"xxx"), send.send_all(b"xxx")).await;
        assert_eq!(count(&[a.unwrap(), b.unwrap()], SendError::Busy), 1);
        send.close();
        assert_eq!(send.send_all(b"y").await.unwrap(), Err(SendError::Closed));
        assert_eq!(send.take_sent(2), b"xx");
        assert!(send.pump(9), "the rest");
        assert_eq!(receive.receive(9).await.unwrap(), Ok(b"x".into()));
        assert_eq!(receive.receive(9).await.unwrap(), Err(ReceiveError::End));
    });
}

/// What a test puts is what the code under test receives.
#[test]
fn what_is_put_is_received_and_then_the_end() {
    in_every_order(async || {
        let (_send, receive) = memory_pipe();
        receive.put(b"abc");
        receive.put(b"def");
        assert_eq!(receive.receive(4).await.unwrap(), Ok(b"abcd".into()));
        receive.put_end();
        assert_eq!(receive.receive(4).await.unwrap(), Ok(b"ef".into()));
        assert_eq!(receive.receive(4).await.unwrap(), Err(ReceiveError::End));
        assert_eq!(receive.receive(4).await.unwrap(), Err(ReceiveError::End), "and it stays so");
    });
}

/// Case X34. Pumping moves no more than so many bytes, says whether anything moved, and carries the end.
#[test]
fn pumping_moves_so_many_bytes_and_carries_the_end() {
    in_every_order(async || {
        let (send, receive) = memory_pipe();
        send.hold();
        assert!(!send.pump(9));
        send.send_all(b"12345").await.unwrap().unwrap();
        assert!(send.pump(2));
        assert_eq!(receive.receive(9).await.unwrap(), Ok(b"12".into()));
        send.close();
        assert!(send.pump(2) && send.pump(2));
        assert_eq!(receive.receive(9).await.unwrap(), Ok(b"345".into()));
        assert_eq!(receive.receive(9).await.unwrap(), Err(ReceiveError::End));
        assert!(!send.pump(9), "nothing comes after the end");
    });
}

/// Case X35. A receiver that waits wakes when something is sent and when the sender closes; what is sent while the pipe is
/// held is not seen, and comes with the rest.
#[test]
fn a_receiver_hears_of_bytes_and_of_the_end_unless_they_are_held() {
    in_every_order(async || {
        let (send, receive) = memory_pipe();
        let r = Run::nursery(async |n| {
            let first = n.task(async { Ok(receive.receive(9).await?) });
            wait_until_idle().await?;
            send.send_all(b"now").await?.unwrap();
            assert_eq!(first.await?, Ok(b"now".into()));

            send.hold();
            send.send_all(b"la").await?.unwrap();
            let second = n.task(async { Ok(receive.receive(9).await?) });
            wait_until_idle().await?;
            assert!(!second.is_ended(), "it is held");
            send.send_all(b"ter").await?.unwrap();
            assert!(send.pump(9));
            assert_eq!(second.await?, Ok(b"later".into()));

            let third = n.task(async { Ok(receive.receive(9).await?) });
            wait_until_idle().await?;
            send.close();
            wait_until_idle().await?;
            assert!(!third.is_ended(), "the end is held as well");
            assert!(send.pump(0));
            assert_eq!(third.await?, Err(ReceiveError::End));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case X37. When the receiver is gone sends fail with `Broken`; an end of one's own that is closed gives `Closed`, also for
/// nothing; closing again is fine.
#[test]
fn a_receiver_that_is_gone_breaks_the_stream_and_a_closed_end_is_ones_own_fault() {
    in_every_order(async || {
        for (send, receive) in pipes() {
            receive.close();
            receive.close();
            assert_eq!(receive.receive(1).await.unwrap(), Err(ReceiveError::Closed));
            for _ in 0..3 {
                assert_eq!(send.send_all(b"x").await.unwrap(), Err(SendError::Broken));
            }
            send.close();
            send.close();
            assert_eq!(send.send_all(b"x").await.unwrap(), Err(SendError::Closed));
            assert_eq!(send.send_all(b"").await.unwrap(), Err(SendError::Closed));
        }
        let (send, receive) = memory_pipe();
        drop(receive);
        assert_eq!(send.send_all(b"x").await.unwrap(), Err(SendError::Broken), "dropped is closed");
    });
}

/// An end that is closed while somebody waits at it, or at the other one.
#[test]
fn who_waits_hears_of_a_close_at_either_end() {
    in_every_order(async || {
        for by_receiver in [false, true] {
            let (send, receive) = lock_step_pipe();
            let r = Run::nursery(async |n| {
                let sending = n.task(async { Ok(send.send_all(b"never taken").await?) });
                wait_until_idle().await?;
                assert!(!sending.is_ended());
                if by_receiver {
                    receive.close()
                } else {
                    send.close()
                }
                let expected = if by_receiver { SendError::Broken } else { SendError::Closed };
                assert_eq!(sending.await?, Err(expected));
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
        }
        let (_send, receive) = memory_pipe();
        let r = Run::nursery(async |n| {
            let receiving = n.task(async { Ok(receive.receive(1).await?) });
            wait_until_idle().await?;
            receive.close();
            assert_eq!(receiving.await?, Err(ReceiveError::Closed));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case X38. What was sent before a close comes before the end; sending nothing does nothing; the second who receives, or
/// sends, is `Busy`.
#[test]
fn everything_comes_before_the_end_and_each_end_has_one_user() {
    in_every_order(async || {
        for (send, receive) in pipes() {
            let r = Run::nursery(async |n| {
                let (send, receive) = (&send, &receive);
                n.spawn(async move {
                    send.send_all(b"").await?.unwrap();
                    send.send_all(b"abc").await?.unwrap();
                    send.close();
                    Ok(())
                });
                let mut got = Vec::new();
                while let Ok(bytes) = receive.receive(2).await? {
                    assert!(!bytes.is_empty());
                    got.extend(bytes);
                }
                assert_eq!(got, b"abc");
                assert_eq!(receive.receive(2).await?, Err(ReceiveError::End));
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
        }
        for (send, receive) in pipes() {
            let r = Run::nursery(async |n| {
                let (send, receive) = (&send, &receive);
                let both = n.task(async move {
                    let (a, b) = join(receive.receive(1), receive.receive(1)).await;
                    Ok([a?, b?])
                });
                wait_until_idle().await?;
                send.send_all(b"x").await?.unwrap();
                assert_eq!(count(&both.await?, ReceiveError::Busy), 1);
                n.spawn(async move {
                    receive.receive(1).await?.unwrap();
                    Ok(())
                });
                let (a, b) = join(send.send_all(b"x"), send.send_all(b"x")).await;
                assert_eq!(count(&[a?, b?], SendError::Busy), 1);
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
        }
    });
}

/// Who was refused has not freed the end for the next.
#[test]
fn an_end_in_use_is_busy_however_often_somebody_tries() {
    in_every_order(async || {
        let (send, receive) = lock_step_pipe();
        let mut sending = Box::pin(send.send_all(b"x"));
        polled_once(&mut sending).await;
        let mut results = Vec::new();
        for _ in 0..3 {
            results.push(send.send_all(b"y").await.unwrap());
        }
        assert_eq!(count(&results, SendError::Busy), 3);
        let mut receiving = Box::pin(receive.receive(9));
        polled_once(&mut receiving).await;
        for _ in 0..3 {
            assert_eq!(receive.receive(9).await.unwrap(), Err(ReceiveError::Busy));
        }
        let (sent, received) = join(sending, receiving).await;
        assert_eq!((sent.unwrap(), received.unwrap()), (Ok(()), Ok(b"x".into())));
    });
}

/// Case X40. After the end of one direction the other keeps working; a second end is fine.
#[test]
fn one_direction_can_end_while_the_other_goes_on() {
    in_every_order(async || {
        for (client, server) in [memory_pair(), lock_step_pair()] {
            let r = Run::nursery(async |n| {
                let (client, server) = (&client, &server);
                n.spawn(async move {
                    client.send_all(b"question").await?.unwrap();
                    client.send_eof();
                    client.send_eof();
                    assert_eq!(client.send_all(b"more").await?, Err(SendError::Closed));
                    assert_eq!(client.receive(9).await?, Ok(b"answer".into()));
                    client.close();
                    Ok(())
                });
                assert_eq!(server.receive(9).await?, Ok(b"question".into()));
                assert_eq!(server.receive(9).await?, Err(ReceiveError::End));
                server.send_all(b"answer").await?.unwrap();
                wait_until_idle().await?;
                assert_eq!(server.send_all(b"too late").await?, Err(SendError::Broken));
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
        }
    });
}

/// A lock-step send is over when all of it has been taken, and not before.
#[test]
fn a_lock_step_send_ends_with_the_last_byte_taken() {
    in_every_order(async || {
        let (send, receive) = lock_step_pipe();
        let sent = Cell::new(false);
        let r = Run::nursery(async |n| {
            n.spawn(async {
                send.send_all(b"abc").await?.unwrap();
                sent.set(true);
                Ok(())
            });
            for byte in [b"a", b"b", b"c"] {
                wait_until_idle().await?;
                assert!(!sent.get());
                assert_eq!(receive.receive(1).await?, Ok(byte.to_vec()));
            }
            wait_until_idle().await?;
            assert!(sent.get());
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// A lock-step send that is cancelled takes back what was not received: the next begins clean.
#[test]
fn a_lock_step_send_that_is_given_up_takes_back_the_rest() {
    in_every_order(async || {
        let (send, receive) = lock_step_pipe();
        let r = Run::nursery(async |n| {
            let (send, receive) = (&send, &receive);
            let scope = CancelScope::new();
            let handle = scope.handle();
            n.spawn(async move {
                let r: Result<Option<Result<(), SendError>>, Fault> =
                    scope.run(async |_| Ok(send.send_all(b"abc").await?)).await;
                assert!(matches!(r, Ok(None)));
                send.send_all(b"xyz").await?.unwrap();
                Ok(())
            });
            wait_until_idle().await?;
            assert_eq!(receive.receive(1).await?, Ok(b"a".into()));
            handle.cancel();
            wait_until_idle().await?;
            assert_eq!(receive.receive(9).await?, Ok(b"xyz".into()));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

async fn polled_once(fut: &mut (impl Future + Unpin)) {
    poll_fn(|cx| {
        assert!(std::pin::Pin::new(&mut *fut).poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// Polls a future so many times, then drops it.
async fn polled(times: usize, fut: impl Future) {
    let mut fut = Box::pin(fut);
    for _ in 0..times {
        poll_fn(|cx| {
            let _ = fut.as_mut().poll(cx).is_ready();
            Poll::Ready(())
        })
        .await;
        checkpoint().await.unwrap();
    }
}

/// Dropped at any await, or cancelled before it began: nothing is taken, nothing is half sent, and the end is free for another.
#[test]
fn an_operation_that_is_dropped_loses_nothing() {
    in_every_order(async || {
        for polls in 0..2 {
            let (send, receive) = memory_pipe();
            polled(polls, send.send_all(b"never")).await;
            receive.put(b"kept");
            polled(polls, receive.receive(9)).await;
            let r: Result<Option<()>, Fault> = CancelScope::new()
                .run(async |scope| {
                    scope.cancel();
                    assert!(send.send_all(b"never").await.is_err());
                    assert!(receive.receive(9).await.is_err());
                    Ok(checkpoint().await?)
                })
                .await;
            assert!(matches!(r, Ok(None)));
            assert_eq!(receive.receive(9).await.unwrap(), Ok(b"kept".into()));
            send.send_all(b"sent").await.unwrap().unwrap();
            assert_eq!(receive.receive(9).await.unwrap(), Ok(b"sent".into()));
        }
    });
}

#[test]
fn every_operation_is_a_checkpoint() {
    in_every_order(async || {
        let (send, receive) = memory_pipe();
        assert_checkpoints(send.send_all(b"")).await.unwrap().unwrap();
        assert_checkpoints(send.send_all(b"x")).await.unwrap().unwrap();
        assert_checkpoints(receive.receive(1)).await.unwrap().unwrap();
        send.close();
        receive.close();
        assert!(assert_checkpoints(send.send_all(b"")).await.unwrap().is_err());
        assert!(assert_checkpoints(receive.receive(1)).await.unwrap().is_err());
    });
}
