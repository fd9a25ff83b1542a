//! Promise: what a run says about itself is true at that moment, and so is what the things say that its tasks wait for.
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/fault.rs"]
mod fault;

use fault::{Fault, Run, shape};
use pleach_executor::parking::ParkingLot;
use pleach_executor::sync::{Barrier, Condition, Event, Lock};
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{CancelScope, current_task, fail_after, now, sleep_forever, stats};
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
