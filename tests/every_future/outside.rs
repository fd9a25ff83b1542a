//! Threads, names, the standard streams, and a run inside another executor.
//!
//! ```text
//!   to_thread ─ ends early ─► its function has run once or never; what it owned is gone; its permit is back
//! ```

use crate::S;
use crate::by_hand::poll_once;
use crate::trial::{Trial, cases};
use futures_util::future::join;
use pleach_executor::host::{Driver, hosted};
use pleach_executor::io::{WriteBytes, stderr, stdin, stdout};
use pleach_executor::threads::{ThreadLimit, ToThread, at_work, resolve, wait_for_all};
use pleach_executor::{Instant, nursery, run, sleep, stats, to_thread, yield_now};
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

cases! {
    a_call_to_a_thread => ["threads.rs to_thread"],
    a_call_that_may_be_abandoned => ["threads.rs ToThread::run"],
    a_call_under_a_limiter => ["threads.rs ToThread::run_limited", "threads/limit.rs Limiter for ThreadLimit::acquire"],
    the_end_of_all_calls => ["threads/count.rs wait_for_all"],
    a_call_that_waits_for_its_permit => [],
    a_name => ["threads/resolve.rs resolve"],
    a_read_of_the_standard_input => ["io/stdio.rs Stdin::read", "io/stdio.rs ReadBytes for Stdin::read"],
    a_write_to_a_standard_stream => ["io/stdio.rs Stdout::write", "io/stdio.rs WriteBytes for Stdout::write"],
}

/// The futures that are no operation inside a run.
pub(crate) const BY_HAND: &[&str] = &["host.rs Future for Hosted"];

/// Waits for what a thread does in its own time.
async fn settled(what: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if what() {
            return;
        }
        std::thread::yield_now();
        yield_now().await;
    }
    panic!("it never comes to that");
}

async fn a_call_to_a_thread(trial: &Trial) {
    let owned = Arc::new(());
    let theirs = Arc::clone(&owned);
    let called = trial.of(to_thread(move || (drop(theirs), 7).1)).await;
    if let Some(Ok(value)) = called {
        assert_eq!(value, 7);
    }
    settled(|| Arc::strong_count(&owned) == 1).await;
    // One after the other through the same workers: whatever became of the first, the next one is served.
    assert!(matches!(to_thread(|| 8).await, Ok(8)));
}

/// Of a call that was abandoned: whoever gives up this wait as well leaves the next its own.
async fn the_end_of_all_calls(trial: &Trial) {
    let (open, gate) = std::sync::mpsc::channel::<()>();
    {
        let mut call = Box::pin(ToThread::new().abandonable().run(move |_| gate.recv().is_err()));
        assert!(poll_once(call.as_mut()).await.is_pending());
    }
    let ended = trial.beside(wait_for_all(), async { drop(open) }).await;
    if let Some(Ok(())) = ended {
        assert_eq!(at_work(), 0);
    }
    wait_for_all().await.expect("nobody cancels this one");
    assert_eq!(at_work(), 0);
}

async fn a_call_that_may_be_abandoned(trial: &Trial) {
    let (owned, limit) = (Arc::new(()), ThreadLimit::new(1.try_into().expect("not 0")));
    let theirs = Arc::clone(&owned);
    let call = ToThread::new().limit(&limit).abandonable();
    trial.of(call.run(move |_| drop(theirs))).await;
    settled(|| (limit.used(), Arc::strong_count(&owned)) == (0, 1)).await;
    let next = ToThread::new().limit(&limit).run(|_| 8).await;
    assert!(matches!(next, Ok(8)), "the permit is back");
}

async fn a_call_under_a_limiter(trial: &Trial) {
    let (owned, limit) = (Arc::new(()), ThreadLimit::new(1.try_into().expect("not 0")));
    let theirs = Arc::clone(&owned);
    trial.of(ToThread::new().abandonable().run_limited(&limit, move |_| drop(theirs))).await;
    settled(|| (limit.used(), Arc::strong_count(&owned)) == (0, 1)).await;
    assert!(matches!(ToThread::new().run_limited(&limit, |_| 8).await, Ok(8)), "the permit is back");
}

/// The one that has the permit is dropped with the thread at work: it is waited for all the same, and time stands still.
async fn a_call_that_waits_for_its_permit(trial: &Trial) {
    let (owned, limit) = (Arc::new(()), ThreadLimit::new(1.try_into().expect("not 0")));
    let call = || ToThread::new().limit(&limit);
    let theirs = Arc::clone(&owned);
    let mut first = Box::pin(call().run(move |_| std::thread::yield_now()));
    assert!(poll_once(first.as_mut()).await.is_pending());
    drop(first);
    let waiting = trial.of(call().run(move |_| drop(theirs)));
    let behind = async {
        pleach_executor::checkpoint().await?;
        call().run(|_| ()).await
    };
    assert!(join(waiting, behind).await.1.is_ok());
    settled(|| (limit.used(), Arc::strong_count(&owned)) == (0, 1)).await;
}

async fn a_name(trial: &Trial) {
    trial.of(resolve("localhost", 7)).await;
    assert!(resolve("localhost", 7).await.is_ok_and(|all| !all.is_empty()), "the next one is answered");
}

/// With no room for a byte: nobody knows what this process was started with.
async fn a_read_of_the_standard_input(trial: &Trial) {
    trial.never_waits();
    let input = stdin().expect("it is open");
    trial.of(input.read(&mut [])).await;
}

async fn a_write_to_a_standard_stream(trial: &Trial) {
    trial.never_waits();
    trial.of(stdout().expect("it is open").write(b"")).await;
    trial.of(WriteBytes::write(&stderr().expect("it is open"), b"")).await;
}

thread_local! {
    /// Where the host's clock stands.
    static NOW: Cell<u64> = const { Cell::new(1_000_000_000) };
}

/// A host whose only tick is the next poll.
struct ByHand;

impl Driver for ByHand {
    fn now() -> Instant {
        Instant::from_nanos(NOW.get())
    }
    fn poll_until(&mut self, at: Instant, _: &mut Context<'_>) -> Poll<()> {
        if at <= Self::now() { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[test]
fn a_hosted_run_that_is_dropped_at_any_await_is_over() {
    for polls in 0.. {
        let alive = Rc::new(());
        let main = nursery(async |n| {
            for seconds in 1..=3 {
                let alive = Rc::clone(&alive);
                n.spawn(async move {
                    let r = sleep(seconds * S).await;
                    drop(alive);
                    r
                });
            }
            sleep(2 * S).await
        });
        let mut fut = Box::pin(hosted(ByHand, main));
        let ended = (0..polls).any(|_| {
            NOW.set(NOW.get() + 500_000_000);
            let polled = Pin::as_mut(&mut fut).poll(&mut Context::from_waker(Waker::noop()));
            polled.is_ready()
        });
        drop(fut);
        assert_eq!(Rc::strong_count(&alive), 1, "no child is left after {polls} polls");
        let next = run(async { (stats().timers, stats().scopes, sleep(S / 1000).await.is_ok()) });
        assert_eq!((next.0, next.2), (0, true), "the thread is free for the next run");
        if ended {
            assert!(polls > 4);
            return;
        }
    }
}
