//! Promise: safe code cannot break a nursery, however its futures are moved, leaked, dropped, panicked in or woken.
//!
//! ```text
//!   forget │ drop half-way │ move between scopes │ panic in a destructor │ wake a number at random
//!      └────────────┴──────────────┴──► every child runs or ends exactly once, every failure reaches somebody
//! ```
//!
//! Rules: each section is one way to misbehave. A payload that was lost, a destructor that ran twice or never, and
//! a counter that did not come back are the failures looked for.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

#[path = "soundness/destructors.rs"]
mod destructors;
#[path = "soundness/moves.rs"]
mod moves;
#[path = "soundness/numbers.rs"]
mod numbers;
#[path = "soundness/stale_signals.rs"]
mod stale_signals;
#[path = "soundness/starts.rs"]
mod starts;
#[path = "soundness/under_a_nursery.rs"]
mod under_a_nursery;

use by_hand::message;
use fault::Fault;
use orders::or_hang;
use pleach_executor::testing::run_virtual;
use pleach_executor::{CancelScope, Cancelled, check};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Poll, Waker};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// Runs a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

type Log = RefCell<Vec<&'static str>>;

/// Writes its name when it is dropped, then panics with it.
fn bomb<'a>(log: &'a Log, name: &'static str) -> OnDrop<impl FnMut() + 'a> {
    OnDrop(move || {
        log.borrow_mut().push(name);
        panic!("{name}")
    })
}

/// What comes out of a virtual run that panics.
fn panic_of<T>(main: impl Future<Output = T>) -> String {
    match catch_unwind(AssertUnwindSafe(|| run_virtual(or_hang(1_000_000 * S, main)))) {
        Ok(_) => panic!("it should have panicked"),
        Err(payload) => message(payload),
    }
}

/// A `Cancelled` of a scope that is over.
async fn stale() -> Cancelled {
    let kept = Cell::new(None);
    let r: Result<Option<()>, Fault> = CancelScope::new()
        .run(async |s| {
            s.cancel();
            kept.set(check().err());
            Ok(())
        })
        .await;
    assert!(matches!(r, Ok(Some(()))));
    kept.take().expect("the scope was cancelled")
}

/// The waker of the code that awaits this.
async fn own_waker() -> Waker {
    poll_fn(|cx| Poll::Ready(cx.waker().clone())).await
}
