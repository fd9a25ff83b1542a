//! Promise: what yields one thing after another is a `Stream` too, in which nothing is lost or reordered, whatever becomes of it.
//!
//! ```text
//!   receiver.into_stream() ─ combinators of others ─► items, in turn with whoever else receives
//!                            dropped, cancelled ────► the same as a `receive()` that is
//! ```
//!
//! Rules: of what has several kinds (channels, broadcasts, watched values, listeners) each promise is shown for every one that
//! it can be broken for. Signals are a process' matter: `signals.rs`.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::{message, poll_once};
use fault::{Fault, Run, shape};
use futures_util::future::{join, ready};
use futures_util::stream::{self, FusedStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use orders::in_every_order;
use pleach_executor::items::{Items, Source};
use pleach_executor::net::{TcpListener, TcpStream};
use pleach_executor::sync::channel::{self, ReceiveError, TryReceiveError, bounded, unbounded};
use pleach_executor::sync::{broadcast, watch};
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{
    CancelScope, Cancelled, check, checkpoint, move_on_after, nursery, run, sleep, stats, yield_now,
};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// One poll of a stream, with the task's own waker.
async fn poll_next<I>(items: &mut (impl Stream<Item = I> + Unpin)) -> Poll<Option<I>> {
    poll_once(pin!(items.next())).await
}

async fn is_pending(items: &mut (impl Stream + Unpin)) -> bool {
    poll_next(items).await.is_pending()
}

/// In a scope that is cancelled from the beginning.
async fn cancelled(body: impl AsyncFnOnce()) {
    let r: Result<Option<()>, Cancelled> = CancelScope::new()
        .run(async |scope| {
            scope.cancel();
            body().await;
            check()
        })
        .await;
    assert!(matches!(r, Ok(None)));
}

// ---- what it yields --------------------------------------------------------------------------------------

#[test]
fn a_channels_stream_ends_with_its_last_sender_and_stays_at_the_end() {
    in_every_order(async || {
        for capacity in [0, 1, 2] {
            let (tx, rx) = bounded(capacity);
            let other = tx.clone();
            let r: Result<(), Cancelled> = nursery(async |n| {
                n.spawn(async move {
                    for i in 0..5 {
                        tx.send(i).await?.unwrap();
                    }
                    drop(tx);
                    sleep(S).await?;
                    drop(other);
                    Ok(())
                });
                let mut items = rx.into_stream();
                assert_eq!(items.by_ref().try_collect::<Vec<_>>().await?, [0, 1, 2, 3, 4]);
                assert!(items.is_terminated());
                assert!(matches!(poll_next(&mut items).await, Poll::Ready(None)));
                cancelled(async || {
                    assert!(items.next().await.is_none(), "it has ended, whatever is cancelled")
                })
                .await;
                Ok(())
            })
            .await;
            r.unwrap();
        }
    });
}

#[test]
fn a_broadcasts_stream_says_where_items_are_missing_and_goes_on() {
    in_every_order(async || {
        let (tx, rx) = broadcast::channel(2);
        let fast = rx.clone().into_stream();
        let mut slow = rx.into_stream();
        let r: Result<(), Cancelled> = nursery(async |n| {
            let all = n.task(fast.try_collect::<Vec<_>>());
            for i in 0..5 {
                wait_until_idle().await?;
                tx.send(i).unwrap();
            }
            wait_until_idle().await?;
            drop(tx);
            assert_eq!(all.await?, (0..5).map(Ok).collect::<Vec<_>>());
            let lagged = slow.try_next().await?.unwrap().unwrap_err();
            assert_eq!(lagged.missed, 3);
            assert!(lagged.to_string().contains('3'), "{lagged}");
            assert_eq!(slow.try_collect::<Vec<_>>().await?, [Ok(3), Ok(4)]);
            Ok(())
        })
        .await;
        r.unwrap();
    });
}

#[test]
fn a_watched_values_stream_gives_the_latest_and_what_was_seen_only_once() {
    in_every_order(async || {
        let (tx, rx) = watch::channel(0);
        let mut changes = rx.into_stream();
        assert!(is_pending(&mut changes).await, "the first one has been seen");
        tx.send(1);
        tx.send(2);
        assert_eq!(changes.try_next().await.unwrap().as_deref(), Some(&2));
        assert!(is_pending(&mut changes).await);
        tx.send(3);
        drop(tx);
        assert_eq!(changes.try_next().await.unwrap().as_deref(), Some(&3));
        assert_eq!(changes.try_next().await.unwrap(), None);
        assert_eq!(*changes.into_inner().get(), 3);
    });
}

#[test]
fn a_listeners_stream_is_its_connections() {
    let r: io::Result<()> = run(async {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
        let at = listener.local_addr()?;
        let connecting = async {
            let mut clients = Vec::new();
            for _ in 0..3 {
                clients.push(TcpStream::connect(at).await?);
            }
            io::Result::Ok(clients)
        };
        let accepted = listener.into_stream().take(3).try_collect::<Vec<_>>();
        let (clients, accepted) = join(connecting, accepted).await;
        for (client, (stream, peer)) in clients?.iter().zip(accepted?) {
            assert_eq!(client.local_addr()?, peer);
            stream.write_all(b"x").await?;
            client.read_exact(&mut [0]).await?;
        }
        Ok(())
    });
    r.unwrap();
}

#[test]
fn what_was_closed_before_has_no_items() {
    run_virtual(async {
        let (tx, rx) = unbounded();
        tx.try_send(1).unwrap();
        rx.close();
        assert!(rx.into_stream().next().await.is_none());
        let (tx, rx) = broadcast::channel(1);
        tx.send(1).unwrap();
        rx.close();
        assert!(rx.into_stream().next().await.is_none());
    });
}

// ---- the three windows of a cancellation --------------------------------------------------------------------

#[test]
fn in_a_cancelled_scope_nothing_is_taken_and_each_poll_says_so() {
    in_every_order(async || {
        let (tx, rx) = unbounded();
        tx.try_send(1).unwrap();
        let (sender, all) = broadcast::channel(1);
        sender.send(1).unwrap();
        let (setter, changes) = watch::channel(0);
        setter.send(1);
        let (mut rx, mut all, mut changes) = (rx.into_stream(), all.into_stream(), changes.into_stream());
        cancelled(async || {
            for _ in 0..3 {
                assert!(rx.next().await.unwrap().is_err());
                assert!(all.next().await.unwrap().is_err());
                assert!(changes.next().await.unwrap().is_err());
            }
        })
        .await;
        assert_eq!(rx.into_inner().try_receive(), Ok(1));
        assert_eq!(all.into_inner().try_receive(), Ok(1));
        assert!(changes.into_inner().has_changed());
    });
}

#[test]
fn a_cancelled_wait_leaves_the_line_and_the_stream_goes_on_afterwards() {
    in_every_order(async || {
        let (tx, rx) = bounded(0);
        let (sender, all) = broadcast::channel(1);
        let (setter, changes) = watch::channel(0);
        let (mut rx, mut all, mut changes) = (rx.into_stream(), all.into_stream(), changes.into_stream());
        let waits = stats().waiting;
        let r: Result<Option<()>, Cancelled> = move_on_after(S, async |_| {
            let (a, b, c) =
                futures_util::future::join3(rx.try_next(), all.try_next(), changes.try_next()).await;
            assert!(b.is_err() && c.is_err());
            a.map(drop)
        })
        .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!((tx.stats().receiving, sender.stats().receiving, stats().waiting), (0, 0, waits));
        let sending = async {
            assert!(matches!(tx.send(1).await, Ok(Ok(()))));
            sender.send(1).unwrap();
            setter.send(1);
        };
        let (first, ()) = join(rx.try_next(), sending).await;
        assert_eq!(first.unwrap(), Some(1));
        assert_eq!(all.try_next().await.unwrap(), Some(Ok(1)));
        assert_eq!(changes.try_next().await.unwrap().as_deref(), Some(&1));
    });
}

#[test]
fn an_item_that_is_there_wins_over_a_cancellation_and_the_next_poll_tells_of_that() {
    in_every_order(async || {
        let (tx, rx) = unbounded();
        let (sender, all) = broadcast::channel(2);
        let (setter, changes) = watch::channel(0);
        let (mut rx, mut all, mut changes) = (rx.into_stream(), all.into_stream(), changes.into_stream());
        let r: Result<Option<()>, Cancelled> = CancelScope::new()
            .run(async |scope| {
                assert!(is_pending(&mut rx).await && is_pending(&mut all).await);
                assert!(is_pending(&mut changes).await);
                for i in 1..=2 {
                    tx.try_send(i).unwrap();
                    sender.send(i).unwrap();
                }
                setter.send(1);
                scope.cancel();
                assert!(matches!(rx.next().await, Some(Ok(1))));
                assert!(matches!(all.next().await, Some(Ok(Ok(1)))));
                assert!(matches!(changes.next().await, Some(Ok(_))));
                assert!(rx.next().await.unwrap().is_err() && all.next().await.unwrap().is_err());
                assert!(changes.next().await.unwrap().is_err());
                check()
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!((rx.into_inner().try_receive(), all.into_inner().try_receive()), (Ok(2), Ok(2)));
    });
}

/// It waits where it was last polled, not where it was made or first polled.
#[test]
fn the_scope_that_polled_it_last_is_the_one_that_cancels_it() {
    in_every_order(async || {
        let (_tx, rx) = unbounded::<u8>();
        let mut items = rx.into_stream();
        let r: Result<(), Cancelled> = CancelScope::new()
            .run(async |_first| {
                assert!(is_pending(&mut items).await);
                check()
            })
            .await
            .map(|done| assert!(done.is_some()));
        r.unwrap();
        let r: Result<Option<()>, Cancelled> =
            move_on_after(S, async |_second| items.try_next().await.map(drop)).await;
        assert!(matches!(r, Ok(None)));
    });
}

#[test]
fn a_cancelled_accept_has_taken_no_connection_and_gives_up_its_claim() {
    let r: io::Result<()> = run(async {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
        let at = listener.local_addr()?;
        let mut incoming = listener.into_stream();
        assert!(is_pending(&mut incoming).await);
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |scope| {
                scope.cancel();
                let refused = incoming.next().await.unwrap().unwrap_err();
                assert!(refused.get_ref().is_some_and(|e| e.is::<Cancelled>()), "{refused}");
                Ok(check()?)
            })
            .await;
        assert!(matches!(r, Ok(None)));
        let listener = incoming.into_inner();
        let client = TcpStream::connect(at).await?;
        assert_eq!(listener.accept().await?.1, client.local_addr()?);
        Ok(())
    });
    r.unwrap();
}

// ---- dropping, and the line ------------------------------------------------------------------------------------

#[test]
fn one_that_is_dropped_while_it_waits_is_in_nobodys_way() {
    in_every_order(async || {
        let (tx, rx) = unbounded();
        let mut items = rx.clone().into_stream();
        assert!(is_pending(&mut items).await);
        assert_eq!((tx.stats().receiving, tx.stats().receivers), (1, 2));
        drop(items);
        assert_eq!((tx.stats().receiving, tx.stats().receivers), (0, 1));
        tx.try_send(1).unwrap();
        assert_eq!(rx.try_receive(), Ok(1));
    });
}

/// Dropped, or taken apart.
#[test]
fn an_item_that_was_handed_to_it_goes_to_the_next_or_back_to_the_front() {
    in_every_order(async || {
        for is_dropped in [true, false] {
            let end = |items: Items<channel::Receiver<i32>>| {
                if !is_dropped {
                    drop(items.into_inner());
                }
            };
            let (tx, rx) = unbounded();
            let mut items = rx.clone().into_stream();
            let mut next = pin!(rx.receive());
            assert!(is_pending(&mut items).await && poll_once(next.as_mut()).await.is_pending());
            tx.try_send(1).unwrap();
            assert_eq!(tx.stats().receiving, 1, "it is the stream's");
            end(items);
            assert_eq!(next.await.unwrap(), Ok(1));

            let mut items = rx.clone().into_stream();
            assert!(is_pending(&mut items).await);
            tx.try_send(2).unwrap();
            tx.try_send(3).unwrap();
            end(items);
            assert_eq!((rx.try_receive(), rx.try_receive()), (Ok(2), Ok(3)), "in their order");
        }
    });
}

#[test]
fn the_last_receiver_taken_apart_keeps_what_it_was_handed() {
    in_every_order(async || {
        let (tx, rx) = bounded(1);
        let mut items = rx.into_stream();
        assert!(is_pending(&mut items).await);
        tx.try_send(1).unwrap();
        let rx = items.into_inner();
        assert_eq!(rx.receive().await.unwrap(), Ok(1));
        drop(tx);
        assert_eq!(rx.receive().await.unwrap(), Err(ReceiveError::End));
    });
}

/// A `Next` that is dropped is a poll that found nothing: the place in line is the stream's.
#[test]
fn a_stream_and_the_receives_of_a_clone_are_served_in_the_order_in_which_they_came() {
    in_every_order(async || {
        let (tx, rx) = unbounded();
        let mut items = rx.clone().into_stream();
        let mut first = Box::pin(rx.receive());
        assert!(poll_once(first.as_mut()).await.is_pending());
        assert!(is_pending(&mut items).await);
        let mut third = Box::pin(rx.receive());
        assert!(poll_once(third.as_mut()).await.is_pending());
        // Polled again it keeps its place.
        assert!(is_pending(&mut items).await);
        for i in 1..=4 {
            tx.try_send(i).unwrap();
        }
        assert_eq!(rx.try_receive(), Ok(4), "what nobody waited for");
        assert_eq!(third.await.unwrap(), Ok(3));
        assert_eq!(items.try_next().await.unwrap(), Some(2));
        assert_eq!(first.await.unwrap(), Ok(1));
        assert_eq!(rx.try_receive(), Err(TryReceiveError::WouldBlock));
    });
}

#[test]
fn polls_that_nobody_meant_for_it_yield_nothing() {
    in_every_order(async || {
        let (tx, rx) = unbounded();
        let mut items = rx.into_stream();
        for _ in 0..200 {
            assert!(is_pending(&mut items).await);
            yield_now().await;
        }
        assert_eq!(tx.stats().receiving, 1);
        tx.try_send(1).unwrap();
        assert_eq!(items.try_next().await.unwrap(), Some(1));
    });
}

/// A waker that says where it is.
struct Counted;

impl Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

/// Neither in a line, nor in the reactor, nor in a scope: when it is cancelled or taken apart.
#[test]
fn when_its_wait_has_ended_nobody_keeps_its_waker() {
    async fn ends<T: Source>(
        what: &str,
        mut items: Items<T>,
        into_stream: impl Fn(T) -> Items<T>,
    ) -> Items<T> {
        let counted = Arc::new(Counted);
        let waker = Waker::from(Arc::clone(&counted));
        let mut cx = Context::from_waker(&waker);
        let r: Result<Option<()>, Cancelled> = CancelScope::new()
            .run(async |scope| {
                assert!(items.poll_next_unpin(&mut cx).is_pending());
                assert!(Arc::strong_count(&counted) > 2, "{what}: it waits");
                scope.cancel();
                assert!(items.poll_next_unpin(&mut cx).is_ready());
                assert_eq!(Arc::strong_count(&counted), 2, "{what}: cancelled");
                check()
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert!(items.poll_next_unpin(&mut cx).is_pending());
        let items = into_stream(items.into_inner());
        assert_eq!(Arc::strong_count(&counted), 2, "{what}: taken apart");
        items
    }
    run(async {
        let (_tx, rx) = unbounded::<u8>();
        drop(ends("channel", rx.into_stream(), |rx| rx.into_stream()).await);
        let (_tx, rx) = broadcast::channel::<u8>(1);
        drop(ends("broadcast", rx.into_stream(), |rx| rx.into_stream()).await);
        let (_tx, rx) = watch::channel(0);
        drop(ends("watch", rx.into_stream(), |rx| rx.into_stream()).await);
        let listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        drop(ends("listener", listener.into_stream(), |l| l.into_stream()).await);
    });
}

#[test]
fn a_dropped_listeners_stream_leaves_no_registration() {
    run(async {
        let before = (stats().registrations, stats().waiting);
        let mut incoming = TcpListener::bind(([127, 0, 0, 1], 0).into()).unwrap().into_stream();
        assert!(is_pending(&mut incoming).await);
        assert_eq!((stats().registrations, stats().waiting), (before.0 + 1, before.1 + 1));
        drop(incoming);
        assert_eq!((stats().registrations, stats().waiting), before);
    });
}

// ---- from run to run ---------------------------------------------------------------------------------------------

/// A channel belongs to no run, and so do its items.
#[test]
fn a_channels_stream_that_waited_in_one_run_goes_on_in_the_next() {
    let (tx, rx) = unbounded();
    let mut items = rx.into_stream();
    run(async { assert!(is_pending(&mut items).await) });
    run(async {
        let sending = async {
            checkpoint().await.unwrap();
            tx.try_send(1).unwrap();
        };
        let (got, ()) = join(items.try_next(), sending).await;
        assert_eq!(got.unwrap(), Some(1));
        assert!(is_pending(&mut items).await);
    });
    tx.try_send(2).unwrap();
    assert_eq!(items.into_inner().try_receive(), Ok(2));
}

#[test]
fn a_listeners_stream_of_another_run_panics_and_names_both() {
    let mut stranger = run(async {
        let mut incoming = TcpListener::bind(([127, 0, 0, 1], 0).into()).unwrap().into_stream();
        assert!(is_pending(&mut incoming).await);
        incoming
    });
    run(async {
        let mut polled = pin!(poll_next(&mut stranger));
        let tried = catch_unwind(AssertUnwindSafe(|| {
            polled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        }));
        let text = message(tried.unwrap_err());
        assert!(text.contains("descriptor belongs to run") && text.contains("was used in run"), "{text}");
    });
}

// ---- under combinators of others -----------------------------------------------------------------------------------

#[test]
fn two_streams_as_one_lose_nothing_and_a_cancellation_comes_through() {
    in_every_order(async || {
        let ((a, from_a), (b, from_b)) = (bounded(1), broadcast::channel(8));
        let got = RefCell::new(Vec::new());
        let r = Run::nursery(async |n| {
            let items = from_a.into_stream().map_ok(Ok);
            let mut both = stream::select(items, from_b.into_stream());
            let (got, scope) = (&got, CancelScope::new());
            let handle = scope.handle();
            n.spawn(async move {
                let r: Result<Option<()>, Fault> = scope
                    .run(async |_| {
                        while let Some(item) = both.try_next().await? {
                            got.borrow_mut().push(item.unwrap());
                        }
                        Ok(())
                    })
                    .await;
                assert!(matches!(r, Ok(None)), "it was cancelled, and did not end");
                Ok(())
            });
            for i in 0..4 {
                a.send(i).await?.unwrap();
                b.send(10 + i).unwrap();
            }
            wait_until_idle().await?;
            handle.cancel();
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        let mut got = got.take();
        let from_b = got.extract_if(.., |n| *n >= 10).collect::<Vec<_>>();
        assert_eq!((got, from_b), (vec![0, 1, 2, 3], vec![10, 11, 12, 13]));
    });
}

#[test]
fn so_many_at_a_time_are_worked_on_and_the_rest_stays_in_the_channel() {
    in_every_order(async || {
        let (tx, rx) = unbounded();
        let (at_work, most) = (Cell::new(0), Cell::new(0));
        for i in 0..6_u32 {
            tx.try_send(i).unwrap();
        }
        let work = async |i: u32| {
            at_work.set(at_work.get() + 1);
            most.set(most.get().max(at_work.get()));
            sleep((7 - i) * S).await?;
            at_work.set(at_work.get() - 1);
            Ok::<_, Cancelled>(i)
        };
        let mut done = pin!(rx.into_stream().map_ok(&work).try_buffer_unordered(2));
        let first = done.try_next().await.unwrap();
        assert_eq!((first, most.get(), tx.stats().buffered), (Some(1), 2, 4));
        drop(tx);
        let mut rest = done.try_collect::<Vec<_>>().await.unwrap();
        rest.sort_unstable();
        assert_eq!((rest, most.get()), (vec![0, 2, 3, 4, 5], 2));
    });
}

#[test]
fn what_is_always_ready_gives_way_to_others() {
    in_every_order(async || {
        let (tx, rx) = unbounded();
        (0..10_000).for_each(|i| tx.try_send(i).unwrap());
        drop(tx);
        let (received, seen) = (Cell::new(0), Cell::new(0));
        let counting = rx.into_stream().try_for_each(|_| {
            received.set(received.get() + 1);
            ready(Ok(()))
        });
        let r: Result<(), Cancelled> = nursery(async |n| {
            n.spawn(counting);
            n.spawn(async {
                while received.get() < 10_000 {
                    seen.set(seen.get() + 1);
                    checkpoint().await?;
                }
                Ok(())
            });
            Ok(())
        })
        .await;
        r.unwrap();
        assert!(seen.get() > 20, "it had {} turns", seen.get());
    });
}

/// Whoever filters cancellations out is asked again and again, and the thread goes on.
#[test]
fn ignored_cancellations_do_not_hold_the_thread() {
    in_every_order(async || {
        let (tx, rx) = unbounded();
        tx.try_send(1).unwrap();
        let enough = Cell::new(false);
        let is_enough = poll_fn(|_| if enough.get() { Poll::Ready(()) } else { Poll::Pending });
        let r: Result<(), Cancelled> = nursery(async |n| {
            n.spawn(async {
                cancelled(async || {
                    let items = rx.into_stream().take_until(is_enough);
                    let mut deaf = pin!(items.filter_map(|item| ready(item.ok())));
                    assert_eq!(deaf.next().await, None);
                })
                .await;
                Ok(())
            });
            for _ in 0..50 {
                checkpoint().await?;
            }
            enough.set(true);
            Ok(())
        })
        .await;
        r.unwrap();
        assert!(stats().swallowed > 50, "each was counted");
    });
}
