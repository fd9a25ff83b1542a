//! Promise: a nursery ends when its body and every child have ended, and every failure in it comes out of it.
//!
//! ```text
//!   body ──┐
//!   child ─┼─► one failure: itself │ several: a group │ a panic: waits for the others, then goes on
//!   child ─┘
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested. A single
//! failure is itself (trio wraps it in a group).

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::{message, poll_once, settle};
use fault::{Fault, Run, shape};
use orders::{in_every_order, or_hang};
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{
    CancelScope, Cancelled, Nursery, NurseryHandle, Reason, check, checkpoint, now, run, shielded, sleep,
    sleep_forever, stats, yield_now,
};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

// ---- failures --------------------------------------------------------------------------------------------

/// Case 86. A body that fails in a nursery without children: its error comes out as itself.
#[test]
fn a_failing_body_comes_out_as_itself() {
    in_every_order(async || {
        let r: Result<(), Fault> = Run::nursery(async |_| Err(Fault::Named("E"))).await;
        assert!(matches!(r, Err(Fault::Named("E"))));
    });
}

/// Case 88. A crashing child cancels a sibling that loops over checkpoints, once.
#[test]
fn a_crash_cancels_a_looping_sibling_once() {
    for crash_is_static in [false, true] {
        in_every_order(async || {
            let cancels = Cell::new(0);
            let r: Result<(), Fault> = Run::nursery(async |n| {
                n.spawn(async {
                    loop {
                        if let Err(c) = checkpoint().await {
                            assert!(matches!(c.reason(), Reason::SiblingFailed));
                            cancels.set(cancels.get() + 1);
                            return Err(c.into());
                        }
                    }
                });
                let crash = async {
                    yield_now().await;
                    Err(Fault::Named("E"))
                };
                if crash_is_static {
                    n.spawn_static(crash)
                } else {
                    n.spawn(crash)
                }
                Ok(())
            })
            .await;
            assert_eq!((shape(&r).as_str(), cancels.get()), ("E", 1));
        });
    }
}

/// Case 89. Body and child fail: one group with exactly these two.
#[test]
fn body_and_child_both_fail_into_one_group() {
    in_every_order(async || {
        let r: Result<(), Fault> = Run::nursery(async |n| {
            n.spawn(async { Err(Fault::Named("E1")) });
            // The body fails in the same step in which it spawned the child, which still runs once.
            Err(Fault::Named("E2"))
        })
        .await;
        assert_eq!(shape(&r), "{E1 E2}");
    });
}

/// Case 91. A crashing child interrupts a body that waits forever; no `Cancelled` of the body is left.
#[test]
fn a_crash_interrupts_the_body() {
    for crash_is_static in [false, true] {
        in_every_order(async || {
            let r: Result<(), Fault> = Run::nursery(async |n| {
                let crash = async {
                    wait_until_idle().await?;
                    Err(Fault::Named("E"))
                };
                if crash_is_static {
                    n.spawn_static(crash)
                } else {
                    n.spawn(crash)
                }
                sleep_forever().await?;
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "E");
        });
    }
}

/// A blocked child, and one that fails on the way out when it is cancelled.
async fn blocked_and_failing(
    names: &'static [&'static str],
    body: impl AsyncFnOnce() -> Result<(), Fault>,
) -> Result<(), Fault> {
    Run::nursery(async |n| {
        n.spawn(async {
            sleep_forever().await?;
            Ok(())
        });
        for name in names {
            n.spawn(async move {
                let _dropped_for_the_error = sleep_forever().await;
                Err(Fault::Named(name))
            });
        }
        body().await
    })
    .await
}

