//! Memory: what does a parked child keep, and how often is the heap asked for one?
//!
//! ```text
//!   resident:    1 000 000 children park; pages of this process after, less those before
//!   allocations: the second of two groups of 1000 children that yield once; exact
//! ```

use crate::contender::Contender;
use crate::support::allocations;
use crate::work::{Boxed, Out, Waiter, all_parked, plain};
use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use tokio_util::sync::CancellationToken;

fn waiters(full: bool) -> u64 {
    if full { 1_000_000 } else { 1_000 }
}

/// Bytes of this process that are in memory: `statm` in `proc(5)`.
fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux says it");
    let pages = statm.split(' ').nth(1).and_then(|n| n.parse::<f64>().ok()).expect("the second number");
    pages * 4096.0
}

/// Children of `waiter`, and one that measures once all of them wait, and ends this process.
fn measured<C: Contender>(full: bool, waiter: impl Fn(u64) -> Boxed<C::Out>) -> f64 {
    let n = waiters(full);
    let before = resident_bytes();
    let children = (0..=n).map(|i| {
        if i < n {
            return waiter(i);
        }
        let measure: Boxed<C::Out> = Box::pin(async move {
            all_parked(n).await;
            crate::support::case::answer(|| (resident_bytes() - before) / n as f64)
        });
        measure
    });
    C::run(C::group(children));
    unreachable!("the last child ends the process")
}

/// Resident bytes a child, which waits for something that no executor knows.
pub(crate) fn resident<C: Contender>(full: bool) -> f64 {
    measured::<C>(full, |i| {
        if i.is_multiple_of(2) {
            return Box::pin(async {
                let _waiter = Waiter::park();
                pending().await
            });
        }
        Box::pin(async move {
            let _waiter = Waiter::park();
            pending::<()>().await;
            C::Out::fine()
        })
    })
}

/// Resident bytes a child of ours that can be cancelled.
pub(crate) fn resident_ours<C: Contender<Out = Result<(), pleach_executor::Cancelled>>>(full: bool) -> f64 {
    measured::<C>(full, crate::ours::boxed_waiter)
}

/// Resident bytes a child of a peer that can be cancelled.
pub(crate) fn resident_token<C: Contender>(full: bool) -> f64 {
    let token = CancellationToken::new();
    measured::<C>(full, |_| {
        let token = token.clone();
        Box::pin(async move {
            let waiter = Waiter::park();
            token.cancelled().await;
            waiter.told();
            C::Out::fine()
        })
    })
}

/// Calls of the allocator for a child that yields once, as its contender takes it: nothing is boxed beforehand.
pub(crate) fn allocations<C: Contender>(_full: bool) -> f64 {
    const CHILDREN: u64 = 1000;
    let seen = Rc::new(Cell::new(0));
    C::run(async {
        for _ in 0..2 {
            let before = allocations::so_far();
            C::group((0..CHILDREN).map(|_| plain::<C::Out>(1))).await;
            // The second group finds the runtime warm.
            seen.set(allocations::so_far() - before);
        }
    });
    assert_eq!(crate::work::take_tally().ran, 2 * CHILDREN);
    seen.get() as f64 / CHILDREN as f64
}
