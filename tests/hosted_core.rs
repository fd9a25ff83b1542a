//! Promise: the core holds in a run that lives inside tokio, case by case.
//!
//! ```text
//!   a case of the sections A to M ─► hosted(OnTokio, case), on tokio's paused clock
//! ```
//!
//! Rules:
//! * The numbers are those of the list of executor cases. Each is shown in a run of its own by the file that
//!   `conformance.tsv` names; this one shows that nothing of it depends on who drives.
//! * tokio's timers count in milliseconds and round up, so lengths are compared in whole seconds.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/on_tokio.rs"]
mod on_tokio;

use fault::{Fault, Run, shape};
use on_tokio::under_tokio;
use pleach_executor::testing::{wait_until_idle, wait_until_idle_for};
use pleach_executor::{
    CancelScope, Instant, Reason, Started, check, checkpoint, effective_deadline, fail_after, move_on_after,
    move_on_at, now, sleep, sleep_forever,
};
use std::cell::{Cell, RefCell};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// Whole seconds since `t0`.
fn since(t0: Instant) -> u64 {
    (now() - t0).as_secs()
}

/// What a scope that absorbs its cancellation returns.
fn absorbed<T>(r: &Result<Option<T>, Fault>) -> bool {
    matches!(r, Ok(None))
}

/// Passes `d` on tokio's clock, without waiting for anybody of the run.
async fn jump(d: Duration) {
    tokio::time::advance(d).await;
}

/// Waits until it is cancelled.
async fn forever() -> Result<(), Fault> {
    match sleep_forever().await? {}
}

// ---- A to D: values, order, checkpoints, delivery --------------------------------------------------------

/// 1, 2.
#[test]
fn a_value_and_an_error_come_out_as_they_are() {
    assert_eq!(under_tokio(async { 7 }), 7);
    let r = under_tokio(async {
        checkpoint().await?;
        Err::<(), _>(Fault::Named("E"))
    });
    assert_eq!(shape(&r), "E");
}

/// 11.
#[test]
fn siblings_take_turns() {
    under_tokio(async {
        let record = RefCell::new(Vec::new());
        let r = Run::nursery(async |n| {
            for name in ["a", "b"] {
                let record = &record;
                n.spawn(async move {
                    for i in 0..3 {
                        record.borrow_mut().push((i, name));
                        checkpoint().await?;
                    }
                    Ok(())
                });
            }
            Ok(())
        });
        assert_eq!(shape(&r.await), "ok");
        let mut sorted = record.borrow().clone();
        sorted.sort_unstable();
        assert_eq!(record.take(), sorted);
    });
}

/// 19, 20, 28, 31.
#[test]
fn a_cancelled_scope_is_cancelled_at_every_checkpoint() {
    under_tokio(async {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                checkpoint().await?;
                s.cancel();
                assert!(checkpoint().await.is_err());
                assert!(sleep_forever().await.is_err() && sleep_forever().await.is_err());
                Err(sleep(S).await.unwrap_err().into())
            })
            .await;
        assert!(absorbed(&r));
        let r: Result<Option<u32>, Fault> = CancelScope::new()
            .run(async |s| {
                s.cancel();
                Ok(7)
            })
            .await;
        assert!(matches!(r, Ok(Some(7))), "nothing was delivered");
        checkpoint().await.expect("outside of it");
    });
}

/// 29.
#[test]
fn a_child_of_a_cancelled_nursery_runs_up_to_its_first_wait() {
    under_tokio(async {
        let ran = Cell::new(0);
        let r = Run::nursery(async |n| {
            n.cancel();
            let ran = &ran;
            n.spawn(async move {
                ran.set(1);
                let r = forever().await;
                ran.set(2);
                r
            });
            Ok(())
        });
        assert_eq!(shape(&r.await), "ok");
        assert_eq!(ran.get(), 2);
    });
}

// ---- E, F: who absorbs, shields --------------------------------------------------------------------------

/// 34.
#[test]
fn the_outermost_cancelled_scope_absorbs() {
    under_tokio(async {
        let r: Result<Option<Option<()>>, Fault> = CancelScope::new()
            .run(async |s1| {
                let second = CancelScope::new()
                    .run(async |s2| {
                        let third: Result<Option<()>, Fault> = CancelScope::new()
                            .run(async |s3| {
                                s3.cancel();
                                s2.cancel();
                                Err(sleep_forever().await.unwrap_err().into())
                            })
                            .await;
                        assert_eq!(shape(&third), "Cancelled");
                        third.map(|_| ())
                    })
                    .await;
                assert!(!s1.cancel_called());
                checkpoint().await?;
                second
            })
            .await;
        assert!(matches!(r, Ok(Some(None))));
    });
}

