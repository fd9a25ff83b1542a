//! Promise: cancelling is a level that everything inside a scope sees, and the outermost cancelled scope absorbs it.
//!
//! ```text
//!   s.cancel() ─► every checkpoint inside: Err(Cancelled) ─?─► … ─?─► the scope: Ok(None)
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, Run, shape};
use futures_util::future::{Either, join, join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use orders::in_every_order;
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{
    CancelScope, Cancelled, Reason, ScopeHandle, check, checkpoint, current_task, dump, move_on_after,
    nursery, shielded, sleep, sleep_forever, stats, yield_now,
};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

// ---- delivery --------------------------------------------------------------------------------------------

/// Case 28. Two waits in a row fail, the first failure having been caught and dropped.
#[test]
fn a_swallowed_cancel_comes_again_at_the_next_wait() {
    in_every_order(async || {
        let failures = Cell::new(0);
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                s.cancel();
                for _ in 0..2 {
                    failures.set(failures.get() + u32::from(sleep_forever().await.is_err()));
                }
                sleep_forever().await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(failures.get(), 2);
    });
}

/// Case 28. The same when the first wait has begun before the cancel.
#[test]
fn a_parked_wait_fails_and_so_does_the_next() {
    in_every_order(async || {
        let failures = Cell::new(0);
        let r = Run::nursery(async |n| {
            n.spawn(async {
                for _ in 0..2 {
                    failures.set(failures.get() + u32::from(sleep_forever().await.is_err()));
                }
                Ok(())
            });
            wait_until_idle().await?;
            assert_eq!(failures.get(), 0);
            n.cancel();
            Ok(())
        })
        .await;
        assert_eq!((shape(&r).as_str(), failures.get()), ("ok", 2));
    });
}

/// Case 29. A task spawned into a cancelled nursery runs up to its first blocking call, which fails.
#[test]
fn a_child_of_a_cancelled_nursery_runs_to_its_first_checkpoint() {
    in_every_order(async || {
        let log: Rc<RefCell<Vec<&str>>> = Rc::default();
        let child = |name: &'static str, log: &Rc<RefCell<Vec<&'static str>>>| {
            let log = Rc::clone(log);
            async move {
                log.borrow_mut().push(name);
                sleep_forever().await?;
                unreachable!("the wait of {name} cannot end well")
            }
        };
        let r = Run::nursery(async |n| {
            n.cancel();
            n.spawn(child("spawn", &log));
            n.spawn_static(child("spawn_static", &log));
            drop(n.task::<()>(async {
                child("task", &log).await?;
                Ok(())
            }));
            assert!(log.borrow().is_empty(), "a child is first polled after spawn has returned");
            Ok(())
        })
        .await;
        log.borrow_mut().sort_unstable();
        assert_eq!(shape(&r), "ok");
        assert_eq!(*log.borrow(), ["spawn", "spawn_static", "task"]);
    });
}

/// Case 31. A scope that is cancelled but passes only shielded checkpoints delivers nothing.
#[test]
fn a_cancelled_scope_without_a_checkpoint_ends_normally() {
    in_every_order(async || {
        let r: Result<Option<u8>, Fault> = CancelScope::new()
            .run(async |s| {
                s.cancel();
                yield_now().await;
                shielded(async |_| checkpoint().await).await?;
                yield_now().await;
                assert!(s.cancel_called());
                Ok(7)
            })
            .await;
        assert!(matches!(r, Ok(Some(7))), "nothing was absorbed");
        assert!(checkpoint().await.is_ok(), "the scope is over");
    });
}

/// 5001 scopes, each polled inside the one before.
fn nest(levels: u32) -> Pin<Box<dyn Future<Output = Result<u32, Fault>>>> {
    Box::pin(async move {
        if levels == 0 {
            sleep_forever().await?;
        }
        let r = CancelScope::new().run(async |_| nest(levels - 1).await).await;
        assert!(!matches!(r, Ok(None)), "only the outermost was cancelled");
        Ok(r?.unwrap_or_default() + 1)
    })
}

/// Case 32. 5001 scopes nested in one task; the outermost is cancelled while all are open.
///
/// A nested future is polled through the stacks of those around it, so this thread's is large.
#[test]
fn five_thousand_scopes_in_one_task_end_when_the_outermost_is_cancelled() {
    let deep = || {
        run_virtual(async {
            let r = CancelScope::new()
                .run(async |outermost| {
                    let mut inside = nest(5000);
                    match select(&mut inside, pin!(wait_until_idle())).await {
                        Either::Left(_) => unreachable!("nobody has cancelled it"),
                        Either::Right((idle, _)) => idle?,
                    }
                    outermost.cancel();
                    inside.await
                })
                .await;
            assert!(matches!(r, Ok(None)));
            assert!(checkpoint().await.is_ok());
        });
    };
    std::thread::Builder::new().stack_size(1 << 30).spawn(deep).unwrap().join().unwrap();
}

/// Opens a nursery with one static child, which does the same.
fn tower(levels: u32, open: Rc<Cell<u32>>) -> Pin<Box<dyn Future<Output = Result<(), Fault>>>> {
    Box::pin(async move {
        open.set(open.get() + 1);
        Run::nursery(async |n| {
            if levels > 0 {
                n.spawn_static(tower(levels - 1, Rc::clone(&open)));
            }
            sleep_forever().await?;
            Ok(())
        })
        .await
    })
}

/// Case 32. The walk through the tree needs no stack: scopes nested across tasks, on an ordinary stack.
#[test]
fn twenty_thousand_nurseries_below_each_other_end_when_the_outermost_scope_is_cancelled() {
    run_virtual(async {
        let open = Rc::new(Cell::new(0));
        let r = CancelScope::new()
            .run(async |outermost| {
                Run::nursery(async |n| {
                    n.spawn_static(tower(20_000, Rc::clone(&open)));
                    wait_until_idle().await?;
                    assert_eq!(open.get(), 20_001);
                    outermost.cancel();
                    Ok(())
                })
                .await
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(stats().tasks, 1, "main alone is left");
    });
}

/// A cancel reaches a leaf in whatever combinator it waits: it registers its own waker.
#[test]
fn cancel_reaches_leaves_inside_futures_unordered() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = move_on_after(5 * S, async |_| {
            let mut leaves: FuturesUnordered<_> = (0..10).map(|_| sleep(3600 * S)).collect();
            for _ in 0..9 {
                assert!(leaves.next().await.expect("ten leaves").is_err());
            }
            leaves.next().await.expect("ten leaves")?;
            Ok(())
        })
        .await;
        assert!(matches!(r, Ok(None)));
    });
}

