//! Promise: every future may be dropped at any await, or leaked: it unregisters itself, and nothing is lost.
//!
//! ```text
//!   poll 0 times, 1, 2, … until it is ready ─ drop ─► tasks, scopes, waiting operations, timers: as before
//!   mem::forget ─► borrowed children are never polled again; static ones end with the run
//! ```
//!
//! Rules: a future is dropped after every number of polls from none to all it needs, in a run that goes on.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

#[path = "drops/channels.rs"]
mod channels;
#[path = "drops/futures.rs"]
mod futures;
#[path = "drops/leaked.rs"]
mod leaked;
#[path = "drops/locks.rs"]
mod locks;
#[path = "drops/nurseries.rs"]
mod nurseries;
#[path = "drops/receivers.rs"]
mod receivers;

use by_hand::poll_once;
use fault::{Fault, Run};
use orders::or_hang;
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{CancelScope, Started, checkpoint, shielded, sleep, sleep_forever, stats};
use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// What is registered now.
fn registered() -> [(&'static str, usize); 5] {
    let s = stats();
    [
        ("tasks", s.tasks),
        ("scopes", s.scopes),
        ("waiting", s.waiting),
        ("timers", s.timers),
        ("descriptors", s.registrations),
    ]
}

/// Counts how many live.
struct Alive<'a>(&'a Cell<i32>);

impl<'a> Alive<'a> {
    fn new(count: &'a Cell<i32>) -> Self {
        count.set(count.get() + 1);
        Alive(count)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// How a case is dropped.
#[derive(Clone, Copy, Debug)]
enum Around {
    /// Nobody cancels.
    Nothing,
    /// In a scope that is cancelled before the first poll.
    Cancelled,
    /// In a scope that is cancelled between its last poll and its drop: woken, but not polled.
    CancelledAtLast,
}

/// Drops what `make` makes after 0, 1, 2, … polls, and compares what is registered. Returns how many polls it takes
/// to its end; `max` for one that never ends.
async fn drop_after_every_poll<F: Future>(
    what: &str,
    around: Around,
    max: usize,
    make: impl Fn() -> F,
) -> usize {
    for polls in 0..=max {
        let before = registered();
        let ended = Cell::new(false);
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                if matches!(around, Around::Cancelled) {
                    s.cancel();
                }
                let mut fut = Box::pin(make());
                for _ in 0..polls {
                    if poll_once(fut.as_mut()).await.is_ready() {
                        ended.set(true);
                        break;
                    }
                    // Whatever is due within a second happens between two polls.
                    shielded(async |_| {
                        wait_until_idle().await?;
                        sleep(S).await
                    })
                    .await?;
                }
                if matches!(around, Around::CancelledAtLast) {
                    s.cancel();
                }
                drop(fut);
                Ok(())
            })
            .await;
        assert!(r.is_ok());
        wait_until_idle().await.expect("the run goes on");
        assert_eq!(registered(), before, "{what}, {around:?}: dropped after {polls} polls");
        if ended.get() {
            return polls;
        }
    }
    max
}

/// Every way to be dropped, for one kind of future.
fn any_drop_is_clean<F: Future>(what: &str, max: usize, make: impl Fn() -> F) {
    for around in [Around::Nothing, Around::Cancelled, Around::CancelledAtLast] {
        run_virtual(or_hang(1_000_000 * S, async {
            let polls = drop_after_every_poll(what, around, max, &make).await;
            assert!(polls > 0, "{what} has been polled");
        }));
    }
}

/// A nursery with children of every kind, below each other, some asleep and some at work.
async fn family() -> Result<usize, Fault> {
    Run::nursery(async |n| {
        n.spawn(async { Ok(sleep(2 * S).await?) });
        n.spawn_static(async { Ok(sleep(3 * S).await?) });
        let handle = n.handle();
        n.spawn_static(async move {
            checkpoint().await?;
            let _ = handle.spawn(async { Ok(sleep(S).await?) });
            Ok(())
        });
        n.spawn_static(Run::nursery(async |inner| {
            inner.spawn(async { Ok(sleep(2 * S).await?) });
            inner.spawn_static(async { Ok(sleep(S).await?) });
            Ok(sleep(2 * S).await?)
        }));
        let port = n
            .start(async |ready: Started<usize>| {
                sleep(S).await?;
                ready.set(7);
                sleep_forever().await?;
                Ok(())
            })
            .await?;
        let value = n.task(async {
            sleep(2 * S).await?;
            Ok(1)
        });
        let value = value.await?;
        n.cancel();
        Ok(port + value)
    })
    .await
}

/// When a future is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Window {
    BeforeItsFirstPoll,
    Parked,
    WokenAndNotPolled,
}

const WINDOWS: [Window; 3] = [Window::BeforeItsFirstPoll, Window::Parked, Window::WokenAndNotPolled];

/// Drops `fut` in that window; `wake` does what it waits for, which in every window has happened in the end.
async fn drop_in<F: Future>(window: Window, fut: F, wake: impl FnOnce()) {
    let mut fut = Box::pin(fut);
    if window != Window::BeforeItsFirstPoll {
        assert!(poll_once(fut.as_mut()).await.is_pending());
    }
    match window {
        Window::WokenAndNotPolled => {
            wake();
            drop(fut);
        }
        _ => {
            drop(fut);
            wake();
        }
    }
}
