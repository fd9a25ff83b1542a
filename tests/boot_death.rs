//! A child that dies before it is ready: at every step of its boot, in every way, the parent hears of it by the event,
//! with the phase, the status, and what the child could still say.

use pleach::{
    BootPhase, Config, Error, ErrorKind, Fault, Start, Status, Step, actors_with, checkpoint, inventory, run,
};
use std::time::Duration;

pleach::test_main!(
    an_exit_at_every_step_is_a_typed_error,
    a_panic_at_every_step_is_a_typed_error_with_its_text,
    a_kill_at_every_step_is_a_typed_error,
    a_child_that_stops_in_boot_is_stopped_for_good,
    a_cancel_at_every_moment_of_a_boot_leaves_no_child,
);

/// Limits far away: what ends the wait is the death, not a timer.
fn patient() -> Config {
    Config::default().boot(Duration::from_secs(600)).cancel(Duration::from_secs(600))
}

/// Forks one child with this fault; gives its error. Asserts that no signal was needed, and that it was reaped.
fn dies(step: Step, fault: Fault) -> Error {
    let (r, books) = run(async {
        let mut books = None;
        let r: Result<(), Error> = actors_with(patient(), async |an| {
            books = Some(an.actor());
            an.fork(Start::new("child").fault(step, fault), (), async |_, ()| Ok(())).result().await
        })
        .await;
        (r, books.expect("the body has run").books())
    });
    assert_eq!(
        (books.started, books.reaped, books.terminated, books.killed),
        (1, 1, 0, 0),
        "{step:?} {fault:?}"
    );
    assert!(inventory::no_children());
    r.expect_err("it has died")
}

/// What the parent has heard by the time a step begins in the child.
fn phase_at(step: Step) -> BootPhase {
    if step <= Step::Hello { BootPhase::Hello } else { BootPhase::Ready }
}

fn check(step: Step, e: &Error, expected: Status) -> Option<String> {
    let ErrorKind::DiedInBoot { phase, status, last_words } = e.kind() else {
        panic!("{step:?}: {:?}: {e}", e.kind());
    };
    assert_eq!((*phase, *status), (phase_at(step), expected), "{step:?}: {e}");
    assert_eq!(e.origin().path, "root/child");
    assert_ne!(e.origin().pid, 0);
    last_words.as_ref().map(ToString::to_string)
}

fn an_exit_at_every_step_is_a_typed_error() {
    for step in Step::ALL {
        let words = check(step, &dies(step, Fault::Exit(3)), Status::Exited(3));
        assert_eq!(words, None, "a quiet exit says nothing");
    }
}

fn a_panic_at_every_step_is_a_typed_error_with_its_text() {
    for step in Step::ALL {
        let e = dies(step, Fault::Panic);
        let words = check(step, &e, Status::Exited(step.exit_code()));
        let words = words.unwrap_or_else(|| panic!("{step:?} said nothing"));
        assert!(words.contains(&format!("made to panic in {step}")), "{step:?}: {words}");
        assert!(words.starts_with(&format!("step {}", step.phase())), "{step:?}: {words}");
    }
}

fn a_kill_at_every_step_is_a_typed_error() {
    for step in Step::ALL {
        let words = check(step, &dies(step, Fault::Kill), Status::Signaled { signal: 9, core: false });
        assert_eq!(words, None);
    }
}

fn a_child_that_stops_in_boot_is_stopped_for_good() {
    for step in [Step::Arm, Step::Fds, Step::Runtime, Step::Hello, Step::Ready] {
        let limit = Duration::from_millis(50);
        let (r, books) = run(async {
            let mut root = None;
            let r: Result<(), Error> = actors_with(Config::default().boot(limit).cancel(limit), async |an| {
                root = Some(an.actor());
                an.fork(Start::new("child").fault(step, Fault::Stop), (), async |_, ()| Ok(())).result().await
            })
            .await;
            (r, root.expect("the body has run").books())
        });
        let e = r.expect_err("it never got up");
        assert!(matches!(e.kind(), ErrorKind::BootTimeout { .. }), "{step:?}: {e}");
        assert_eq!((books.started, books.reaped, books.killed), (1, 1, 1), "{step:?}");
        assert!(inventory::no_children());
    }
}

/// The nursery is cancelled after k turns of the loop, for every k that a boot can take.
fn a_cancel_at_every_moment_of_a_boot_leaves_no_child() {
    for turns in 0..200 {
        let r: Result<(), Error> = run(actors_with(patient(), async |an| {
            let children: Vec<_> = (0..3).map(|_| an.fork("child", (), async |_, ()| Ok(()))).collect();
            for _ in 0..turns {
                checkpoint().await?;
            }
            an.cancel();
            drop(children);
            Ok(())
        }));
        r.unwrap_or_else(|e| panic!("cancelled after {turns} turns: {e}"));
        assert!(inventory::no_children(), "cancelled after {turns} turns");
    }
}