#[test]
fn cancel_reaches_leaves_inside_join_and_select() {
    in_every_order(async || {
        let seen = Cell::new(0);
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                let leaf = async || {
                    let r = sleep_forever().await;
                    seen.set(seen.get() + 1);
                    r
                };
                let either = async {
                    match select(pin!(leaf()), pin!(leaf())).await {
                        Either::Left((r, _)) | Either::Right((r, _)) => r,
                    }
                };
                let all = join(either, join_all([leaf(), leaf(), leaf()]));
                let (cancel, (one, three)) = join(
                    async {
                        wait_until_idle().await?;
                        s.cancel();
                        Ok::<_, Cancelled>(())
                    },
                    all,
                )
                .await;
                cancel?;
                assert!(three.iter().all(Result::is_err));
                one?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(seen.get(), 4, "three of the join, one of the select");
    });
}

/// A loop that throws every `Cancelled` away neither holds the thread nor goes unnoticed.
#[test]
fn an_ignored_cancel_in_a_loop_yields_and_is_counted() {
    const SPINS: u64 = 10_000;
    run_virtual(async {
        let spins = Cell::new(0);
        let before = stats().swallowed;
        let (child, place) = (Cell::new(None), line!() + 2);
        let r = Run::nursery(async |n| {
            n.spawn(async {
                child.set(current_task());
                while spins.get() < SPINS {
                    let _ = sleep(S).await;
                    spins.set(spins.get() + 1);
                }
                Ok(())
            });
            n.cancel();
            // The neighbour gets its turns meanwhile.
            for turn in 1..=20 {
                checkpoint().await?;
                let seen = spins.get();
                assert!(seen < SPINS, "turn {turn} of the neighbour came only after {seen} spins");
            }
            assert!(spins.get() > 0, "the spinning child has had turns too");
            let child = child.get().expect("it runs");
            let told = format!("cancellation.rs:{place}:15: ready, has swallowed {} of its", spins.get());
            assert!(
                dump().lines().any(|l| l.contains(&format!("{child}, ")) && l.contains(&told)),
                "{}",
                dump()
            );
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        assert_eq!(stats().swallowed - before, SPINS);
        assert_eq!(stats().last_swallowed_by, child.get(), "counted, and located");
        assert_eq!(stats().last_swallowed_at.map(|at| (at.file(), at.line())), Some((file!(), place)));
    });
}

/// The same for a static child: its budget is its own.
#[test]
fn an_ignored_cancel_in_a_static_child_does_not_hold_the_thread() {
    run_virtual(async {
        let spins = Rc::new(Cell::new(0u64));
        let stop = Rc::new(Cell::new(false));
        let r = Run::nursery(async |n| {
            let (s, t) = (Rc::clone(&spins), Rc::clone(&stop));
            n.spawn_static(async move {
                while !t.get() {
                    let _ = sleep_forever().await;
                    s.set(s.get() + 1);
                }
                Ok(())
            });
            n.cancel();
            for _ in 0..20 {
                yield_now().await;
            }
            stop.set(true);
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        assert!(spins.get() > 0);
    });
}

// ---- who absorbs -----------------------------------------------------------------------------------------

/// Case 34. s1 ⊃ s2 ⊃ s3, and s3, then s2 are cancelled: s2 absorbs.
#[test]
fn the_outermost_cancelled_scope_absorbs() {
    in_every_order(async || {
        let r1: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s1| {
                let inner: RefCell<Option<ScopeHandle>> = RefCell::default();
                let r2: Result<Option<()>, Fault> = CancelScope::new()
                    .run(async |s2| {
                        let r3: Result<Option<()>, Fault> = CancelScope::new()
                            .run(async |s3| {
                                *inner.borrow_mut() = Some(s3.handle());
                                s3.cancel();
                                s2.cancel();
                                sleep_forever().await?;
                                Ok(())
                            })
                            .await;
                        assert!(matches!(r3, Err(Fault::Cancelled(_))), "s3 is called but not caught");
                        assert!(s2.cancel_called());
                        r3?;
                        Ok(())
                    })
                    .await;
                assert!(matches!(r2, Ok(None)), "s2 is called and caught");
                assert!(!s1.cancel_called());
                assert!(checkpoint().await.is_ok());
                Ok(())
            })
            .await;
        assert!(matches!(r1, Ok(Some(()))), "s1 is neither called nor caught");
    });
}

/// Case 35. The inner scope is shielded while an outer scope's signal is on its way through: it absorbs nothing.
#[test]
fn a_shield_raised_in_flight_absorbs_nothing() {
    in_every_order(async || {
        let outer: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                let inner: Result<Option<()>, Fault> = CancelScope::new()
                    .run(async |inner| {
                        outer.cancel();
                        let r = checkpoint().await;
                        inner.set_shield(true);
                        Ok(r?)
                    })
                    .await;
                assert!(matches!(inner, Err(Fault::Cancelled(_))));
                inner?;
                Ok(())
            })
            .await;
        assert!(matches!(outer, Ok(None)));
    });
}

/// The other half: shielded and cancelled by then, the inner scope absorbs, and the outer one fires again.
#[test]
fn a_scope_that_is_cancelled_behind_a_shield_in_flight_absorbs() {
    in_every_order(async || {
        let outer: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                let inner: Result<Option<()>, Fault> = CancelScope::new()
                    .run(async |inner| {
                        outer.cancel();
                        let r = checkpoint().await;
                        inner.set_shield(true);
                        inner.cancel();
                        Ok(r?)
                    })
                    .await;
                assert!(matches!(inner, Ok(None)), "{}", shape(&inner));
                checkpoint().await?;
                unreachable!("the outer scope is cancelled still")
            })
            .await;
        assert!(matches!(outer, Ok(None)));
    });
}

