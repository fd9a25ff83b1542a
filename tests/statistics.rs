//! Promise: what a run says about itself is true at that moment, and so is what the things say that its tasks wait for.
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/fault.rs"]
mod fault;

use fault::{Fault, Run, shape};
use pleach_executor::net::UnixStream;
use pleach_executor::parking::ParkingLot;
use pleach_executor::sync::{Barrier, Condition, Event, Lock};
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{
    CancelScope, RunHandle, checkpoint, current_task, fail_after, now, run, sleep, sleep_forever, stats,
};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

async fn sleep_for_ever() -> Result<(), Fault> {
    sleep_forever().await?;
    Ok(())
}

/// Case 116. One more child, of either kind, that waits: one more task, and none that can run.
#[test]
fn a_child_that_waits_is_one_more_task_and_none_that_can_run() {
    run_virtual(async {
        let r = Run::nursery(async |n| {
            for is_static in [false, true] {
                wait_until_idle().await?;
                let before = stats();
                if is_static {
                    n.spawn_static(sleep_for_ever());
                } else {
                    n.spawn(sleep_for_ever());
                }
                assert!(stats().runnable > before.runnable, "until it has run");
                wait_until_idle().await?;
                assert_eq!((stats().tasks, stats().runnable), (before.tasks + 1, 0));
            }
            n.cancel();
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case 118. Cancelling makes the child that waits one that can run, before anything else runs.
#[test]
fn a_cancelled_child_can_run_at_once() {
    for is_static in [false, true] {
        run_virtual(async {
            let r = Run::nursery(async |n| {
                if is_static {
                    n.spawn_static(sleep_for_ever());
                } else {
                    n.spawn(sleep_for_ever());
                }
                wait_until_idle().await?;
                assert_eq!(stats().runnable, 0);
                n.cancel();
                assert_eq!(stats().runnable, 1);
                Ok(())
            })
            .await;
            assert_eq!((shape(&r), stats().runnable), ("ok".into(), 0));
        });
    }
}

/// Case 119. In a scope that ends in 5 s the next deadline is in 5 s; after it there is none.
#[test]
fn the_next_deadline_is_that_of_the_scope_around() {
    run_virtual(async {
        assert_eq!(stats().next_deadline, None);
        let at = now() + Duration::from_secs(5);
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .deadline(at)
            .run(async |_| {
                assert_eq!(stats().next_deadline, Some(at));
                fail_after(Duration::from_secs(1), async |_| {
                    assert_eq!(stats().next_deadline, Some(now() + Duration::from_secs(1)), "the earliest");
                    Ok(())
                })
                .await
            })
            .await;
        assert!(matches!(r, Ok(Some(()))));
        assert_eq!(stats().next_deadline, None);
    });
}

#[test]
fn an_event_tells_whether_it_is_up_and_how_many_wait() {
    run_virtual(async {
        let up = Event::new();
        let r = Run::nursery(async |n| {
            for _ in 0..2 {
                n.spawn(async { Ok(up.wait().await?) });
            }
            wait_until_idle().await?;
            assert_eq!((up.stats().set, up.stats().waiting), (false, 2));
            up.set();
            assert_eq!((up.stats().set, up.stats().waiting), (true, 0), "before they have run");
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Who was notified waits for the lock from then on.
#[test]
fn a_condition_tells_who_waits_to_be_notified_and_what_its_lock_does() {
    run_virtual(async {
        let lock = Lock::new(());
        let filled = Condition::new(&lock);
        let r = Run::nursery(async |n| {
            for _ in 0..3 {
                n.spawn(async {
                    let guard = lock.lock().await?.expect("not held by this task");
                    Ok(filled.wait(guard).await.1?)
                });
            }
            wait_until_idle().await?;
            let before = filled.stats();
            assert_eq!((before.waiting, before.lock.waiting, before.lock.locked), (3, 0, false));
            let guard = lock.try_lock().expect("nobody has it");
            filled.notify(&guard, 2);
            let after = filled.stats();
            assert_eq!((after.waiting, after.lock.waiting, after.lock.owner), (1, 2, current_task()));
            filled.notify_all(&guard);
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        assert_eq!((filled.stats().waiting, filled.stats().lock), (0, lock.stats()));
    });
}

#[test]
fn a_barrier_tells_how_many_it_is_for_and_how_many_are_there() {
    run_virtual(async {
        let barrier = Barrier::new(3.try_into().expect("not zero"));
        let r = Run::nursery(async |n| {
            for there in 0..3 {
                assert_eq!((barrier.stats().size.get(), barrier.stats().waiting), (3, there));
                n.spawn(async { Ok(barrier.wait().await.map(drop)?) });
                wait_until_idle().await?;
            }
            assert_eq!(barrier.stats().waiting, 0, "all have passed");
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

#[test]
fn a_parking_lot_tells_how_many_wait_and_who_has_broken_it() {
    run_virtual(async {
        let lot = ParkingLot::new();
        let r = Run::nursery(async |n| {
            for _ in 0..2 {
                n.spawn(async {
                    assert!(lot.park_unless_broken().await?.is_err());
                    Ok(())
                });
            }
            wait_until_idle().await?;
            assert_eq!((lot.stats().waiting, lot.stats().broken_by), (2, vec![]));
            lot.break_lot();
            let me = current_task().expect("the first one");
            assert_eq!((lot.stats().waiting, lot.stats().broken_by), (0, vec![me]));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// What it comes to is of no interest here.
async fn until_it_ends<T>(waits: impl Future<Output = T>) -> Result<(), Fault> {
    waits.await;
    Ok(())
}

/// Row 11.2 of the features: who waits for a descriptor, for each direction, and no longer than they do.
#[test]
fn who_waits_for_a_descriptor_is_counted_while_they_do() {
    let waiting = run(async {
        let (a, b) = UnixStream::pair().unwrap();
        let (full, _unread) = UnixStream::pair().unwrap();
        let (mut one, mut other) = ([0; 1], [0; 1]);
        let mut counts = vec![stats().waiting_for_io];
        let r = Run::nursery(async |n| {
            n.spawn(until_it_ends(a.read(&mut one)));
            n.spawn(until_it_ends(b.read(&mut other)));
            n.spawn(async {
                while full.try_write(&[0; 4096]).unwrap().is_some() {}
                until_it_ends(full.write_all(&[0; 1])).await
            });
            checkpoint().await?;
            checkpoint().await?;
            counts.push(stats().waiting_for_io);
            n.cancel();
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        counts.push(stats().waiting_for_io);
        assert_eq!(stats().registrations, 4);
        counts
    });
    assert_eq!(waiting, [0, 3, 0]);
}

/// What other threads have asked for is in line until the loop comes to it.
#[test]
fn what_other_threads_have_asked_for_is_counted_until_it_is_done() {
    run(async {
        assert_eq!(stats().calls, 0);
        let handle = RunHandle::current();
        let there = handle.clone();
        std::thread::spawn(move || (0..3).for_each(|_| there.call_soon(|| ()).unwrap())).join().unwrap();
        assert_eq!(stats().calls, 3);
        let done = Arc::new(AtomicBool::new(false));
        let says = Arc::clone(&done);
        handle.call_soon(move || says.store(true, Ordering::Relaxed)).unwrap();
        while !done.load(Ordering::Relaxed) {
            checkpoint().await.unwrap();
        }
        assert_eq!(stats().calls, 0);
    });
}

/// A run ends its timers, also those of what was leaked; and what was leaked sleeps on in another run, with a timer of its own.
#[test]
fn a_timer_lasts_as_long_as_its_run() {
    let mut sleep = Box::pin(sleep(Duration::from_millis(5)));
    let cx = &mut Context::from_waker(Waker::noop());
    let begun = run(async {
        assert!(sleep.as_mut().poll(cx).is_pending());
        assert_eq!(stats().timers, 1);
        now()
    });
    assert_eq!((stats().timers, stats().next_deadline), (0, None));
    run(async {
        // Of the same number as the one that has gone.
        let mut other = Box::pin(pleach_executor::sleep(Duration::from_secs(3600)));
        assert!(other.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        sleep.await.unwrap();
        assert!(now() - begun >= Duration::from_millis(5));
        assert_eq!(stats().timers, 1, "that of the other");
    });
    assert_eq!(stats().timers, 0);
}
