//! Timers: what does one cost that is armed and given up, and one that expires?
//!
//! ```text
//!   arm_cancel: held sleeps ... │ sleep(60 s) polled once, dropped; again and again
//!   limits:                       a limit of 60 s around a block that is over at once
//!   expire:     N children, each sleeps until a moment of its own; CPU time from the first spawn to the last join
//! ```
//!
//! Held timers are polled with a waker that does nothing: glommio counts the references of a task's waker in 16 bits.

use crate::contender::Timers;
use crate::support::clock::Stopwatch;
use crate::work::{Boxed, Out, Tally, Yields, ran, take_tally};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Nothing that is armed for so long expires here.
const LONG: Duration = Duration::from_secs(60);

/// Polls once; it waits.
async fn arm(mut timer: std::pin::Pin<&mut impl Future<Output = ()>>) {
    poll_fn(|cx| {
        assert!(timer.as_mut().poll(cx).is_pending(), "it has just been armed");
        Poll::Ready(())
    })
    .await;
}

/// Nanoseconds to arm and give up a timer beside `held` others, spread over 100 s.
pub(crate) fn arm_cancel<C: Timers>(full: bool, held: u64) -> f64 {
    let (held, cycles) = if full { (held, 400_000) } else { (held.min(1000), 1_000) };
    C::run_waiting(async {
        let mut cx = Context::from_waker(Waker::noop());
        let mut holding = Vec::new();
        for i in 0..held {
            let at = Duration::from_millis(100_000 + i * 7919 % 100_000);
            let mut timer: Boxed<()> = Box::pin(C::sleep(at));
            assert!(timer.as_mut().poll(&mut cx).is_pending());
            holding.push(timer);
        }
        repeat_arm::<C>(1000).await;
        let start = Stopwatch::cpu();
        repeat_arm::<C>(cycles).await;
        let figure = start.per(cycles);
        assert_eq!(holding.len() as u64, held);
        figure
    })
}

async fn repeat_arm<C: Timers>(cycles: u64) {
    for i in 0..cycles {
        arm(pin!(C::sleep(LONG + Duration::from_micros(i % 1000)))).await;
        // tokio lets a task poll 128 timers in a turn.
        if i % 64 == 63 {
            Yields::new(1).await;
        }
    }
}

/// Nanoseconds for a limit around a block that is over at once.
pub(crate) fn limits<C: Timers>(full: bool) -> f64 {
    let cycles = if full { 400_000 } else { 1_000 };
    C::run_waiting(async {
        let start = Stopwatch::cpu();
        for i in 0..cycles {
            C::limited(LONG).await;
            if i % 64 == 63 {
                Yields::new(1).await;
            }
        }
        start.per(cycles)
    })
}

/// Nanoseconds of CPU, of all threads, for a child that sleeps once.
pub(crate) fn expire<C: Timers>(full: bool) -> f64 {
    let (n, first, spread) = if full { (100_000, 150_000, 250_000) } else { (1_000, 1_000, 5_000) };
    let sleeper = |i: u64| -> Boxed<C::Out> {
        let after = Duration::from_micros(first + i * 7919 % spread);
        if i.is_multiple_of(2) {
            return Box::pin(async move {
                C::sleep(after).await;
                ran();
                C::Out::fine()
            });
        }
        Box::pin(async move {
            let timer = pin!(C::sleep(after));
            timer.await;
            ran();
            C::Out::fine()
        })
    };
    C::run_waiting(async {
        take_tally();
        let start = Stopwatch::process();
        let real = Stopwatch::wall();
        C::boxed_group((0..n).map(sleeper)).await;
        let figure = start.per(n);
        assert!(real.elapsed() >= Duration::from_micros(spread - 1), "the last timer was waited for");
        assert_eq!(take_tally(), Tally { ran: n, ..Tally::default() });
        figure
    })
}
