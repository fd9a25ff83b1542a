//! A peer: `LocalExecutor` of `async-executor`, driven by our loop. Groups are tasks kept in a `Vec`.

use crate::leaf::{Waiter, Yields, all_parked, ran};
use crate::support::now;
use async_executor::LocalExecutor;
use pleach_executor::run;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

async fn child(yields: u64) {
    Yields::new(yields).await;
    ran();
}

fn nested(executor: Rc<LocalExecutor<'static>>, depth: u64, wakes: u64) -> Boxed {
    Box::pin(async move {
        if depth == 0 {
            return child(wakes).await;
        }
        executor.spawn(nested(Rc::clone(&executor), depth - 1, wakes)).await;
    })
}

/// One warm executor for all rows.
#[derive(Debug)]
pub(crate) struct Smol {
    executor: Rc<LocalExecutor<'static>>,
}

impl Smol {
    pub(crate) fn new() -> Self {
        Smol { executor: Rc::default() }
    }

    pub(crate) fn groups(&self, groups: u64, children: u64, yields: u64, after_each: &dyn Fn()) {
        run(self.executor.run(async {
            for _ in 0..groups {
                let group: Vec<_> = (0..children).map(|_| self.executor.spawn(child(yields))).collect();
                for task in group {
                    task.await;
                }
                after_each();
            }
        }));
    }

    pub(crate) fn nest(&self, depth: u64, wakes: u64) {
        run(self.executor.run(nested(Rc::clone(&self.executor), depth, wakes)));
    }

    /// Drops the children where they are, one after the other: it has no way to cancel a group.
    pub(crate) fn cancel_each(&self, waiters: u64) -> Duration {
        run(self.executor.run(async {
            let spawn = |_| {
                self.executor.spawn(async {
                    let _waiter = Waiter::park();
                    std::future::pending::<()>().await;
                })
            };
            let group: Vec<_> = (0..waiters).map(spawn).collect();
            all_parked(waiters).await;
            let start = now();
            for task in group {
                assert_eq!(task.cancel().await, None, "every child is cancelled");
            }
            start.elapsed()
        }))
    }
}