/// Case 37. A cancelled scope hands an error group on unchanged.
#[test]
fn a_cancelled_scope_passes_a_group_through_unchanged() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                s.cancel();
                Run::nursery(async |n| {
                    n.spawn(async { Err(Fault::Named("E1")) });
                    n.spawn(async { Err(Fault::Named("E2")) });
                    Ok(())
                })
                .await
            })
            .await;
        assert_eq!(shape(&r), "{E1 E2}");
    });
}

/// Case 38. Three cancelled children and one failure below two cancelled scopes: the failure alone comes out, once.
/// (A group never holds a `Cancelled`; a single failure is itself.)
#[test]
fn cancelled_siblings_add_nothing_to_a_failure() {
    in_every_order(async || {
        let ended = Cell::new(0);
        let sleeper = async || {
            let r = sleep_forever().await;
            ended.set(ended.get() + 1);
            r?;
            Ok(())
        };
        let inside = RefCell::new(String::new());
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                let r = Run::nursery(async |n| {
                    n.spawn(sleeper());
                    n.spawn(sleeper());
                    n.cancel();
                    shielded(async |_| wait_until_idle().await).await?;
                    n.spawn(sleeper());
                    outer.cancel();
                    n.spawn(async { Err(Fault::Named("E")) });
                    Ok(())
                })
                .await;
                *inside.borrow_mut() = shape(&r);
                r
            })
            .await;
        assert_eq!((inside.borrow().as_str(), ended.get()), ("E", 3));
        assert_eq!(shape(&r), "E", "the cancelled outer scope lets it pass");
    });
}

