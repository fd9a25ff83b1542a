//! A child that ends, panics or is given up while it starts: somebody hears of it.
//!
//! ```text
//!   start() ─┬─ the child panics ─► the starter        ├─ the starter is cancelled ─► it keeps the child
//!            └─ start() is dropped ─► the nursery      └─ never ready ─► a failure that comes out
//! ```

use crate::by_hand::{message, settle};
use crate::fault::{Fault, Run, shape};
use crate::orders::in_every_order;
use crate::{S, panic_of};
use futures_util::future::{Either, FutureExt, select};
use pleach_executor::testing::run_virtual;
use pleach_executor::{CancelScope, Reason, Started, check, checkpoint, now, shielded, sleep, sleep_forever};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;

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

/// The nursery is dropped with a child that its starter has kept. The value it gave goes then, and may drop the start.
#[test]
fn a_value_that_was_kept_may_drop_the_start() {
    type Slot<'a> = Rc<RefCell<Option<Pin<Box<dyn Future<Output = ()> + 'a>>>>>;
    struct DropsTheStart<'a>(Slot<'a>, &'a Cell<bool>);
    impl Drop for DropsTheStart<'_> {
        fn drop(&mut self) {
            self.1.set(self.0.take().is_some());
        }
    }
    run_virtual(async {
        let dropped = Cell::new(false);
        let mut open = Box::pin(Run::nursery(async |n| {
            let slot = Slot::default();
            let (theirs, dropped) = (Rc::clone(&slot), &dropped);
            *slot.borrow_mut() = Some(Box::pin(async move {
                let scope = CancelScope::new();
                let starters = scope.handle();
                let start = scope.run(async |_| {
                    let started = n.start(async move |ready: Started<DropsTheStart<'_>>| {
                        starters.cancel();
                        ready.set(DropsTheStart(theirs, dropped));
                        shielded(async |_| sleep_forever().await).await?;
                        Ok(())
                    });
                    started.await.map(drop)
                });
                drop(start.await);
            }));
            poll_fn(|cx| slot.borrow_mut().as_mut().expect("nobody has dropped it").as_mut().poll(cx)).await;
            Ok::<_, Fault>(())
        }));
        settle(open.as_mut()).await;
        drop(open);
        assert!(dropped.get());
    });
}
