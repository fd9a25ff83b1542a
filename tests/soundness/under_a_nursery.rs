//! What happens to a run below a nursery that is being polled, and to a nursery that outlives its run.
//!
//! ```text
//!   a nursery ─ polls ─► a child ─┬─ forgets the runtime ─► refused
//!                                 └─ ends the run, has another ─► is put back into its own place
//!   the run is over ─► its nursery is dropped: nothing is left        the thread is over ─► its guest goes, or is leaked
//! ```

use crate::OnDrop;
use crate::by_hand::{message, poll_once};
use crate::fault::{Fault, Run};
use pleach_executor::guest::{Guest, Tick};
use pleach_executor::low_level::{forget_runtime, spawn_system};
use pleach_executor::{checkpoint, run, sleep_forever, stats, yield_now};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::thread;

type Main = Pin<Box<dyn Future<Output = ()>>>;

/// Waits until it is cancelled.
async fn forever() -> Result<(), Fault> {
    sleep_forever().await?;
    Ok(())
}

/// A guest that code inside and outside of it can tick and drop.
fn guest(main: impl Future<Output = ()> + 'static) -> Rc<RefCell<Option<Guest<Main>>>> {
    Rc::new(RefCell::new(Some(Guest::start(Box::pin(main) as Main).unwrap())))
}

/// Whoever polls this polls a task.
async fn cannot_forget() -> Result<(), Fault> {
    let refused = message(catch_unwind(AssertUnwindSafe(forget_runtime)).unwrap_err());
    assert_eq!(refused, "a task is being polled: forget the runtime in a job of between_polls()");
    Ok(())
}

/// Else the loop that polls it would go on in a table that is another, and take a stranger's child for its own.
#[test]
fn who_is_polled_cannot_forget_the_runtime() {
    run(async {
        cannot_forget().await.unwrap();
        let r = Run::nursery(async |n| {
            n.spawn_static(cannot_forget());
            n.spawn(cannot_forget());
            cannot_forget().await
        });
        r.await.unwrap();
    });
    // Also where no loop of ours is below: a nursery that is polled by hand, between two ticks.
    let guest = guest(async { _ = forever().await });
    let mut by_hand = Box::pin(Run::nursery(async |_| cannot_forget().await));
    assert!(by_hand.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    drop(guest);
}

/// A child ends its own run, runs another, and is put back where it was: its siblings and it are dropped once.
#[test]
fn a_child_may_end_the_run_below_the_nursery_that_polls_it() {
    let guest = guest(async { _ = forever().await });
    let (ran, dropped) = (Cell::new(false), Cell::new(0));
    let before = stats().tasks;
    let mut open = Box::pin(Run::nursery(async |n| {
        for ends_it in [false, true, false] {
            let (guest, ran, counts) = (Rc::clone(&guest), &ran, OnDrop(|| dropped.set(dropped.get() + 1)));
            n.spawn(async move {
                let _counts = counts;
                if ends_it {
                    drop(guest.take());
                    let r = run(Run::nursery(async |n| {
                        (0..20).for_each(|_| n.spawn(async { Ok(checkpoint().await?) }));
                        (0..20).for_each(|_| n.spawn_static(async { Ok(checkpoint().await?) }));
                        Ok::<_, Fault>(())
                    }));
                    ran.set(r.is_ok());
                }
                loop {
                    yield_now().await;
                }
            });
        }
        Ok::<(), Fault>(())
    }));
    let mut cx = Context::from_waker(Waker::noop());
    while !ran.get() {
        assert!(open.as_mut().poll(&mut cx).is_pending());
    }
    drop(open);
    assert_eq!((dropped.get(), stats().tasks), (3, before - 1), "and main is gone");
    assert_eq!(run(async { 7 }), 7);
}

/// Its body's node goes with it, whatever number the executor has by then.
#[test]
fn a_nursery_that_outlives_its_run_leaves_nothing() {
    let before = stats().tasks;
    for later in [false, true] {
        let mut outlives: Pin<Box<dyn Future<Output = Result<(), Fault>>>> =
            Box::pin(Run::nursery(async |n| {
                n.spawn(forever());
                n.spawn_static(forever());
                forever().await
            }));
        run(async { assert!(poll_once(outlives.as_mut()).await.is_pending()) });
        if later {
            run(async move { drop(outlives) })
        } else {
            drop(outlives)
        }
        assert_eq!(stats().tasks, before, "dropped in a later run: {later}");
    }
}

/// The thread ends, and its runtime was dropped before the guest is, or the guest never is.
#[test]
fn a_thread_may_end_with_a_guest_in_its_hands() {
    thread_local! { static KEPT: RefCell<Option<Guest<Main>>> = const { RefCell::new(None) }; }
    let start = || {
        let mut guest = Guest::start(Box::pin(async {
            spawn_system(async {
                let _asks = OnDrop(|| assert!(stats().tasks > 0));
                let _cancelled = forever().await;
            });
            let _cancelled = forever().await;
        }) as Main)
        .unwrap();
        assert!(matches!(guest.tick(), Tick::Idle { .. }));
        guest
    };
    let kept = thread::spawn(move || {
        assert!(KEPT.take().is_none(), "its destructor is later than that of the runtime");
        KEPT.set(Some(start()));
    });
    kept.join().unwrap();
    thread::spawn(move || std::mem::forget(start())).join().unwrap();
}
