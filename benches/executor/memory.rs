//! Memory: what does a parked child keep, and how often is the heap asked for one?
//!
//! ```text
//!   resident:    1 000 000 children park; pages of this process after, less those before
//!   allocations: the second of two groups of 1000 children that yield once; exact
//! ```

use crate::contender::Contender;
use crate::support::{allocations, case};
use crate::work::{Boxed, Out, Waiter, parked, plain};
use std::cell::Cell;
use std::future::{Future, pending};
use std::rc::Rc;
use tokio_util::sync::CancellationToken;

/// What the last child to park needs, which no child shall carry.
#[derive(Clone, Copy, Debug)]
struct Before {
    waiters: u64,
    resident: f64,
}

thread_local! {
    static BEFORE: Cell<Option<Before>> = const { Cell::new(None) };
}

/// Bytes of this process that are in memory: `statm` in `proc(5)`.
fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux says it");
    let pages = statm.split(' ').nth(1).and_then(|n| n.parse::<f64>().ok()).expect("the second number");
    pages * 4096.0
}

/// Called by a child right before it waits. The last one measures, and ends this process.
pub(crate) fn park() -> Waiter {
    let waiter = Waiter::park();
    if let Some(before) = BEFORE.get()
        && parked() == before.waiters
    {
        case::answer(|| (resident_bytes() - before.resident) / before.waiters as f64);
    }
    waiter
}

fn measured<C: Contender, F: Future<Output = C::Out> + 'static>(
    full: bool,
    waiter: impl Fn(u64) -> F,
) -> f64 {
    C::run(C::group((0..begin(full)).map(waiter)));
    unreachable!("the last child ends the process")
}

/// How many are to wait; from here on memory counts.
fn begin(full: bool) -> u64 {
    let waiters = if full { 1_000_000 } else { 1_000 };
    BEFORE.set(Some(Before { waiters, resident: resident_bytes() }));
    waiters
}

/// Waits for something that no executor knows.
async fn plain_wait<O: Out>() -> O {
    let _waiter = park();
    pending().await
}

/// Resident bytes a child, which waits for something that no executor knows.
pub(crate) fn resident<C: Contender>(full: bool) -> f64 {
    let waiter = |i: u64| -> Boxed<C::Out> {
        if i.is_multiple_of(2) {
            return Box::pin(plain_wait());
        }
        Box::pin(async {
            let _waiter = park();
            pending::<()>().await;
            C::Out::fine()
        })
    };
    C::run(C::boxed_group((0..begin(full)).map(waiter)));
    unreachable!("the last child ends the process")
}

/// The same with children of one type, which a contender boxes only if it has to.
pub(crate) fn resident_plain<C: Contender>(full: bool) -> f64 {
    measured::<C, _>(full, |_| plain_wait())
}

/// Resident bytes a child of ours that can be cancelled.
pub(crate) fn resident_ours<C: Contender<Out = Result<(), pleach_executor::Cancelled>>>(full: bool) -> f64 {
    measured::<C, _>(full, |_| crate::ours::waiter(park))
}

/// Resident bytes a child of a peer that can be cancelled.
pub(crate) fn resident_token<C: Contender>(full: bool) -> f64 {
    let token = CancellationToken::new();
    measured::<C, _>(full, |_| {
        let token = token.clone();
        async move {
            let waiter = park();
            token.cancelled().await;
            waiter.told();
            C::Out::fine()
        }
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
