//! The loop: polls what is ready, looks outside, repeats, until the tree is empty.
//!
//! ```text
//!   run(main) ─► ┌► up to 64 polls of ready tasks ─► jobs between polls (a fork, say) ─► due deadlines
//!                │                                                                            │
//!                └── inbox ◄── reactor (waits only if nothing is ready) ◄── what now? ◄───────┘
//!   main ends ─► whatever is left is cancelled with Shutdown and awaited ─► the last calls of other threads ─► the value
//! ```
//!
//! * `run.rs`: the parts of the loop, and the thread that goes round in it. `run/pause.rs`: what now (pure).
//! * `run/course.rs`: the run from its beginning to its end, pass by pass. `run/visit.rs`: the same in a loop of others.
//!
//! Rules:
//! * **Look Outside**: at most 64 polls, however deep in nurseries they happen, lie between two looks at clock,
//!   descriptors and inbox; eight that only pass through nurseries on the way down count as one. Under the virtual clock and the seeded scheduler every batch looks outside.
//! * No task is being polled, and nothing is borrowed, while a job between polls runs.
//! * A pass is the same whoever drives it: only what waits after it differs.

pub(crate) mod course;
mod pause;
pub(crate) mod visit;

use crate::cancel::Reason;
use crate::clock::{Clock, Instant};
use crate::deadlock;
use crate::entry;
use crate::reactor::calls::CALLS;
use crate::reactor::notify::Inbox;
use crate::runtime::{self, Runtime, TURN, Tasks, TimerTarget};
use crate::task::raw::Boxed;
use crate::task::sched::{Due, Flat, Next};
use crate::task::word::Word;
use crate::threads;
use course::{Course, Pass, grace_clock};
use pause::{Leap, Outlook, Pause, Standstill};
use std::future::{Future, Pending};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

/// Runs `main` on this thread, with everything it starts, and returns its value when all has ended.
///
/// The thread belongs to the run until then. Inside, every function of this crate may be used.
///
/// # Panics
///
/// If a run is active on this thread already. With `main`'s panic. If the operating system refuses an epoll
/// instance. At the end, if a task failed whose nursery had been leaked (`mem::forget`): an error with nobody to go to;
/// or if such a task ignored its cancellation for 15 s.
///
/// ```
/// assert_eq!(pleach_executor::run(async { 1 + 1 }), 2);
/// ```
#[track_caller]
pub fn run<F: Future>(main: F) -> F::Output {
    run_with(Clock::Real, 0, main)
}

#[track_caller]
pub(crate) fn run_with<F: Future>(clock: Clock, seed: u64, main: F) -> F::Output {
    runtime::with(|rt| rt.open(clock, seed));
    let mut course = Course::begin();
    // After the course: dropped before it, while the run is still active.
    let mut main = pin!(Some(main));
    // `Course::pass` while main runs, written out: what ends a run would take registers from the loop that main is inlined
    // into.
    let value = runtime::with(|rt| {
        loop {
            if let Some(value) = poll_batch(rt, &mut main) {
                break value;
            }
            look_outside(rt, between_batches(rt, None), None);
        }
    });
    main.set(None);
    course.main_ended(value);
    drive_to_end(course)
}

/// Waits for what main has left behind.
#[track_caller]
fn drive_to_end<T>(mut course: Course<T>) -> T {
    let mut ended = pin!(None::<Pending<T>>);
    loop {
        match course.pass(ended.as_mut()) {
            Pass::Done(value) => return value,
            Pass::Pause(pause) => runtime::with(|rt| look_outside(rt, pause, course.grace())),
        }
    }
}

