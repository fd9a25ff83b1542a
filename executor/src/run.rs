//! The loop: polls what is ready, looks outside, repeats, until the tree is empty.
//!
//! ```text
//!   run(main) ─► ┌► up to 64 polls of ready tasks ─► jobs between polls (a fork, say)
//!                │                                        │
//!                └── inbox ◄── reactor (waits only if nothing is ready) ◄── due deadlines
//!   main ends ─► whatever is left is cancelled with Shutdown and awaited ─► the last calls of other threads ─► the value
//! ```
//!
//! Rules:
//! * **Look Outside**: at most 64 polls, however deep in nurseries they happen, lie between two looks at clock,
//!   descriptors and inbox; eight that only pass through nurseries on the way down count as one. Under the virtual clock and the seeded scheduler every batch looks outside.
//! * No task is being polled, and nothing is borrowed, while a job between polls runs.

use crate::cancel::Reason;
use crate::clock::{Clock, Instant};
use crate::deadlock;
use crate::entry;
use crate::panics::Steps;
use crate::reactor::calls::CALLS;
use crate::runtime::{self, Runtime, TURN, Tasks, TimerTarget};
use crate::task::raw::Boxed;
use crate::task::sched::{Due, Flat, Next};
use crate::task::word::Word;
use crate::threads;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

/// How long tasks that outlive main (their nursery was leaked) may take to end once they are cancelled.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);

/// How long the loop waits at most while it does: the grace is checked in between.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

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
    let session = Session::start();
    // After the session: dropped before it, while the run is still active.
    let mut main = pin!(Some(main));
    let value = loop {
        if let Some(value) = turn(session.main, Some(&mut main)) {
            break value;
        }
    };
    main.set(None);
    session.shut_down();
    value
}

/// An active run: ended in order by [`Session::main_ended`] and [`Session::all_ended`], in haste when it is dropped.
pub(crate) struct Session {
    pub(crate) main: Word,
}

impl Session {
    pub(crate) fn start() -> Self {
        runtime::with(|rt| {
            let mut sched = rt.sched.borrow_mut();
            let main = sched.insert_main();
            let _main_has_no_parent = sched.wake(main);
            Session { main }
        })
    }

    fn shut_down(self) {
        self.main_ended();
        let until = Clock::Real.now() + SHUTDOWN_GRACE;
        loop {
            while flat_live() > 0 && Clock::Real.now() < until {
                // A timer keeps the wait bounded even if nothing of theirs ever becomes ready.
                let _ = turn::<std::future::Ready<()>>(self.main, None);
            }
            // The last calls may start tasks of the system.
            entry::end_calls();
            if flat_live() == 0 || Clock::Real.now() >= until {
                break;
            }
        }
        self.all_ended();
    }

    /// Main has ended, and has been dropped: whatever is left is cancelled.
    pub(crate) fn main_ended(&self) {
        runtime::remove_node(self.main);
        runtime::with(|rt| {
            rt.shutting_down.set(true);
            runtime::cancel(rt.root(), Reason::Shutdown);
        });
    }

