//! Promise: a scope is cancelled at its deadline, not before and not after, however often that is moved; the soonest wins.
//!
//! ```text
//!   set_deadline(at │ None) ─► one timer ─► due ─► cancelled with the reason Deadline
//!                                        └─ left before ─► disarmed
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested. Time is virtual, so
//! that "at" means to the nanosecond, but for case X2. What is set before the entry: `limits.rs`.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, Run, shape};
use orders::in_every_order;
use pleach_executor::sync::Event;
use pleach_executor::testing::{jump, wait_until_idle};
use pleach_executor::{
    CancelScope, Instant, Reason, check, checkpoint, effective_deadline, fail_after, fail_at, move_on_after,
    move_on_at, now, shielded, sleep, sleep_forever, stats,
};
use std::cell::{Cell, RefCell};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

// ---- one deadline ----------------------------------------------------------------------------------------

/// Case 55. A new scope has no deadline.
#[test]
fn a_new_scope_has_no_deadline() {
    in_every_order(async || {
        let timers = stats().timers;
        let scope = CancelScope::new();
        assert_eq!((scope.deadline_at(), effective_deadline()), (None, None));
        let r: Result<Option<u8>, Fault> = scope
            .run(async |s| {
                assert_eq!((s.deadline_at(), effective_deadline()), (None, None));
                assert_eq!(stats().timers, timers);
                sleep(50 * YEAR).await?;
                Ok(7)
            })
            .await;
        assert!(matches!(r, Ok(Some(7))));
    });
}

/// Case 55. A deadline reads back exactly, before the entry and inside, and after it has passed.
#[test]
fn a_deadline_reads_back_exactly() {
    in_every_order(async || {
        let (first, second) = (now() + Duration::from_nanos(12_345_678_901), now() + YEAR);
        let scope = CancelScope::new().deadline(first);
        let handle = scope.handle();
        assert_eq!((scope.deadline_at(), handle.deadline_at()), (Some(first), Some(first)));
        scope.set_deadline(None);
        assert_eq!(scope.deadline_at(), None);
        handle.set_deadline(Some(second));
        assert_eq!(scope.deadline_at(), Some(second));
        let r: Result<Option<()>, Fault> = scope
            .run(async |s| {
                assert_eq!(s.deadline_at(), Some(second), "kept over the entry");
                handle.set_deadline(Some(first));
                assert_eq!((s.deadline_at(), effective_deadline()), (Some(first), Some(first)));
                let r = sleep_forever().await;
                assert_eq!((now(), s.deadline_at()), (first, Some(first)));
                r?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(handle.deadline_at(), None, "the scope is gone");
    });
}

/// Case 55. A deadline holds to the nanosecond; taken away, it never comes.
#[test]
fn a_deadline_holds_to_the_nanosecond() {
    in_every_order(async || {
        let at = now() + Duration::from_nanos(12_345_678_901);
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                s.set_deadline(Some(at));
                let c = sleep_forever().await.unwrap_err();
                assert_eq!(now(), at);
                assert!(matches!(c.reason(), Reason::Deadline));
                Err(c.into())
            })
            .await;
        assert!(matches!(r, Ok(None)));
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .timeout(S)
            .run(async |s| {
                s.set_deadline(None);
                sleep(YEAR).await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(Some(()))));
    });
}

/// Case 56. The deadline of a scope that is left before never fires, and does not hit the scope that comes after it.
#[test]
fn the_deadline_of_a_scope_that_is_over_never_fires() {
    in_every_order(async || {
        let before = stats();
        let handle = RefCell::new(None);
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                *handle.borrow_mut() = Some(s.handle());
                s.set_deadline(Some(now() + 5 * S));
                assert_eq!(stats().timers, before.timers + 1);
                checkpoint().await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(Some(()))));
        assert_eq!(stats().timers, before.timers, "disarmed");
        let next = CancelScope::new();
        jump(10 * S);
        let r: Result<Option<()>, Fault> = next
            .run(async |s| {
                for _ in 0..3 {
                    checkpoint().await?;
                }
                assert!(!s.cancel_called());
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(Some(()))));
        assert!(!handle.take().expect("kept").cancel_called());
        assert_eq!(stats().timers_fired, before.timers_fired);
    });
}

