//! The virtual clock, moved by hand.
//!
//! ```text
//!   nothing can run ─► autojump? ─yes─► the next deadline          jump(d): now, whatever runs
//!                           └─no──► time stands still until jump(), or until it is allowed again
//! ```

use crate::clock::Clock;
use crate::runtime;
use std::time::Duration;

/// Moves the virtual clock forward by `d`, without waiting for anybody.
///
/// # Panics
///
/// Unless the run is under the virtual clock.
///
/// ```
/// use pleach_executor::{now, testing::{jump, run_virtual}};
/// use std::time::Duration;
/// run_virtual(async {
///     let before = now();
///     jump(Duration::from_secs(5));
///     assert_eq!(now() - before, Duration::from_secs(5));
/// });
/// ```
#[track_caller]
pub fn jump(d: Duration) {
    runtime::with(|rt| match rt.clock() {
        Clock::Virtual(now) => rt.set_clock(Clock::Virtual(now + d)),
        Clock::Real | Clock::Host(_) => panic!("jump() needs the virtual clock: use run_virtual"),
    });
}

/// May the virtual clock jump to the next deadline when nothing can run? Every run begins with yes.
///
/// With no, a deadline comes only by [`jump`]. It takes effect at once. Source: trio's `MockClock.autojump_threshold`,
/// zero and infinite; for what lies between see [`set_autojump_after`].
///
/// # Panics
///
/// Unless the run is under the virtual clock.
///
/// ```
/// use pleach_executor::{Cancelled, nursery, now, sleep, testing::{jump, run_virtual, set_autojump, wait_until_idle}};
/// use std::time::Duration;
/// let r: Result<(), Cancelled> = run_virtual(nursery(async |n| {
///     let start = now();
///     set_autojump(false);
///     n.spawn(sleep(Duration::from_secs(60)));
///     wait_until_idle().await?;
///     assert_eq!(now(), start);
///     jump(Duration::from_secs(60));
///     Ok(())
/// }));
/// r.unwrap();
/// ```
#[track_caller]
pub fn set_autojump(on: bool) {
    runtime::with(|rt| {
        assert!(rt.clock().is_virtual(), "set_autojump() needs the virtual clock: use run_virtual");
        rt.autojump.set(on);
    });
}

/// Before the virtual clock jumps, and before anybody is told of idleness, waits for so long in *real* time for something from
/// outside: another process, a thread that the run knows nothing of. Every run begins with zero.
///
/// So a test whose other end is real does not see its limits pass while that is at work. Such a test is as slow as its jumps are
/// many. Source: trio's `MockClock.autojump_threshold`.
///
/// # Panics
///
/// Unless the run is under the virtual clock.
///
/// ```
/// use pleach_executor::{now, sleep, testing::{run_virtual, set_autojump_after}};
/// use std::time::Duration;
/// run_virtual(async {
///     set_autojump_after(Duration::from_millis(1));
///     let start = now();
///     sleep(Duration::from_secs(60)).await.unwrap();
///     assert_eq!(now() - start, Duration::from_secs(60));
/// });
/// ```
#[track_caller]
pub fn set_autojump_after(real: Duration) {
    runtime::with(|rt| {
        assert!(rt.clock().is_virtual(), "set_autojump_after() needs the virtual clock: use run_virtual");
        rt.patience.set(real);
    });
}
