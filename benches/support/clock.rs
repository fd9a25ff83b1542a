//! The clocks of a bench.
//!
//! ```text
//!   Stopwatch::cpu     this thread's CPU time: work that never waits, which a busy neighbour cannot lengthen
//!   Stopwatch::process the same, of all threads: work that a helper thread of a contender may share
//!   Stopwatch::wall    real time: work that waits
//! ```
//!
//! Rules: nothing else here reads a clock.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Runs from when it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    clock: ClockId,
    start: Duration,
}

fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).expect("Linux has this clock").into()
}

impl Stopwatch {
    fn of(clock: ClockId) -> Self {
        Stopwatch { clock, start: read(clock) }
    }

    pub(crate) fn cpu() -> Self {
        Self::of(ClockId::CLOCK_THREAD_CPUTIME_ID)
    }

    pub(crate) fn process() -> Self {
        Self::of(ClockId::CLOCK_PROCESS_CPUTIME_ID)
    }

    pub(crate) fn wall() -> Self {
        Self::of(ClockId::CLOCK_MONOTONIC)
    }

    pub(crate) fn elapsed(self) -> Duration {
        read(self.clock) - self.start
    }

    /// Nanoseconds so far, for each of `units`.
    pub(crate) fn per(self, units: u64) -> f64 {
        per(self.elapsed(), units)
    }
}

/// Nanoseconds for each of `units`.
pub(crate) fn per(took: Duration, units: u64) -> f64 {
    took.as_nanos() as f64 / units as f64
}
