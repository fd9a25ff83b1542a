//! Nurseries that are leaked: borrowed children never run again, static ones end with the run, failures are reported.
//!
//! ```text
//!   mem::forget(nursery) ─► the run ends ─► Shutdown ─► static children clean up ─► what failed comes out of run()
//! ```

use crate::by_hand::{message, poll_once, settle};
use crate::fault::{Fault, Run, shape};
use crate::orders::{in_every_order, or_hang};
use crate::{S, family};
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{
    NurseryHandle, Reason, checkpoint, low_level, move_on_after, now, shielded, sleep, sleep_forever,
    yield_now,
};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// What makes borrowing sound: a leaked nursery is never polled again, and so its borrowed children are not.
#[test]
fn a_forgotten_nursery_never_touches_what_its_children_borrowed() {
    in_every_order(async || {
        let mut text = String::from("alive");
        {
            let borrowed = &text;
            let mut open = Box::pin(Run::nursery(async |n| {
                n.spawn(async {
                    yield_now().await;
                    panic!("this child must not run: {borrowed}");
                });
                n.spawn(async {
                    sleep(S).await?;
                    panic!("this child must not run: {borrowed}");
                });
                sleep_forever().await?;
                Ok(())
            }));
            // The body has spawned, the second poll begins the children: the first has woken itself by then.
            assert!(poll_once(open.as_mut()).await.is_pending());
            assert!(poll_once(open.as_mut()).await.is_pending());
            std::mem::forget(open);
        }
        text.clear();
        text.push_str("gone");
        for _ in 0..5 {
            checkpoint().await.unwrap();
        }
        sleep(5 * S).await.unwrap();
        assert_eq!(text, "gone");
    });
}

/// Leaks a nursery whose static children are made by `child`, and returns a handle to it.
async fn leak<F>(child: impl Fn() -> F + 'static) -> NurseryHandle<Fault>
where
    F: Future<Output = Result<(), Fault>> + 'static,
{
    let slot: Rc<RefCell<Option<NurseryHandle<Fault>>>> = Rc::default();
    let s = Rc::clone(&slot);
    let mut open = Box::pin(Run::nursery(async move |n| {
        n.spawn_static(child());
        n.spawn_static(child());
        *s.borrow_mut() = Some(n.handle());
        sleep_forever().await?;
        Ok(())
    }));
    assert!(poll_once(open.as_mut()).await.is_pending());
    wait_until_idle().await.unwrap();
    std::mem::forget(open);
    slot.take().expect("the body has run")
}

#[test]
fn static_children_of_a_leaked_nursery_end_with_the_run_and_are_awaited() {
    let reasons = Rc::new(RefCell::new(Vec::new()));
    let cleaned = Rc::new(Cell::new(0));
    let (r, c) = (Rc::clone(&reasons), Rc::clone(&cleaned));
    let value = run_virtual(async move {
        leak(move || {
            let (r, c) = (Rc::clone(&r), Rc::clone(&c));
            async move {
                let cancelled = sleep_forever().await.unwrap_err();
                r.borrow_mut().push(cancelled.reason().clone());
                shielded(async |_| sleep(S).await).await?;
                c.set(c.get() + 1);
                Err(cancelled.into())
            }
        })
        .await;
        7
    });
    assert_eq!(value, 7);
    assert!(reasons.borrow().iter().all(|r| matches!(r, Reason::Shutdown)), "{:?}", reasons.borrow());
    assert_eq!((reasons.borrow().len(), cleaned.get()), (2, 2));
}

#[test]
fn static_children_of_a_leaked_nursery_go_on_and_can_be_cancelled_by_its_handle() {
    let ended = Rc::new(Cell::new(0));
    let e = Rc::clone(&ended);
    run_virtual(async move {
        let e2 = Rc::clone(&e);
        let handle = leak(move || {
            let e = Rc::clone(&e2);
            async move {
                let r = sleep_forever().await;
                e.set(e.get() + 1);
                r?;
                Ok(())
            }
        })
        .await;
        sleep(S).await.unwrap();
        assert_eq!(e.get(), 0);
        handle.cancel();
        wait_until_idle().await.unwrap();
        assert_eq!(e.get(), 2);
    });
    assert_eq!(ended.get(), 2);
}

/// What a run panics with that leaks a nursery of such children, lives for a second, and ends.
fn report_of_a_leak<F>(child: impl Fn() -> F + 'static) -> Option<String>
where
    F: Future<Output = Result<(), Fault>> + 'static,
{
    let r = catch_unwind(AssertUnwindSafe(|| {
        run_virtual(async move {
            leak(child).await;
            sleep(S).await.unwrap();
        })
    }));
    r.err().map(message)
}

/// "Every error that happened has reached somebody": of a leaked nursery only the run is left to be told.
#[test]
fn a_failure_at_shutdown_in_a_leaked_nursery_is_reported() {
    let text = report_of_a_leak(|| async {
        let _shutdown = sleep_forever().await;
        Err(Fault::Named("E"))
    });
    assert!(text.as_deref().is_some_and(|t| t.contains("leaked")), "{text:?}");
}

#[test]
fn a_failure_before_shutdown_in_a_leaked_nursery_is_reported() {
    let text = report_of_a_leak(|| async {
        sleep(S / 2).await?;
        Err(Fault::Named("E"))
    });
    assert!(text.as_deref().is_some_and(|t| t.contains("leaked")), "{text:?}");
}

#[test]
fn a_panic_in_a_leaked_nursery_is_reported() {
    let text = report_of_a_leak(|| async {
        sleep(S / 2).await?;
        panic!("boom")
    });
    assert!(text.is_some(), "the panic has vanished");
}

#[test]
fn a_leaked_nursery_whose_children_end_well_is_no_error() {
    assert_eq!(report_of_a_leak(|| async { Ok(sleep(S / 2).await?) }), None);
    assert_eq!(report_of_a_leak(|| async { match sleep_forever().await? {} }), None);
}

/// What was leaked in one run does not disturb the next on the same thread.
#[test]
fn a_run_after_leaks_is_as_good_as_new() {
    for _ in 0..3 {
        let r = run_virtual(or_hang(1_000_000 * S, async {
            let mut asleep = Box::pin(sleep(5 * S));
            let mut scope = Box::pin(move_on_after(3 * S, async |_| Ok::<_, Fault>(sleep_forever().await?)));
            let mut open = Box::pin(family());
            assert!(poll_once(asleep.as_mut()).await.is_pending());
            settle(scope.as_mut()).await;
            settle(open.as_mut()).await;
            std::mem::forget((asleep, scope, open));
            let t0 = now();
            let r = family().await;
            assert_eq!(now() - t0, 3 * S);
            r
        }));
        assert!(matches!(r, Ok(8)), "{}", shape(&r));
    }
}

/// Tasks of the system behave the same: cancelled with `Shutdown`, and awaited.
#[test]
fn tasks_of_the_system_end_with_the_run_and_are_awaited() {
    let cleaned = Rc::new(Cell::new(false));
    let c = Rc::clone(&cleaned);
    run_virtual(async move {
        low_level::spawn_system(async move {
            let cancelled = sleep_forever().await.unwrap_err();
            assert!(matches!(cancelled.reason(), Reason::Shutdown));
            let r = shielded(async |_| sleep(S).await).await;
            c.set(r.is_ok());
            low_level::absorb(cancelled);
        });
        checkpoint().await.unwrap();
    });
    assert!(cleaned.get());
}
