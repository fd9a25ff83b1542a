//! Our columns: children that borrow and live in the nursery's future, and static ones that lie flat in the executor.

use crate::leaf::{Waiter, Yields, all_parked, ran};
use crate::support::now;
use pleach_executor::{Cancelled, nursery, run, sleep_forever};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

type Result<T = ()> = std::result::Result<T, Cancelled>;
type Boxed = Pin<Box<dyn Future<Output = Result>>>;

async fn child(yields: u64) -> Result {
    Yields::new(yields).await;
    ran();
    Ok(())
}

pub(crate) fn borrowed_groups(groups: u64, children: u64, yields: u64, after_each: &dyn Fn()) {
    run(async {
        for _ in 0..groups {
            let joined: Result = nursery(async |n| {
                (0..children).for_each(|_| n.spawn(child(yields)));
                Ok(())
            })
            .await;
            joined.expect("no child fails");
            after_each();
        }
    });
}

pub(crate) fn static_groups(groups: u64, children: u64, yields: u64, after_each: &dyn Fn()) {
    run(async {
        for _ in 0..groups {
            let joined: Result = nursery(async |n| {
                (0..children).for_each(|_| n.spawn_static(child(yields)));
                Ok(())
            })
            .await;
            joined.expect("no child fails");
            after_each();
        }
    });
}

fn borrowed(depth: u64, wakes: u64) -> Boxed {
    Box::pin(async move {
        if depth == 0 {
            return child(wakes).await;
        }
        nursery(async |n| {
            n.spawn(borrowed(depth - 1, wakes));
            Ok(())
        })
        .await
    })
}

fn flat(depth: u64, wakes: u64) -> Boxed {
    Box::pin(async move {
        if depth == 0 {
            return child(wakes).await;
        }
        nursery(async |n| {
            n.spawn_static(flat(depth - 1, wakes));
            Ok(())
        })
        .await
    })
}

pub(crate) fn borrowed_nest(depth: u64, wakes: u64) {
    run(borrowed(depth, wakes)).expect("the leaf does not fail");
}

pub(crate) fn static_nest(depth: u64, wakes: u64) {
    run(flat(depth, wakes)).expect("the leaf does not fail");
}

/// Waits until it is cancelled, and hands the cancellation back as our children do.
async fn waiter() -> Result {
    let waiter = Waiter::park();
    let Err(cancelled) = sleep_forever().await;
    waiter.told();
    Err(cancelled)
}

pub(crate) fn cancel_borrowed(waiters: u64) -> Duration {
    run(async {
        let mut start = now();
        let joined: Result = nursery(async |n| {
            (0..waiters).for_each(|_| n.spawn(waiter()));
            all_parked(waiters).await;
            start = now();
            n.cancel();
            Ok(())
        })
        .await;
        let took = start.elapsed();
        joined.expect("the nursery absorbs its own cancellation");
        took
    })
}

pub(crate) fn cancel_static(waiters: u64) -> Duration {
    run(async {
        let mut start = now();
        let joined: Result = nursery(async |n| {
            (0..waiters).for_each(|_| n.spawn_static(waiter()));
            all_parked(waiters).await;
            start = now();
            n.cancel();
            Ok(())
        })
        .await;
        let took = start.elapsed();
        joined.expect("the nursery absorbs its own cancellation");
        took
    })
}
