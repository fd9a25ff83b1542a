//! Promise: `start()` waits until the child says that it is ready; until then it is the starter's, then the nursery's.
//!
//! ```text
//!   n.start(child) ── not ready: below the starter's scope, its failure comes out here
//!        │ ready.set(v)
//!        └──────────► Ok(v); the child hangs below the nursery, its failure comes out there
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, Run, shape};
use orders::in_every_order;
use pleach_executor::testing::wait_until_idle;
use pleach_executor::{
    CancelScope, Reason, Started, check, checkpoint, move_on_after, now, sleep, sleep_forever,
};
use std::cell::{Cell, RefCell};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// Sleeps, is ready, sleeps again.
async fn slow_server(s: u32, ready: Started<u32>) -> Result<(), Fault> {
    sleep(s * S).await?;
    ready.set(s);
    sleep(s * S).await?;
    Ok(())
}

/// Case 97. The value comes at t0+s, the nursery has exactly one child then, and ends at t0+2s.
/// Case S127.
#[test]
fn start_returns_the_value_when_the_child_is_ready() {
    for s in [1, 2] {
        in_every_order(async || {
            let t0 = now();
            let r = Run::nursery(async |n| {
                assert_eq!(n.stats().children, 0);
                let value = n.start(async |ready| slow_server(s, ready).await).await?;
                assert_eq!((value, now() - t0), (s, s * S));
                assert_eq!((n.stats().children, n.stats().starting), (1, 0));
                Ok(())
            })
            .await;
            assert_eq!((shape(&r).as_str(), now() - t0), ("ok", 2 * s * S));
        });
    }
}

/// Case 98. The same function can be called directly, with a `Started` that nobody waits for.
#[test]
fn a_child_function_can_be_called_directly() {
    in_every_order(async || {
        let t0 = now();
        let r = slow_server(3, Started::ignored()).await;
        assert_eq!((shape(&r).as_str(), now() - t0), ("ok", 6 * S));
    });
}

/// Case 100. A child that fails before it is ready: `start()` gives that error as itself, the nursery stays healthy.
#[test]
fn a_failure_before_ready_is_the_starters() {
    in_every_order(async || {
        let r = Run::nursery(async |n| {
            let sibling = n.task(async {
                sleep(2 * S).await?;
                Ok(7)
            });
            let failed = n
                .start::<()>(async |_ready| {
                    sleep(S).await?;
                    Err(Fault::Named("E"))
                })
                .await;
            assert_eq!(shape(&failed), "E");
            assert!(check().is_ok() && n.scope().reason().is_none());
            assert_eq!((n.stats().children, n.stats().starting), (1, 0));
            Ok(sibling.await?)
        })
        .await;
        assert!(matches!(r, Ok(7)));
    });
}

/// Case 101. A child that ends without being ready: `start()` fails with a reason that says so, the nursery stays healthy.
/// Case S125.
#[test]
fn a_child_that_ends_without_being_ready_fails_the_start() {
    in_every_order(async || {
        let r = Run::nursery(async |n| {
            let never = n.start::<()>(async |_ready| Ok(())).await;
            let Err(Fault::Cancelled(c)) = never else { panic!("{}", shape(&never)) };
            assert!(matches!(c.reason(), Reason::NeverStarted));
            assert!(c.to_string().contains("without calling Started::set"), "{c}");
            let dropped = n
                .start::<()>(async |ready| {
                    drop(ready);
                    sleep(S).await?;
                    Ok(())
                })
                .await;
            assert_eq!(shape(&dropped), "Cancelled");
            checkpoint().await?;
            Ok(7)
        })
        .await;
        assert!(matches!(r, Ok(7)), "{}", shape(&r));
    });
}

