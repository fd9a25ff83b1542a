//! Promise: safe code cannot break a nursery, however its futures are moved, leaked, dropped, panicked in or woken.
//!
//! ```text
//!   forget │ drop half-way │ move between scopes │ panic in a destructor │ wake a number at random
//!      └────────────┴──────────────┴──► every child runs or ends exactly once, every failure reaches somebody
//! ```
//!
//! Rules: each section is one way to misbehave. A payload that was lost, a destructor that ran twice or never, and
//! a counter that did not come back are the failures looked for.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::{message, poll_once, settle};
use fault::{Fault, Run, shape};
use futures_util::future::{Either, FutureExt, join, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use orders::{in_every_order, or_hang};
use pleach_executor::sync::Event;
use pleach_executor::sync::channel::bounded;
use pleach_executor::testing::{run_virtual, wait_until_idle, wake_random};
use pleach_executor::{
    CancelScope, Cancelled, Nursery, Reason, Started, check, checkpoint, move_on_after, now, run, shielded,
    sleep, sleep_forever, yield_now,
};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// Runs a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

type Log = RefCell<Vec<&'static str>>;

/// Writes its name when it is dropped, then panics with it.
fn bomb<'a>(log: &'a Log, name: &'static str) -> OnDrop<impl FnMut() + 'a> {
    OnDrop(move || {
        log.borrow_mut().push(name);
        panic!("{name}")
    })
}

/// What comes out of a virtual run that panics.
fn panic_of<T>(main: impl Future<Output = T>) -> String {
    match catch_unwind(AssertUnwindSafe(|| run_virtual(or_hang(1_000_000 * S, main)))) {
        Ok(_) => panic!("it should have panicked"),
        Err(payload) => message(payload),
    }
}

/// A `Cancelled` of a scope that is over.
async fn stale() -> Cancelled {
    let kept = Cell::new(None);
    let r: Result<Option<()>, Fault> = CancelScope::new()
        .run(async |s| {
            s.cancel();
            kept.set(check().err());
            Ok(())
        })
        .await;
    assert!(matches!(r, Ok(Some(()))));
    kept.take().expect("the scope was cancelled")
}

// ---- destructors that panic ------------------------------------------------------------------------------

/// A nursery is dropped open; destructors panic, cancel, and spawn. All run once, and the first payload comes out.
#[test]
fn every_childs_destructor_runs_although_some_panic() {
    for is_static in [false, true] {
        run_virtual(async {
            let log = Rc::new(Log::default());
            let mut open = Box::pin(Run::nursery(async |n: &Nursery<'_, '_, Fault>| {
                for name in ["a", "b", "c", "d"] {
                    let log = Rc::clone(&log);
                    let handle = n.handle();
                    let child = async move {
                        let _bomb = OnDrop(move || {
                            log.borrow_mut().push(name);
                            match name {
                                "a" | "c" => panic!("{name}"),
                                _ => handle.cancel(),
                            }
                        });
                        sleep_forever().await?;
                        Ok(())
                    };
                    if is_static { n.spawn_static(child) } else { n.spawn(child) }
                }
                sleep_forever().await?;
                Ok(())
            }));
            settle(open.as_mut()).await;
            let payload = catch_unwind(AssertUnwindSafe(|| drop(open))).unwrap_err();
            let first = *log.borrow().iter().find(|name| ["a", "c"].contains(name)).unwrap();
            assert_eq!(message(payload), first, "the first payload of {:?}", log.borrow());
            log.borrow_mut().sort_unstable();
            assert_eq!(*log.borrow(), ["a", "b", "c", "d"]);
        });
    }
}

/// Destructors of borrowed children may use the nursery itself while it is torn down.
#[test]
fn destructors_use_the_nursery_while_it_is_dropped() {
    run_virtual(async {
        let log = Log::default();
        let mut open = Box::pin(Run::nursery(async |n| {
            n.spawn(async {
                let _bomb = bomb(&log, "bomb");
                sleep_forever().await?;
                Ok(())
            });
            n.spawn(async {
                let _cancels = OnDrop(|| {
                    n.cancel();
                    assert!(n.scope().cancel_called() && n.stats().closed);
                    log.borrow_mut().push("cancelled");
                });
                sleep_forever().await?;
                Ok(())
            });
            n.spawn(async {
                let _bomb = bomb(&log, "bomb");
                sleep_forever().await?;
                Ok(())
            });
            sleep_forever().await?;
            Ok(())
        }));
        settle(open.as_mut()).await;
        let payload = catch_unwind(AssertUnwindSafe(|| drop(open))).unwrap_err();
        assert_eq!(message(payload), "bomb");
        log.borrow_mut().sort_unstable();
        assert_eq!(*log.borrow(), ["bomb", "bomb", "cancelled"]);
    });
}

/// Destructors panic while the children end because one of them failed: a panic wins, everybody has ended.
#[test]
fn a_destructor_that_panics_while_siblings_end_is_a_panic_of_its_child() {
    for is_static in [false, true] {
        let log = Rc::new(Log::default());
        let text = panic_of(async {
            Run::nursery(async |n| {
                for name in ["bomb", "bomb"] {
                    let log = Rc::clone(&log);
                    let child = async move {
                        let _bomb = bomb(&log, name);
                        sleep_forever().await?;
                        Ok(())
                    };
                    if is_static { n.spawn_static(child) } else { n.spawn(child) }
                }
                n.spawn(async {
                    let r = sleep_forever().await;
                    shielded(async |_| sleep(S).await).await?;
                    log.borrow_mut().push("cleaned");
                    r?;
                    Ok(())
                });
                checkpoint().await?;
                Err::<(), _>(Fault::Named("E"))
            })
            .await
        });
        assert_eq!(text, "bomb");
        assert_eq!(*log.borrow(), ["bomb", "bomb", "cleaned"]);
    }
}

/// A future that is ready at once and panics when it is dropped, after it has ended.
struct LateBomb;

impl Future for LateBomb {
    type Output = Result<(), Fault>;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for LateBomb {
    fn drop(&mut self) {
        panic!("late");
    }
}

#[test]
fn a_destructor_that_panics_after_the_childs_end_cancels_the_siblings_and_comes_out() {
    for is_static in [false, true] {
        let cleaned = Cell::new(false);
        let text = panic_of(async {
            Run::nursery(async |n| {
                if is_static {
                    n.spawn_static(LateBomb)
                } else {
                    n.spawn(LateBomb)
                }
                n.spawn(async {
                    let r = sleep_forever().await;
                    cleaned.set(true);
                    r?;
                    Ok(())
                });
                sleep_forever().await?;
                Ok(())
            })
            .await
        });
        assert_eq!((text.as_str(), cleaned.get()), ("late", true));
    }
}

/// The body panics, and destructors of its children panic as they end: the body's payload was the first.
#[test]
fn the_bodys_panic_comes_out_before_those_of_destructors() {
    let log = Log::default();
    let text = panic_of(async {
        Run::nursery(async |n| {
            for name in ["one", "two"] {
                let log = &log;
                n.spawn(async move {
                    let _bomb = bomb(log, name);
                    sleep_forever().await?;
                    Ok(())
                });
            }
            checkpoint().await?;
            if log.borrow().is_empty() {
                panic!("the body");
            }
            Ok::<(), Fault>(())
        })
        .await
    });
    assert_eq!(text, "the body");
    log.borrow_mut().sort_unstable();
    assert_eq!(*log.borrow(), ["one", "two"]);
}

/// Main unwinds past an open nursery: its children's destructors run, and their panics do not abort the process.
#[test]
fn destructors_may_panic_while_main_unwinds() {
    for is_static in [false, true] {
        let log = Rc::new(Log::default());
        let text = panic_of(async {
            let mut open = Box::pin(Run::nursery(async |n| {
                for name in ["a", "b"] {
                    let log = Rc::clone(&log);
                    let child = async move {
                        let _bomb = bomb(&log, name);
                        sleep_forever().await?;
                        Ok(())
                    };
                    if is_static { n.spawn_static(child) } else { n.spawn(child) }
                }
                sleep_forever().await?;
                Ok(())
            }));
            settle(open.as_mut()).await;
            panic!("main");
        });
        assert_eq!(text, "main");
        log.borrow_mut().sort_unstable();
        assert_eq!(*log.borrow(), ["a", "b"]);
        assert_eq!(run(async { 7 }), 7, "and the thread can run again");
    }
}

/// A payload that panics when it is dropped: the surplus one must not be.
struct ExplosivePayload;

impl Drop for ExplosivePayload {
    fn drop(&mut self) {
        panic!("a payload was dropped");
    }
}

#[test]
fn a_surplus_payload_is_not_dropped() {
    let r = catch_unwind(AssertUnwindSafe(|| {
        run_virtual(async {
            Run::nursery(async |n| {
                n.spawn(async { panic_any(1_u8) });
                n.spawn(async { panic_any(ExplosivePayload) });
                n.spawn_static(async { panic_any(ExplosivePayload) });
                Ok(())
            })
            .await
        })
    }));
    assert_eq!(*r.unwrap_err().downcast::<u8>().unwrap(), 1);
}

/// The body's own destructor panics when the nursery is dropped open: its payload comes out, the children go as well.
#[test]
fn a_destructor_of_the_body_may_panic_when_the_nursery_is_dropped() {
    run_virtual(async {
        let log = Log::default();
        let mut open = Box::pin(Run::nursery(async |n| {
            let _bomb = bomb(&log, "the body");
            n.spawn(async {
                let _bomb = bomb(&log, "a child");
                sleep_forever().await?;
                Ok(())
            });
            sleep_forever().await?;
            Ok(())
        }));
        settle(open.as_mut()).await;
        let payload = catch_unwind(AssertUnwindSafe(|| drop(open))).unwrap_err();
        assert_eq!(message(payload), "the body");
        log.borrow_mut().sort_unstable();
        assert_eq!(*log.borrow(), ["a child", "the body"]);
    });
}

/// While the nursery is open, a destructor may spawn: the new sibling is awaited like any other.
#[test]
fn a_destructor_may_spawn_a_sibling_while_the_nursery_is_open() {
    in_every_order(async || {
        let ran = Cell::new(0);
        let r = Run::nursery(async |n| {
            n.spawn(async {
                let _spawns = OnDrop(|| {
                    n.spawn(async {
                        sleep(S).await?;
                        ran.set(ran.get() + 1);
                        Ok(())
                    });
                });
                Ok(checkpoint().await?)
            });
            Ok(())
        })
        .await;
        assert_eq!((shape(&r).as_str(), ran.get()), ("ok", 1));
    });
}

// ---- a child that ends while it starts -------------------------------------------------------------------

#[test]
fn a_panic_before_ready_resumes_in_the_starter() {
    for wait in [false, true] {
        let text = panic_of(async {
            Run::nursery(async |n| {
                n.start::<()>(async |_ready| {
                    if wait {
                        sleep(S).await?;
                    }
                    panic!("boom")
                })
                .await
            })
            .await
        });
        assert_eq!(text, "boom");
    }
}

/// The starter may catch it, and then the nursery is as healthy as before.
#[test]
fn a_panic_before_ready_leaves_the_nursery_healthy() {
    in_every_order(async || {
        let r = Run::nursery(async |n| {
            let start = n.start::<()>(async |_ready| panic!("boom"));
            let payload = AssertUnwindSafe(start).catch_unwind().await.unwrap_err();
            assert_eq!(message(payload), "boom");
            checkpoint().await?;
            n.start(async |ready: Started<u8>| {
                ready.set(7);
                Ok(())
            })
            .await
        })
        .await;
        assert!(matches!(r, Ok(7)), "{}", shape(&r));
    });
}

#[test]
fn a_panic_of_a_child_that_its_cancelled_starter_keeps_resumes_in_the_starter() {
    let cleaned = Cell::new(false);
    let text = panic_of(async {
        Run::nursery(async |n| {
            n.spawn(async {
                let r = sleep_forever().await;
                shielded(async |_| sleep(S).await).await?;
                cleaned.set(true);
                r?;
                Ok(())
            });
            CancelScope::new()
                .run(async |s| {
                    s.cancel();
                    n.start(async |ready: Started<()>| {
                        ready.set(());
                        panic!("boom")
                    })
                    .await
                })
                .await
        })
        .await
    });
    assert_eq!((text.as_str(), cleaned.get()), ("boom", true));
}

#[test]
fn a_panic_right_after_ready_is_the_nurserys() {
    let started = Cell::new(false);
    let text = panic_of(async {
        Run::nursery(async |n| {
            n.start(async |ready: Started<()>| {
                ready.set(());
                panic!("boom")
            })
            .await?;
            started.set(true);
            Ok(())
        })
        .await
    });
    assert_eq!((text.as_str(), started.get()), ("boom", true));
}

/// Starts a child that cleans up for a second when it is cancelled, then does `last`; gives the start up after a second.
async fn abandoned_start(
    seen: &RefCell<Option<Reason>>,
    last: impl AsyncFnOnce() -> Result<(), Fault>,
) -> Result<u8, Fault> {
    Run::nursery(async |n| {
        let start = pin!(n.start::<()>(async |_ready| {
            let c = sleep_forever().await.unwrap_err();
            *seen.borrow_mut() = Some(c.reason().clone());
            assert!(check().is_err(), "it hangs below the nursery now, cancelled");
            shielded(async |_| sleep(S).await).await?;
            drop(c);
            last().await
        }));
        // The start is dropped here, in its first second.
        match select(start, pin!(sleep(S))).await {
            Either::Left(_) => unreachable!("it never says that it is ready"),
            Either::Right((r, _)) => r?,
        }
        Ok(7)
    })
    .await
}

#[test]
fn a_child_whose_start_was_dropped_fails_the_nursery() {
    in_every_order(async || {
        let (t0, seen) = (now(), RefCell::default());
        let r = abandoned_start(&seen, async || Err(Fault::Named("E"))).await;
        assert_eq!((shape(&r).as_str(), now() - t0), ("E", 2 * S), "its clean-up was awaited");
        assert!(matches!(*seen.borrow(), Some(Reason::Requested { .. })));
    });
}

#[test]
fn a_child_whose_start_was_dropped_panics_the_nursery() {
    let seen = RefCell::default();
    let text = panic_of(abandoned_start(&seen, async || panic!("boom")));
    assert_eq!(text, "boom");
}

#[test]
fn a_child_whose_start_was_dropped_and_that_ends_well_is_awaited() {
    in_every_order(async || {
        let (t0, seen) = (now(), RefCell::default());
        let r = abandoned_start(&seen, async || Ok(())).await;
        assert_eq!((shape(&r).as_str(), now() - t0), ("ok", 2 * S));
        let r = abandoned_start(&seen, async || Ok(checkpoint().await?)).await;
        assert!(matches!(r, Ok(7)), "its own cancel is the nursery's to absorb: {}", shape(&r));
    });
}

/// The nursery itself is cancelled from outside while an abandoned child cleans up.
#[test]
fn an_abandoned_child_that_says_ready_too_late_changes_nothing() {
    in_every_order(async || {
        let seen = Cell::new(false);
        let r = Run::nursery(async |n| {
            let start = pin!(n.start(async |ready: Started<u8>| {
                let r = sleep_forever().await;
                ready.set(1);
                seen.set(true);
                r?;
                Ok(())
            }));
            select(start, pin!(sleep(S))).await;
            Ok(7)
        })
        .await;
        assert!(matches!(r, Ok(7)), "{}", shape(&r));
        assert!(seen.get());
    });
}

#[test]
fn a_cancelled_starter_keeps_the_child() {
    in_every_order(async || {
        let ended = &Cell::new(false);
        let r = Run::nursery(async |n| {
            let t0 = now();
            let scope = CancelScope::new();
            let starters = scope.handle();
            let kept = scope
                .run(async |_| {
                    n.start(async move |ready: Started<u8>| {
                        starters.cancel();
                        ready.set(7);
                        shielded(async |_| sleep(S).await).await?;
                        ended.set(true);
                        Ok(())
                    })
                    .await
                })
                .await;
            assert!(matches!(kept, Ok(Some(7))), "{}", shape(&kept));
            assert_eq!((ended.get(), now() - t0), (true, S), "start() waited for its end");
            // One that does not end by itself is cancelled with its starter, whose scope absorbs that.
            let scope = CancelScope::new();
            let starters = scope.handle();
            let kept = scope
                .run(async |_| {
                    n.start(async move |ready: Started<u8>| {
                        starters.cancel();
                        ready.set(7);
                        sleep_forever().await?;
                        Ok(())
                    })
                    .await
                })
                .await;
            assert!(matches!(kept, Ok(None)), "{}", shape(&kept));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// A `NeverStarted` that nobody handles is a failure: no scope and no nursery absorbs it.
#[test]
fn never_started_is_a_failure_that_comes_out() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |_| {
                Run::nursery(async |n| {
                    n.spawn(async {
                        sleep_forever().await?;
                        Ok(())
                    });
                    n.start::<()>(async |_ready| Ok(())).await
                })
                .await
            })
            .await;
        let Err(Fault::Cancelled(c)) = r else { panic!("{}", shape(&r)) };
        assert!(matches!(c.reason(), Reason::NeverStarted));
    });
}

// ---- futures that move between scopes --------------------------------------------------------------------

/// Polls `fut` until it waits, inside a scope of its own; `and_then` may use that scope while the future hangs below it.
async fn poll_inside_a_scope<F: Future + ?Sized>(fut: Pin<&mut F>, and_then: impl AsyncFnOnce(&CancelScope)) {
    let r: Result<Option<()>, Fault> = CancelScope::new()
        .run(async |s| {
            settle(fut).await;
            and_then(s).await;
            Ok(())
        })
        .await;
    assert!(matches!(r, Ok(Some(()))));
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + 'a>>;

/// A nursery that takes ten seconds: in its body, in a borrowed child and in a static one.
fn ten_seconds<'a>() -> Boxed<'a, u8> {
    Box::pin(Run::nursery(async |n| {
        let borrowed = n.task(async {
            sleep(10 * S).await?;
            Ok(1)
        });
        n.spawn_static(async {
            sleep(10 * S).await?;
            Ok(())
        });
        sleep(10 * S).await?;
        Ok(borrowed.await? + 1)
    }))
}

/// The same length, as a scope and as a bare sleep.
fn ten_seconds_in_a_scope<'a>() -> Boxed<'a, u8> {
    Box::pin(async {
        let r = CancelScope::new()
            .run(async |_| {
                sleep(10 * S).await?;
                Ok::<_, Fault>(2)
            })
            .await?;
        Ok(r.expect("nobody cancelled this scope"))
    })
}

fn ten_seconds_asleep<'a>() -> Boxed<'a, u8> {
    Box::pin(async {
        sleep(10 * S).await?;
        Ok(2)
    })
}

fn movable() -> [(&'static str, Boxed<'static, u8>); 3] {
    [("nursery", ten_seconds()), ("scope", ten_seconds_in_a_scope()), ("sleep", ten_seconds_asleep())]
}

#[test]
fn a_future_first_polled_in_an_ended_scope_is_reached_by_a_timeout_around_it() {
    in_every_order(async || {
        for (what, mut fut) in movable() {
            poll_inside_a_scope(fut.as_mut(), async |_| ()).await;
            let t0 = now();
            let r = move_on_after(S, async |_| fut.as_mut().await).await;
            assert!(matches!(r, Ok(None)), "{what}: {}", shape(&r));
            assert_eq!(now() - t0, S, "{what}");
        }
    });
}

#[test]
fn a_future_first_polled_in_an_ended_scope_runs_to_its_end_outside() {
    in_every_order(async || {
        for (what, mut fut) in movable() {
            let t0 = now();
            poll_inside_a_scope(fut.as_mut(), async |_| ()).await;
            let r = fut.await;
            assert!(matches!(r, Ok(2)), "{what}: {}", shape(&r));
            assert_eq!(now() - t0, 10 * S, "{what}");
        }
    });
}

/// The slot of the ended scope is used again by a stranger, which is cancelled.
#[test]
fn a_strangers_cancel_does_not_reach_a_future_that_was_polled_in_an_ended_scope() {
    in_every_order(async || {
        for (what, mut fut) in movable() {
            let t0 = now();
            poll_inside_a_scope(fut.as_mut(), async |_| ()).await;
            let strangers: Vec<CancelScope> = (0..8).map(|_| CancelScope::new()).collect();
            strangers.iter().for_each(CancelScope::cancel);
            let r = fut.await;
            assert!(matches!(r, Ok(2)), "{what}: {}", shape(&r));
            assert_eq!(now() - t0, 10 * S, "{what}");
        }
    });
}

/// The scope in which it was polled once is cancelled while it hangs there. It is polled elsewhere from then on, where
/// nobody cancelled anything.
#[test]
fn a_cancel_of_the_scope_of_the_first_poll_does_not_follow_the_future_out() {
    in_every_order(async || {
        for (what, mut fut) in movable() {
            let t0 = now();
            poll_inside_a_scope(fut.as_mut(), async |s| s.cancel()).await;
            let r = fut.await;
            assert!(matches!(r, Ok(2)), "{what}: {}", shape(&r));
            assert_eq!(now() - t0, 10 * S, "{what}: nothing in it was cut short");
        }
    });
}

/// The same while the scope of the first poll is still open.
#[test]
fn a_future_taken_out_of_an_open_scope_is_not_reached_by_its_cancel() {
    in_every_order(async || {
        for (what, fut) in movable() {
            let fut = RefCell::new(Some(fut));
            let t0 = now();
            let r = Run::nursery(async |n| {
                n.spawn(async {
                    let r: Result<Option<()>, Fault> = CancelScope::new()
                        .run(async |s| {
                            let mut inside = fut.take().expect("it is there");
                            settle(inside.as_mut()).await;
                            fut.replace(Some(inside));
                            sleep(5 * S).await?;
                            s.cancel();
                            checkpoint().await?;
                            Ok(())
                        })
                        .await;
                    assert!(matches!(r, Ok(None)));
                    Ok(())
                });
                sleep(S).await?;
                let outside = fut.take().expect("it is back");
                outside.await
            })
            .await;
            assert!(matches!(r, Ok(2)), "{what}: {}", shape(&r));
            assert_eq!(now() - t0, 10 * S, "{what}");
        }
    });
}

#[test]
fn a_future_moved_into_a_scope_is_reached_by_its_cancel() {
    in_every_order(async || {
        for (what, mut fut) in movable() {
            settle(fut.as_mut()).await;
            let t0 = now();
            let r: Result<Option<u8>, Fault> = CancelScope::new()
                .run(async |s| {
                    let cancelling = async {
                        sleep(S).await?;
                        s.cancel();
                        Ok::<_, Cancelled>(())
                    };
                    let (r, cancelling) = join(fut.as_mut(), cancelling).await;
                    cancelling?;
                    r
                })
                .await;
            assert!(matches!(r, Ok(None)), "{what}: {}", shape(&r));
            assert_eq!(now() - t0, S, "{what}");
        }
    });
}

/// It goes to and fro between a cancelled scope with a shield and the open air, poll by poll.
#[test]
fn a_future_polled_by_turns_in_two_scopes_sees_the_one_it_is_polled_in() {
    in_every_order(async || {
        let seen = RefCell::new(Vec::new());
        let looks = async {
            for _ in 0..4 {
                seen.borrow_mut().push(check().is_err());
                yield_now().await;
            }
            Ok::<(), Fault>(())
        };
        let mut fut = Box::pin(CancelScope::new().run(async |_| looks.await));
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                s.cancel();
                assert!(poll_once(fut.as_mut()).await.is_pending());
                assert!(
                    shielded(async |_| Ok::<_, Fault>(poll_once(fut.as_mut()).await.is_pending())).await?
                );
                assert!(poll_once(fut.as_mut()).await.is_pending());
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(Some(()))));
        assert!(poll_once(fut.as_mut()).await.is_pending());
        assert!(matches!(fut.await, Ok(Some(()))));
        assert_eq!(*seen.borrow(), [true, false, true, false]);
    });
}

/// Polled by a foreign combinator first, whose waker is not ours, and by its task then.
#[test]
fn a_future_moved_out_of_a_foreign_combinator_is_woken() {
    in_every_order(async || {
        for (what, mut fut) in movable() {
            let t0 = now();
            {
                let mut foreign: FuturesUnordered<_> = [fut.as_mut()].into_iter().collect();
                let mut next = pin!(foreign.next());
                settle(next.as_mut()).await;
            }
            let r = fut.await;
            assert!(matches!(r, Ok(2)), "{what}: {}", shape(&r));
            assert_eq!(now() - t0, 10 * S, "{what}");
        }
    });
}

// ---- a `Cancelled` from elsewhere ------------------------------------------------------------------------

/// Where a stale `Cancelled` is handed back from.
#[derive(Clone, Copy, Debug)]
enum From {
    Borrowed,
    Static,
    Task,
    Body,
    Inner,
}

#[test]
fn a_stale_cancelled_is_a_failure_like_any_other() {
    for from in [From::Borrowed, From::Static, From::Task, From::Body, From::Inner] {
        in_every_order(async || {
            let siblings = Cell::new(0);
            let r: Result<(), Fault> = Run::nursery(async |n| {
                for _ in 0..2 {
                    n.spawn(async {
                        let c = sleep_forever().await.unwrap_err();
                        assert!(matches!(c.reason(), Reason::SiblingFailed), "{from:?}");
                        siblings.set(siblings.get() + 1);
                        Err(c.into())
                    });
                }
                wait_until_idle().await?;
                let failing = async { Err(stale().await.into()) };
                match from {
                    From::Borrowed => n.spawn(failing),
                    From::Static => n.spawn_static(failing),
                    From::Task => drop(n.task::<()>(failing)),
                    From::Body => return failing.await,
                    From::Inner => n.spawn(Run::nursery(async |inner| {
                        inner.spawn(failing);
                        Ok(())
                    })),
                }
                Ok(())
            })
            .await;
            assert_eq!((shape(&r).as_str(), siblings.get()), ("Cancelled", 2), "{from:?}");
            let Err(Fault::Cancelled(c)) = r else { unreachable!("just compared") };
            assert!(matches!(c.reason(), Reason::Requested { .. }), "{from:?}: the stale one itself: {c}");
        });
    }
}

#[test]
fn a_stale_cancelled_is_not_absorbed_by_a_scope_that_nobody_cancelled() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new().run(async |_| Err(stale().await.into())).await;
        assert_eq!(shape(&r), "Cancelled");
        let r: Result<Option<()>, Fault> = move_on_after(S, async |_| Err(stale().await.into())).await;
        assert_eq!(shape(&r), "Cancelled");
    });
}