/// 40, 41, 43.
#[test]
fn a_shield_goes_up_and_down_at_any_time() {
    under_tokio(async {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                outer.cancel();
                let inner: Result<Option<()>, Fault> = CancelScope::new()
                    .run(async |inner| {
                        assert!(checkpoint().await.is_err() && checkpoint().await.is_err());
                        inner.set_shield(true);
                        checkpoint().await?;
                        let within: Result<Option<()>, Fault> = CancelScope::new()
                            .run(async |within| {
                                within.cancel();
                                Ok(checkpoint().await?)
                            })
                            .await;
                        assert!(absorbed(&within));
                        checkpoint().await?;
                        inner.set_shield(false);
                        assert!(checkpoint().await.is_err());
                        inner.set_shield(true);
                        checkpoint().await?;
                        inner.cancel();
                        Ok(checkpoint().await?)
                    })
                    .await;
                assert!(absorbed(&inner), "the shield is up: it is the inner one's");
                Ok(checkpoint().await?)
            })
            .await;
        assert!(absorbed(&r));
    });
}

/// 44: a child that waits hears of it when a shield around it goes.
#[test]
fn a_shield_that_goes_cancels_who_waits_below_it() {
    under_tokio(async {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                let cancelled = Cell::new(false);
                let r = CancelScope::new()
                    .shield()
                    .run(async |shield| {
                        Run::nursery(async |n| {
                            n.spawn(async {
                                let r = forever().await;
                                cancelled.set(true);
                                r
                            });
                            outer.cancel();
                            wait_until_idle().await?;
                            assert!(!cancelled.get());
                            shield.set_shield(false);
                            Ok(())
                        })
                        .await
                    })
                    .await;
                assert!(cancelled.get());
                r.map(|_| ())
            })
            .await;
        assert!(absorbed(&r));
    });
}

// ---- H: deadlines ----------------------------------------------------------------------------------------

/// 46, 47.
#[test]
fn a_shielded_limit_ends_by_its_own_deadline() {
    under_tokio(async {
        let t0 = now();
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                outer.cancel();
                let moved: Result<Option<()>, Fault> = CancelScope::new()
                    .shield()
                    .timeout(3 * S)
                    .run(async |_| {
                        checkpoint().await?;
                        forever().await
                    })
                    .await;
                assert!(absorbed(&moved));
                assert_eq!(since(t0), 3);
                Ok(checkpoint().await?)
            })
            .await;
        assert!(absorbed(&r));
    });
}

/// 26, 56.
#[test]
fn a_deadline_that_has_passed_is_noticed_at_once_and_only_inside() {
    under_tokio(async {
        let r: Result<Option<()>, Fault> = move_on_after(5 * S, async |_| {
            checkpoint().await?;
            jump(10 * S).await;
            assert!(checkpoint().await.is_err(), "this one, not the one after it");
            Ok(checkpoint().await?)
        })
        .await;
        assert!(absorbed(&r));
        let mut left = None;
        let r: Result<Option<()>, Fault> = move_on_after(5 * S, async |s| {
            left = Some(s.handle());
            Ok(())
        })
        .await;
        assert!(matches!(r, Ok(Some(()))));
        jump(10 * S).await;
        checkpoint().await.expect("it is over");
        assert!(!left.expect("it was entered").cancel_called());
    });
}

/// 58.
#[test]
fn a_deadline_that_is_moved_into_the_past_cancels() {
    under_tokio(async {
        let t0 = now();
        let r: Result<Option<()>, Fault> = move_on_after(10 * S, async |s| {
            jump(5 * S).await;
            checkpoint().await?;
            s.set_deadline(Some(t0 + S));
            assert!(checkpoint().await.is_err());
            Ok(checkpoint().await?)
        })
        .await;
        assert!(absorbed(&r));
        assert_eq!(since(t0), 5);
    });
}

/// 59, and each comes due when it says.
#[test]
fn the_soonest_deadline_up_to_the_first_shield_counts() {
    type Act = fn(&CancelScope, Instant);
    let acts: [(Act, u32); 4] = [
        (|_, _| (), 5),
        (|inner, t0| inner.set_deadline(Some(t0 + 3 * S)), 3),
        (|inner, _| inner.set_shield(true), 10),
        (|inner, _| inner.set_deadline(None), 5),
    ];
    under_tokio(async {
        assert_eq!(effective_deadline(), None);
        for (act, seconds) in acts {
            let t0 = now();
            let r: Result<Option<Option<()>>, Fault> = CancelScope::new()
                .deadline(t0 + 5 * S)
                .run(async |_| {
                    let inner = CancelScope::new().deadline(t0 + 10 * S).run(async |inner| {
                        act(inner, t0);
                        assert_eq!(effective_deadline(), Some(t0 + seconds * S));
                        let c = sleep_forever().await.unwrap_err();
                        assert!(matches!(c.reason(), Reason::Deadline));
                        assert_eq!(since(t0), u64::from(seconds));
                        Err(c.into())
                    });
                    inner.await
                })
                .await;
            assert!(matches!(r, Ok(None | Some(None))));
        }
    });
}