/// One batch of polls. `Some` when main has ended.
fn poll_batch<F: Future>(rt: &Runtime, main: &mut Pin<&mut Option<F>>) -> Option<F::Output> {
    rt.count_turn();
    let ready = rt.sched.borrow().ready_len();
    let (mut batch, polls) = if rt.steps_are_counted() { (ready, u32::MAX) } else { (usize::MAX, TURN) };
    rt.polls_left.set(polls);
    let tasks = rt.change_tasks();
    while rt.has_poll() {
        let next = rt.sched.borrow_mut().next(&mut batch, |len| pick(rt, len));
        let Some(next) = next else { break };
        match next {
            Next::Main(due) => {
                rt.take_poll(due.cause);
                let fut = main.as_mut().as_pin_mut().expect("main is there until it has ended");
                if let Poll::Ready(value) = tasks.poll_as(due, rt.root(), |cx| fut.poll(cx)) {
                    return Some(value);
                }
            }
            Next::Flat(due, Flat::Static(child, group)) => {
                rt.take_poll(due.cause);
                group.steps(rt, &tasks, due, child);
            }
            Next::Flat(due, Flat::System(task)) => {
                rt.take_poll(due.cause);
                poll_system(rt, &tasks, due, task);
            }
        }
    }
    None
}

/// Which of `len` ready tasks is next: the oldest, or any under the seeded scheduler.
fn pick(rt: &Runtime, len: usize) -> usize {
    if rt.is_seeded() { (rt.random() % len as u64) as usize } else { 0 }
}

/// One step of a task of the run's own. What it panics with comes out of the run.
fn poll_system(rt: &Runtime, tasks: &Tasks<'_>, due: Due, mut task: Boxed<()>) {
    let word = due.word;
    let polled = catch_unwind(AssertUnwindSafe(|| tasks.poll_task(due, rt.root(), task.as_mut())));
    match polled {
        Ok(Poll::Pending) => return rt.sched.borrow_mut().put_system_back(word, task),
        Ok(Poll::Ready(())) => rt.sched.borrow_mut().remove(word),
        Err(payload) => {
            rt.sched.borrow_mut().remove(word);
            runtime::system_panicked(payload);
        }
    }
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(task))) {
        std::mem::forget(payload);
    }
}

/// Runs what was queued to happen between two polls.
#[inline]
fn run_jobs(rt: &Runtime) {
    while rt.has_jobs() {
        let job = rt.jobs.borrow_mut().pop_front();
        job.expect("just looked")();
    }
}

/// What belongs between two batches, up to what is to happen before the next one.
#[inline]
fn between_batches(rt: &Runtime, grace: Option<Instant>) -> Pause {
    run_jobs(rt);
    fire_due(rt);
    if rt.is_busy() { Pause::None } else { idle_pause(rt, grace) }
}

/// The decision of [`pause`], of what can be seen.
#[inline]
fn idle_pause(rt: &Runtime, grace: Option<Instant>) -> Pause {
    if rt.clock().is_virtual() {
        return Pause::Standstill;
    }
    let timer = if rt.has_timers() { rt.timers.borrow_mut().look_again_at() } else { None };
    pause::pause(&Outlook { timer, grace, cushion: rt.cushion(), alone: is_alone(rt) })
}

/// Asks the reactor, waiting as the pause says, and empties the inbox.
#[inline]
fn look_outside(rt: &Runtime, pause: Pause, grace: Option<Instant>) {
    match pause {
        Pause::None => {
            if rt.registrations() > 0 {
                ask_reactor(rt, Some(Duration::ZERO));
            }
        }
        Pause::Until(until) => {
            ask_reactor(rt, until.map(|at| at - Clock::Real.now()));
        }
        Pause::Quiet { until, cushion } => idle_for(rt, cushion, until),
        Pause::Stuck => wait_stuck(rt),
        Pause::Standstill => stand_still(rt, grace),
    }
    drain_inbox(rt);
}

/// Is no descriptor watched, and no worker thread waited for? Then only a thread that the run knows nothing of can end a wait
/// without a timer.
#[inline]
fn is_alone(rt: &Runtime) -> bool {
    rt.registrations() == 0 && !threads::are_waited_for()
}

/// Waits for other threads, unless there is somebody to say that nothing will come of it, or to do something about it.
fn wait_stuck(rt: &Runtime) {
    deadlock::stuck();
    let busy = rt.is_busy() || rt.has_timers();
    ask_reactor(rt, busy.then_some(Duration::ZERO));
}

/// Somebody waits for idleness: if nothing comes for as long as `cushion`, this is it.
fn idle_for(rt: &Runtime, cushion: Duration, until: Option<Instant>) {
    let start = Clock::Real.now();
    let end = start + cushion;
    let wait = until.map_or(end, |until| until.min(end)) - start;
    if ask_reactor(rt, Some(wait)) == 0 && !rt.is_busy() && Clock::Real.now() >= end {
        wake_idle(rt);
    }
}

