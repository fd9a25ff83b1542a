//! A child that dies before it is ready: at every step of its boot, in every way, the parent hears of it by the event,
//! with the phase, the status, and what the child could still say.

#[path = "support/backend.rs"]
mod backend;

use backend::{at_root, start};
use pleach::{
    ActorHandle, ActorNursery, BootPhase, Config, Endpoint, Error, ErrorKind, Fault, Program, Start, Status,
    Step, actors_with, checkpoint, inventory, sleep_forever, stats,
};
use std::time::Duration;

pleach::test_main!(
    program = program;
    an_exit_at_every_step_is_a_typed_error,
    a_panic_at_every_step_is_a_typed_error_with_its_text,
    a_kill_at_every_step_is_a_typed_error,
    a_stop_at_every_step_is_a_typed_error_and_needs_no_timer,
    a_child_that_hangs_in_boot_is_ended_at_the_limit,
    a_cancel_at_every_moment_of_a_boot_leaves_no_child,
);

const IDLE: Endpoint<(), ()> = Endpoint::new("idle");

fn program() -> Program {
    Program::new("root").endpoint(IDLE, async |_, ()| idle().await)
}

/// A child that does nothing once it is up.
fn child(an: &ActorNursery, how: Start) -> ActorHandle<()> {
    start(an, how, IDLE, (), async |_, ()| idle().await)
}

/// Limits far away: what ends the wait is the death, not a timer.
fn patient() -> Config {
    Config::default().boot(Duration::from_secs(600)).cancel(Duration::from_secs(600))
}

/// Forks one child with this fault; gives its error, and how many timers fired meanwhile. Asserts that no signal was
/// needed, and that it was reaped.
fn dies(step: Step, fault: Fault) -> (Error, u64) {
    let (r, books, timers) = at_root(program, async || {
        let before = stats().timers_fired;
        let mut books = None;
        let r: Result<(), Error> = actors_with(patient(), async |an| {
            books = Some(an.actor());
            child(an, Start::new("child").fault(step, fault)).await
        })
        .await;
        (r, books.expect("the body has run").books(), stats().timers_fired - before)
    });
    assert_eq!(
        (books.started, books.reaped, books.terminated, books.killed),
        (1, 1, 0, 0),
        "{step:?} {fault:?}"
    );
    assert!(inventory::no_children());
    (r.expect_err("it has died"), timers)
}

/// What a child would do that gets up after all.
async fn idle() -> Result<(), Error> {
    sleep_forever().await?;
    Ok(())
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

/// Case S219.
fn an_exit_at_every_step_is_a_typed_error() {
    for step in Step::ALL {
        let (e, timers) = dies(step, Fault::Exit(3));
        let words = check(step, &e, Status::Exited(3));
        assert_eq!(timers, 0, "{step:?}: a timer told, and not the event");
        assert_eq!(words, None, "a quiet exit says nothing");
    }
}

/// Case S100.
fn a_panic_at_every_step_is_a_typed_error_with_its_text() {
    for step in Step::ALL {
        let (e, timers) = dies(step, Fault::Panic);
        assert_eq!(timers, 0, "{step:?}: a timer told, and not the event");
        let words = check(step, &e, Status::Exited(step.exit_code()));
        let words = words.unwrap_or_else(|| panic!("{step:?} said nothing"));
        assert!(words.contains(&format!("made to panic in {step}")), "{step:?}: {words}");
        assert!(words.starts_with(&format!("step {}", step.phase())), "{step:?}: {words}");
    }
}

/// Case S219.
fn a_kill_at_every_step_is_a_typed_error() {
    for step in Step::ALL {
        let (e, timers) = dies(step, Fault::Kill);
        let words = check(step, &e, Status::Signaled { signal: 9, core: false });
        assert_eq!(timers, 0, "{step:?}: a timer told, and not the event");
        assert_eq!(words, None);
    }
}

/// It is continued only to end, which it does as it was asked to, or dies of its own fault.
fn a_stop_at_every_step_is_a_typed_error_and_needs_no_timer() {
    for step in Step::ALL {
        let (e, timers) = dies(step, Fault::Stop);
        let pid = e.origin().pid;
        assert_eq!(*e.kind(), ErrorKind::Stopped { pid, signal: 19 }, "{step:?}: {e}");
        assert_eq!(e.origin().path, "root/child");
        assert_eq!(timers, 0, "{step:?}: a timer told, and not the event");
    }
}

fn a_child_that_hangs_in_boot_is_ended_at_the_limit() {
    for step in Step::ALL {
        let limit = Duration::from_millis(50);
        let (r, books) = at_root(program, async || {
            let mut root = None;
            let r: Result<(), Error> = actors_with(Config::default().boot(limit).cancel(limit), async |an| {
                root = Some(an.actor());
                child(an, Start::new("child").fault(step, Fault::Hang)).await
            })
            .await;
            (r, root.expect("the body has run").books())
        });
        let e = r.expect_err("it never got up");
        assert_eq!(*e.kind(), ErrorKind::BootTimeout { phase: phase_at(step) }, "{step:?}: {e}");
        assert_eq!((books.started, books.reaped), (1, 1), "{step:?}");
        assert!(books.terminated == 1, "{step:?}: it heeds no message");
        assert!(inventory::no_children());
    }
}

/// The nursery is cancelled after k turns of the loop, for every k that a boot can take.
/// Case S230. Case S231.
fn a_cancel_at_every_moment_of_a_boot_leaves_no_child() {
    for turns in 0..200 {
        let r: Result<(), Error> = at_root(program, async || {
            actors_with(patient(), async |an| {
                let children: Vec<_> = (0..3).map(|_| child(an, Start::new("child"))).collect();
                for _ in 0..turns {
                    checkpoint().await?;
                }
                an.cancel();
                drop(children);
                Ok(())
            })
            .await
        });
        r.unwrap_or_else(|e| panic!("cancelled after {turns} turns: {e}"));
        assert!(inventory::no_children(), "cancelled after {turns} turns");
    }
}
