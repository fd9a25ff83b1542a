//! Promise: a `Cancelled` says why, the first reason of a scope stays, and the text says all of it and nothing more.
//!
//! ```text
//!   cancel() ─► Requested { by }   deadline ─► Deadline   cancel_because(c) ─► External(c)   a child fails ─► SiblingFailed
//!        └──────── the first one ─► scope.reason() ─► every Cancelled below ─► "cancelled: …"
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, Run, shape};
use orders::in_every_order;
use pleach_executor::low_level::{between_polls, spawn_system};
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{
    CancelCause, CancelScope, Cancelled, Instant, Reason, Started, TaskId, check, checkpoint, current_task,
    shielded, sleep, sleep_forever,
};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// A cause of an upper layer.
#[derive(Debug)]
struct Says(&'static str);

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl CancelCause for Says {}

/// The task that calls this.
fn me() -> TaskId {
    current_task().expect("a task calls this")
}

/// Who requested this cancel, if it was requested.
fn requested_by(reason: &Reason) -> Option<TaskId> {
    if let Reason::Requested { by } = reason { *by } else { None }
}

/// Case 77. A requested cancel says so, and which task requested it.
#[test]
fn a_requested_cancel_names_the_task_that_requested_it() {
    for is_static in [false, true] {
        in_every_order(async || {
            let scope = CancelScope::new();
            let handle = scope.handle();
            let canceller = Rc::new(Cell::new(None));
            let r = Run::nursery(async |n| {
                let c = Rc::clone(&canceller);
                let child = async move {
                    c.set(Some(me()));
                    handle.cancel();
                    Ok(())
                };
                if is_static {
                    n.spawn_static(child)
                } else {
                    n.spawn(child)
                }
                let r: Result<Option<()>, Fault> = scope
                    .run(async |s| {
                        let c = sleep_forever().await.unwrap_err();
                        let by = requested_by(c.reason());
                        assert!(by.is_some() && by == canceller.get() && by != Some(me()));
                        assert_eq!(
                            s.reason().as_ref().and_then(requested_by),
                            by,
                            "and the scope says the same"
                        );
                        Err(c.into())
                    })
                    .await;
                assert!(matches!(r, Ok(None)));
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
        });
    }
}

/// Case 77. The same for a nursery, cancelled by its body, by a child, or by a handle elsewhere.
#[test]
fn a_cancelled_nursery_names_the_task_that_cancelled_it() {
    for canceller in ["the body", "a child", "a handle"] {
        in_every_order(async || {
            let (asked, told) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
            let r = Run::nursery(async |n| {
                let t = Rc::clone(&told);
                n.spawn_static(async move {
                    let c = sleep_forever().await.unwrap_err();
                    t.set(requested_by(c.reason()));
                    Err(c.into())
                });
                wait_until_idle().await?;
                match canceller {
                    "the body" => {
                        asked.set(Some(me()));
                        n.cancel();
                    }
                    "a child" => n.spawn(async {
                        asked.set(Some(me()));
                        n.cancel();
                        Ok(())
                    }),
                    _ => {
                        let (asked, handle) = (Rc::clone(&asked), n.handle());
                        n.spawn_static(async move {
                            asked.set(Some(me()));
                            handle.cancel();
                            Ok(())
                        });
                    }
                }
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
            assert!(told.get().is_some() && told.get() == asked.get(), "by {canceller}");
        });
    }
}

/// Case 77. A cause of an upper layer arrives as itself.
/// Case S233.
#[test]
fn a_cause_of_an_upper_layer_arrives_as_itself() {
    in_every_order(async || {
        let hello: Arc<dyn CancelCause> = Arc::new(Says("hello"));
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                s.cancel_because(Arc::clone(&hello));
                let c = checkpoint().await.unwrap_err();
                let Reason::External(cause) = c.reason() else { panic!("{c:?}") };
                assert!(Arc::ptr_eq(cause, &hello));
                assert_eq!(c.to_string(), "cancelled: hello");
                Err(c.into())
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(Arc::strong_count(&hello), 1, "and goes with its scope");
    });
}

/// Case 79. A deadline that passes after a request changes nothing: who requested it still stands there.
#[test]
fn a_deadline_does_not_overwrite_a_request() {
    in_every_order(async || {
        let scope = CancelScope::new();
        let (handle, canceller) = (scope.handle(), Cell::new(None));
        let r = Run::nursery(async |n| {
            n.spawn(async {
                canceller.set(Some(me()));
                handle.cancel();
                Ok(())
            });
            let r: Result<Option<()>, Fault> = scope
                .run(async |s| {
                    assert!(sleep_forever().await.is_err());
                    s.set_deadline(Some(Instant::from_nanos(0)));
                    s.cancel();
                    s.cancel_because(Arc::new(Says("later")));
                    let c = checkpoint().await.unwrap_err();
                    assert!(canceller.get().is_some());
                    assert_eq!(requested_by(c.reason()), canceller.get());
                    Err(c.into())
                })
                .await;
            assert!(matches!(r, Ok(None)));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case 80. A request after the deadline changes nothing: nobody requested it, and no cause is named.
#[test]
fn a_request_does_not_overwrite_a_deadline() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                s.set_deadline(Some(Instant::from_nanos(0)));
                s.cancel();
                s.cancel_because(Arc::new(Says("later")));
                for _ in 0..2 {
                    let c = checkpoint().await.unwrap_err();
                    assert!(matches!(c.reason(), Reason::Deadline), "{c:?}");
                }
                assert!(matches!(s.reason(), Some(Reason::Deadline)));
                checkpoint().await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

/// The reason of the scope through which the cancel came is what is seen below, until a shield hides it.
#[test]
fn a_scope_shows_the_reason_of_the_scope_that_cancelled_it() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                let r: Result<Option<()>, Fault> = CancelScope::new()
                    .run(async |inner| {
                        outer.cancel_because(Arc::new(Says("from outside")));
                        assert_eq!(check().unwrap_err().to_string(), "cancelled: from outside");
                        assert!(!inner.cancel_called(), "it is the outer scope's");
                        inner.set_shield(true);
                        assert!(inner.reason().is_none() && check().is_ok());
                        inner.cancel_because(Arc::new(Says("from inside")));
                        assert_eq!(check().unwrap_err().to_string(), "cancelled: from inside");
                        checkpoint().await?;
                        Ok(())
                    })
                    .await;
                assert!(matches!(r, Ok(None)), "its own, behind its shield");
                checkpoint().await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

/// Case 82. A child fails while a sibling sleeps: the sibling is told that another task of the nursery failed, and may
/// fail in its turn. (Which one failed, and with what, is what comes out of the nursery.)
#[test]
fn a_sibling_of_a_failed_child_is_told_so_and_may_fail_too() {
    for is_static in [false, true] {
        in_every_order(async || {
            let told = Rc::new(RefCell::new(None));
            let r = Run::nursery(async |n| {
                let t = Rc::clone(&told);
                n.spawn_static(async move {
                    *t.borrow_mut() = Some(sleep_forever().await.unwrap_err());
                    Err(Fault::Named("E2"))
                });
                wait_until_idle().await?;
                let failing = async { Err(Fault::Named("E1")) };
                if is_static {
                    n.spawn_static(failing)
                } else {
                    n.spawn(failing)
                }
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "{E1 E2}");
            let told: Option<Cancelled> = told.take();
            assert!(matches!(told.expect("it slept").reason(), Reason::SiblingFailed));
        });
    }
}

/// Case 83. A `start()` fails before the child is ready, and the body with it: the siblings see that another task of the
/// nursery, here its body, failed; that one error comes out.
#[test]
fn siblings_of_a_body_whose_start_fails_are_told_so() {
    in_every_order(async || {
        let told = Cell::new(None);
        let r: Result<(), Fault> = Run::nursery(async |n| {
            n.spawn(async {
                let c = sleep_forever().await.unwrap_err();
                told.set(Some(matches!(c.reason(), Reason::SiblingFailed)));
                Err(c.into())
            });
            wait_until_idle().await?;
            n.start(async |_: Started<()>| Err(Fault::Named("E"))).await?;
            unreachable!("the start has failed")
        })
        .await;
        assert_eq!((shape(&r).as_str(), told.get()), ("E", Some(true)));
    });
}

/// The text of the `Cancelled` in a scope that `act` has cancelled.
async fn text_after(act: impl AsyncFnOnce(&CancelScope)) -> String {
    let text = RefCell::new(String::new());
    let r: Result<Option<()>, Fault> = CancelScope::new()
        .run(async |s| {
            act(s).await;
            let c = checkpoint().await.unwrap_err();
            *text.borrow_mut() = c.to_string();
            Err(c.into())
        })
        .await;
    assert!(matches!(r, Ok(None)));
    text.into_inner()
}

/// Case 85. The text names the source, and who requested it or what caused it only if there is one.
#[test]
fn the_text_of_a_cancelled_says_what_is_known_and_no_more() {
    in_every_order(async || {
        assert_eq!(text_after(async |s| s.cancel()).await, format!("cancelled: requested by {}", me()));
        let by_nobody = text_after(async |s| {
            let handle = s.handle();
            between_polls(move || handle.cancel());
        });
        assert_eq!(by_nobody.await, "cancelled: requested");
        let due = text_after(async |s| {
            s.set_deadline(Some(Instant::from_nanos(0)));
            s.cancel();
        });
        assert_eq!(due.await, "cancelled: the deadline passed");
        let hello = text_after(async |s| s.cancel_because(Arc::new(Says("hello"))));
        assert_eq!(hello.await, "cancelled: hello");
        let never = Run::nursery(async |n| n.start::<()>(async |_| Ok(())).await).await;
        let Err(Fault::Cancelled(c)) = never else { panic!("{}", shape(&never)) };
        assert_eq!(c.to_string(), "cancelled: the child ended without calling Started::set");
        let text = RefCell::new(String::new());
        let r: Result<(), Fault> = Run::nursery(async |n| {
            n.spawn(async {
                *text.borrow_mut() = sleep_forever().await.unwrap_err().to_string();
                Ok(())
            });
            wait_until_idle().await?;
            Err(Fault::Named("E"))
        })
        .await;
        assert_eq!(
            (shape(&r).as_str(), text.borrow().as_str()),
            ("E", "cancelled: another task of the nursery failed")
        );
    });
}

/// Case 85. What is left when main has ended is told that the run is over, and has the time to clean up.
#[test]
fn what_outlives_main_is_told_that_the_run_is_over() {
    let log = Rc::new(RefCell::new(Vec::new()));
    run_virtual(async {
        let log = Rc::clone(&log);
        spawn_system(async move {
            let c = sleep_forever().await.unwrap_err();
            assert!(matches!(c.reason(), Reason::Shutdown));
            log.borrow_mut().push(c.to_string());
            let cleaned: Result<(), Cancelled> = shielded(async |_| sleep(S).await).await;
            log.borrow_mut().push(format!("cleaned up: {}", cleaned.is_ok()));
        });
        checkpoint().await.unwrap();
    });
    assert_eq!(*log.borrow(), ["cancelled: the run is over", "cleaned up: true"]);
}
