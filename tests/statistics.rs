//! Promise: what a run says about itself is true at that moment.
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/fault.rs"]
mod fault;

use fault::{Fault, Run, shape};
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{CancelScope, fail_after, now, sleep_forever, stats};
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
