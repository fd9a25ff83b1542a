//! Promise: user code that panics where nobody expects it (a waker, an error's destructor) keeps nobody else waiting.
//!
//! ```text
//!   cancel, set, close ─► wake, wake (panics), wake ─► all three hear of it ─► then the panic goes on
//!   child ends ─► its error is dropped (panics) ─► the nursery joins the others ─► then the panic comes out
//! ```
//!
//! Rules: the panicking waker stands first, in the middle and last. A case that leaves somebody asleep hangs, which the
//! timer beside it turns into a failure.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/orders.rs"]
mod orders;

use by_hand::{message, poll_once};
use orders::{in_every_order, or_hang};
use pleach_executor::parking::ParkingLot;
use pleach_executor::sync::Event;
use pleach_executor::sync::channel::{ReceiveError, bounded};
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{
    CancelScope, Cancelled, Failure, Failures, In, check, checkpoint, nursery, shielded, sleep,
    sleep_forever, yield_now,
};
use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// A foreign waker that panics once it is armed.
#[derive(Default)]
struct Panics {
    armed: AtomicBool,
}

impl Panics {
    fn armed() -> Waker {
        Waker::from(Arc::new(Panics { armed: AtomicBool::new(true) }))
    }
}

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        assert!(!self.armed.load(Ordering::Relaxed), "a waker");
    }
}

/// One poll with a waker that is not ours.
fn poll_with<F: Future + ?Sized>(waker: &Waker, fut: Pin<&mut F>) -> Poll<F::Output> {
    fut.poll(&mut Context::from_waker(waker))
}

/// The text of the panic in `f`.
fn panic_in(f: impl FnOnce()) -> String {
    message(catch_unwind(AssertUnwindSafe(f)).expect_err("a waker panics in here"))
}

/// What comes out of a virtual run that panics.
fn panic_of<T>(main: impl Future<Output = T>) -> String {
    match catch_unwind(AssertUnwindSafe(|| run_virtual(or_hang(1_000_000 * S, main)))) {
        Ok(_) => panic!("it should have panicked"),
        Err(payload) => message(payload),
    }
}

/// Three wait for the same; the one at `bad` has a waker that panics, the others are tasks. `tell` tells all of them,
/// and the two tasks end.
async fn all_but_one_hear<F: Future>(bad: usize, wait: impl Fn() -> F, tell: impl FnOnce()) {
    let heard = Cell::new(0);
    let mut foreign = Box::pin(wait());
    let r: Result<(), Cancelled> = nursery(async |n| {
        for place in 0..3 {
            if place == bad {
                assert!(poll_with(&Panics::armed(), foreign.as_mut()).is_pending());
                continue;
            }
            n.spawn(async {
                wait().await;
                heard.set(heard.get() + 1);
                Ok(())
            });
            // It is in line before the next one comes.
            shielded(async |_| wait_until_idle().await).await?;
        }
        assert_eq!(panic_in(tell), "a waker");
        Ok(())
    })
    .await;
    assert!(r.is_ok());
    assert_eq!(heard.get(), 2, "the panicking waker was number {bad}");
}

// ---- a waker that panics ---------------------------------------------------------------------------------

#[test]
fn a_cancel_reaches_all_although_a_waker_panics() {
    for bad in 0..3 {
        in_every_order(async || {
            let r: Result<Option<()>, Cancelled> = CancelScope::new()
                .run(async |s| {
                    all_but_one_hear(bad, async || assert!(sleep_forever().await.is_err()), || s.cancel())
                        .await;
                    check()
                })
                .await;
            assert!(matches!(r, Ok(None)));
        });
    }
}

#[test]
fn an_event_reaches_all_although_a_waker_panics() {
    for bad in 0..3 {
        in_every_order(async || {
            let up = Event::new();
            all_but_one_hear(bad, async || up.wait().await.unwrap(), || up.set()).await;
        });
    }
}

#[test]
fn a_release_reaches_as_many_as_it_names_although_a_waker_panics() {
    for bad in 0..3 {
        in_every_order(async || {
            let lot = ParkingLot::new();
            all_but_one_hear(bad, async || lot.park().await.unwrap(), || assert_eq!(lot.unpark(3), 3)).await;
            assert!(lot.is_empty());
        });
    }
}

#[test]
fn the_end_of_a_channel_reaches_all_although_a_waker_panics() {
    for bad in 0..3 {
        in_every_order(async || {
            let (tx, rx) = bounded::<u8>(0);
            let ended = async || assert_eq!(rx.receive().await.unwrap(), Err(ReceiveError::End));
            all_but_one_hear(bad, ended, || tx.close()).await;
        });
    }
}