/// Case 92. Nested nurseries with blocked and failing children are cancelled: what stays is the failures, in the
/// shape of the nurseries, without a `Cancelled`.
#[test]
fn groups_keep_the_shape_of_the_nurseries_and_hold_no_cancelled() {
    for (inner, expected) in [(&["E2"][..], "{E1 E2}"), (&["E2", "E3"][..], "{E1 {E2 E3}}")] {
        in_every_order(async || {
            let r: Result<Option<()>, Fault> = CancelScope::new()
                .run(async |s| {
                    blocked_and_failing(&["E1"], async || {
                        blocked_and_failing(inner, async || {
                            wait_until_idle().await?;
                            s.cancel();
                            Ok(())
                        })
                        .await
                    })
                    .await
                })
                .await;
            assert_eq!(shape(&r), expected);
        });
    }
}

#[test]
fn failures_are_listed_in_the_order_in_which_they_happened() {
    run_virtual(async {
        let r: Result<(), Fault> = Run::nursery(async |n| {
            for (delay, name) in [(3, "third"), (1, "first"), (2, "second")] {
                n.spawn(async move {
                    shielded(async |_| sleep(delay * S).await).await?;
                    Err(Fault::Named(name))
                });
            }
            Ok(())
        })
        .await;
        let Err(Fault::Many(members)) = r else { panic!("{}", shape(&r)) };
        let names: Vec<_> = members.into_iter().map(|e| shape(&Err::<(), _>(e))).collect();
        assert_eq!(names, ["first", "second", "third"]);
    });
}

// ---- a nursery of the caller's, or one's own ------------------------------------------------------------

/// Runs `body` in the nursery that is given, or in one that is over when this returns.
async fn reuse_or_open<'s, 'env, T>(
    given: Option<&'s Nursery<'s, 'env, Fault>>,
    body: impl for<'n> AsyncFnOnce(&'n Nursery<'n, 'env, Fault>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    match given {
        Some(n) => body(n).await,
        None => Run::nursery(body).await,
    }
}

/// Who is given a nursery leaves its children, and their failures, to whoever gave it.
#[test]
fn one_function_starts_children_of_its_callers_or_waits_for_its_own() {
    in_every_order(async || {
        let (ended, name) = (Cell::new(0), String::from("E"));
        let child = async |fails: bool| {
            sleep(S).await?;
            ended.set(ended.get() + name.len());
            if fails { Err(Fault::Named("E")) } else { Ok(()) }
        };
        for fails in [false, true] {
            let start = now();
            ended.set(0);
            let own = reuse_or_open(None, async |n| {
                n.spawn(child(fails));
                Ok(7)
            })
            .await;
            assert_eq!((shape(&own).as_str(), ended.get()), (if fails { "E" } else { "ok" }, 1));
            assert_eq!(now() - start, S, "it has waited");

            let given = Run::nursery(async |n| {
                let start = now();
                let r = reuse_or_open(Some(n), async |n| {
                    n.spawn(child(fails));
                    Ok(7)
                })
                .await;
                assert_eq!((shape(&r).as_str(), ended.get(), now()), ("ok", 1, start), "it has not");
                r
            })
            .await;
            assert_eq!((shape(&given).as_str(), ended.get()), (if fails { "E" } else { "ok" }, 2));
        }
    });
}

// ---- boxed children --------------------------------------------------------------------------------------

/// Mixed types, in the boxes they came in: a child of a box that is not boxed again stays where it was.
#[test]
fn boxed_children_run_in_their_own_boxes() {
    type Child = Pin<Box<dyn Future<Output = Result<(), Fault>>>>;
    in_every_order(async || {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let place = |who: &'static str| -> Child {
            let seen = Rc::clone(&seen);
            // A future of its own says where it lies.
            let mut began = false;
            Box::pin(Here(move |at: *const ()| {
                seen.borrow_mut().push((who, at as usize));
                if std::mem::replace(&mut began, true) { Poll::Ready(Ok(())) } else { Poll::Pending }
            }))
        };
        let at = |child: &Child| (&raw const **child).cast::<()>() as usize;
        let (borrowed, flat, failing) =
            (place("borrowed"), place("flat"), Box::pin(async { Err(Fault::Named("E")) }));
        let expected = [("borrowed", at(&borrowed)), ("flat", at(&flat))];
        let r = Run::nursery(async |n| {
            n.spawn_boxed(borrowed);
            n.spawn_static_boxed(flat);
            n.spawn_static_boxed(failing);
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "E");
        let mut seen = seen.borrow().clone();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, expected);
    });
}

