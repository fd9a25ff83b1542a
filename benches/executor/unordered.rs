//! A peer: `FuturesUnordered`, a collection that polls its futures itself, inside one task of our loop.
//!
//! A boxed one holds children of many types, as a nursery does; one of a single type saves their boxes.

use crate::leaf::{Waiter, Yields, parked, ran};
use crate::support::now;
use futures_util::stream::{FuturesUnordered, StreamExt};
use pleach_executor::run;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

async fn child(yields: u64) {
    Yields::new(yields).await;
    ran();
}

fn groups<F: Future<Output = ()>>(groups: u64, children: u64, child: impl Fn() -> F, after_each: &dyn Fn()) {
    run(async {
        for _ in 0..groups {
            let mut group = FuturesUnordered::new();
            for _ in 0..children {
                group.push(child());
            }
            while group.next().await.is_some() {}
            drop(group);
            after_each();
        }
    });
}

pub(crate) fn boxed_groups(n: u64, children: u64, yields: u64, after_each: &dyn Fn()) {
    groups(n, children, || -> Boxed { Box::pin(child(yields)) }, after_each);
}

pub(crate) fn plain_groups(n: u64, children: u64, yields: u64, after_each: &dyn Fn()) {
    groups(n, children, || child(yields), after_each);
}

fn nested(depth: u64, wakes: u64) -> Boxed {
    Box::pin(async move {
        if depth == 0 {
            return child(wakes).await;
        }
        let mut group = FuturesUnordered::new();
        group.push(nested(depth - 1, wakes));
        while group.next().await.is_some() {}
    })
}

pub(crate) fn nest(depth: u64, wakes: u64) {
    run(nested(depth, wakes));
}

/// Its only way to cancel is to drop: no child can clean up, nothing is awaited.
pub(crate) fn cancel_by_drop(waiters: u64) -> Duration {
    run(async {
        let mut group: FuturesUnordered<Boxed> = FuturesUnordered::new();
        for _ in 0..waiters {
            group.push(Box::pin(async {
                let _waiter = Waiter::park();
                std::future::pending::<()>().await;
            }));
        }
        // It may return to its caller before it has polled all of them.
        while parked() < waiters {
            let before = parked();
            assert!(futures_util::poll!(group.next()).is_pending(), "waiters do not end");
            assert!(parked() > before, "every poll of the group reaches new children");
        }
        let start = now();
        drop(group);
        start.elapsed()
    })
}
