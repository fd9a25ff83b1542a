//! Destructors that panic, spawn and cancel: each runs once, and the first payload comes out.
//!
//! ```text
//!   a nursery is dropped open │ children end │ main unwinds ─► destructors, some of which panic ─► nobody is left out
//! ```

use crate::by_hand::{message, settle};
use crate::fault::{Fault, Run, shape};
use crate::orders::in_every_order;
use crate::{Log, OnDrop, S, bomb, panic_of};
use pleach_executor::testing::run_virtual;
use pleach_executor::{Nursery, check, checkpoint, run, shielded, sleep, sleep_forever};
use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

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
                // The first to run: static children before those that wait for the nursery's next poll.
                n.spawn_static(async { panic_any(1_u8) });
                n.spawn(async { panic_any(ExplosivePayload) });
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

/// The body's locals go before the nursery closes: what they spawn then goes with the nursery, and wakes nobody.
#[test]
fn a_destructor_of_the_body_may_spawn_while_the_nursery_is_dropped() {
    run_virtual(async {
        let (dropped, ran) = (Cell::new(0), Cell::new(false));
        let mut open = Box::pin(Run::nursery(async |n| {
            let _spawns = OnDrop(|| {
                let child = OnDrop(|| dropped.set(dropped.get() + 1));
                n.spawn(async {
                    let _child = child;
                    ran.set(true);
                    Ok(())
                });
            });
            sleep_forever().await?;
            Ok(())
        }));
        settle(open.as_mut()).await;
        drop(open);
        checkpoint().await.unwrap();
        assert_eq!((dropped.get(), ran.get()), (1, false));
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

/// What a child still holds when it has ended is dropped in the child's own scope: cancelled if the child was.
#[test]
fn a_destructor_stands_in_the_scope_of_its_child() {
    /// Ends at once, and keeps what it holds until it is dropped.
    struct Holds<T>(T);
    impl<T> Future for Holds<T> {
        type Output = Result<(), Fault>;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Ready(Ok(()))
        }
    }
    for is_static in [false, true] {
        for cancel in [false, true] {
            in_every_order(async || {
                let seen = Rc::new(Cell::new(None));
                let told = Rc::clone(&seen);
                let look = OnDrop(move || told.set(Some(check().is_err())));
                let r = Run::nursery(async |n| {
                    let child = Holds(look);
                    if is_static {
                        n.spawn_static(child)
                    } else {
                        n.spawn(child)
                    }
                    if cancel {
                        n.cancel();
                    }
                    Ok(())
                })
                .await;
                assert_eq!((shape(&r), seen.get()), ("ok".into(), Some(cancel)));
            });
        }
    }
}