/// A future that is told its own address, and woken at once.
struct Here<F>(F);

impl<F: FnMut(*const ()) -> Poll<Result<(), Fault>> + Unpin> Future for Here<F> {
    type Output = Result<(), Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        cx.waker().wake_by_ref();
        let here = (&raw const *self).cast();
        (self.0)(here)
    }
}

// ---- handles ---------------------------------------------------------------------------------------------

#[test]
fn a_handle_brings_the_value_home() {
    in_every_order(async || {
        let words = [String::from("a"), String::from("bb")];
        let r = Run::nursery(async |n| {
            let late = n.task(async {
                sleep(S).await?;
                Ok(words[0].len())
            });
            let early = n.task(async { Ok(words[1].len()) });
            let late = late.await?;
            assert!(early.is_ended());
            Ok(late + early.await?)
        })
        .await;
        assert!(matches!(r, Ok(3)));
    });
}

#[test]
fn the_handle_of_a_failed_child_is_cancelled_and_the_error_goes_to_the_nursery_once() {
    in_every_order(async || {
        let r: Result<(), Fault> = Run::nursery(async |n| {
            let failing = n.task::<()>(async { Err(Fault::Named("E")) });
            let c = shielded(async |_| failing.await).await.unwrap_err();
            assert!(matches!(c.reason(), Reason::SiblingFailed), "{c}");
            Err(c.into())
        })
        .await;
        assert_eq!(shape(&r), "E");
    });
}

/// The same without a shield: the failure cancels the body as well, and the handle says why.
#[test]
fn a_body_that_awaits_a_failing_child_ends_with_that_childs_error() {
    in_every_order(async || {
        let r: Result<(), Fault> = Run::nursery(async |n| {
            let failing = n.task::<u8>(async {
                sleep(S).await?;
                Err(Fault::Named("E"))
            });
            failing.await?;
            unreachable!("it has no value")
        })
        .await;
        assert_eq!(shape(&r), "E");
    });
}

#[test]
fn dropping_the_handle_leaves_the_child_running() {
    in_every_order(async || {
        let ran = Cell::new(false);
        let start = now();
        let r: Result<(), Fault> = Run::nursery(async |n| {
            drop(n.task(async {
                sleep(S).await?;
                ran.set(true);
                Ok(())
            }));
            drop(n.task::<()>(async {
                sleep(2 * S).await?;
                Err(Fault::Named("E"))
            }));
            Ok(())
        })
        .await;
        assert!(ran.get());
        assert_eq!((shape(&r).as_str(), now() - start), ("E", 2 * S), "its error is the nursery's");
    });
}

#[test]
fn a_handle_that_is_cancelled_keeps_the_value_for_the_next_await() {
    in_every_order(async || {
        let r = Run::nursery(async |n| {
            let mut child = n.task(async {
                sleep(2 * S).await?;
                Ok(7)
            });
            let r: Result<Option<u8>, Fault> =
                pleach_executor::move_on_after(S, async |_| Ok((&mut child).await?)).await;
            assert!(matches!(r, Ok(None)));
            Ok(child.await?)
        })
        .await;
        assert!(matches!(r, Ok(7)));
    });
}

// ---- life time -------------------------------------------------------------------------------------------