    /// The run ends. What had nobody to go to until now comes out here.
    #[track_caller]
    pub(crate) fn all_ended(self) {
        let ignored = flat_live();
        drop(self);
        runtime::with(|rt| {
            if let Some(payload) = rt.system_panic.take() {
                resume_unwind(payload);
            }
            let failures = rt.orphan_failures.replace(0);
            assert!(
                failures <= 0,
                "{failures} task(s) failed whose nursery had been leaked: their errors had nobody to go to"
            );
            assert!(
                ignored == 0,
                "{ignored} task(s) ignored their cancellation for {SHUTDOWN_GRACE:?} and were dropped"
            );
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        runtime::remove_node(self.main);
        // What panics from here on has nowhere to go.
        let mut steps = Steps::new();
        // Jobs that nobody waits for any more: they are not the next run's.
        let jobs = runtime::with(|rt| std::mem::take(&mut *rt.jobs.borrow_mut()));
        steps.step(|| drop(jobs));
        loop {
            // Accepted Is Made, also if main has panicked, and in this place for what a destructor asks for.
            steps.step(entry::end_calls);
            let task = runtime::with(|rt| rt.sched.borrow_mut().take_any_flat());
            let Some(task) = task else { break };
            steps.step(|| match task {
                Flat::Static(child, group) => group.discard(child),
                Flat::System(task) => drop(task),
            });
        }
        std::mem::forget(steps.into_first());
        runtime::with(Runtime::close);
    }
}

pub(crate) fn flat_live() -> usize {
    runtime::with(|rt| rt.sched.borrow().flat_live())
}

/// One batch of polls and one look outside. `Some` when main has ended.
fn turn<F: Future>(main_word: Word, main: Option<&mut Pin<&mut Option<F>>>) -> Option<F::Output> {
    let ended = runtime::with(|rt| poll_batch(rt, main_word, main));
    if ended.is_none() {
        run_jobs();
        look_outside();
    }
    ended
}

pub(crate) fn poll_batch<F: Future>(
    rt: &Runtime,
    main_word: Word,
    mut main: Option<&mut Pin<&mut Option<F>>>,
) -> Option<F::Output> {
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
                debug_assert_eq!(due.word, main_word);
                let Some(main) = main.as_mut() else { continue };
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
pub(crate) fn run_jobs() {
    loop {
        let job = runtime::with(|rt| rt.jobs.borrow_mut().pop_front());
        match job {
            Some(job) => job(),
            None => return,
        }
    }
}

/// Fires due deadlines, asks the reactor (waiting if nothing is ready), and empties the inbox.
fn look_outside() {
    fire_due();
    let idle = runtime::with(|rt| {
        !rt.sched.borrow().has_ready() && rt.jobs.borrow().is_empty() && !rt.inbox().has_mail()
    });
    if !idle {
        if runtime::with(Runtime::registrations) > 0 {
            ask_reactor(Some(Duration::ZERO));
        }
    } else if runtime::with(|rt| rt.clock().is_virtual()) {
        idle_virtual();
    } else {
        idle_real();
    }
    drain_inbox();
}

fn idle_real() {
    let until = runtime::with(|rt| rt.timers.borrow_mut().look_again_at());
    if let Some(cushion) = runtime::with(Runtime::cushion) {
        return idle_for(cushion, until);
    }
    let shutting_down = runtime::with(|rt| rt.shutting_down.get());
    if until.is_none() && !shutting_down && is_alone() {
        return wait_stuck();
    }
    let timeout = until.map(|at| at.saturating_duration_since(Clock::Real.now()));
    // What is left of a run is waited for with a bound of its own.
    let timeout =
        if shutting_down { Some(timeout.map_or(LOOK_AGAIN, |t| t.min(LOOK_AGAIN))) } else { timeout };
    ask_reactor(timeout);
}

/// Is no descriptor watched, and no worker thread waited for? Then only a thread that the run knows nothing of can end a wait
/// without a timer.
fn is_alone() -> bool {
    runtime::with(Runtime::registrations) == 0 && !threads::are_waited_for()
}

/// Waits for other threads, unless there is somebody to say that nothing will come of it, or to do something about it.
fn wait_stuck() {
    deadlock::stuck();
    let busy = runtime::with(Runtime::is_busy) || runtime::with(|rt| !rt.timers.borrow().is_empty());
    ask_reactor(busy.then_some(Duration::ZERO));
}

/// Somebody waits for idleness: if nothing comes for as long as `cushion`, this is it.
fn idle_for(cushion: Duration, until: Option<Instant>) {
    let start = Clock::Real.now();
    let end = start + cushion;
    let wait = until.map_or(end, |until| until.min(end)) - start;
    if ask_reactor(Some(wait)) == 0 && !runtime::with(Runtime::is_busy) && Clock::Real.now() >= end {
        wake_idle();
    }
}

/// Idle under the virtual clock: outside first, then whoever waits for idleness, then the next deadline.
fn idle_virtual() {
    if ask_reactor(Some(Duration::ZERO)) > 0 || runtime::with(Runtime::is_busy) {
        return;
    }
    let now = runtime::with(|rt| rt.clock().now());
    // Time stands still while a thread is waited for, and without autojump it passes by `jump` alone.
    let held = threads::hold_time();
    let next = runtime::with(|rt| rt.timers.borrow_mut().next().filter(|_| rt.autojump.get() && !held));
    match (runtime::with(Runtime::cushion), next) {
        (Some(cushion), next) if cushion.is_zero() || (!held && next.is_none_or(|at| now + cushion < at)) => {
            if runtime::with(|rt| rt.autojump.get()) {
                runtime::with(|rt| rt.set_clock(Clock::Virtual(now + cushion)));
            }
            return wake_idle();
        }
        (_, Some(at)) => runtime::with(|rt| rt.set_clock(Clock::Virtual(at.max(now)))),
        (_, None) => {
            let shutting_down = runtime::with(|rt| rt.shutting_down.get());
            // Time that may not pass can be allowed to by another thread alone, and so it is no timer.
            if !shutting_down && is_alone() {
                return wait_stuck();
            }
            ask_reactor(shutting_down.then_some(LOOK_AGAIN));
        }
    }
    fire_due();
}

/// Wakes those who wait for idleness with the smallest cushion; the others wait on, from the beginning.
pub(crate) fn wake_idle() {
    runtime::wake_each(runtime::with(|rt| rt.idle.borrow_mut().take_smallest()));
}

pub(crate) fn fire_due() {
    if runtime::with(|rt| rt.timers.borrow().is_empty()) {
        return;
    }
    let now = runtime::with(|rt| rt.clock().now());
    while let Some(target) = next_due(now) {
        match target {
            TimerTarget::Wake(waker) => waker.wake(),
            TimerTarget::Scope(scope) => {
                runtime::with(|rt| rt.scopes.borrow_mut().set_timer(scope, None));
                runtime::cancel(scope, Reason::Deadline);
            }
        }
    }
}

fn next_due(now: Instant) -> Option<TimerTarget> {
    runtime::with(|rt| {
        let due = rt.timers.borrow_mut().pop_due(now);
        if due.is_some() {
            rt.count_fired();
        }
        due
    })
}

/// One turn of the reactor; says how many events it saw.
pub(crate) fn ask_reactor(timeout: Option<Duration>) -> usize {
    if timeout == Some(Duration::ZERO) && !runtime::with(Runtime::has_reactor) {
        return 0;
    }
    let mut woken = runtime::with(|rt| rt.woken.take());
    let seen = runtime::with(|rt| {
        // The bell has to hang before anybody sleeps: see `reactor::notify`.
        rt.reactor(|_| ())?;
        let inbox = rt.inbox();
        let waits = timeout != Some(Duration::ZERO) && inbox.sleep();
        let timeout = if waits { timeout } else { Some(Duration::ZERO) };
        rt.tell(|i| i.before_io_wait(timeout));
        let seen = rt.reactor(|r| r.turn(timeout, &mut woken))?;
        rt.tell(|i| i.after_io_wait(timeout));
        inbox.awake();
        seen
    });
    runtime::wake_each(woken.drain(..));
    runtime::with(|rt| rt.woken.replace(woken));
    seen.unwrap_or_else(|e| panic!("the reactor failed: {e}; is the process out of file descriptors?"))
}

pub(crate) fn drain_inbox() {
    let inbox = runtime::with(Runtime::inbox);
    if !inbox.has_mail() {
        return;
    }
    let mut words = runtime::with(|rt| rt.words.take());
    inbox.drain(&mut words);
    let came = words.len();
    words.retain(|word| *word != CALLS);
    let called = words.len() < came;
    // Words of this thread: only a foreign executor that polls one of our nurseries has a waker to be woken.
    runtime::wake_each(
        words.drain(..).filter_map(|bits| runtime::with(|rt| rt.wake_word(Word::from_bits(bits)))),
    );
    runtime::with(|rt| rt.words.replace(words));
    if called {
        entry::make_calls();
    }
}