/// Idle under the virtual clock: outside first, then whoever waits for idleness, then the next deadline.
fn stand_still(rt: &Runtime, grace: Option<Instant>) {
    // Zero in most tests: what comes from outside comes from this very run.
    if ask_reactor(rt, Some(rt.patience.get())) > 0 || rt.is_busy() {
        return;
    }
    let seen = Standstill {
        now: rt.clock().now(),
        next: rt.timers.borrow_mut().next(),
        cushion: rt.cushion(),
        autojump: rt.autojump.get(),
        held: threads::hold_time(),
        alone: is_alone(rt),
        ending: grace.is_some(),
    };
    match pause::leap(&seen) {
        Leap::Idle(at) => {
            rt.set_clock(Clock::Virtual(at));
            return wake_idle(rt);
        }
        Leap::To(at) => rt.set_clock(Clock::Virtual(at)),
        Leap::Stuck => return wait_stuck(rt),
        Leap::Wait => {
            ask_reactor(rt, grace.map(|at| at - grace_clock().now()));
        }
    }
    fire_due(rt);
}

/// Wakes those who wait for idleness with the smallest cushion; the others wait on, from the beginning.
fn wake_idle(rt: &Runtime) {
    let idle = rt.idle.borrow_mut().take_smallest();
    runtime::wake_each(idle);
}

#[inline]
fn fire_due(rt: &Runtime) {
    if rt.has_timers() {
        fire_due_at(rt, rt.clock().now());
    }
}

fn fire_due_at(rt: &Runtime, now: Instant) {
    while let Some(target) = next_due(rt, now) {
        match target {
            TimerTarget::Wake(waker) => waker.wake(),
            TimerTarget::Scope(scope) => {
                rt.scopes.borrow_mut().set_timer(scope, None);
                runtime::cancel(scope, Reason::Deadline);
            }
        }
    }
}

fn next_due(rt: &Runtime, now: Instant) -> Option<TimerTarget> {
    let due = rt.timers.borrow_mut().pop_due(now);
    if due.is_some() {
        rt.count_fired();
    }
    due
}

/// One turn of the reactor; says how many events it saw.
fn ask_reactor(rt: &Runtime, timeout: Option<Duration>) -> usize {
    let at_once = timeout == Some(Duration::ZERO);
    if at_once && !rt.has_reactor() {
        return 0;
    }
    wait_outside(rt, timeout, at_once)
        .unwrap_or_else(|e| panic!("the reactor failed: {e}; is the process out of file descriptors?"));
    let mut foreign = Vec::new();
    let seen = rt.take_events_in(&mut foreign);
    if !foreign.is_empty() {
        runtime::wake_each(foreign);
    }
    seen
}

/// Lets the reactor wait, unless other threads have something for us.
#[inline]
fn wait_outside(rt: &Runtime, timeout: Option<Duration>, at_once: bool) -> io::Result<()> {
    // The bell has to hang before anybody sleeps: see `reactor::notify`.
    rt.make_reactor()?;
    let timeout = if !at_once && rt.with_inbox(Inbox::sleep) { timeout } else { Some(Duration::ZERO) };
    rt.tell(|i| i.before_io_wait(timeout));
    rt.reactor(|r| r.wait(timeout))??;
    rt.tell(|i| i.after_io_wait(timeout));
    rt.with_inbox(Inbox::awake);
    Ok(())
}

#[inline]
fn drain_inbox(rt: &Runtime) {
    if rt.with_inbox(Inbox::has_mail) {
        take_mail(rt);
    }
}

fn take_mail(rt: &Runtime) {
    let mut words = rt.words.take();
    rt.with_inbox(|inbox| inbox.drain(&mut words));
    let came = words.len();
    words.retain(|word| *word != CALLS);
    let called = words.len() < came;
    // Words of this thread: only a foreign executor that polls one of our nurseries has a waker to be woken.
    runtime::wake_each(words.drain(..).filter_map(|bits| rt.wake_word(Word::from_bits(bits))));
    rt.words.replace(words);
    if called {
        entry::make_calls();
    }
}
