//! The scope of the children, while the body runs and after its end: whoever asks for it sees no difference.
//!
//! ```text
//!   body runs: scope ── kids          body ended: scope = kids          asked for since: scope ── kids
//! ```

use super::{Nursery, NurseryHandle, nursery};
use crate::sync::Event;
use crate::{
    CancelScope, Cancelled, Reason, check, checkpoint, now, run, shielded, sleep_forever, stats, yield_now,
};
use std::cell::{Cell, RefCell};
use std::time::Duration;

type Children<'s, 'env> = Nursery<'s, 'env, Cancelled>;

/// How many scopes a child sees; `early` asks for the children's while the body runs, `late` in the child.
async fn scopes_seen(early: bool, late: bool) -> usize {
    let (before, seen) = (stats().scopes, Cell::new(0));
    let r: Result<(), Cancelled> = nursery(async |n: &Children<'_, '_>| {
        if early {
            let _ = n.scope();
        }
        n.spawn(async {
            if late {
                assert!(n.scope().reason().is_none());
            }
            seen.set(stats().scopes - before);
            Ok(())
        });
        Ok(())
    })
    .await;
    assert!(r.is_ok());
    assert_eq!(stats().scopes, before);
    seen.get()
}

#[test]
fn a_nursery_whose_body_has_ended_has_one_scope_until_somebody_asks_for_the_other() {
    run(async {
        assert_eq!(scopes_seen(false, false).await, 1);
        assert_eq!(scopes_seen(true, false).await, 2);
        assert_eq!(scopes_seen(false, true).await, 2);
    });
}

/// The children wait, the body has ended: a cancel of the children reaches them where they wait, at any depth.
#[test]
fn a_late_cancel_reaches_children_that_wait_already() {
    run(async {
        for by_reference in [false, true] {
            let (ended, told) = (Cell::new(0), Event::new());
            let outer: Result<Option<u8>, Cancelled> = CancelScope::new()
                .run(async |_| {
                    nursery(async |n: &Children<'_, '_>| {
                        n.spawn(async {
                            let r = sleep_forever().await;
                            ended.set(ended.get() + 1);
                            r.map(|_| ())
                        });
                        n.spawn(async {
                            let r = CancelScope::new().run(async |_| sleep_forever().await).await;
                            ended.set(ended.get() + 1);
                            r.map(|_: Option<_>| ())
                        });
                        n.spawn(async {
                            yield_now().await;
                            let inside = CancelScope::new()
                                .run(async |_| {
                                    if by_reference {
                                        n.cancel()
                                    } else {
                                        n.handle().cancel()
                                    }
                                    // At once, also in the scope that was entered before.
                                    assert!(check().is_err());
                                    told.set();
                                    Ok::<(), Cancelled>(())
                                })
                                .await;
                            assert!(check().is_err() && inside.is_ok());
                            Ok(())
                        });
                        Ok(7)
                    })
                    .await
                })
                .await;
            assert!(matches!(outer, Ok(Some(7))), "the nursery absorbs its own cancel");
            assert_eq!((ended.get(), told.is_set()), (2, true));
        }
    });
}

/// A sibling failed first: that is the nursery's doing, and not a cancel of the children's scope.
#[test]
fn a_failure_is_not_a_request_to_the_scope_of_the_children() {
    run(async {
        let seen = RefCell::new(None);
        let r: Result<(), Cancelled> = nursery(async |n: &Children<'_, '_>| {
            n.spawn(async {
                let c = sleep_forever().await.unwrap_err();
                let scope = n.scope();
                let called = scope.cancel_called();
                scope.cancel();
                *seen.borrow_mut() = Some((called, scope.cancel_called(), scope.reason()));
                Err(c)
            });
            n.spawn(async {
                checkpoint().await?;
                Err(Cancelled::mint(Reason::NeverStarted))
            });
            Ok(())
        })
        .await;
        assert!(r.is_err_and(|c| matches!(c.reason(), Reason::NeverStarted)));
        let (before, after, reason) = seen.take().expect("it was cancelled");
        assert!(
            !before && after && matches!(reason, Some(Reason::SiblingFailed)),
            "{before} {after} {reason:?}"
        );
    });
}

/// A shield around the children, raised when the body is gone, does not make an outer cancel the nursery's to absorb.
#[test]
fn a_late_shield_of_the_children_hides_nothing_from_the_nursery() {
    run(async {
        let ended = Cell::new(false);
        let r: Result<Option<()>, Cancelled> = CancelScope::new()
            .run(async |outer| {
                let r = nursery(async |n: &Children<'_, '_>| {
                    n.spawn(async {
                        n.scope().set_shield(true);
                        outer.cancel();
                        assert!(check().is_ok());
                        n.cancel();
                        ended.set(true);
                        check()
                    });
                    Ok(())
                })
                .await;
                assert!(r.is_err(), "what a child left undone is the outer scope's");
                r
            })
            .await;
        assert!(matches!(r, Ok(None)) && ended.get());
    });
}

/// The body is gone, but what it polled is parked in the scope that was its own: that stays apart from the children's.
#[test]
fn what_the_body_left_behind_is_not_among_the_children() {
    run(async {
        let left = RefCell::new(None);
        let handle: Cell<Option<NurseryHandle<Cancelled>>> = Cell::new(None);
        let r: Result<(), Cancelled> = nursery(async |n: &Children<'_, '_>| {
            let scope = CancelScope::new();
            let watch = scope.handle();
            let mut inside = Box::pin(scope.run(async |_| sleep_forever().await));
            std::future::poll_fn(|cx| {
                assert!(inside.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            *left.borrow_mut() = Some((inside, watch));
            handle.set(Some(n.handle()));
            n.spawn(async {
                n.cancel();
                let watch = left.borrow().as_ref().map(|(_, watch)| watch.clone()).expect("left there");
                assert!(watch.reason().is_none(), "it is no child's");
                Ok(())
            });
            Ok(())
        })
        .await;
        assert!(r.is_ok() && !handle.take().expect("set").is_open());
    });
}

/// A deadline of the children's scope counts from when it is set, whenever that is.
#[test]
fn a_deadline_of_the_children_counts_before_and_after_the_bodys_end() {
    run(async {
        for late in [false, true] {
            let soon = now() + Duration::from_millis(1);
            let r: Result<(), Cancelled> = nursery(async |n: &Children<'_, '_>| {
                if !late {
                    n.scope().set_deadline(Some(soon));
                }
                n.spawn(async {
                    if late {
                        n.scope().set_deadline(Some(soon));
                    }
                    let c = sleep_forever().await.unwrap_err();
                    assert!(matches!(c.reason(), Reason::Deadline));
                    assert_eq!(n.scope().deadline_at(), Some(soon));
                    shielded(async |_| checkpoint().await).await?;
                    Err(c)
                });
                Ok(())
            })
            .await;
            assert!(r.is_ok());
        }
    });
}
