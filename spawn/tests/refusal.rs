//! Under the standard test harness a process has two threads: a fork is refused there, by name.

use pleach_spawn::{Plan, SpawnError, fork, no_children};

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
