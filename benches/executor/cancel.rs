//! Cancelling: how long until every one of many parked children has noticed, and is joined?
//!
//! ```text
//!   N children park ─► cancel ─► each returns from a poll that told it ─► the group is joined
//!   └── not timed ──┘└────────────────────── timed ────────────────────────────────────────┘
//! ```
//!
//! Peers are told by a `CancellationToken` of tokio-util, which works in every executor. Dropping children where they
//! wait is reported: none of them can clean up.

use crate::contender::Contender;
use crate::support::clock::{Stopwatch, per};
use crate::work::{Boxed, Out, Tally, Waiter, all_parked, take_tally};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

fn waiters(full: bool) -> u64 {
    if full { 100_000 } else { 1_000 }
}

/// Does every waiter see the cancellation, or is it dropped?
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Told {
    Yes,
    No,
}

/// Nanoseconds a child: `cancel` parks so many, and times the rest.
pub(crate) fn timed(full: bool, told: Told, cancel: fn(u64) -> Duration) -> f64 {
    let n = waiters(full);
    cancel(n.min(1000));
    take_tally();
    let took = cancel(n);
    // Wakes are those of the wait until all are parked: not what is asked here.
    let tally = Tally { wakes: 0, ..take_tally() };
    assert_eq!(tally, Tally { ran: 0, wakes: 0, dropped: n, told: if told == Told::Yes { n } else { 0 } });
    per(took, n)
}

/// Children that wait for a token, and one that fires it once all of them wait.
pub(crate) fn by_token<C: Contender>(waiters: u64) -> Duration {
    let token = CancellationToken::new();
    let start = Rc::new(Cell::new(None));
    let waiter = |i: u64| -> Boxed<C::Out> {
        let token = token.clone();
        if i < waiters {
            return Box::pin(async move {
                let waiter = Waiter::park();
                token.cancelled().await;
                waiter.told();
                C::Out::fine()
            });
        }
        let start = Rc::clone(&start);
        Box::pin(async move {
            all_parked(waiters).await;
            start.set(Some(Stopwatch::cpu()));
            token.cancel();
            C::Out::fine()
        })
    };
    C::run(async {
        C::boxed_group((0..=waiters).map(waiter)).await;
        start.get().expect("the last child ran").elapsed()
    })
}
