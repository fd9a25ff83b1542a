//! Promise: a scope may be cancelled before it is entered, from elsewhere while it is open, and after its end without effect.
//!
//! ```text
//!   CancelScope::new() ── cancel ─► the first checkpoint inside fails
//!        └─ run(…), here or in another task ── cancel by a handle ─► what waits inside fails, this scope absorbs
//!                  └─ over ── cancel ─► nothing
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested. That a scope is
//! entered once is the compiler's to hold: `compile_fail/scope_is_entered_twice.rs`.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::settle;
use fault::{Fault, Run, shape};
use orders::in_every_order;
use pleach_executor::sync::Event;
use pleach_executor::testing::wait_until_idle;
use pleach_executor::{CancelScope, check, checkpoint, fail_after, now, sleep, sleep_forever, stats};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// Case 73. A scope that is cancelled before it is entered: the first wait inside fails, and this scope absorbs it; a time
/// limit inside it is not what ran out.
#[test]
fn a_scope_cancelled_before_its_entry_fails_the_first_wait_inside() {
    in_every_order(async || {
        let start = now();
        let scope = CancelScope::new();
        assert!(!scope.cancel_called());
        scope.cancel();
        assert!(scope.cancel_called() && scope.reason().is_some());
        assert!(checkpoint().await.is_ok(), "nobody is inside yet");
        let r: Result<Option<()>, Fault> = scope
            .run(async |_| {
                let inner: Result<(), Fault> = fail_after(S, async |_| {
                    sleep_forever().await?;
                    Ok(())
                })
                .await;
                assert_eq!(shape(&inner), "Cancelled", "and not too slow");
                inner
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(now(), start);
    });
}

/// Case 74. A scope is made here, entered in another task, and cancelled here: before that task has run, while it waits
/// inside, and when what it waits for is there but not seen. It absorbs, and the task ends well.
#[test]
fn a_scope_entered_in_another_task_is_cancelled_by_its_maker() {
    for window in ["before the first poll", "parked", "woken but not polled"] {
        for is_static in [false, true] {
            in_every_order(async || {
                let (scope, up, absorbed) =
                    (CancelScope::new(), Rc::new(Event::new()), Rc::new(Cell::new(false)));
                let handle = scope.handle();
                let child = {
                    let (up, absorbed) = (Rc::clone(&up), Rc::clone(&absorbed));
                    async move {
                        let r: Result<Option<()>, Fault> = scope
                            .run(async |_| {
                                up.wait().await?;
                                sleep_forever().await?;
                                Ok(())
                            })
                            .await;
                        absorbed.set(matches!(r, Ok(None)));
                        checkpoint().await?;
                        Ok(())
                    }
                };
                let r = Run::nursery(async |n| {
                    if is_static {
                        n.spawn_static(child)
                    } else {
                        n.spawn(child)
                    }
                    if window != "before the first poll" {
                        wait_until_idle().await?;
                        assert_eq!(up.waiting(), 1);
                    }
                    if window == "woken but not polled" {
                        up.set();
                    }
                    handle.cancel();
                    assert!(handle.cancel_called() && check().is_ok(), "that scope alone");
                    wait_until_idle().await?;
                    assert_eq!((n.stats().children, up.waiting()), (0, 0));
                    Ok(())
                })
                .await;
                assert_eq!((shape(&r).as_str(), absorbed.get()), ("ok", true), "{window}");
            });
        }
    }
}

/// Where a scope is polled decides what it hangs below, not where it was made: the maker's scope may end, or be cancelled.
#[test]
fn a_scope_belongs_to_where_it_is_entered() {
    in_every_order(async || {
        let made_inside = Cell::new(None);
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |maker| {
                made_inside.set(Some(CancelScope::new()));
                maker.cancel();
                checkpoint().await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
        let scope = made_inside.take().expect("made");
        let r: Result<Option<()>, Fault> = scope
            .run(async |_| {
                sleep(S).await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(Some(()))), "the maker's cancel is not its own");

        let made_outside = CancelScope::new();
        let r: Result<Option<Option<()>>, Fault> = CancelScope::new()
            .timeout(S)
            .run(async |_| {
                made_outside
                    .run(async |_| {
                        sleep_forever().await?;
                        Ok(())
                    })
                    .await
            })
            .await;
        assert!(matches!(r, Ok(None)), "the deadline around the entry is seen inside");
    });
}

/// A scope that is over, or was never entered, is gone: its handle does nothing, to the scope that comes after it neither.
#[test]
fn the_handle_of_a_scope_that_is_over_does_nothing() {
    in_every_order(async || {
        let scopes = stats().scopes;
        let entered = CancelScope::new();
        let never_entered = CancelScope::new();
        assert_eq!(stats().scopes, scopes + 2);
        let handles = [entered.handle(), never_entered.handle()];
        drop(never_entered);
        let r: Result<Option<()>, Fault> = entered
            .run(async |_| {
                checkpoint().await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(Some(()))));
        assert_eq!(stats().scopes, scopes);
        let (one, other) = (CancelScope::new(), CancelScope::new());
        for handle in &handles {
            handle.cancel();
            handle.set_shield(true);
            handle.set_deadline(Some(now()));
            assert!(!handle.cancel_called() && handle.reason().is_none());
        }
        for scope in [one, other] {
            let r: Result<Option<()>, Fault> = scope
                .run(async |s| {
                    checkpoint().await?;
                    assert!(!s.cancel_called());
                    Ok(())
                })
                .await;
            assert!(matches!(r, Ok(Some(()))));
        }
    });
}

/// A scope whose code is dropped half way, cancelled or not, leaves nothing behind.
#[test]
fn a_scope_dropped_half_way_leaves_nothing() {
    for cancelled in [false, true] {
        in_every_order(async || {
            let before = stats();
            let scope = CancelScope::new().timeout(S);
            let handle = scope.handle();
            let mut inside = Box::pin(scope.run(async |_| {
                sleep_forever().await?;
                Ok::<_, Fault>(())
            }));
            settle(inside.as_mut()).await;
            assert_eq!((stats().scopes, stats().timers), (before.scopes + 1, before.timers + 1));
            if cancelled {
                handle.cancel();
            }
            drop(inside);
            assert_eq!((stats().scopes, stats().timers), (before.scopes, before.timers));
            sleep(2 * S).await.unwrap();
            assert!(check().is_ok());
        });
    }
}

/// Case X4. The text of a scope says how far it is, when it ends or ended, and that it is cancelled; to look changes nothing.
#[test]
fn a_scope_as_text_says_how_far_it_is_and_when_it_ends() {
    let says = |text: String, parts: &[&str]| {
        assert!(parts.iter().all(|part| text.contains(part)), "{text} has not all of {parts:?}");
    };
    in_every_order(async || {
        let scope = CancelScope::new();
        says(format!("{scope:?}"), &["CancelScope", "Unbound", "deadline: None", "cancelled: None"]);
        let limited = CancelScope::new().timeout(2 * S);
        says(format!("{limited:?}"), &["Unbound", "deadline: 2.00s after it is entered"]);
        let handle = scope.handle();
        let r: Result<Option<()>, Fault> = scope
            .run(async |s| {
                says(format!("{s:?}"), &["Active", "deadline: None", "cancelled: None"]);
                s.set_deadline(Some(now() + 10 * S));
                says(format!("{s:?}"), &["Active", "deadline: in 10.00s", "cancelled: None"]);
                let past = now();
                sleep(S).await?;
                s.set_deadline(Some(past));
                says(format!("{s:?}"), &["Active", "deadline: 1.00s ago", "cancelled: Some(Deadline)"]);
                check()?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
        says(format!("{handle:?}"), &["ScopeHandle", "Exited", "deadline: None", "cancelled: None"]);
    });
    let leaked = pleach_executor::run(async { CancelScope::new().handle() });
    says(format!("{leaked:?}"), &["Exited"]);
}