/// Nobody but this code has had its turn since: asking the scope itself cancels it, and nothing else looks at the clock.
#[test]
fn asking_a_scope_whose_deadline_has_passed_cancels_it() {
    in_every_order(async || {
        let fired = stats().timers_fired;
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .timeout(2 * S)
            .run(async |s| {
                jump(S);
                assert!(!s.cancel_called() && check().is_ok());
                jump(S);
                assert!(check().is_ok() && s.reason().is_none(), "they read what is known");
                assert!(s.cancel_called() && s.handle().cancel_called());
                assert!(matches!(s.reason(), Some(Reason::Deadline)));
                let c = check().expect_err("it is cancelled from then on");
                assert!(matches!(c.reason(), Reason::Deadline));
                s.set_deadline(Some(now() + S));
                assert!(s.cancel_called(), "a later deadline takes nothing back");
                Err(c.into())
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(stats().timers_fired, fired, "no timer had to");
    });
}

#[test]
fn a_scope_that_is_asked_by_somebody_else_wakes_who_waits_in_it() {
    in_every_order(async || {
        let scope = CancelScope::new().timeout(S);
        let (handle, cut_off) = (scope.handle(), Cell::new(false));
        let r = Run::nursery(async |n| {
            n.spawn(async {
                let r: Result<Option<()>, Fault> = scope
                    .run(async |_| {
                        sleep_forever().await?;
                        Ok(())
                    })
                    .await;
                cut_off.set(matches!(r, Ok(None)));
                Ok(())
            });
            wait_until_idle().await?;
            jump(S);
            assert!(handle.cancel_called() && !cut_off.get(), "woken, and not polled from in here");
            wait_until_idle().await?;
            assert!(cut_off.get() && !handle.cancel_called(), "over, it says nothing");
            Ok(())
        })
        .await;
        r.unwrap();
    });
}

/// Before its entry, and behind a shield: what counts is its own deadline.
#[test]
fn a_deadline_that_has_passed_is_asked_of_that_scope_alone() {
    in_every_order(async || {
        let unentered = CancelScope::new().deadline(now() + S);
        let counts_from_entry = CancelScope::new().timeout(S);
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .timeout(S)
            .run(async |outer| {
                shielded(async |inner| {
                    jump(2 * S);
                    assert!(!inner.cancel_called());
                    assert!(outer.cancel_called() && check().is_ok(), "the shield holds");
                    Ok::<_, Fault>(())
                })
                .await?;
                checkpoint().await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert!(unentered.cancel_called() && !counts_from_entry.cancel_called());
    });
}

/// Case 58. A deadline is moved into the past: the next two checkpoints fail.
#[test]
fn a_deadline_moved_into_the_past_cancels() {
    in_every_order(async || {
        let start = now();
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                s.set_deadline(Some(start + 10 * S));
                checkpoint().await?;
                jump(5 * S);
                checkpoint().await?;
                assert!(!s.cancel_called());
                s.set_deadline(Some(start + S));
                assert!(s.cancel_called() && check().is_err(), "at once");
                assert!(checkpoint().await.is_err());
                s.set_deadline(Some(start + YEAR));
                checkpoint().await?;
                unreachable!("a later deadline takes nothing back")
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(now() - start, 5 * S);
    });
}

/// Case 62. Thousands of moves leave one timer, and it is the last.
#[test]
fn a_deadline_moved_thousands_of_times_is_one_timer() {
    in_every_order(async || {
        let before = stats();
        let start = now();
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                for _ in 0..2000 {
                    s.set_deadline(Some(start + 1000 * S));
                    s.set_deadline(Some(start + 1001 * S));
                }
                assert_eq!(stats().timers, before.timers + 1, "no stale ones");
                sleep(Duration::from_millis(10)).await?;
                assert_eq!(stats().timers_fired, before.timers_fired + 1, "the sleep");
                sleep_forever().await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(now() - start, 1001 * S);
        assert_eq!(stats().timers, before.timers);
    });
}

// ---- several deadlines -----------------------------------------------------------------------------------

/// Case 59. A limit of ten seconds inside one of five, moved, and shielded: when the code inside is cancelled.
#[test]
fn the_soonest_deadline_up_to_the_first_shield_is_the_one_that_counts() {
    type Act = fn(&CancelScope, Instant);
    let acts: [(&str, Act, u32); 6] = [
        ("as it is", |_, _| (), 5),
        ("moved to 3", |inner, t0| inner.set_deadline(Some(t0 + 3 * S)), 3),
        (
            "moved to 3 and back to 10",
            |inner, t0| {
                inner.set_deadline(Some(t0 + 3 * S));
                inner.set_deadline(Some(t0 + 10 * S));
            },
            5,
        ),
        ("shielded", |inner, _| inner.set_shield(true), 10),
        (
            "shielded and not any more",
            |inner, _| {
                inner.set_shield(true);
                inner.set_shield(false);
            },
            5,
        ),
        ("taken away", |inner, _| inner.set_deadline(None), 5),
    ];
    in_every_order(async || {
        for (what, act, seconds) in acts {
            let t0 = now();
            let cancelled_after = Cell::new(Duration::ZERO);
            let r: Result<Option<Option<()>>, Fault> = CancelScope::new()
                .deadline(t0 + 5 * S)
                .run(async |_| {
                    CancelScope::new()
                        .timeout(10 * S)
                        .run(async |inner| {
                            act(inner, t0);
                            assert_eq!(effective_deadline(), Some(t0 + seconds * S), "{what}");
                            let r = sleep_forever().await;
                            cancelled_after.set(now() - t0);
                            r?;
                            Ok(())
                        })
                        .await
                })
                .await;
            assert!(matches!(r, Ok(None | Some(None))), "{what}");
            assert_eq!(cancelled_after.get(), seconds * S, "{what}");
        }
    });
}

/// Case 59. A child sees the deadlines around its nursery, and that of the children; who is cancelled has no time left.
#[test]
fn a_child_sees_the_deadlines_around_its_nursery() {
    in_every_order(async || {
        let t0 = now();
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .deadline(t0 + 5 * S)
            .run(async |s| {
                Run::nursery(async |n| {
                    for limit in [10, 3] {
                        n.scope().set_deadline(Some(t0 + limit * S));
                        n.spawn(async move {
                            assert_eq!(effective_deadline(), Some(t0 + limit.min(5) * S));
                            Ok(())
                        });
                        n.spawn_static(async move {
                            assert_eq!(effective_deadline(), Some(t0 + limit.min(5) * S));
                            Ok(())
                        });
                        wait_until_idle().await?;
                    }
                    assert_eq!(effective_deadline(), Some(t0 + 5 * S), "the children's is not the body's");
                    s.cancel();
                    assert!(effective_deadline().is_some_and(|at| at < t0));
                    Ok(())
                })
                .await
            })
            .await;
        assert!(matches!(r, Ok(Some(()))), "{}", shape(&r));
        assert_eq!((effective_deadline(), now()), (None, t0));
    });
}

/// The same deadline passes while the code inside waits, and when what it waits for is there but not yet seen.
#[test]
fn a_result_that_is_there_at_the_deadline_is_not_lost() {
    in_every_order(async || {
        let up = Event::new();
        let r = Run::nursery(async |n| {
            n.spawn(async {
                let r: Result<Option<()>, Fault> = move_on_after(S, async |_| {
                    up.wait().await?;
                    assert!(check().is_err(), "the value first, the deadline at the next check");
                    checkpoint().await?;
                    Ok(())
                })
                .await;
                assert!(matches!(r, Ok(None)));
                Ok(())
            });
            wait_until_idle().await?;
            jump(2 * S);
            up.set();
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// A limit is a scope like any other: cancelled by hand it is too slow as well, and a real error wins.
#[test]
fn a_limit_that_is_cancelled_by_hand_has_run_out() {
    in_every_order(async || {
        let start = now();
        let after: Result<(), Fault> = fail_after(9 * S, async |s| {
            s.cancel();
            Ok(checkpoint().await?)
        })
        .await;
        let at: Result<(), Fault> = fail_at(start + 9 * S, async |s| {
            s.cancel();
            Ok(checkpoint().await?)
        })
        .await;
        let failed: Result<(), Fault> = fail_after(9 * S, async |s| {
            s.cancel();
            Err(Fault::Named("E"))
        })
        .await;
        let done: Result<u8, Fault> = fail_after(9 * S, async |s| {
            s.cancel();
            Ok(1)
        })
        .await;
        assert_eq!(
            [shape(&after), shape(&at), shape(&failed), shape(&done)],
            ["TooSlow", "TooSlow", "E", "ok"]
        );
        assert_eq!(now(), start);
    });
}

/// Case 71. Inside a scope whose deadline is now, the very first sleep of nothing fails.
#[test]
fn a_deadline_that_is_now_fails_the_first_checkpoint() {
    in_every_order(async || {
        for past in [Duration::ZERO, S] {
            let at = now();
            jump(past);
            let r: Result<Option<()>, Fault> = CancelScope::new()
                .deadline(at)
                .run(async |s| {
                    assert!(s.cancel_called());
                    sleep(Duration::ZERO).await?;
                    unreachable!("it was due at the entry")
                })
                .await;
            assert!(matches!(r, Ok(None)));
        }
        let start = now();
        let r: Result<Option<()>, Fault> = move_on_after(Duration::ZERO, async |_| {
            sleep(Duration::ZERO).await?;
            unreachable!("no time at all")
        })
        .await;
        assert!(matches!(r, Ok(None)));
        let r: Result<(), Fault> = fail_after(Duration::ZERO, async |_| Ok(sleep(S).await?)).await;
        assert_eq!((shape(&r).as_str(), now()), ("TooSlow", start));
    });
}

// ---- until a moment ----------------------------------------------------------------------------------------

/// What is done before the moment comes out, whether as a value or an error; what is not is too slow, exactly then.
#[test]
fn a_moment_that_comes_first_is_too_slow() {
    in_every_order(async || {
        let (start, timers) = (now(), stats().timers);
        let done = fail_at(start + 2 * S, async |_| {
            sleep(S).await?;
            Ok::<_, Fault>(7)
        });
        assert!(matches!(done.await, Ok(7)));
        let failed: Result<(), Fault> = fail_at(start + 3 * S, async |_| {
            // Its own error wins over the moment that has come meanwhile.
            let _cut_off = sleep_forever().await;
            Err(Fault::Named("E"))
        })
        .await;
        assert_eq!((shape(&failed).as_str(), now()), ("E", start + 3 * S));
        let cut_off: Result<(), Fault> = fail_at(start + 4 * S, async |s| {
            assert_eq!(s.deadline_at(), Some(start + 4 * S));
            sleep_forever().await?;
            Ok(())
        })
        .await;
        assert_eq!((shape(&cut_off).as_str(), now()), ("TooSlow", start + 4 * S));
        assert_eq!(stats().timers, timers);
    });
}

/// A moment is shared exactly: who comes when it has passed is cut off at its first checkpoint, at no later time.
#[test]
fn a_moment_that_has_passed_cuts_off_at_the_first_checkpoint() {
    in_every_order(async || {
        let (at, reached) = (now() + S, Cell::new(0));
        for _ in 0..2 {
            let late: Result<(), Fault> = fail_at(at, async |_| {
                reached.set(reached.get() + 1);
                sleep(YEAR).await?;
                Ok(())
            })
            .await;
            assert_eq!((shape(&late).as_str(), now()), ("TooSlow", at));
        }
        assert_eq!(reached.get(), 2, "the body begins all the same");
        let moved_on: Result<Option<()>, Fault> = move_on_at(at, async |_| Ok(checkpoint().await?)).await;
        assert!(matches!(moved_on, Ok(None)));
        let no_checkpoint: Result<u8, Fault> = fail_at(at, async |_| Ok(7)).await;
        assert!(matches!(no_checkpoint, Ok(7)), "nothing was cut off");
    });
}

/// The end of a scope around it is not its moment: that cancellation goes on to where it belongs.
#[test]
fn a_cancellation_from_outside_is_not_too_slow() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                outer.cancel();
                let inner: Result<(), Fault> = fail_at(now() + S, async |_| {
                    sleep_forever().await?;
                    Ok(())
                })
                .await;
                assert_eq!(shape(&inner), "Cancelled");
                inner
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

/// Case X2. With the clock of the machine a scope around a wait without end ends, and not before its moment.
#[test]
fn a_deadline_of_the_real_clock_is_kept_and_not_before() {
    let limit = Duration::from_millis(50);
    let began = Cell::new(None);
    let start = now();
    let r: Result<Option<()>, Fault> = pleach_executor::run(move_on_after(limit, async |_| {
        began.set(effective_deadline());
        sleep_forever().await.map(|never| match never {})?;
        Ok(())
    }));
    assert!(matches!(r, Ok(None)) && began.get().is_some());
    let took = now() - start;
    assert!(took >= limit, "{took:?} are less than {limit:?}");
}
