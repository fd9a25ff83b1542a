//! Time as the executor sees it: one monotonic instant type, and the only place that reads the clock.
//!
//! ```text
//!   CLOCK_MONOTONIC ──┐
//!                     ├─► Clock::now ──► Instant ──► deadlines, timers, messages between processes
//!   virtual clock ────┤   (jumps when the executor is idle: `testing::run_virtual`)
//!   a host's clock ───┘   (`host`)
//! ```
//!
//! Rules:
//! * An [`Instant`] is a number of nanoseconds on `CLOCK_MONOTONIC`, so that two processes of one boot can
//!   compare theirs (`std::time::Instant` hides the number).
//! * Arithmetic saturates: a deadline of "now plus 500 years" is simply far away.
//! * Nothing else in the workspace asks the operating system for the time.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on the monotonic clock, in nanoseconds.
///
/// On Linux the number is the one of `CLOCK_MONOTONIC` (`clock_gettime(2)`): comparable between all processes
/// of one boot and time namespace, meaningless outside. Under the virtual clock of the `testing` feature it
/// counts virtual nanoseconds.
///
/// ```
/// use pleach_executor::{now, run};
/// use std::time::Duration;
/// run(async {
///     let start = now();
///     assert!(start + Duration::from_millis(1) > start);
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The last instant there is; as a deadline: never.
    pub const MAX: Instant = Instant(u64::MAX);

    /// The instant with this number of nanoseconds on `CLOCK_MONOTONIC`.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    /// Nanoseconds on `CLOCK_MONOTONIC`.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub fn saturating_duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({}.{:09})", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// Which clock an executor lives by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    /// The machine's monotonic clock.
    Real,
    /// Stands still while anything can run; jumps to the next deadline when nothing can.
    Virtual(Instant),
    /// Another executor's.
    Host(fn() -> Instant),
}

impl Clock {
    pub(crate) fn now(self) -> Instant {
        match self {
            Clock::Real => Instant(crate::sys::monotonic_nanos()),
            Clock::Virtual(at) => at,
            Clock::Host(now) => now(),
        }
    }

    pub(crate) fn is_virtual(self) -> bool {
        matches!(self, Clock::Virtual(_))
    }
}

/// The present moment on the clock of this thread's executor.
///
/// Inside a run under the virtual clock this is virtual time; everywhere else it is `CLOCK_MONOTONIC`.
#[must_use]
pub fn now() -> Instant {
    crate::runtime::clock().now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_later_is_so_much_later_and_what_is_not_is_not_at_all() {
        let (early, late) = (Instant::from_nanos(5), Instant::from_nanos(12));
        assert_eq!(late.saturating_duration_since(early), Duration::from_nanos(7));
        assert_eq!(early.saturating_duration_since(late), Duration::ZERO);
        assert_eq!(late.saturating_duration_since(late), Duration::ZERO);
        assert_eq!((late - early, early - late), (Duration::from_nanos(7), Duration::ZERO), "the same");
        let longest = Instant::MAX.saturating_duration_since(Instant::from_nanos(0));
        assert_eq!(longest, Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn far_away_is_never_and_not_soon() {
        assert_eq!(Instant::from_nanos(1) + Duration::MAX, Instant::MAX);
        assert_eq!(Instant::MAX + Duration::from_nanos(1), Instant::MAX);
    }
}