#[test]
fn a_real_error_wins_over_a_stale_cancelled() {
    in_every_order(async || {
        let r: Result<(), Fault> = Run::nursery(async |n| {
            n.spawn(async { Err(stale().await.into()) });
            n.spawn(async { Err(Fault::Named("E")) });
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "E");
    });
}

// ---- numbers that come round -----------------------------------------------------------------------------

/// The waker of the code that awaits this.
async fn own_waker() -> Waker {
    poll_fn(|cx| Poll::Ready(cx.waker().clone())).await
}

/// Executors come and go, more often than their numbers last before they are recycled.
#[test]
fn two_thousand_threads_have_a_run_each() {
    const AT_A_TIME: usize = 4;
    let short_run = || {
        run(async {
            let waker = own_waker().await;
            let r: Result<u32, Fault> = Run::nursery(async |n| {
                let a = n.task(async {
                    checkpoint().await?;
                    Ok(3)
                });
                n.spawn_static(async { Ok(checkpoint().await?) });
                Ok(a.await? + 4)
            })
            .await;
            (waker, r.ok())
        })
    };
    let mut stale = Vec::new();
    for _ in 0..2000 / AT_A_TIME {
        let threads: Vec<_> = (0..AT_A_TIME).map(|_| thread::spawn(short_run)).collect();
        for t in threads {
            let (waker, sum) = t.join().unwrap();
            assert_eq!(sum, Some(7));
            stale.push(waker);
        }
        // Most of their executors are gone; a few numbers belong to somebody else by now.
        stale.iter().for_each(Waker::wake_by_ref);
    }
    assert_eq!(stale.len(), 2000);
}

/// A slot is used again so often that old numbers match a stranger: who is polled without cause, and nothing else.
#[test]
fn stale_wakers_cause_only_spurious_polls_after_eight_million_reuses() {
    const REUSES: u32 = 1 << 23;
    run_virtual(async {
        let mut stale: Vec<Waker> = Vec::new();
        let mut spurious = 0;
        for i in 0..=REUSES {
            if i % (1 << 19) != 0 {
                let r: Result<(), Fault> = Run::nursery(async |_| Ok(())).await;
                assert!(r.is_ok());
                continue;
            }
            // Somebody innocent in the same slot, waiting for a flag while every old waker is woken.
            let (flag, polls, mine) = (Cell::new(false), Cell::new(0), RefCell::new(None));
            let mut innocent = pin!(Run::nursery(async |_| {
                *mine.borrow_mut() = Some(own_waker().await);
                poll_fn(|_| {
                    polls.set(polls.get() + 1);
                    if flag.get() { Poll::Ready(Ok::<_, Fault>(i)) } else { Poll::Pending }
                })
                .await
            }));
            assert!(poll_once(innocent.as_mut()).await.is_pending());
            assert!(poll_once(innocent.as_mut()).await.is_pending() && polls.get() == 1, "nobody woke it");
            for waker in &stale {
                waker.wake_by_ref();
                assert!(poll_once(innocent.as_mut()).await.is_pending(), "a stale wake ends nobody's wait");
            }
            spurious += polls.get() - 1;
            flag.set(true);
            let waker = mine.take().expect("the body has run");
            waker.wake_by_ref();
            let r = innocent.await;
            assert!(matches!(r, Ok(v) if v == i), "{}", shape(&r));
            stale.push(waker);
        }
        assert!(spurious > 0, "the numbers came round, or this test shows nothing");
    });
}

// ---- wakes at random -------------------------------------------------------------------------------------

/// What works on while numbers are woken at random: sleeps, nurseries of both kinds, handles, starts, timeouts, hand-overs.
async fn honest_work(round: u64) -> Result<u64, Fault> {
    let ms = Duration::from_millis(1);
    let (slot, given) = (RefCell::new(None), Event::new());
    let (tx, rx) = bounded(1);
    let sum = Run::nursery(async |n| {
        let port = n
            .start(async |ready: Started<u64>| {
                sleep(ms).await?;
                ready.set(round);
                sleep_forever().await?;
                Ok(())
            })
            .await?;
        let taken = n.task(async {
            given.wait().await?;
            Ok(slot.take().expect("given exactly once, before the event"))
        });
        let slow = n.task(async {
            let t0 = now();
            sleep(3 * ms).await?;
            assert!(now() - t0 >= 3 * ms, "a sleep ended early");
            Ok(1)
        });
        let flat = Rc::new(Cell::new(0));
        let f = Rc::clone(&flat);
        n.spawn_static(async move {
            let r: Result<u64, Fault> = Run::nursery(async |inner| {
                let a = inner.task(async {
                    checkpoint().await?;
                    Ok(10)
                });
                Ok(a.await?)
            })
            .await;
            f.set(r?);
            Ok(())
        });
        let timed_out: Result<Option<()>, Fault> = move_on_after(2 * ms, async |_| {
            sleep_forever().await?;
            Ok(())
        })
        .await;
        assert!(matches!(timed_out, Ok(None)), "a timeout is a timeout");
        n.spawn(async {
            for i in 0..10 {
                assert!(tx.send(i).await?.is_ok());
            }
            Ok(())
        });
        for i in 0..10 {
            assert_eq!(rx.receive().await?, Ok(i), "in order, each once");
        }
        slot.replace(Some(port));
        given.set();
        let sum = taken.await? + slow.await?;
        while flat.get() == 0 {
            checkpoint().await?;
        }
        n.cancel();
        Ok(sum + flat.get())
    })
    .await?;
    assert_eq!(sum, round + 11);
    Ok(sum)
}

/// Numbers are woken at random for a second, from inside and from another thread: the results stay right.
#[test]
fn random_wakes_for_a_second_change_no_result() {
    let stop = Arc::new(AtomicBool::new(false));
    run(or_hang(120 * S, async {
        let t0 = now();
        let stale = RefCell::new(Vec::new());
        let r = Run::nursery(async |n| {
            n.spawn(async {
                let mut seed = 1;
                loop {
                    seed += 1;
                    wake_random(16, seed);
                    checkpoint().await?;
                }
            });
            n.spawn(async {
                let waker = own_waker().await;
                stale.borrow_mut().push(waker);
                Ok(())
            });
            n.spawn_static(async { Ok(checkpoint().await?) });
            let mut elsewhere = None;
            let mut rounds = 0;
            while now() - t0 < S {
                let (a, b) = join(honest_work(rounds), honest_work(rounds + 1)).await;
                assert_eq!((a?, b?), (rounds + 11, rounds + 12));
                let waker = own_waker().await;
                stale.borrow_mut().push(waker);
                rounds += 1;
                if elsewhere.is_none() && rounds > 4 {
                    let (stop, wakers) = (Arc::clone(&stop), stale.take());
                    elsewhere = Some(thread::spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            wakers.iter().for_each(Waker::wake_by_ref);
                            thread::yield_now();
                        }
                    }));
                }
            }
            stop.store(true, Ordering::Relaxed);
            elsewhere.expect("more than four rounds fit into a second").join().expect("it only wakes");
            n.cancel();
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    }));
}
