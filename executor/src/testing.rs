//! For tests of code built on this crate: a clock that jumps, an order that a seed decides, and idleness as an event.
//!
//! Only with the feature `testing`.

use crate::checkpoint::Wait;
use crate::clock::{Clock, Instant};
use crate::error::Cancelled;
use crate::run::run_with;
use crate::runtime;
use crate::task::raw;
use crate::task::word::Word;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

/// [`crate::run`] under a virtual clock: time stands still while anything can run, and jumps to the next deadline
/// when nothing can. It starts at one hour past zero.
///
/// # Panics
///
/// As [`crate::run`].
///
/// ```
/// use pleach_executor::{now, sleep, testing::run_virtual};
/// use std::time::Duration;
/// run_virtual(async {
///     let start = now();
///     sleep(Duration::from_secs(86_400)).await.unwrap();
///     assert_eq!(now() - start, Duration::from_secs(86_400));
/// });
/// ```
#[track_caller]
pub fn run_virtual<F: Future>(main: F) -> F::Output {
    run_with(Clock::Virtual(Instant::from_nanos(3_600_000_000_000)), 0, main)
}

/// The same, with the order of ready tasks decided by `seed` (not zero): one seed, one trace.
///
/// # Panics
///
/// As [`crate::run`]; if `seed` is zero.
#[track_caller]
pub fn run_seeded<F: Future>(seed: u64, main: F) -> F::Output {
    assert!(seed != 0, "the seed must not be zero");
    run_with(Clock::Virtual(Instant::from_nanos(3_600_000_000_000)), seed, main)
}

/// Moves the virtual clock forward by `d`, without waiting for anybody.
///
/// # Panics
///
/// Unless the run is under the virtual clock.
#[track_caller]
pub fn jump(d: Duration) {
    runtime::with(|rt| match rt.clock() {
        Clock::Virtual(now) => rt.set_clock(Clock::Virtual(now + d)),
        Clock::Real | Clock::Host(_) => panic!("jump() needs the virtual clock: use run_virtual"),
    });
}

/// Waits until no other task can run: all wait for time, for a descriptor, or for one another.
///
/// Under the virtual clock this comes before time jumps.
///
/// # Cancellation
///
/// A checkpoint always; Strict.
///
/// # Errors
///
/// [`Cancelled`] if the scope around the call is cancelled.
pub async fn wait_until_idle() -> Result<(), Cancelled> {
    let mut wait = Wait::new();
    let mut waited = false;
    poll_fn(|cx| {
        wait.poll(cx, |cx| {
            if std::mem::replace(&mut waited, true) && runtime::with(|rt| rt.idle.borrow().is_empty()) {
                return Poll::Ready(());
            }
            runtime::with(|rt| {
                let mut idle = rt.idle.borrow_mut();
                if !idle.iter().any(|w| w.will_wake(cx.waker())) {
                    idle.push(cx.waker().clone());
                }
            });
            Poll::Pending
        })
    })
    .await
}

/// Wakes `count` words of this thread's executor at random: live tasks, freed ones, and numbers that never were.
/// Every future of this crate tolerates that.
pub fn wake_random(count: u32, seed: u64) {
    let mut x = seed | 1;
    for _ in 0..count {
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        let r = x.wrapping_mul(0x2545_F491_4F6C_DD1D);
        let (executor, slots) = runtime::with(|rt| {
            let s = rt.sched.borrow();
            (s.executor(), s.slots())
        });
        let word = Word::pack(executor, (r >> 32) as u32 & 0xff, (r as u32) % (slots + 8));
        raw::waker_of(word).wake_by_ref();
    }
}
