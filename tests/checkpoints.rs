//! Promise: a checkpoint notices a cancellation, at every call, and no task that calls one can hold the thread.
//!
//! ```text
//!   checkpoint():  yield ─► cancelled? ─► Err          other operations:  cancelled? ─► Err
//!   check():               cancelled? ─► Err             ready? ─► charged to the budget; used up ─► yield
//!   yield_now():   yield                                 else park
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::poll_once;
use fault::{Fault, Run, shape};
use orders::in_every_order;
use pleach_executor::sync::Event;
use pleach_executor::testing::{jump, wait_until_idle};
use pleach_executor::{
    CancelScope, Cancelled, check, checked, checkpoint, now, sleep, sleep_forever, sleep_until, yield_now,
};
use std::cell::Cell;
use std::future::{Future, poll_fn, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

// ---- cancel points ---------------------------------------------------------------------------------------

/// Case 19. A checkpoint succeeds, and fails once the scope is cancelled: before its first poll, and after the yield.
#[test]
fn a_checkpoint_fails_once_its_scope_is_cancelled() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                checkpoint().await?;
                let mut yielded = pin!(checkpoint());
                assert!(poll_once(yielded.as_mut()).await.is_pending());
                s.cancel();
                assert!(yielded.await.is_err(), "cancelled after the yield");
                assert!(checkpoint().await.is_err(), "cancelled before the call");
                checkpoint().await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert!(checkpoint().await.is_ok(), "the scope is over");
    });
}

/// Case 20. Who cancels the scope around itself and then waits for ever fails in the same step.
#[test]
fn waiting_for_ever_in_a_cancelled_scope_fails_at_once() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                s.cancel();
                let mut wait = pin!(sleep_forever());
                let Poll::Ready(r) = poll_once(wait.as_mut()).await else { panic!("it waits") };
                r?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

/// A scope whose deadline passes between two checkpoints.
async fn passes_its_deadline() -> Result<(), Fault> {
    let r: Result<Option<()>, Fault> = CancelScope::new()
        .deadline(now() + 5 * S)
        .run(async |_| {
            checkpoint().await?;
            jump(10 * S);
            checkpoint().await?;
            unreachable!("it was due")
        })
        .await;
    assert!(matches!(r, Ok(None)));
    Ok(())
}