#[test]
fn lowering_a_shield_reaches_all_although_a_waker_panics() {
    for bad in 0..3 {
        in_every_order(async || {
            let r: Result<Option<()>, Cancelled> = CancelScope::new()
                .run(async |outer| {
                    let inner = CancelScope::new().shield();
                    outer.cancel();
                    let r: Result<Option<()>, Cancelled> = inner
                        .run(async |s| {
                            let wait = async || assert!(sleep_forever().await.is_err());
                            all_but_one_hear(bad, wait, || s.set_shield(false)).await;
                            check()
                        })
                        .await;
                    r.map(|_| ())
                })
                .await;
            assert!(matches!(r, Ok(None)));
        });
    }
}

/// Of several payloads the first comes out; none is lost in an abort.
#[test]
fn two_wakers_may_panic() {
    in_every_order(async || {
        let up = Event::new();
        let mut waits: Vec<_> = (0..3).map(|_| Box::pin(up.wait())).collect();
        assert!(poll_with(&Panics::armed(), waits[0].as_mut()).is_pending());
        assert!(poll_with(&Panics::armed(), waits[1].as_mut()).is_pending());
        assert!(poll_once(waits[2].as_mut()).await.is_pending());
        assert_eq!(panic_in(|| up.set()), "a waker");
        waits.pop().expect("three").await.unwrap();
    });
}

/// A failing child cancels its siblings, one of which waits behind a waker that panics: all are awaited, then the panic
/// comes out of the nursery.
#[test]
fn a_waker_that_panics_while_siblings_are_cancelled_comes_out_of_the_nursery() {
    for is_static in [false, true] {
        let cleaned = Cell::new(0);
        let text = panic_of(async {
            nursery::<(), Cancelled, _>(async |n| {
                for _ in 0..2 {
                    n.spawn(async {
                        let r = sleep_forever().await;
                        shielded(async |_| sleep(S).await).await?;
                        cleaned.set(cleaned.get() + 1);
                        r.map(|_| ())
                    });
                }
                n.spawn(async {
                    let mut foreign = Box::pin(sleep_forever());
                    assert!(poll_with(&Panics::armed(), foreign.as_mut()).is_pending());
                    match sleep_forever().await? {}
                });
                shielded(async |_| wait_until_idle().await).await?;
                let stale = stale().await;
                let failing = async { Err(stale) };
                if is_static {
                    n.spawn_static(failing)
                } else {
                    n.spawn(failing)
                }
                Ok(())
            })
            .await
        });
        assert_eq!((text.as_str(), cleaned.get()), ("a waker", 2));
    }
}

/// A `Cancelled` of a scope that is over: whoever ends with it has failed.
async fn stale() -> Cancelled {
    let kept = Cell::new(None);
    let r: Result<Option<()>, Cancelled> = CancelScope::new()
        .run(async |s| {
            s.cancel();
            kept.set(check().err());
            Ok(())
        })
        .await;
    assert!(matches!(r, Ok(Some(()))));
    kept.take().expect("the scope was cancelled")
}

// ---- spawn -----------------------------------------------------------------------------------------------

/// The waker of whoever polls a nursery is woken when that poll ends, if anything has become ready meanwhile; a spawn wakes
/// nobody. If it panics, that comes out of the poll, and with it goes the nursery: nothing of it is left.
#[test]
fn a_panic_of_the_waker_of_whoever_polls_a_nursery_ends_the_nursery() {
    in_every_order(async || {
        let (go, ran) = (Event::new(), Cell::new(false));
        let panics = Arc::new(Panics::default());
        let waker = Waker::from(Arc::clone(&panics));
        let mut open = Box::pin(nursery(async |n| {
            while !go.is_set() {
                yield_now().await;
            }
            panics.armed.store(true, Ordering::Relaxed);
            n.spawn(async {
                ran.set(true);
                sleep(S).await
            });
            assert_eq!(n.stats().children, 1, "it has woken nobody");
            Ok::<_, Cancelled>(7)
        }));
        assert!(poll_with(&waker, open.as_mut()).is_pending());
        go.set();
        assert_eq!(panic_in(|| drop(poll_with(&waker, open.as_mut()))), "a waker");
        panics.armed.store(false, Ordering::Relaxed);
        drop(open);
        assert!(checkpoint().await.is_ok() && !ran.get(), "the child has gone with the nursery");
    });
}

