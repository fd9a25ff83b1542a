//! Waiting for a moment: the timer of one waiting operation, and sleeping.
//!
//! ```text
//!   sleep(d) ─ first poll ─► the clock is read ─┬─ the moment has passed ─► yields once
//!                                               └─ Timer: set ─► armed ─► fired │ dropped: disarmed
//! ```
//!
//! Rules: the clock is read when a sleep is first polled, and once: nobody sleeps for less than was asked.

use crate::checkpoint::Wait;
use crate::clock::{Instant, now};
use crate::error::Cancelled;
use crate::runtime::{self, Alarm};
use crate::waits::Waits;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A timer of one waiting operation.
#[derive(Debug)]
pub(crate) struct Timer {
    at: Instant,
    state: TimerState,
}

#[derive(Debug)]
enum TimerState {
    /// Not polled yet since it was set, at about this moment: the clock need not be read again.
    Set(Instant),
    Armed(Alarm),
    /// Nothing is armed, and how late it is has to be asked.
    Idle,
}

impl Timer {
    pub(crate) const fn new() -> Self {
        Timer { at: Instant::MAX, state: TimerState::Idle }
    }

    /// One that is set already.
    const fn until(at: Instant, now: Instant) -> Self {
        Timer { at, state: TimerState::Set(now) }
    }

    /// Sets it to `at`, some time after `now`.
    pub(crate) fn set(&mut self, at: Instant, now: Instant) {
        self.clear();
        (self.at, self.state) = (at, TimerState::Set(now));
    }

    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.at == Instant::MAX {
            return Poll::Pending;
        }
        let now = match self.state {
            TimerState::Armed(alarm) if alarm.is_ours() => {
                if alarm.is_armed(cx.waker()) {
                    return Poll::Pending;
                }
                self.state = TimerState::Idle;
                if Alarm::has_fired(self.at) {
                    return Poll::Ready(());
                }
                now()
            }
            TimerState::Set(now) => now,
            TimerState::Armed(_) | TimerState::Idle => now(),
        };
        if now >= self.at {
            return Poll::Ready(());
        }
        self.state = TimerState::Armed(Alarm::arm(self.at, now, cx.waker().clone()));
        Poll::Pending
    }

    #[inline]
    fn clear(&mut self) {
        if let TimerState::Armed(alarm) = self.state {
            self.state = TimerState::Idle;
            alarm.disarm();
        }
    }
}

impl Drop for Timer {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}

// ---- sleeping

/// Until when somebody sleeps.
#[derive(Debug)]
enum Until {
    /// For so long from the first poll on.
    After(Duration),
    At(Instant),
    /// The moment had passed before: it has yielded.
    Passed,
    /// The timer knows.
    Set,
}

/// A sleep, as a future by hand: most are given up before their time, and there are many of them.
#[must_use = "futures do nothing unless they are awaited"]
#[derive(Debug)]
struct Sleep {
    until: Until,
    timer: Timer,
    wait: Wait,
}

impl Sleep {
    #[inline]
    const fn new(until: Until) -> Self {
        Sleep { until, timer: Timer::new(), wait: Wait::on(Waits::Sleep) }
    }
}

impl Future for Sleep {
    type Output = Result<(), Cancelled>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Sleep { until, timer, wait } = &mut *self;
        let begun = match *until {
            Until::After(d) => {
                let now = now();
                Some((now, now + d))
            }
            Until::At(at) => Some((now(), at)),
            Until::Passed => return Poll::Ready(runtime::report()),
            Until::Set => None,
        };
        if let Some((now, at)) = begun {
            if now >= at {
                *until = Until::Passed;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            *until = Until::Set;
            *timer = Timer::until(at, now);
        }
        let polled = wait.poll(cx, |cx| timer.poll(cx));
        if let Poll::Ready(Err(_)) = polled {
            // Whoever keeps this for longer keeps no timer.
            timer.clear();
        }
        polled
    }
}

/// Waits until the clock of this executor shows `at`.
///
/// # Cancellation
///
/// A checkpoint always; Strict. A moment that has passed yields once.
///
/// # Errors
///
/// [`Cancelled`] if the scope around the call is cancelled.
///
/// ```
/// use pleach_executor::{now, run, sleep_until};
/// use std::time::Duration;
/// run(async {
///     let at = now() + Duration::from_millis(2);
///     sleep_until(at).await.unwrap();
///     assert!(now() >= at);
/// });
/// ```
#[inline]
pub fn sleep_until(at: Instant) -> impl Future<Output = Result<(), Cancelled>> {
    Sleep::new(Until::At(at))
}

/// Waits for `d`, which counts from the first poll. See [`sleep_until`].
///
/// # Cancellation
///
/// A checkpoint always; Strict.
///
/// # Errors
///
/// [`Cancelled`] if the scope around the call is cancelled.
///
/// ```
/// use pleach_executor::{now, run, sleep};
/// use std::time::Duration;
/// run(async {
///     let start = now();
///     sleep(Duration::from_millis(2)).await.unwrap();
///     assert!(now() - start >= Duration::from_millis(2));
/// });
/// ```
#[inline]
pub fn sleep(d: Duration) -> impl Future<Output = Result<(), Cancelled>> {
    Sleep::new(Until::After(d))
}

/// A wait that a cancellation alone ends.
#[must_use = "futures do nothing unless they are awaited"]
#[derive(Debug)]
struct Forever(Wait);

impl Future for Forever {
    type Output = Result<Infallible, Cancelled>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx, |_| Poll::Pending)
    }
}

/// Waits until the scope is cancelled.
///
/// # Cancellation
///
/// A checkpoint always; Strict.
///
/// # Errors
///
/// [`Cancelled`], always: there is no other way out.
///
/// ```
/// use pleach_executor::{CancelScope, run, sleep_forever};
/// run(async {
///     let left = CancelScope::new().run(async |scope| {
///         scope.cancel();
///         sleep_forever().await.map(|never| match never {})
///     });
///     assert_eq!(left.await.unwrap(), None::<()>);
/// });
/// ```
#[inline]
pub fn sleep_forever() -> impl Future<Output = Result<Infallible, Cancelled>> {
    Forever(Wait::on(Waits::Forever))
}