/// Case S131.
#[test]
fn a_real_error_wins_over_a_cancelled() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                Run::nursery(async |n| {
                    n.spawn(async {
                        let _on_the_way_out = sleep_forever().await;
                        Err(Fault::Named("E"))
                    });
                    n.spawn(async {
                        sleep_forever().await?;
                        Ok(())
                    });
                    wait_until_idle().await?;
                    s.cancel();
                    checkpoint().await?;
                    Ok(())
                })
                .await
            })
            .await;
        assert_eq!(shape(&r), "E");
    });
}

#[test]
fn cancelling_a_nursery_spares_its_body() {
    in_every_order(async || {
        let ended = Cell::new(false);
        let r = Run::nursery(async |n| {
            n.spawn(async {
                let r = sleep_forever().await;
                ended.set(true);
                r?;
                Ok(())
            });
            n.cancel();
            sleep(S).await?;
            assert!(ended.get());
            Ok(7)
        })
        .await;
        assert!(matches!(r, Ok(7)));
    });
}

/// Trio's `nursery.cancel_scope`: a scope around the nursery.
#[test]
fn a_scope_around_the_nursery_cuts_off_body_and_children() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                Run::nursery(async |n| {
                    n.spawn(async {
                        wait_until_idle().await?;
                        s.cancel();
                        Ok(())
                    });
                    sleep_forever().await?;
                    Ok(())
                })
                .await
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

#[test]
fn children_belong_to_the_scopes_around_the_nursery_not_around_the_spawn() {
    in_every_order(async || {
        let woke = Cell::new(false);
        let r = Run::nursery(async |n| {
            let r: Result<Option<()>, Fault> = CancelScope::new()
                .run(async |s| {
                    n.spawn(async {
                        sleep(S).await?;
                        woke.set(true);
                        Ok(())
                    });
                    s.cancel();
                    check()?;
                    Ok(())
                })
                .await;
            assert!(matches!(r, Ok(None)));
            Ok(())
        })
        .await;
        assert_eq!((shape(&r).as_str(), woke.get()), ("ok", true));
    });
}