/// The waker of whoever polls the nursery may use the nursery.
#[test]
fn a_nursery_borrows_nothing_while_it_wakes_whoever_polls_it() {
    thread_local! {
        static INSIDE: Cell<Option<pleach_executor::NurseryHandle<Cancelled>>> = const { Cell::new(None) };
    }
    struct Spawns;
    impl Wake for Spawns {
        fn wake(self: Arc<Self>) {
            if let Some(handle) = INSIDE.take() {
                assert!(handle.spawn(async { Ok(()) }).is_ok() && handle.is_open());
                handle.cancel();
                INSIDE.set(None);
            }
        }
    }
    run_virtual(or_hang(S, async {
        let (waker, seen) = (Waker::from(Arc::new(Spawns)), Cell::new(0));
        let mut open = Box::pin(nursery(async |n| {
            yield_now().await;
            INSIDE.set(Some(n.handle()));
            n.spawn(async {
                seen.set(n.stats().children);
                sleep_forever().await.map(|_| ())
            });
            Ok::<_, Cancelled>(())
        }));
        assert!(poll_with(&waker, open.as_mut()).is_pending());
        assert!(poll_with(&waker, open.as_mut()).is_pending());
        assert!(open.await.is_ok());
        assert_eq!(seen.get(), 2, "the one that the waker has spawned");
    }));
}

// ---- errors of users that panic --------------------------------------------------------------------------

/// An error whose destructor panics, as long as it holds a `Cancelled`; and one that panics when it is asked.
#[derive(Debug)]
enum Touchy {
    /// Panics when it is dropped.
    Cancelled(Option<Cancelled>),
    /// Panics when it is asked what it is.
    Unknowable,
}

type Run = In<Touchy>;

impl From<Cancelled> for Touchy {
    fn from(c: Cancelled) -> Self {
        Touchy::Cancelled(Some(c))
    }
}

impl Failure for Touchy {
    fn is_cancelled(&self) -> bool {
        match self {
            Touchy::Cancelled(_) => true,
            Touchy::Unknowable => panic!("unknowable"),
        }
    }
    fn merge(all: Failures<Self>) -> Self {
        all.into_vec().pop().expect("two or more")
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        if let Touchy::Cancelled(Some(_)) = self
            && !std::thread::panicking()
        {
            panic!("an error");
        }
    }
}

/// Two children end with a `Cancelled`, of which the nursery keeps one and drops the other.
#[test]
fn a_destructor_of_an_error_that_panics_keeps_no_nursery_open() {
    for is_static in [false, true] {
        let cleaned = Cell::new(false);
        let text = panic_of(async {
            Run::nursery(async |n| {
                n.spawn(async {
                    let r = sleep_forever().await;
                    shielded(async |_| sleep(S).await).await.unwrap_or_else(|c: Cancelled| drop(c));
                    cleaned.set(true);
                    drop(r);
                    Ok(())
                });
                for _ in 0..2 {
                    let child = async { Err(Touchy::from(sleep_forever().await.unwrap_err())) };
                    if is_static { n.spawn_static(child) } else { n.spawn(child) }
                }
                n.cancel();
                Ok(())
            })
            .await
        });
        assert_eq!((text.as_str(), cleaned.get()), ("an error", true), "static: {is_static}");
    }
}

/// The same with nobody else in the nursery, one second after the other: nobody but the last can wake it.
#[test]
fn the_last_static_child_wakes_its_nursery_although_an_error_panics() {
    let text = panic_of(async {
        Run::nursery(async |n| {
            for i in 0..2 {
                n.spawn_static(async move {
                    let c = sleep_forever().await.unwrap_err();
                    shielded(async |_| sleep(i * S).await).await.unwrap_or_else(|c: Cancelled| drop(c));
                    Err(Touchy::from(c))
                });
            }
            n.cancel();
            Ok(())
        })
        .await
    });
    assert_eq!(text, "an error");
}

#[test]
fn an_error_that_panics_when_asked_is_a_panic_of_its_child() {
    for from in ["borrowed", "static", "body"] {
        let cleaned = Cell::new(false);
        let text = panic_of(async {
            Run::nursery(async |n| {
                n.spawn(async {
                    let r = sleep_forever().await;
                    shielded(async |_| sleep(S).await).await.unwrap_or_else(|c: Cancelled| drop(c));
                    cleaned.set(true);
                    drop(r);
                    Ok(())
                });
                let _ = wait_until_idle().await;
                match from {
                    "borrowed" => n.spawn(async { Err(Touchy::Unknowable) }),
                    "static" => n.spawn_static(async { Err(Touchy::Unknowable) }),
                    _ => return Err(Touchy::Unknowable),
                }
                n.cancel();
                Ok(())
            })
            .await
        });
        assert_eq!((text.as_str(), cleaned.get()), ("unknowable", true), "{from}");
    }
}

#[test]
fn a_run_is_as_good_as_new_after_all_of_this() {
    for _ in 0..3 {
        a_destructor_of_an_error_that_panics_keeps_no_nursery_open();
        assert_eq!(run_virtual(async { 7 }), 7);
    }
}
