//! Promise: whatever a program does with its nurseries, a child is polled only inside them, ends once, and is heard of.
//!
//! ```text
//!   seed ─► children that spawn, wake, fail, panic, and poll, drop or leak nurseries of others ─┬─► what the runtime did
//!           in run │ run_virtual │ run_seeded │ a guest that is perhaps abandoned               └─► what the model says
//! ```
//!
//! Rules:
//! * `model.rs`: what has to be true of each child and nursery. `actor.rs`: a child, which does anything at random.
//! * A claim that does not hold is noted and not panicked with: panics are part of the game, and many are caught.
//! * The end is fair: every nursery is polled once and every child woken once. So a wake-up that is lost is a hang.

#[path = "support/fault.rs"]
mod fault;

#[path = "random_trees/actor.rs"]
mod actor;
#[path = "random_trees/model.rs"]
mod model;

use actor::{do_something, open};
use model::World;
use pleach_executor::guest::{Guest, Tick};
use pleach_executor::testing::{limited, run_seeded, run_virtual};
use pleach_executor::{run, stats};
use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How many programs each case runs, unless `PLEACH_RUNS` says otherwise.
const PROGRAMS: u64 = 250;
/// More than any program sleeps, and on a real clock more than any takes.
const NEVER: Duration = Duration::from_secs(60);

/// Main: a nursery of its own and those of nobody, a while at random, then to the end.
async fn program(world: Rc<World>) {
    let mut root = Some(open(&world, None));
    let mut rounds = 50 + world.below(300);
    poll_fn(|cx| {
        if rounds > 0 {
            rounds -= 1;
            do_something(&world, cx);
            cx.waker().wake_by_ref();
        } else if !world.closing.replace(true) {
            world.end_all(cx);
        }
        root = root.take().and_then(|root| root.poll(cx));
        if world.closing.get() {
            world.poll_all(cx);
        }
        if world.closing.get() && root.is_none() && world.floats.borrow().is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Runs one program for each seed; afterwards nothing may be left but what it leaked.
fn in_programs(drive: impl Fn(u64, Rc<World>)) {
    let programs =
        std::env::var("PLEACH_RUNS").map_or(PROGRAMS, |runs| runs.parse().expect("PLEACH_RUNS is a number"));
    for seed in 1..=programs {
        let (world, before) = (World::new(seed), stats().tasks);
        drive(seed, Rc::clone(&world));
        // Those that were in nobody's hands go outside of any run.
        let floats = world.floats.take();
        drop(floats);
        let faults = world.faults_at_end(stats().tasks - before);
        assert!(faults.is_empty(), "seed {seed}: {faults:#?}");
    }
}

/// The run panics if and only if somebody failed of whom nobody can hear in another way.
fn expect_panic(world: &World, run: impl FnOnce()) {
    let panicked = catch_unwind(AssertUnwindSafe(run)).is_err();
    world.run_ends();
    world
        .claim(panicked == world.unheard.get(), "the run panics if somebody failed of whom nobody has heard");
}

#[test]
fn in_a_run() {
    in_programs(|_, world| expect_panic(&world, || run(limited(NEVER, program(Rc::clone(&world))))));
}

#[test]
fn in_a_virtual_run() {
    in_programs(|_, world| expect_panic(&world, || run_virtual(limited(NEVER, program(Rc::clone(&world))))));
}

#[test]
fn in_an_order_that_a_seed_decides() {
    in_programs(|seed, world| {
        expect_panic(&world, || run_seeded(seed, limited(NEVER, program(Rc::clone(&world)))));
    });
}

/// Between two ticks code outside of any task does the same things, and ticks as well: also where it polls a nursery.
fn drive_guest(world: &Rc<World>, most: u32) {
    let mut guest = Some(Guest::start(program(Rc::clone(world))).expect("descriptors"));
    let ended = Rc::new(Cell::new(None));
    let (over, end) = (Rc::downgrade(world), Rc::clone(&ended));
    world.tick.replace(Some(Box::new(move || {
        let Some(ticking) = &mut guest else { return };
        let tick = catch_unwind(AssertUnwindSafe(|| ticking.tick()));
        if !matches!(tick, Ok(Tick::Ready | Tick::Idle { .. })) {
            guest = None;
            end.set(tick.err());
            over.upgrade().inspect(|world| world.run_ends());
        }
    })));
    let mut outside = Context::from_waker(Waker::noop());
    for _ in 0..most {
        world.tick();
        do_something(world, &mut outside);
    }
    world.run_ends();
    let guest = world.tick.take();
    drop(guest);
    if let Some(payload) = ended.take() {
        resume_unwind(payload);
    }
}

#[test]
fn as_a_guest() {
    in_programs(|_, world| expect_panic(&world, || drive_guest(&world, 100_000)));
}

/// Abandoned, it ends where it stands, and what it has given away can still be dropped.
#[test]
fn as_a_guest_that_is_abandoned() {
    in_programs(|_, world| {
        let ticks = world.below(200);
        let _perhaps = catch_unwind(AssertUnwindSafe(|| drive_guest(&world, ticks)));
        world.closing.set(true);
    });
}

/// The model sees a child that is lost: here one is, behind its back.
#[test]
fn a_child_that_is_lost_would_be_seen() {
    let lost = |seed: u64| {
        let (world, before) = (World::new(seed), stats().tasks);
        run_virtual(poll_fn(|cx| {
            std::mem::forget(open(&world, None).poll(cx));
            Poll::Ready(())
        }));
        world.faults_at_end(stats().tasks - before).len()
    };
    assert!((1..20).any(|seed| lost(seed) > 0));
}