// ---- the current scope -----------------------------------------------------------------------------------

/// The current scope travels with the poll: two scopes in one task, by turns, each see their own.
#[test]
fn scopes_of_joined_futures_are_separate() {
    in_every_order(async || {
        let one = CancelScope::new().run(async |s| {
            checkpoint().await?;
            s.cancel();
            yield_now().await;
            assert!(check().is_err());
            yield_now().await;
            checkpoint().await?;
            Ok::<_, Fault>(1)
        });
        let other = CancelScope::new().run(async |s| {
            for _ in 0..10 {
                checkpoint().await?;
                assert!(s.reason().is_none());
            }
            Ok::<_, Fault>(2)
        });
        let bare = async {
            for _ in 0..10 {
                checkpoint().await?;
            }
            Ok::<_, Cancelled>(3)
        };
        let ((one, other), bare) = join(join(one, other), bare).await;
        assert!(matches!(one, Ok(None)));
        assert!(matches!(other, Ok(Some(2))));
        assert!(matches!(bare, Ok(3)));
    });
}

#[test]
fn scopes_inside_futures_unordered_are_separate() {
    in_every_order(async || {
        let timeouts: FuturesUnordered<_> = (1..=10u32)
            .map(|i| {
                move_on_after(i * S, async move |_| {
                    sleep(5 * S + S / 2).await?;
                    Ok::<_, Fault>(i)
                })
            })
            .collect();
        let mut done: Vec<_> = timeouts.filter_map(async |r| r.unwrap()).collect().await;
        done.sort_unstable();
        assert_eq!(done, [6, 7, 8, 9, 10], "those with more time than they needed");
    });
}

/// A nursery inside a combinator beside another one: a failure here is not seen there.
#[test]
fn nurseries_of_joined_futures_are_separate() {
    in_every_order(async || {
        let failing = nursery(async |n| {
            n.spawn(async { Err(Fault::Named("E")) });
            sleep_forever().await?;
            Ok(())
        });
        let healthy = nursery(async |n| {
            let a = n.task(async {
                sleep(S).await?;
                Ok::<_, Fault>(4)
            });
            Ok(a.await? + 1)
        });
        let (failing, healthy) = join(failing, healthy).await;
        assert_eq!(shape(&failing), "E");
        assert!(matches!(healthy, Ok(5)));
    });
}

/// The wakes of children go through the combinator's own waker.
#[test]
fn nurseries_inside_futures_unordered_end_and_fail_on_their_own() {
    in_every_order(async || {
        let several: FuturesUnordered<_> = (0..6_u32)
            .map(|i| {
                Run::nursery(async move |n| {
                    n.spawn_static(async move { Ok(sleep(i * S).await?) });
                    let value = n.task(async move {
                        sleep((6 - i) * S).await?;
                        if i % 2 == 0 { Ok(i) } else { Err(Fault::Named("odd")) }
                    });
                    Ok(value.await?)
                })
            })
            .collect();
        let mut shapes: Vec<_> =
            several.map(|r| r.map_or_else(|e| shape(&Err::<(), _>(e)), |i| i.to_string())).collect().await;
        shapes.sort_unstable();
        assert_eq!(shapes, ["0", "2", "4", "odd", "odd", "odd"]);
    });
}

#[test]
fn the_first_reason_stays_and_is_inherited() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .timeout(S)
            .run(async |outer| {
                let inner: Result<Option<()>, Fault> = CancelScope::new()
                    .run(async |inner| {
                        let c = sleep_forever().await.unwrap_err();
                        assert!(matches!(c.reason(), Reason::Deadline));
                        inner.cancel();
                        outer.cancel();
                        assert!(matches!(inner.reason(), Some(Reason::Deadline)), "{:?}", inner.reason());
                        assert!(matches!(check().unwrap_err().reason(), Reason::Deadline));
                        Err(c.into())
                    })
                    .await;
                inner?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}
