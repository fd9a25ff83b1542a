//! Under the standard test harness a process has two threads: a fork is refused there, by name.

use pleach_executor::{nursery, run, sleep_forever};
use pleach_spawn::{Plan, SpawnError, fork, no_children};
use std::cell::Cell;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

type Failed = Box<dyn Error + Send + Sync>;

#[test]
fn a_plain_test_process_is_told_why_it_cannot_fork() {
    let outcome = pleach_executor::run(fork(Plan::new("child"), (), |_, _| 0));
    match outcome {
        Err(e @ SpawnError::NotSingleThreaded { .. }) => {
            assert!(e.to_string().contains("#[test]"), "{e}");
            let SpawnError::NotSingleThreaded { others } = e else { unreachable!() };
            assert!(!others.is_empty());
        }
        other => panic!("{other:?}"),
    }
    assert!(no_children());
}

/// What was given for a child that could not be made is dropped, and may panic: that is its caller's panic, and the loop and
/// the other tasks are not concerned.
#[test]
fn a_panic_of_what_was_given_is_the_callers() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a bomb");
        }
    }
    let cleaned = Rc::new(Cell::new(false));
    let told = Rc::clone(&cleaned);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        run(nursery(async |n| {
            n.spawn(async {
                let cancelled = sleep_forever().await;
                told.set(true);
                cancelled.map(|never| match never {}).map_err(Failed::from)
            });
            n.spawn(async {
                let bomb = Bomb;
                let entry = move |_, _| i32::from(size_of_val(&bomb) > 0);
                fork(Plan::new("never"), (), entry).await.map(drop).map_err(Failed::from)
            });
            Ok(())
        }))
    }));
    let payload = outcome.map(|r: Result<(), Failed>| r.is_ok()).expect_err("it comes out");
    assert_eq!(payload.downcast_ref(), Some(&"a bomb"));
    assert!(cleaned.get(), "the sibling was cancelled, and awaited");
}