/// Case 103. In a cancelled scope a child that is ready at once, and ends: `start()` succeeds, nothing is absorbed.
#[test]
fn start_in_a_cancelled_scope_succeeds_if_the_child_needs_no_checkpoint() {
    in_every_order(async || {
        let r = Run::nursery(async |n| {
            let r = CancelScope::new()
                .run(async |s| {
                    s.cancel();
                    n.start(async |ready: Started<u8>| {
                        ready.set(7);
                        Ok(())
                    })
                    .await
                })
                .await;
            assert!(matches!(r, Ok(Some(7))), "{}", shape(&r));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case 104. In a cancelled scope a child is ready at once and then fails: it was never moved, its error is the starter's.
/// Case S124.
#[test]
fn start_in_a_cancelled_scope_keeps_the_childs_error() {
    in_every_order(async || {
        let r = Run::nursery(async |n| {
            let r = CancelScope::new()
                .run(async |s| {
                    s.cancel();
                    n.start(async |ready: Started<()>| {
                        ready.set(());
                        Err(Fault::Named("E"))
                    })
                    .await
                })
                .await;
            assert_eq!(shape(&r), "E");
            checkpoint().await?;
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// A child with a nursery of its own and two sleepers in it. Says when it is ready, and counts those that ended.
async fn with_sleepers(
    ended: &Cell<u32>,
    is_static: bool,
    before_ready: impl AsyncFnOnce() -> Result<(), Fault>,
    ready: Started<()>,
) -> Result<(), Fault> {
    Run::nursery(async |n| {
        for _ in 0..2 {
            if is_static {
                n.spawn_static(async {
                    sleep_forever().await?;
                    Ok(())
                });
            }
            n.spawn(async {
                let r = sleep_forever().await;
                ended.set(ended.get() + 1);
                r?;
                Ok(())
            });
        }
        before_ready().await?;
        ready.set(());
        sleep_forever().await?;
        Ok(())
    })
    .await
}

/// Case 106. The target is cancelled before the child is ready: that does not reach the child until it is; then
/// `start()` returns normally, and the child's own sleepers are aborted.
#[test]
fn a_child_that_becomes_ready_in_a_cancelled_nursery_is_cancelled_with_all_it_brought() {
    for is_static in [false, true] {
        in_every_order(async || {
            let ended = &Cell::new(0);
            let r = Run::nursery(async |n| {
                let before_ready = async move || {
                    wait_until_idle().await?;
                    n.cancel();
                    wait_until_idle().await?;
                    assert_eq!(ended.get(), 0, "still the starter's");
                    Ok(())
                };
                n.start(async move |ready| with_sleepers(ended, is_static, before_ready, ready).await)
                    .await?;
                Ok(7)
            })
            .await;
            assert!(matches!(r, Ok(7)), "{}", shape(&r));
            assert_eq!(ended.get(), 2);
        });
    }
}

/// Case 107. The target is cancelled right after the start: the child ends, with the sleepers it brought along.
#[test]
fn a_started_child_is_ended_with_all_it_brought() {
    for is_static in [false, true] {
        in_every_order(async || {
            let ended = Cell::new(0);
            let r = Run::nursery(async |n| {
                n.start(async |ready| with_sleepers(&ended, is_static, async || Ok(()), ready).await).await?;
                n.cancel();
                Ok(7)
            })
            .await;
            assert!(matches!(r, Ok(7)), "{}", shape(&r));
            assert_eq!(ended.get(), 2);
        });
    }
}

/// Case 109. The only pending start fails at t=7: the nursery that waits for it ends then, without an error.
#[test]
fn a_pending_start_keeps_the_nursery_open_and_its_failure_out() {
    in_every_order(async || {
        let t0 = now();
        let seen = RefCell::new(String::new());
        let r = Run::nursery(async |n| {
            n.spawn(async {
                let failed = n
                    .start::<()>(async |_ready| {
                        sleep(7 * S).await?;
                        Err(Fault::Named("E"))
                    })
                    .await;
                *seen.borrow_mut() = shape(&failed);
                Ok(())
            });
            n.spawn(async {
                wait_until_idle().await?;
                assert_eq!(
                    (n.stats().starting, n.stats().children),
                    (1, 2),
                    "the one that starts is no child yet"
                );
                Ok(())
            });
            Ok(())
        })
        .await;
        assert_eq!((shape(&r).as_str(), now() - t0), ("ok", 7 * S));
        assert_eq!(*seen.borrow(), "E", "its caller alone has seen it");
    });
}

/// Case 110. Before it is ready the child is not the nursery's, right after it is, with no checkpoint in between.
#[test]
fn a_child_moves_into_the_nursery_in_the_step_in_which_it_is_ready() {
    in_every_order(async || {
        let counts = RefCell::new(Vec::new());
        let r = Run::nursery(async |n| {
            let counts = &counts;
            let look = move || counts.borrow_mut().push((n.stats().starting, n.stats().children));
            look();
            n.start(async move |ready: Started<()>| {
                look();
                ready.set(());
                look();
                Ok(())
            })
            .await?;
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        assert_eq!(*counts.borrow(), [(0, 0), (1, 0), (0, 1)]);
    });
}

/// Case 110. The same seen by cancelling: first the starter's scope reaches the child, then the nursery's.
#[test]
fn the_scope_that_reaches_a_starting_child_changes_when_it_is_ready() {
    in_every_order(async || {
        let r = Run::nursery(async |n| {
            let scope = CancelScope::new();
            let starters = scope.handle();
            scope
                .run(async move |_| {
                    n.start(async move |ready: Started<()>| {
                        n.cancel();
                        assert!(check().is_ok(), "not the nursery's yet");
                        ready.set(());
                        assert!(check().is_err(), "the nursery's");
                        starters.cancel();
                        check()?;
                        Ok(())
                    })
                    .await
                })
                .await?;
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case 112. A child that fails right after it was ready: the nursery's failure, one level deep (here: itself).
#[test]
fn a_failure_right_after_ready_is_the_nurserys() {
    in_every_order(async || {
        let started = Cell::new(false);
        let r: Result<(), Fault> = Run::nursery(async |n| {
            n.start(async |ready: Started<()>| {
                ready.set(());
                Err(Fault::Named("E"))
            })
            .await?;
            started.set(true);
            Ok(())
        })
        .await;
        assert_eq!((shape(&r).as_str(), started.get()), ("E", true));
    });
}

#[test]
fn the_starters_deadline_covers_the_start_and_not_what_follows() {
    in_every_order(async || {
        let t0 = now();
        let r = Run::nursery(async |n| {
            let late =
                move_on_after(S, async |_| n.start(async |ready| slow_server(10, ready).await).await).await;
            assert!(matches!(late, Ok(None)), "{}", shape(&late));
            assert_eq!(n.stats().children + n.stats().starting, 0);
            let in_time =
                move_on_after(3 * S, async |_| n.start(async |ready| slow_server(2, ready).await).await)
                    .await;
            assert!(matches!(in_time, Ok(Some(2))), "{}", shape(&in_time));
            Ok(())
        })
        .await;
        assert_eq!((shape(&r).as_str(), now() - t0), ("ok", 5 * S));
    });
}

#[test]
fn a_failure_after_ready_cancels_the_body() {
    in_every_order(async || {
        let r: Result<(), Fault> = Run::nursery(async |n| {
            n.start(async |ready: Started<()>| {
                ready.set(());
                sleep(S).await?;
                Err(Fault::Named("E"))
            })
            .await?;
            sleep_forever().await?;
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "E");
    });
}
