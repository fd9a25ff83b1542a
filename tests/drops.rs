//! Promise: every future may be dropped at any await, or leaked: it unregisters itself, and nothing is lost.
//!
//! ```text
//!   poll 0 times, 1, 2, … until it is ready ─ drop ─► tasks, scopes, waiting operations, timers: as before
//!   mem::forget ─► borrowed children are never polled again; static ones end with the run
//! ```
//!
//! Rules: a future is dropped after every number of polls from none to all it needs, in a run that goes on.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::{message, poll_once, settle};
use fault::{Fault, Run, shape};
use futures_util::future::{Either, join, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use orders::{in_every_order, or_hang};
use pleach_executor::net::UnixStream;
use pleach_executor::sync::Event;
use pleach_executor::sync::channel::bounded;
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{
    CancelScope, Cancelled, NurseryHandle, Reason, Started, checked, checkpoint, fail_after, graceful,
    low_level, move_on_after, now, shielded, sleep, sleep_forever, sleep_until, stats, yield_now,
};
use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// What is registered now.
fn registered() -> [(&'static str, usize); 5] {
    let s = stats();
    [
        ("tasks", s.tasks),
        ("scopes", s.scopes),
        ("waiting", s.waiting),
        ("timers", s.timers),
        ("descriptors", s.registrations),
    ]
}

/// Counts how many live.
struct Alive<'a>(&'a Cell<i32>);

impl<'a> Alive<'a> {
    fn new(count: &'a Cell<i32>) -> Self {
        count.set(count.get() + 1);
        Alive(count)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// How a case is dropped.
#[derive(Clone, Copy, Debug)]
enum Around {
    /// Nobody cancels.
    Nothing,
    /// In a scope that is cancelled before the first poll.
    Cancelled,
    /// In a scope that is cancelled between its last poll and its drop: woken, but not polled.
    CancelledAtLast,
}

/// Drops what `make` makes after 0, 1, 2, … polls, and compares what is registered. Returns how many polls it takes
/// to its end; `max` for one that never ends.
async fn drop_after_every_poll<F: Future>(
    what: &str,
    around: Around,
    max: usize,
    make: impl Fn() -> F,
) -> usize {
    for polls in 0..=max {
        let before = registered();
        let ended = Cell::new(false);
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                if matches!(around, Around::Cancelled) {
                    s.cancel();
                }
                let mut fut = Box::pin(make());
                for _ in 0..polls {
                    if poll_once(fut.as_mut()).await.is_ready() {
                        ended.set(true);
                        break;
                    }
                    // Whatever is due within a second happens between two polls.
                    shielded(async |_| {
                        wait_until_idle().await?;
                        sleep(S).await
                    })
                    .await?;
                }
                if matches!(around, Around::CancelledAtLast) {
                    s.cancel();
                }
                drop(fut);
                Ok(())
            })
            .await;
        assert!(r.is_ok());
        wait_until_idle().await.expect("the run goes on");
        assert_eq!(registered(), before, "{what}, {around:?}: dropped after {polls} polls");
        if ended.get() {
            return polls;
        }
    }
    max
}

/// Every way to be dropped, for one kind of future.
fn any_drop_is_clean<F: Future>(what: &str, max: usize, make: impl Fn() -> F) {
    for around in [Around::Nothing, Around::Cancelled, Around::CancelledAtLast] {
        run_virtual(or_hang(1_000_000 * S, async {
            let polls = drop_after_every_poll(what, around, max, &make).await;
            assert!(polls > 0, "{what} has been polled");
        }));
    }
}

#[test]
fn dropped_sleeps_leave_nothing() {
    any_drop_is_clean("sleep", 9, || sleep(3 * S + MS));
    any_drop_is_clean("sleep(0)", 9, || sleep(Duration::ZERO));
    any_drop_is_clean("sleep_until", 9, || sleep_until(now() + S));
    any_drop_is_clean("sleep_until the past", 9, || sleep_until(now()));
    any_drop_is_clean("sleep_forever", 5, sleep_forever);
}

#[test]
fn dropped_checkpoints_leave_nothing() {
    any_drop_is_clean("checkpoint", 9, checkpoint);
    any_drop_is_clean("yield_now", 9, yield_now);
    any_drop_is_clean("wait_until_idle", 9, wait_until_idle);
}

#[test]
fn dropped_wrappers_of_foreign_futures_leave_nothing() {
    any_drop_is_clean("checked, ready", 9, || checked(std::future::ready(1)));
    any_drop_is_clean("checked, pending", 5, || checked(pending::<()>()));
    any_drop_is_clean("checked(sleep)", 9, || checked(sleep(2 * S)));
    any_drop_is_clean("graceful", 9, || graceful(pending::<()>(), 3 * S, || ()));
}

#[test]
fn dropped_scopes_leave_nothing() {
    any_drop_is_clean("CancelScope::new", 5, || async { drop(CancelScope::new().shield().timeout(S)) });
    any_drop_is_clean("CancelScope::run", 9, || {
        CancelScope::new().timeout(3 * S).run(async |s| {
            let _handle = s.handle();
            sleep_forever().await?;
            Ok::<(), Fault>(())
        })
    });
    any_drop_is_clean("move_on_after", 9, || {
        move_on_after(9 * S, async |_| {
            sleep(2 * S).await?;
            Ok::<_, Fault>(1)
        })
    });
    any_drop_is_clean("fail_after", 9, || {
        fail_after(2 * S, async |_| {
            sleep_forever().await?;
            Ok::<(), Fault>(())
        })
    });
    any_drop_is_clean("shielded", 9, || {
        shielded(async |_| {
            move_on_after(S, async |_| {
                sleep_forever().await?;
                Ok::<(), Fault>(())
            })
            .await
        })
    });
}

/// A nursery with children of every kind, below each other, some asleep and some at work.
async fn family() -> Result<usize, Fault> {
    Run::nursery(async |n| {
        n.spawn(async { Ok(sleep(2 * S).await?) });
        n.spawn_static(async { Ok(sleep(3 * S).await?) });
        let handle = n.handle();
        n.spawn_static(async move {
            checkpoint().await?;
            let _ = handle.spawn(async { Ok(sleep(S).await?) });
            Ok(())
        });
        n.spawn_static(Run::nursery(async |inner| {
            inner.spawn(async { Ok(sleep(2 * S).await?) });
            inner.spawn_static(async { Ok(sleep(S).await?) });
            Ok(sleep(2 * S).await?)
        }));
        let port = n
            .start(async |ready: Started<usize>| {
                sleep(S).await?;
                ready.set(7);
                sleep_forever().await?;
                Ok(())
            })
            .await?;
        let value = n.task(async {
            sleep(2 * S).await?;
            Ok(1)
        });
        let value = value.await?;
        n.cancel();
        Ok(port + value)
    })
    .await
}

#[test]
fn dropped_nurseries_leave_nothing() {
    any_drop_is_clean("an empty nursery", 9, || Run::nursery(async |_| Ok(())));
    any_drop_is_clean("a nursery that sleeps", 9, || {
        Run::nursery(async |_| {
            sleep(2 * S).await?;
            Ok(())
        })
    });
    any_drop_is_clean("a family", 30, family);
    any_drop_is_clean("a nursery in a nursery", 30, || {
        Run::nursery(async |n| {
            n.spawn(async { family().await.map(|_| ()) });
            n.spawn_static(async { family().await.map(|_| ()) });
            family().await
        })
    });
    any_drop_is_clean("a nursery that fails", 9, || {
        Run::nursery(async |n| {
            n.spawn(async { Err(Fault::Named("E")) });
            n.spawn_static(async { Ok(sleep(S).await?) });
            sleep_forever().await?;
            Ok(())
        })
    });
}

/// Children that stay behind a shield keep the nursery open however long it is polled.
#[test]
fn dropped_nurseries_with_shielded_children_leave_nothing() {
    any_drop_is_clean("shielded children", 9, || {
        Run::nursery(async |n| {
            n.spawn(async { Ok(shielded(async |_| sleep(4 * S).await).await?) });
            n.spawn_static(async { Ok(shielded(async |_| sleep(4 * S).await).await?) });
            n.cancel();
            Ok(())
        })
    });
}

#[test]
fn futures_dropped_inside_a_nursery_leave_nothing() {
    // What is dropped here borrows the nursery: it is given up by a `select`, at every moment.
    for given_up_at in 0..8 {
        in_every_order(async || {
            let alive = Cell::new(0);
            let r = Run::nursery(async |n| {
                let before = registered();
                {
                    let start = pin!(n.start(async |ready: Started<u8>| {
                        let _alive = Alive::new(&alive);
                        sleep(2 * S).await?;
                        ready.set(1);
                        sleep(2 * S).await?;
                        Ok(())
                    }));
                    select(start, pin!(sleep(given_up_at * S / 2))).await;
                }
                {
                    let mut task = n.task(async {
                        let _alive = Alive::new(&alive);
                        sleep(2 * S).await?;
                        Ok(1)
                    });
                    select(&mut task, pin!(sleep(given_up_at * S / 2))).await;
                }
                sleep(10 * S).await?;
                assert_eq!(alive.get(), 0, "they have ended by now");
                // The scope of the children is made with the first child, and stays.
                let mut expected = before;
                expected[1].1 += 1;
                assert_eq!(registered(), expected);
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
        });
    }
}

#[test]
fn dropped_waits_for_an_event_leave_nothing() {
    any_drop_is_clean("a wait for an event", 9, || async {
        let event = Event::new();
        let waiting: FuturesUnordered<_> = (0..3).map(|_| event.wait()).collect();
        let setting = async {
            sleep(2 * S).await?;
            event.set();
            Ok::<(), Fault>(())
        };
        join(waiting.count(), setting).await
    });
}

#[test]
fn a_dropped_wait_for_an_event_does_not_keep_others_from_it() {
    for polls in 0..3 {
        in_every_order(async || {
            let event = Event::new();
            let woken = Cell::new(0);
            let r = Run::nursery(async |n| {
                let mut gone = Box::pin(event.wait());
                for _ in 0..polls {
                    assert!(poll_once(gone.as_mut()).await.is_pending());
                }
                for _ in 0..2 {
                    n.spawn(async {
                        event.wait().await?;
                        woken.set(woken.get() + 1);
                        Ok(())
                    });
                }
                wait_until_idle().await?;
                event.set();
                drop(gone);
                Ok(())
            })
            .await;
            assert_eq!((shape(&r).as_str(), woken.get()), ("ok", 2));
        });
    }
}

// ---- channels and sockets --------------------------------------------------------------------------------

#[test]
fn dropped_channel_operations_leave_nothing() {
    any_drop_is_clean("send into a full channel", 9, || async {
        let (tx, rx) = bounded(1);
        assert!(tx.try_send(1).is_ok());
        let receiving = async {
            sleep(2 * S).await?;
            Ok::<_, Cancelled>([rx.receive().await?.ok(), rx.receive().await?.ok()])
        };
        join(tx.send(2), receiving).await
    });
    any_drop_is_clean("receive from an empty channel", 9, || async {
        let (tx, rx) = bounded(1);
        let sending = async {
            sleep(2 * S).await?;
            tx.send(1).await
        };
        join(rx.receive(), sending).await
    });
    any_drop_is_clean("receive from a channel whose senders go", 9, || async {
        let (tx, rx) = bounded::<u8>(0);
        let going = async {
            let r = sleep(2 * S).await;
            drop(tx);
            r
        };
        join(rx.receive(), going).await
    });
}

/// When a future is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Window {
    BeforeItsFirstPoll,
    Parked,
    WokenAndNotPolled,
}

const WINDOWS: [Window; 3] = [Window::BeforeItsFirstPoll, Window::Parked, Window::WokenAndNotPolled];

/// Drops `fut` in that window; `wake` does what it waits for, which in every window has happened in the end.
async fn drop_in<F: Future>(window: Window, fut: F, wake: impl FnOnce()) {
    let mut fut = Box::pin(fut);
    if window != Window::BeforeItsFirstPoll {
        assert!(poll_once(fut.as_mut()).await.is_pending());
    }
    match window {
        Window::WokenAndNotPolled => {
            wake();
            drop(fut);
        }
        _ => {
            drop(fut);
            wake();
        }
    }
}

#[test]
fn a_dropped_receive_takes_no_item() {
    for window in WINDOWS {
        for capacity in [0, 1, 2] {
            in_every_order(async || {
                let (tx, rx) = bounded(capacity);
                let (second, log) = (rx.clone(), RefCell::new(Vec::new()));
                let r = Run::nursery(async |n| {
                    drop_in(window, rx.receive(), || {
                        let sent = tx.try_send(1);
                        // With no buffer and nobody waiting there is no place for it.
                        assert_eq!(sent.is_ok(), capacity > 0 || window == Window::WokenAndNotPolled);
                    })
                    .await;
                    n.spawn(async {
                        while let Ok(item) = second.receive().await? {
                            log.borrow_mut().push(item);
                        }
                        Ok(())
                    });
                    wait_until_idle().await?;
                    assert!(tx.send(2).await?.is_ok());
                    drop(tx);
                    Ok(())
                })
                .await;
                assert_eq!(shape(&r), "ok");
                let all = capacity > 0 || window == Window::WokenAndNotPolled;
                assert_eq!(*log.borrow(), if all { vec![1, 2] } else { vec![2] }, "{window:?}, {capacity}");
            });
        }
    }
}

/// The one behind it in the queue gets what was handed to the dropped one.
#[test]
fn an_item_handed_to_a_dropped_receive_goes_to_the_next() {
    in_every_order(async || {
        let (tx, rx) = bounded(1);
        let r = Run::nursery(async |n| {
            let mut first = Box::pin(rx.receive());
            assert!(poll_once(first.as_mut()).await.is_pending());
            let next = n.task(async { Ok(rx.receive().await?.ok()) });
            wait_until_idle().await?;
            assert!(tx.try_send(7).is_ok());
            drop(first);
            Ok(next.await?)
        })
        .await;
        assert!(matches!(r, Ok(Some(7))), "{}", shape(&r));
    });
}

/// A send that is dropped before it could place its item has sent nothing; one whose item had moved up has sent it.
#[test]
fn a_dropped_send_sends_once_or_not_at_all() {
    for window in WINDOWS {
        in_every_order(async || {
            let (tx, rx) = bounded(1);
            assert!(tx.try_send(1).is_ok());
            let mut got = Vec::new();
            let first = Cell::new(None);
            drop_in(window, tx.send(2), || first.set(rx.try_receive().ok())).await;
            got.extend(first.get());
            let drain = |got: &mut Vec<_>| got.extend(std::iter::from_fn(|| rx.try_receive().ok()));
            drain(&mut got);
            assert_eq!(tx.try_send(3), Ok(()), "nobody is in the way");
            drain(&mut got);
            let sent = window == Window::WokenAndNotPolled;
            assert_eq!(got, if sent { vec![1, 2, 3] } else { vec![1, 3] }, "{window:?}");
        });
    }
}

#[test]
fn dropped_socket_operations_leave_nothing() {
    any_drop_is_clean("a socket", 9, || async {
        let (a, b) = UnixStream::pair()?;
        let writing = async {
            sleep(2 * S).await?;
            a.write_all(b"hello").await
        };
        let mut bytes = [0; 8];
        let (read, written) = join(b.read(&mut bytes), writing).await;
        written?;
        read
    });
    any_drop_is_clean("a full socket", 9, || async {
        let (a, b) = UnixStream::pair()?;
        while a.try_write(&[0; 4096])?.is_some() {}
        let reading = async {
            sleep(2 * S).await?;
            let mut bytes = vec![0; 1 << 20];
            while b.try_read(&mut bytes)?.is_some() {}
            io::Result::Ok(())
        };
        join(a.write(b"more"), reading).await.0
    });
}

#[test]
fn a_dropped_read_takes_no_byte() {
    for window in WINDOWS {
        in_every_order(async || {
            let (a, b) = UnixStream::pair().unwrap();
            let mut lost = [0; 8];
            drop_in(window, b.read(&mut lost), || {
                assert_eq!(a.try_write(b"hello").unwrap(), Some(5));
            })
            .await;
            assert_eq!(lost, [0; 8]);
            let mut bytes = [0; 8];
            assert_eq!(b.read(&mut bytes).await.unwrap(), 5, "{window:?}");
            assert_eq!(&bytes[..5], b"hello");
        });
    }
}

// ---- nurseries -------------------------------------------------------------------------------------------

/// Dropping an open nursery drops its children, each once.
#[test]
fn a_dropped_nursery_drops_its_children() {
    in_every_order(async || {
        let alive: &'static Cell<i32> = Box::leak(Box::default());
        let child = async || {
            let _alive = Alive::new(alive);
            sleep_forever().await?;
            Ok(())
        };
        let mut open = Box::pin(Run::nursery(async |n| {
            n.spawn(child());
            n.spawn_static(async {
                let _alive = Alive::new(alive);
                sleep_forever().await?;
                Ok(())
            });
            n.spawn(Run::nursery(async |inner| {
                inner.spawn(child());
                child().await
            }));
            child().await
        }));
        settle(open.as_mut()).await;
        assert_eq!(alive.get(), 5);
        drop(open);
        assert_eq!(alive.get(), 0);
    });
}

// ---- dropped from inside ---------------------------------------------------------------------------------

type Held = Rc<RefCell<Option<Pin<Box<dyn Future<Output = Result<(), Fault>>>>>>>;

/// A static child drops the nursery it belongs to, from its own poll. It goes when that poll returns.
#[test]
fn a_static_child_may_drop_its_own_nursery() {
    for ends_at_once in [false, true] {
        in_every_order(async || {
            let before = registered();
            let held: Held = Rc::default();
            let (log, alive) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
            let (h, l, a) = (Rc::clone(&held), Rc::clone(&log), Rc::clone(&alive));
            let open = Run::nursery(async move |n| {
                n.spawn_static(async move {
                    let _alive = Alive::new(&a);
                    checkpoint().await?;
                    drop(h.take());
                    l.borrow_mut().push("still polled");
                    if ends_at_once {
                        return Ok(());
                    }
                    yield_now().await;
                    l.borrow_mut().push("polled again");
                    Ok(())
                });
                sleep_forever().await?;
                Ok(())
            });
            *held.borrow_mut() = Some(Box::pin(open));
            let mut inside = held.take().expect("just put there");
            assert!(poll_once(inside.as_mut()).await.is_pending());
            held.replace(Some(inside));
            wait_until_idle().await.unwrap();
            assert!(held.borrow().is_none(), "the child has dropped it");
            assert_eq!((log.borrow().as_slice(), alive.get()), (&["still polled"][..], 0));
            assert_eq!(registered(), before);
        });
    }
}

/// The same when the child panics in that very poll: the panic has to reach somebody, and only the run is left.
#[test]
fn a_static_child_that_panics_after_dropping_its_own_nursery_panics_the_run() {
    let r = catch_unwind(AssertUnwindSafe(|| {
        run_virtual(async {
            let held: Held = Rc::default();
            let h = Rc::clone(&held);
            let open = Run::nursery(async move |n| {
                n.spawn_static(async move {
                    checkpoint().await?;
                    drop(h.take());
                    panic!("boom")
                });
                sleep_forever().await?;
                Ok(())
            });
            *held.borrow_mut() = Some(Box::pin(open));
            let mut inside = held.take().expect("just put there");
            assert!(poll_once(inside.as_mut()).await.is_pending());
            held.replace(Some(inside));
            wait_until_idle().await.unwrap();
            assert!(held.borrow().is_none(), "the child has dropped it");
        })
    }));
    assert!(r.is_err(), "the panic has vanished");
}

/// A `select` does so every day.
#[test]
fn a_select_that_drops_a_nursery_drops_what_is_below() {
    in_every_order(async || {
        let alive = Cell::new(0);
        let before = registered();
        let losing = Run::nursery(async |n| {
            n.spawn(async {
                let _alive = Alive::new(&alive);
                family().await?;
                Ok(())
            });
            sleep_forever().await?;
            Ok::<(), Fault>(())
        });
        match select(Box::pin(sleep(S / 2)), Box::pin(losing)).await {
            Either::Left((slept, losing)) => {
                slept.unwrap();
                assert_eq!(alive.get(), 1);
                drop(losing);
            }
            Either::Right(_) => unreachable!("it sleeps forever"),
        }
        assert_eq!((alive.get(), registered()), (0, before));
    });
}

// ---- leaked ----------------------------------------------------------------------------------------------

/// What makes borrowing sound: a leaked nursery is never polled again, and so its borrowed children are not.
#[test]
fn a_forgotten_nursery_never_touches_what_its_children_borrowed() {
    in_every_order(async || {
        let mut text = String::from("alive");
        {
            let borrowed = &text;
            let mut open = Box::pin(Run::nursery(async |n| {
                n.spawn(async {
                    yield_now().await;
                    panic!("this child must not run: {borrowed}");
                });
                n.spawn(async {
                    sleep(S).await?;
                    panic!("this child must not run: {borrowed}");
                });
                sleep_forever().await?;
                Ok(())
            }));
            // The body has spawned, the second poll begins the children: the first has woken itself by then.
            assert!(poll_once(open.as_mut()).await.is_pending());
            assert!(poll_once(open.as_mut()).await.is_pending());
            std::mem::forget(open);
        }
        text.clear();
        text.push_str("gone");
        for _ in 0..5 {
            checkpoint().await.unwrap();
        }
        sleep(5 * S).await.unwrap();
        assert_eq!(text, "gone");
    });
}

/// Leaks a nursery whose static children are made by `child`, and returns a handle to it.
async fn leak<F>(child: impl Fn() -> F + 'static) -> NurseryHandle<Fault>
where
    F: Future<Output = Result<(), Fault>> + 'static,
{
    let slot: Rc<RefCell<Option<NurseryHandle<Fault>>>> = Rc::default();
    let s = Rc::clone(&slot);
    let mut open = Box::pin(Run::nursery(async move |n| {
        n.spawn_static(child());
        n.spawn_static(child());
        *s.borrow_mut() = Some(n.handle());
        sleep_forever().await?;
        Ok(())
    }));
    assert!(poll_once(open.as_mut()).await.is_pending());
    wait_until_idle().await.unwrap();
    std::mem::forget(open);
    slot.take().expect("the body has run")
}

#[test]
fn static_children_of_a_leaked_nursery_end_with_the_run_and_are_awaited() {
    let reasons = Rc::new(RefCell::new(Vec::new()));
    let cleaned = Rc::new(Cell::new(0));
    let (r, c) = (Rc::clone(&reasons), Rc::clone(&cleaned));
    let value = run_virtual(async move {
        leak(move || {
            let (r, c) = (Rc::clone(&r), Rc::clone(&c));
            async move {
                let cancelled = sleep_forever().await.unwrap_err();
                r.borrow_mut().push(cancelled.reason().clone());
                shielded(async |_| sleep(S).await).await?;
                c.set(c.get() + 1);
                Err(cancelled.into())
            }
        })
        .await;
        7
    });
    assert_eq!(value, 7);
    assert!(reasons.borrow().iter().all(|r| matches!(r, Reason::Shutdown)), "{:?}", reasons.borrow());
    assert_eq!((reasons.borrow().len(), cleaned.get()), (2, 2));
}

#[test]
fn static_children_of_a_leaked_nursery_go_on_and_can_be_cancelled_by_its_handle() {
    let ended = Rc::new(Cell::new(0));
    let e = Rc::clone(&ended);
    run_virtual(async move {
        let e2 = Rc::clone(&e);
        let handle = leak(move || {
            let e = Rc::clone(&e2);
            async move {
                let r = sleep_forever().await;
                e.set(e.get() + 1);
                r?;
                Ok(())
            }
        })
        .await;
        sleep(S).await.unwrap();
        assert_eq!(e.get(), 0);
        handle.cancel();
        wait_until_idle().await.unwrap();
        assert_eq!(e.get(), 2);
    });
    assert_eq!(ended.get(), 2);
}

/// What a run panics with that leaks a nursery of such children, lives for a second, and ends.
fn report_of_a_leak<F>(child: impl Fn() -> F + 'static) -> Option<String>
where
    F: Future<Output = Result<(), Fault>> + 'static,
{
    let r = catch_unwind(AssertUnwindSafe(|| {
        run_virtual(async move {
            leak(child).await;
            sleep(S).await.unwrap();
        })
    }));
    r.err().map(message)
}

/// "Every error that happened has reached somebody": of a leaked nursery only the run is left to be told.
#[test]
fn a_failure_at_shutdown_in_a_leaked_nursery_is_reported() {
    let text = report_of_a_leak(|| async {
        let _shutdown = sleep_forever().await;
        Err(Fault::Named("E"))
    });
    assert!(text.as_deref().is_some_and(|t| t.contains("leaked")), "{text:?}");
}

#[test]
fn a_failure_before_shutdown_in_a_leaked_nursery_is_reported() {
    let text = report_of_a_leak(|| async {
        sleep(S / 2).await?;
        Err(Fault::Named("E"))
    });
    assert!(text.as_deref().is_some_and(|t| t.contains("leaked")), "{text:?}");
}

#[test]
fn a_panic_in_a_leaked_nursery_is_reported() {
    let text = report_of_a_leak(|| async {
        sleep(S / 2).await?;
        panic!("boom")
    });
    assert!(text.is_some(), "the panic has vanished");
}

#[test]
fn a_leaked_nursery_whose_children_end_well_is_no_error() {
    assert_eq!(report_of_a_leak(|| async { Ok(sleep(S / 2).await?) }), None);
    assert_eq!(report_of_a_leak(|| async { match sleep_forever().await? {} }), None);
}

/// What was leaked in one run does not disturb the next on the same thread.
#[test]
fn a_run_after_leaks_is_as_good_as_new() {
    for _ in 0..3 {
        let r = run_virtual(or_hang(1_000_000 * S, async {
            let mut asleep = Box::pin(sleep(5 * S));
            let mut scope = Box::pin(move_on_after(3 * S, async |_| Ok::<_, Fault>(sleep_forever().await?)));
            let mut open = Box::pin(family());
            assert!(poll_once(asleep.as_mut()).await.is_pending());
            settle(scope.as_mut()).await;
            settle(open.as_mut()).await;
            std::mem::forget((asleep, scope, open));
            let t0 = now();
            let r = family().await;
            assert_eq!(now() - t0, 3 * S);
            r
        }));
        assert!(matches!(r, Ok(8)), "{}", shape(&r));
    }
}

/// Tasks of the system behave the same: cancelled with `Shutdown`, and awaited.
#[test]
fn tasks_of_the_system_end_with_the_run_and_are_awaited() {
    let cleaned = Rc::new(Cell::new(false));
    let c = Rc::clone(&cleaned);
    run_virtual(async move {
        low_level::spawn_system(async move {
            let cancelled = sleep_forever().await.unwrap_err();
            assert!(matches!(cancelled.reason(), Reason::Shutdown));
            let r = shielded(async |_| sleep(S).await).await;
            c.set(r.is_ok());
            low_level::absorb(cancelled);
        });
        checkpoint().await.unwrap();
    });
    assert!(cleaned.get());
}
