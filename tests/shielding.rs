//! Promise: a shield bars what comes from outside and nothing else, at any moment at which it is raised or lowered.
//!
//! ```text
//!   outer (cancelled) ─╳─ shield ─► inner: not cancelled        inner.cancel(), its deadline, scopes inside: all work
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
    CancelScope, checkpoint, fail_after, move_on_after, now, shielded, sleep, sleep_forever, yield_now,
};
use std::cell::Cell;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// Case 40. The shield of an inner scope is raised, lowered and raised again under a cancelled outer scope.
#[test]
fn a_shield_can_be_raised_and_lowered_under_a_cancelled_scope() {
    in_every_order(async || {
        let r: Result<Option<Option<()>>, Fault> = CancelScope::new()
            .run(async |outer| {
                CancelScope::new()
                    .run(async |inner| {
                        outer.cancel();
                        assert!(checkpoint().await.is_err());
                        inner.set_shield(true);
                        assert!(checkpoint().await.is_ok());
                        inner.set_shield(false);
                        assert!(checkpoint().await.is_err());
                        inner.set_shield(true);
                        assert!(checkpoint().await.is_ok());
                        Ok(())
                    })
                    .await
            })
            .await;
        assert!(matches!(r, Ok(Some(Some(())))), "nothing was handed back, so nothing was absorbed");
    });
}

/// Case 41. A scope inside a shielded one is cancelled: it works in there, and in there only.
#[test]
fn a_scope_inside_a_shield_can_be_cancelled() {
    in_every_order(async || {
        let r: Result<Option<Option<()>>, Fault> = CancelScope::new()
            .run(async |outer| {
                CancelScope::new()
                    .shield()
                    .run(async |_| {
                        outer.cancel();
                        assert!(checkpoint().await.is_ok());
                        let innermost: Result<Option<()>, Fault> = CancelScope::new()
                            .run(async |s| {
                                s.cancel();
                                assert!(checkpoint().await.is_err());
                                checkpoint().await?;
                                Ok(())
                            })
                            .await;
                        assert!(matches!(innermost, Ok(None)));
                        assert!(checkpoint().await.is_ok());
                        Ok(())
                    })
                    .await
            })
            .await;
        assert!(matches!(r, Ok(Some(Some(())))));
    });
}

/// Case 43. A shield hides the outer cancel, and not the scope's own.
#[test]
fn a_shield_does_not_hide_the_scopes_own_cancel() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                outer.cancel();
                let inner: Result<Option<()>, Fault> = CancelScope::new()
                    .run(async |scope2| {
                        assert!(checkpoint().await.is_err());
                        assert!(checkpoint().await.is_err());
                        scope2.set_shield(true);
                        assert!(checkpoint().await.is_ok());
                        scope2.cancel();
                        checkpoint().await?;
                        Ok(())
                    })
                    .await;
                assert!(matches!(inner, Ok(None)), "its own cancel, behind its shield: its own to absorb");
                checkpoint().await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

/// Case 44. Lowering the shield of a nursery's children cancels them, although the body has not ended.
#[test]
fn lowering_a_nurserys_shield_cancels_a_sleeping_child() {
    in_every_order(async || {
        let cancelled = Cell::new(false);
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                Run::nursery(async |n| {
                    outer.cancel();
                    n.scope().set_shield(true);
                    n.spawn(async {
                        let r = sleep_forever().await;
                        cancelled.set(true);
                        r?;
                        Ok(())
                    });
                    shielded(async |_| {
                        wait_until_idle().await?;
                        assert!(!cancelled.get(), "asleep behind the shield");
                        n.scope().set_shield(false);
                        wait_until_idle().await?;
                        assert!(cancelled.get(), "and cancelled without it");
                        assert_eq!(n.stats().children, 0);
                        Ok(())
                    })
                    .await
                })
                .await
            })
            .await;
        assert!(matches!(r, Ok(None)), "{}", shape(&r));
    });
}

