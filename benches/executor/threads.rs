//! Another thread: how long until it has answered a task, and the task runs again?
//!
//! ```text
//!   task ─ request, unpark ─► helper thread ─ answer, waker.wake() ─► the executor, which sleeps in its poller ─► task
//! ```
//!
//! Rules: both are tied to one core, so that each waits for the other; whoever spun would only keep it from running. That
//! the core changed hands for every answer is asserted: the kernel counts it. One of the two always runs, so the CPU time
//! of both is the time of the round trip, and a neighbour on that core is not in it.

use crate::contender::Contender;
use crate::support::clock::Stopwatch;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;

/// What task and helper tell each other.
#[derive(Debug, Default)]
struct Bell {
    asked: AtomicU64,
    answered: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

/// The number that ends the helper.
const END: u64 = u64::MAX;

impl Bell {
    fn helper(&self) {
        let mut seen = 0;
        loop {
            match self.asked.load(Ordering::Acquire) {
                END => return,
                asked if asked == seen => thread::park(),
                asked => {
                    seen = asked;
                    self.answered.store(asked, Ordering::Release);
                    let waker = self.waker.lock().expect("nobody panics with it").take();
                    waker.expect("a task that asks leaves its waker").wake();
                }
            }
        }
    }

    async fn ask(&self, number: u64, helper: &thread::Thread) {
        let mut asked = false;
        poll_fn(|cx| {
            if self.answered.load(Ordering::Acquire) == number {
                return Poll::Ready(());
            }
            if !asked {
                asked = true;
                *self.waker.lock().expect("nobody panics with it") = Some(cx.waker().clone());
                self.asked.store(number, Ordering::Release);
                helper.unpark();
            }
            Poll::Pending
        })
        .await;
    }
}

/// Ties this thread, and those that it starts, to the first core.
pub(crate) fn one_core() {
    let mut core = CpuSet::new();
    core.set(0).expect("there is a first core");
    sched_setaffinity(Pid::from_raw(0), &core).expect("a thread may narrow its own cores");
}

/// How often this thread gave up its core, by itself or not.
fn switches() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("Linux counts this");
    usage.voluntary_context_switches() + usage.involuntary_context_switches()
}

/// Nanoseconds a round trip, CPU time of both threads.
pub(crate) fn round_trip<C: Contender>(full: bool) -> f64 {
    let trips = if full { 30_000 } else { 100 };
    one_core();
    let bell = Arc::new(Bell::default());
    let helper = thread::spawn({
        let bell = Arc::clone(&bell);
        move || bell.helper()
    });
    let figure = C::run_waiting(async {
        let mut number = 0;
        for _ in 0..20 {
            number += 1;
            bell.ask(number, helper.thread()).await;
        }
        let before = switches();
        let start = Stopwatch::process();
        for _ in 0..trips {
            number += 1;
            bell.ask(number, helper.thread()).await;
        }
        let figure = start.per(trips);
        assert_eq!(bell.answered.load(Ordering::Acquire), number);
        let switched = (switches() - before).unsigned_abs();
        assert!(switched >= trips * 9 / 10, "the core changed hands {switched} times for {trips} answers");
        figure
    });
    bell.asked.store(END, Ordering::Release);
    helper.thread().unpark();
    helper.join().expect("the helper does not panic");
    figure
}