/// Case 26. A deadline that has passed is noticed by the very next checkpoint: in main, and in a child of either kind.
#[test]
fn a_deadline_that_has_passed_is_noticed_by_the_very_next_checkpoint() {
    in_every_order(async || {
        assert_eq!(shape(&passes_its_deadline().await), "ok");
        let r = Run::nursery(async |n| {
            n.spawn(passes_its_deadline());
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        let r = Run::nursery(async |n| {
            n.spawn_static(passes_its_deadline());
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case 26. The same beside busy neighbours: nobody has two turns before the clock is looked at.
#[test]
fn busy_neighbours_do_not_hide_a_deadline_that_has_passed() {
    in_every_order(async || {
        let done = Rc::new(Cell::new(false));
        let r = Run::nursery(async |n| {
            for _ in 0..3 {
                let done = Rc::clone(&done);
                n.spawn_static(async move {
                    while !done.get() {
                        checkpoint().await?;
                    }
                    Ok(())
                });
            }
            n.spawn_static(async move {
                passes_its_deadline().await?;
                done.set(true);
                Ok(())
            });
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case 26. The same beside tasks that were ready when they were dropped: they are nobody's turns.
#[test]
fn dropped_tasks_in_the_queue_do_not_hide_a_deadline_that_has_passed() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .deadline(now() + 5 * S)
            .run(async |_| {
                let mut open = Box::pin(Run::nursery(async |n| {
                    for _ in 0..4 {
                        n.spawn_static(async { Ok(()) });
                    }
                    Ok(())
                }));
                assert!(poll_once(open.as_mut()).await.is_pending());
                drop(open);
                checkpoint().await?;
                jump(10 * S);
                checkpoint().await?;
                unreachable!("it was due")
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

// ---- checkpoints -----------------------------------------------------------------------------------------

type Op<'a> = &'a dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), Cancelled>> + 'a>>;

/// How many of these operations in a row one step may do.
const BUDGET: u32 = 64;

/// `op` checks for cancellation on every call, and in a row of calls the task yields often enough.
async fn assert_is_a_checkpoint(what: &str, op: Op<'_>) {
    let (mut steps, mut longest) = (0, 0);
    for _ in 0..4 * BUDGET {
        let mut call = op();
        let waited = poll_fn(|cx| {
            let polled = call.as_mut().poll(cx);
            (steps, longest) =
                if polled.is_pending() { (0, longest) } else { (steps + 1, longest.max(steps + 1)) };
            polled
        });
        assert!(waited.await.is_ok(), "{what} succeeds");
    }
    assert!(longest <= BUDGET, "{what}: {longest} in one step");
    let r: Result<Option<()>, Cancelled> = CancelScope::new()
        .run(async |s| {
            s.cancel();
            for call in 0..3 {
                assert!(op().await.is_err(), "call {call} of {what} in a cancelled scope");
            }
            op().await
        })
        .await;
    assert!(matches!(r, Ok(None)), "{what}");
}

/// Case 22. `checkpoint()` is one, and so is `check()` followed by `yield_now()`: each of them yields.
#[test]
fn checkpoint_is_check_and_yield() {
    in_every_order(async || {
        assert_is_a_checkpoint("checkpoint", &|| Box::pin(checkpoint())).await;
        let composed = async || {
            check()?;
            yield_now().await;
            Ok(())
        };
        assert_is_a_checkpoint("check and yield", &|| Box::pin(composed())).await;
        assert!(poll_once(pin!(checkpoint())).await.is_pending());
        assert!(poll_once(pin!(composed())).await.is_pending());
    });
}

/// Case 22. `check()` alone never yields, `yield_now()` alone never fails.
#[test]
fn check_does_not_yield_and_yielding_does_not_check() {
    in_every_order(async || {
        let neighbour = Cell::new(0_u32);
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                Run::nursery(async |n| {
                    n.spawn(async {
                        loop {
                            neighbour.set(neighbour.get() + 1);
                            yield_now().await;
                            if s.cancel_called() {
                                return Ok(());
                            }
                        }
                    });
                    wait_for(&neighbour, 1).await;
                    let before = neighbour.get();
                    for _ in 0..4 * BUDGET {
                        check()?;
                    }
                    assert_eq!(neighbour.get(), before, "nobody else had a turn");
                    s.cancel();
                    yield_now().await;
                    assert!(check().is_err() && check().is_err());
                    wait_for(&neighbour, before).await;
                    Ok(())
                })
                .await
            })
            .await;
        assert!(matches!(r, Ok(Some(()))), "nothing was handed back");
    });
}

/// Yields until `count` has got to `least`.
async fn wait_for(count: &Cell<u32>, least: u32) {
    while count.get() < least {
        yield_now().await;
    }
}

/// Case 22. Every operation of the executor that can be ready at once.
#[test]
fn every_ready_operation_checks_and_is_charged() {
    in_every_order(async || {
        let up = Event::new();
        up.set();
        let past = now();
        let ops: [(&str, Op<'_>); 6] = [
            ("sleep of nothing", &|| Box::pin(sleep(Duration::ZERO))),
            ("sleep until the past", &|| Box::pin(sleep_until(past))),
            ("sleep", &|| Box::pin(sleep(S))),
            ("event that is set", &|| Box::pin(up.wait())),
            ("checked", &|| Box::pin(checked(ready(())))),
            ("wait_until_idle", &|| Box::pin(wait_until_idle())),
        ];
        for (what, op) in ops {
            assert_is_a_checkpoint(what, op).await;
        }
        let r = Run::nursery(async |n| {
            let op: Op<'_> = &|| Box::pin(n.task(async { Ok(()) }));
            assert_is_a_checkpoint("the handle of a child", op).await;
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

// ---- nurseries -------------------------------------------------------------------------------------------

/// Case 23. Opening and closing an empty nursery in a cancelled scope does not fail, and nothing is absorbed.
#[test]
fn an_empty_nursery_in_a_cancelled_scope_does_not_fail() {
    in_every_order(async || {
        let r: Result<Option<u8>, Fault> = CancelScope::new()
            .run(async |s| {
                s.cancel();
                for _ in 0..3 * BUDGET {
                    Run::nursery(async |_| Ok(())).await?;
                }
                Run::nursery(async |_| Ok(7)).await
            })
            .await;
        assert!(matches!(r, Ok(Some(7))), "{}", shape(&r));
    });
}

/// Case 23. The end of a nursery is charged to the budget: a loop of empty ones does not hold the thread, cancelled or not.
#[test]
fn empty_nurseries_in_a_loop_do_not_hold_the_thread() {
    for is_cancelled in [false, true] {
        in_every_order(async || {
            let (stop, opened) = (Cell::new(false), Cell::new(0));
            let r = Run::nursery(async |n| {
                n.spawn(async {
                    while !stop.get() {
                        assert!(opened.get() < 100 * BUDGET, "the neighbour had no turn");
                        Run::nursery(async |_| Ok(())).await?;
                        opened.set(opened.get() + 1);
                    }
                    Ok(())
                });
                if is_cancelled {
                    n.cancel();
                }
                for _ in 0..10 {
                    yield_now().await;
                }
                assert!(opened.get() > 0);
                stop.set(true);
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
        });
    }
}

/// Case 25. An empty nursery in a cancelled scope whose body fails: that failure, and no `Cancelled` beside it.
#[test]
fn a_failing_body_in_a_cancelled_scope_comes_out_alone() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                s.cancel();
                let r: Result<(), Fault> = Run::nursery(async |_| Err(Fault::Named("E"))).await;
                assert_eq!(shape(&r), "E");
                r
            })
            .await;
        assert_eq!(shape(&r), "E");
    });
}