/// Case 94. After the nursery has ended its handle refuses, and gives the future back unpolled. (The nursery itself
/// cannot be kept: `compile_fail/nursery_escapes_its_block.rs`.)
#[test]
fn a_handle_of_an_ended_nursery_refuses_and_returns_the_future() {
    in_every_order(async || {
        let kept: RefCell<Option<NurseryHandle<Fault>>> = RefCell::default();
        let r = Run::nursery(async |n| {
            *kept.borrow_mut() = Some(n.handle());
            assert!(n.handle().is_open());
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        let handle = kept.into_inner().expect("just kept");
        assert!(!handle.is_open());
        let polled = Rc::new(Cell::new(false));
        let p = Rc::clone(&polled);
        let closed = handle.spawn(async move {
            p.set(true);
            Ok(())
        });
        let unpolled = closed.expect_err("the nursery has ended").0;
        handle.cancel();
        checkpoint().await.unwrap();
        assert!(!polled.get());
        assert_eq!(shape(&unpolled.await), "ok", "it can still be used elsewhere");
        assert!(polled.get());
    });
}

/// Case 94. A destructor that runs after the end, and spawns, is told so by a panic.
#[test]
fn spawning_from_a_destructor_of_a_dropped_nursery_panics() {
    struct SpawnsLate<F: FnMut()>(F);
    impl<F: FnMut()> Drop for SpawnsLate<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    run_virtual(async {
        let mut open = Box::pin(Run::nursery(async |n| {
            n.spawn(async {
                let _late = SpawnsLate(|| n.spawn(async { unreachable!("it is never polled") }));
                sleep_forever().await?;
                Ok(())
            });
            sleep_forever().await?;
            Ok(())
        }));
        settle(open.as_mut()).await;
        let payload = catch_unwind(AssertUnwindSafe(|| drop(open))).unwrap_err();
        assert!(message(payload).contains("closed"));
    });
}

/// Case 95. How many nurseries of a task are open: none, one, two while the second is nested, one again after it ended
/// with a group, none. (There is no list of them yet; the counters know each by its body.)
#[test]
fn open_nurseries_are_counted_as_they_open_and_end() {
    in_every_order(async || {
        let before = stats();
        let open = || stats().tasks - before.tasks;
        assert_eq!(open(), 0);
        let r: Result<(), Fault> = Run::nursery(async |_| {
            assert_eq!(open(), 1);
            let r: Result<(), Fault> = Run::nursery(async |n2| {
                assert_eq!(open(), 2);
                n2.spawn(async { Err(Fault::Named("E1")) });
                Err(Fault::Named("E2"))
            })
            .await;
            assert_eq!((shape(&r).as_str(), open()), ("{E1 E2}", 1));
            Ok(())
        })
        .await;
        assert_eq!((shape(&r).as_str(), open()), ("ok", 0));
        assert_eq!(stats().scopes, before.scopes);
    });
}

#[test]
fn children_may_spawn_siblings_while_the_nursery_waits_for_its_end() {
    in_every_order(async || {
        let count = Cell::new(0);
        let r = Run::nursery(async |n| {
            n.spawn(async {
                sleep(S).await?;
                for _ in 0..3 {
                    n.spawn(async {
                        sleep(S).await?;
                        count.set(count.get() + 1);
                        Ok(())
                    });
                }
                Ok(())
            });
            Ok(())
        })
        .await;
        assert_eq!((shape(&r).as_str(), count.get()), ("ok", 3));
    });
}

/// Case S128.
#[test]
fn a_handle_spawns_from_elsewhere_while_the_nursery_waits_for_its_end() {
    in_every_order(async || {
        let count = Rc::new(Cell::new(0));
        let r = Run::nursery(async |n| {
            let (handle, count) = (n.handle(), Rc::clone(&count));
            n.spawn_static(async move {
                sleep(S).await?;
                for _ in 0..3 {
                    let count = Rc::clone(&count);
                    let spawned = handle.spawn(async move {
                        sleep(S).await?;
                        count.set(count.get() + 1);
                        Ok(())
                    });
                    assert!(spawned.is_ok());
                }
                Ok(())
            });
            Ok(())
        })
        .await;
        assert_eq!((shape(&r).as_str(), count.get()), ("ok", 3));
    });
}

#[test]
fn children_borrow_from_the_frames_around_the_nursery() {
    in_every_order(async || {
        let words = vec!["a", "bb", "ccc"];
        let total = Cell::new(0);
        let mut log = Vec::new();
        let r = Run::nursery(async |n| {
            for word in &words {
                let total = &total;
                n.spawn(async move {
                    checkpoint().await?;
                    total.set(total.get() + word.len());
                    Ok(())
                });
            }
            n.spawn(async {
                log.push("a unique borrow");
                Ok(())
            });
            Ok(words.len())
        })
        .await;
        assert!(matches!(r, Ok(3)));
        assert_eq!((total.get(), log.as_slice()), (6, &["a unique borrow"][..]));
    });
}

#[test]
fn the_end_of_a_nursery_waits_for_children_under_an_outer_cancel() {
    in_every_order(async || {
        let cleaned = Cell::new(0);
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                let r = Run::nursery(async |n| {
                    for i in 1..=3 {
                        let cleaned = &cleaned;
                        n.spawn(async move {
                            let r = sleep_forever().await;
                            shielded(async |_| sleep(i * S).await).await?;
                            cleaned.set(cleaned.get() + 1);
                            r?;
                            Ok(())
                        });
                    }
                    s.cancel();
                    Ok(())
                })
                .await;
                assert_eq!(cleaned.get(), 3);
                r
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

/// An empty nursery in a cancelled scope: not a cancel point.
#[test]
fn the_end_of_a_nursery_is_not_a_cancel_point() {
    in_every_order(async || {
        let r: Result<Option<u8>, Fault> = CancelScope::new()
            .run(async |s| {
                s.cancel();
                Run::nursery(async |_| Ok(7)).await
            })
            .await;
        assert!(matches!(r, Ok(Some(7))));
    });
}

// ---- panics ----------------------------------------------------------------------------------------------

#[test]
fn a_panic_in_a_child_waits_for_the_siblings_clean_up() {
    for panic_is_static in [false, true] {
        let cleaned = Cell::new(false);
        let cleaned_when_it_came_out = Cell::new(false);
        let r = catch_unwind(AssertUnwindSafe(|| {
            run_virtual(async {
                struct Sees<'a>(&'a Cell<bool>, &'a Cell<bool>);
                impl Drop for Sees<'_> {
                    fn drop(&mut self) {
                        self.1.set(self.0.get());
                    }
                }
                let _unwound = Sees(&cleaned, &cleaned_when_it_came_out);
                let r: Result<(), Fault> = Run::nursery(async |n| {
                    n.spawn(async {
                        let r = sleep_forever().await;
                        shielded(async |_| sleep(S).await).await?;
                        cleaned.set(true);
                        r?;
                        Ok(())
                    });
                    let bomb = async { panic!("boom") };
                    if panic_is_static {
                        n.spawn_static(bomb)
                    } else {
                        n.spawn(bomb)
                    }
                    sleep_forever().await?;
                    Ok(())
                })
                .await;
                unreachable!("{}", shape(&r))
            })
        }));
        assert_eq!(message(r.unwrap_err()), "boom");
        assert!(cleaned_when_it_came_out.get());
    }
}

#[test]
fn a_panic_in_the_body_waits_for_the_children() {
    let cleaned = Cell::new(false);
    let r = catch_unwind(AssertUnwindSafe(|| {
        run_virtual(async {
            let r: Result<(), Fault> = Run::nursery(async |n| {
                n.spawn(async {
                    let r = sleep_forever().await;
                    shielded(async |_| sleep(S).await).await?;
                    cleaned.set(true);
                    r?;
                    Ok(())
                });
                checkpoint().await?;
                panic!("boom")
            })
            .await;
            unreachable!("{}", shape(&r))
        })
    }));
    assert_eq!(message(r.unwrap_err()), "boom");
    assert!(cleaned.get());
}

#[test]
fn a_panic_wins_over_errors_and_the_run_can_be_repeated() {
    for _ in 0..2 {
        let r = catch_unwind(AssertUnwindSafe(|| {
            run_virtual(async {
                Run::nursery(async |n| {
                    n.spawn(async { Err(Fault::Named("E")) });
                    n.spawn(async { panic_any(42_u8) });
                    Ok(())
                })
                .await
            })
        }));
        assert_eq!(*r.unwrap_err().downcast::<u8>().unwrap(), 42);
        assert!(matches!(run_virtual(Run::nursery(async |_| Ok(1))), Ok(1)));
    }
}

#[test]
fn a_panic_climbs_through_nested_nurseries() {
    let ended = Rc::new(Cell::new(0));
    let r = catch_unwind(AssertUnwindSafe(|| {
        run_virtual(async {
            let sleeper = || {
                let ended = Rc::clone(&ended);
                async move {
                    let r = sleep_forever().await;
                    ended.set(ended.get() + 1);
                    r?;
                    Ok::<(), Fault>(())
                }
            };
            Run::nursery(async |outer| {
                outer.spawn(sleeper());
                outer.spawn_static(sleeper());
                outer.spawn(Run::nursery(async |inner| {
                    inner.spawn(sleeper());
                    inner.spawn_static(sleeper());
                    inner.spawn(async { panic!("boom") });
                    Ok(())
                }));
                Ok(())
            })
            .await
        })
    }));
    assert_eq!(message(r.unwrap_err()), "boom");
    assert_eq!(ended.get(), 4);
}

// ---- other threads, other runs ---------------------------------------------------------------------------

/// Waits until another thread has set `flag`; hands that thread a waker.
async fn told_by(threads: &mpsc::Sender<(Arc<AtomicBool>, std::task::Waker)>) {
    let flag = Arc::new(AtomicBool::new(false));
    let mut sent = false;
    poll_fn(|cx| {
        if flag.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if !std::mem::replace(&mut sent, true) {
            threads.send((Arc::clone(&flag), cx.waker().clone())).expect("the other thread listens");
        }
        Poll::Pending
    })
    .await;
}

#[test]
fn a_wake_from_another_thread_arrives_at_any_depth() {
    let (to_thread, jobs) = mpsc::channel::<(Arc<AtomicBool>, std::task::Waker)>();
    let waking = thread::spawn(move || {
        for (flag, waker) in jobs {
            flag.store(true, Ordering::Release);
            waker.wake();
        }
    });
    run(or_hang(60 * S, async {
        let arrived = Rc::new(Cell::new(0));
        let waiter = || {
            let (to_thread, arrived) = (to_thread.clone(), Rc::clone(&arrived));
            async move {
                for _ in 0..100 {
                    told_by(&to_thread).await;
                    arrived.set(arrived.get() + 1);
                }
                Ok::<(), Fault>(())
            }
        };
        let r = Run::nursery(async |n| {
            n.spawn(waiter());
            n.spawn_static(waiter());
            let (below, deepest, body) = (waiter(), waiter(), waiter());
            n.spawn(Run::nursery(async move |inner| {
                inner.spawn(below);
                inner.spawn_static(Run::nursery(async move |innermost| {
                    innermost.spawn(deepest);
                    Ok(())
                }));
                body.await
            }));
            Ok(())
        })
        .await;
        assert_eq!((shape(&r).as_str(), arrived.get()), ("ok", 500));
    }));
    drop(to_thread);
    waking.join().unwrap();
}

#[test]
fn a_run_inside_a_run_panics_and_the_outer_one_goes_on() {
    run_virtual(async {
        let r = catch_unwind(|| run(async {}));
        let text = message(r.unwrap_err());
        assert!(text.contains("a run is active on this thread already"), "{text}");
        assert!(check().is_ok());
        let r: Result<u8, Fault> = Run::nursery(async |n| Ok(n.task(async { Ok(7) }).await?)).await;
        assert!(matches!(r, Ok(7)));
    });
}

/// The two runs that a panic's text names.
fn names_two_runs(text: &str) -> bool {
    let mut runs: Vec<_> =
        text.split("run ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse::<u32>().ok()).collect();
    runs.dedup();
    runs.len() == 2
}

/// Uses something of one run in the next, and checks that the panic names both.
fn assert_refused<K>(what: &str, make: impl AsyncFnOnce() -> K, misuse: impl AsyncFnOnce(K)) {
    let kept = run_virtual(make());
    let r = catch_unwind(AssertUnwindSafe(|| run_virtual(misuse(kept))));
    let text = message(r.expect_err(what));
    assert!(names_two_runs(&text), "{what}: {text}");
}

#[test]
fn what_belongs_to_one_run_is_refused_in_another() {
    let scope = async || CancelScope::new();
    let scope_handle = async || {
        let scope = CancelScope::new();
        (scope.handle(), scope)
    };
    assert_refused("scope.cancel", scope, async |s| s.cancel());
    assert_refused("scope.set_shield", scope, async |s| s.set_shield(true));
    assert_refused("scope.run", scope, async |s| {
        let _ = s.run(async |_| Ok::<(), Cancelled>(())).await;
    });
    assert_refused("handle.cancel", scope_handle, async |(h, _)| h.cancel());
    assert_refused("handle.set_shield", scope_handle, async |(h, _)| h.set_shield(true));
    assert_refused("handle.set_deadline", scope_handle, async |(h, _)| h.set_deadline(Some(now())));
    assert_refused("handle.reason", scope_handle, async |(h, _)| drop(h.reason()));
    assert_refused("handle.cancel_called", scope_handle, async |(h, _)| assert!(!h.cancel_called()));
}

#[test]
fn the_deadline_of_a_scope_of_another_run_is_refused() {
    assert_refused("scope.set_deadline", async || CancelScope::new(), async |s| s.set_deadline(Some(now())));
}

/// An open nursery that has been polled once, and a handle to it.
async fn open_nursery() -> (NurseryHandle<Fault>, Pin<Box<dyn Future<Output = Result<(), Fault>>>>) {
    let slot: Rc<RefCell<Option<NurseryHandle<Fault>>>> = Rc::default();
    let s = Rc::clone(&slot);
    let mut open: Pin<Box<dyn Future<Output = Result<(), Fault>>>> = Box::pin(Run::nursery(async move |n| {
        *s.borrow_mut() = Some(n.handle());
        sleep_forever().await?;
        Ok(())
    }));
    assert!(poll_once(open.as_mut()).await.is_pending());
    let handle = slot.take().expect("the body has run");
    (handle, open)
}

#[test]
fn an_open_nursery_of_one_run_is_refused_in_another() {
    assert_refused("nursery polled", open_nursery, async |(_, open)| {
        let _ = open.await;
    });
    assert_refused("handle.spawn", open_nursery, async |(h, open)| {
        let _ = h.spawn(async { Ok(()) });
        drop(open);
    });
}

#[test]
fn a_nursery_of_another_run_is_not_cancelled() {
    assert_refused("handle.cancel", open_nursery, async |(h, open)| {
        h.cancel();
        drop(open);
    });
}

/// A scope that was entered in one run and is polled on in another.
#[test]
fn an_open_scope_of_one_run_is_refused_in_another() {
    type Open = Pin<Box<dyn Future<Output = Result<Option<()>, Fault>>>>;
    let open = async || {
        let mut open: Open = Box::pin(CancelScope::new().run(async |_| {
            sleep_forever().await?;
            Ok(())
        }));
        assert!(poll_once(open.as_mut()).await.is_pending());
        (open,)
    };
    assert_refused("scope polled", open, async |(mut open,)| drop(poll_once(open.as_mut()).await));
}