/// Case 44. The same for a static child.
#[test]
fn lowering_a_nurserys_shield_cancels_a_sleeping_static_child() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                Run::nursery(async |n| {
                    outer.cancel();
                    n.scope().set_shield(true);
                    n.spawn_static(async {
                        sleep_forever().await?;
                        Ok(())
                    });
                    shielded(async |_| {
                        wait_until_idle().await?;
                        assert_eq!(n.stats().children, 1);
                        n.scope().set_shield(false);
                        wait_until_idle().await?;
                        assert_eq!(n.stats().children, 0);
                        Ok(())
                    })
                    .await
                })
                .await
            })
            .await;
        assert!(matches!(r, Ok(None)), "{}", shape(&r));
    });
}

/// Case 46. `move_on_after` and `fail_after` with a shield, under a scope that is cancelled then.
#[test]
fn a_shielded_timeout_hides_the_outer_cancel_until_the_shield_is_lowered() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                let r = move_on_after(10 * S, async |inner| {
                    inner.set_shield(true);
                    outer.cancel();
                    assert!(checkpoint().await.is_ok());
                    inner.set_shield(false);
                    checkpoint().await?;
                    Ok::<(), Fault>(())
                })
                .await;
                assert!(matches!(r, Err(Fault::Cancelled(_))), "the outer scope's, not its own");
                r?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));

        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                let r: Result<(), Fault> = fail_after(10 * S, async |inner| {
                    inner.set_shield(true);
                    outer.cancel();
                    assert!(checkpoint().await.is_ok());
                    inner.set_shield(false);
                    checkpoint().await?;
                    Ok(())
                })
                .await;
                assert!(matches!(r, Err(Fault::Cancelled(_))), "and so not too slow");
                r
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

/// Case 47. A shielded timeout under a cancelled scope ends by its own deadline, not before and not after.
#[test]
fn a_shielded_timeout_ends_by_its_own_deadline() {
    in_every_order(async || {
        let start = now();
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                outer.cancel();
                let inner: Result<Option<()>, Fault> = CancelScope::new()
                    .shield()
                    .timeout(3 * S)
                    .run(async |_| {
                        sleep_forever().await?;
                        Ok(())
                    })
                    .await;
                assert!(matches!(inner, Ok(None)), "its own deadline, its own to absorb");
                assert_eq!(now() - start, 3 * S);
                checkpoint().await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

#[test]
fn shielded_child_survives_outer_cancel() {
    in_every_order(async || {
        let start = now();
        let cleaned = Cell::new(false);
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                Run::nursery(async |n| {
                    n.spawn(async {
                        let r = sleep_forever().await;
                        shielded(async |_| sleep(2 * S).await).await?;
                        cleaned.set(true);
                        r?;
                        Ok(())
                    });
                    sleep(S).await?;
                    outer.cancel();
                    Ok(())
                })
                .await
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert!(cleaned.get());
        assert_eq!(now() - start, 3 * S, "the nursery waited for the clean-up");
    });
}

/// A shield that is raised when the signal has been delivered comes too late for it, and protects what follows.
#[test]
fn a_shield_raised_after_delivery_protects_later_checkpoints_only() {
    in_every_order(async || {
        let (delivered, raised, protected) = (Cell::new(false), Cell::new(false), Cell::new(false));
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                Run::nursery(async |n| {
                    let inner = CancelScope::new();
                    let handle = inner.handle();
                    n.spawn(async {
                        inner
                            .run(async |_| {
                                delivered.set(sleep_forever().await.is_err());
                                while !raised.get() {
                                    yield_now().await;
                                }
                                protected.set(checkpoint().await.is_ok());
                                Ok::<_, Fault>(())
                            })
                            .await?;
                        Ok(())
                    });
                    wait_until_idle().await?;
                    outer.cancel();
                    while !delivered.get() {
                        yield_now().await;
                    }
                    handle.set_shield(true);
                    raised.set(true);
                    Ok(())
                })
                .await
            })
            .await;
        assert!(matches!(r, Ok(Some(()))), "{}", shape(&r));
        assert!(delivered.get() && protected.get(), "delivered once; a later checkpoint is protected");
    });
}