/// 62.
#[test]
fn a_deadline_moved_thousands_of_times_is_the_last_one() {
    under_tokio(async {
        let t0 = now();
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                for _ in 0..2000 {
                    s.set_deadline(Some(t0 + 1000 * S));
                    s.set_deadline(Some(t0 + 1001 * S));
                }
                sleep(S).await?;
                forever().await
            })
            .await;
        assert!(absorbed(&r));
        assert_eq!(since(t0), 1001);
    });
}

/// 70, 71.
#[test]
fn sleeps_last_and_a_scope_that_ends_now_lets_none_begin() {
    under_tokio(async {
        let t0 = now();
        sleep(7 * S).await.expect("nobody cancels");
        assert_eq!(since(t0), 7);
        let r: Result<Option<()>, Fault> = move_on_at(now(), async |_| {
            assert!(sleep(Duration::ZERO).await.is_err());
            Ok(sleep(Duration::ZERO).await?)
        })
        .await;
        assert!(absorbed(&r));
    });
}

/// 73, 74, and 226 to 238 for a host's clock: a cushion lasts as long as it says.
#[test]
fn a_scope_cancelled_before_it_is_entered_absorbs_and_idleness_takes_its_cushion() {
    under_tokio(async {
        let scope = CancelScope::new();
        scope.cancel();
        let r: Result<Option<()>, Fault> =
            scope.run(async |_| fail_after(S, async |_| forever().await).await).await;
        assert!(absorbed(&r));
        let t0 = now();
        let r = Run::nursery(async |n| {
            n.spawn(async {
                sleep(2 * S).await?;
                Ok(sleep(2 * S).await?)
            });
            wait_until_idle_for(3 * S).await?;
            Ok(())
        });
        assert_eq!(shape(&r.await), "ok");
        assert_eq!(since(t0), 7, "from the last that happened");
    });
}

// ---- K to M: nurseries -----------------------------------------------------------------------------------

/// 86, 88, 89, 91.
#[test]
fn failures_of_body_and_children_come_out_without_a_cancelled() {
    under_tokio(async {
        let body = Run::nursery(async |_| Err::<(), _>(Fault::Named("E")));
        assert_eq!(shape(&body.await), "E");
        let looping = Run::nursery(async |n| {
            n.spawn(async { Err(Fault::Named("E")) });
            n.spawn(async {
                loop {
                    checkpoint().await?;
                }
            });
            forever().await
        });
        assert_eq!(shape(&looping.await), "E");
        let both = Run::nursery(async |n| {
            n.spawn(async { Err(Fault::Named("E1")) });
            Err::<(), _>(Fault::Named("E2"))
        });
        assert_eq!(shape(&both.await), "{E1 E2}");
    });
}

/// 92.
#[test]
fn a_group_inside_a_group_stays_one() {
    under_tokio(async {
        let r = Run::nursery(async |n| {
            n.spawn(async { forever().await });
            n.spawn(async { Err(Fault::Named("E")) });
            Run::nursery(async |inner| {
                inner.spawn(async { Err(Fault::Named("E1")) });
                inner.spawn(async { Err(Fault::Named("E2")) });
                forever().await
            })
            .await
        });
        assert_eq!(shape(&r.await), "{E {E1 E2}}");
    });
}

/// 97.
#[test]
fn start_returns_when_the_child_is_ready() {
    under_tokio(async {
        let t0 = now();
        let r = Run::nursery(async |n| {
            let value = n
                .start(async |ready: Started<u32>| {
                    sleep(2 * S).await?;
                    ready.set(7);
                    Ok(sleep(2 * S).await?)
                })
                .await?;
            assert_eq!((value, since(t0), n.stats().children), (7, 2, 1));
            Ok(())
        });
        assert_eq!(shape(&r.await), "ok");
        assert_eq!(since(t0), 4);
    });
}

/// 100, 103, 112.
#[test]
fn a_failure_before_the_start_is_the_starters_and_one_after_it_the_nurserys() {
    under_tokio(async {
        let r = Run::nursery(async |n| {
            let before = n
                .start(async |_ready: Started<()>| {
                    checkpoint().await?;
                    Err(Fault::Named("E"))
                })
                .await;
            assert_eq!(shape(&before), "E");
            checkpoint().await?;
            let cancelled: Result<Option<()>, Fault> = CancelScope::new()
                .run(async |s| {
                    s.cancel();
                    n.start(async |ready: Started<()>| {
                        ready.set(());
                        Ok(())
                    })
                    .await
                })
                .await;
            assert!(matches!(cancelled, Ok(Some(()))), "it was ready without a checkpoint");
            n.start(async |ready: Started<()>| {
                ready.set(());
                Err(Fault::Named("E"))
            })
            .await?;
            forever().await
        });
        assert_eq!(shape(&r.await), "E");
        check().expect("nothing of it is left");
    });
}
