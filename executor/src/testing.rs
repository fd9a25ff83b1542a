//! For tests of code built on this crate: a clock that jumps, an order that a seed decides, idleness as an event.
//!
//! ```text
//!   run_virtual │ run_seeded │ run_limited ─► your test ─┬─ wait_until_idle, jump, set_autojump       time
//!                                                        ├─ assert_checkpoints, wake_random           tasks
//!                                                        ├─ Sequencer                                 order
//!                                                        └─ memory_pipe, lock_step_pair, …            bytes
//! ```
//!
//! * `time.rs`: the virtual clock, by hand. `idle.rs`: idleness. `checkpoints.rs`: does this code notice cancellation?
//! * `sequencer.rs`: blocks that run one after the other. `streams.rs`: bytes without sockets.
//! * `limited.rs`: a time limit that says who hangs, and where.
//!
//! They combine: a seed decides the order, the clock jumps, and the limit (in real time) ends what hangs.
//!
//! ```
//! use pleach_executor::{checkpoint, nursery, Cancelled, testing::{limited, run_seeded}};
//! use std::{cell::RefCell, time::Duration};
//! for seed in 1..20 {
//!     let order = || {
//!         let order = RefCell::new(Vec::new());
//!         let r: Result<(), Cancelled> = run_seeded(seed, limited(Duration::from_secs(60), nursery(async |n| {
//!             for child in 0..5 {
//!                 let order = &order;
//!                 n.spawn(async move { checkpoint().await?; order.borrow_mut().push(child); Ok(()) });
//!             }
//!             Ok(())
//!         })));
//!         r.unwrap();
//!         order.into_inner()
//!     };
//!     assert_eq!(order(), order(), "one seed, one trace");
//! }
//! ```
//!
//! Only with the feature `testing`.

mod checkpoints;
mod idle;
mod limited;
mod sequencer;
pub mod streams;
mod time;

pub use checkpoints::{assert_checkpoints, assert_no_checkpoints};
pub use idle::{wait_until_idle, wait_until_idle_for};
pub use limited::{limited, run_limited};
pub use sequencer::{SequenceBroken, Sequencer, Turn};
pub use time::{jump, set_autojump, set_autojump_after};

use crate::clock::{Clock, Instant};
use crate::run::run_with;
use crate::runtime;
use crate::task::raw;
use crate::task::word::Word;
use std::future::Future;

/// [`crate::run`] under a virtual clock: time stands still while anything can run, and jumps to the next deadline
/// when nothing can. It starts at one hour past zero.
///
/// # Panics
///
/// As [`crate::run`]. If all tasks wait and nothing is left to wake one, with the [`dump`](crate::dump): another thread that will
/// is announced by [`expect_wake`](crate::expect_wake).
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

/// The same, with an order that `seed` (not zero) decides: of the ready tasks, and of the ready children in each nursery. One
/// seed, one trace.
///
/// # Panics
///
/// As [`crate::run`]; if `seed` is zero.
///
/// ```
/// use pleach_executor::{Cancelled, In, testing::run_seeded};
/// use std::cell::RefCell;
///
/// fn order_by(seed: u64) -> Vec<u32> {
///     let order = RefCell::new(Vec::new());
///     let r = run_seeded(seed, In::<Cancelled>::nursery(async |n| {
///         for child in 0..9 {
///             let order = &order;
///             n.spawn(async move { order.borrow_mut().push(child); Ok(()) });
///         }
///         Ok(())
///     }));
///     r.unwrap();
///     order.into_inner()
/// }
/// assert_eq!(order_by(7), order_by(7));
/// assert!((1..9).any(|seed| order_by(seed) != order_by(7)), "another seed, another order");
/// ```
#[track_caller]
pub fn run_seeded<F: Future>(seed: u64, main: F) -> F::Output {
    assert!(seed != 0, "the seed must not be zero");
    run_with(Clock::Virtual(Instant::from_nanos(3_600_000_000_000)), seed, main)
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
