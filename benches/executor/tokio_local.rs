//! A peer: tokio on one thread, with children that need not be `Send`.
//!
//! Groups are a `JoinSet`, or plain handles kept in a `Vec` (cheaper; but a dropped handle leaves its task running).

use crate::leaf::{Waiter, Yields, all_parked, ran};
use crate::support::now;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::{JoinSet, spawn_local};
use tokio_util::sync::CancellationToken;

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

async fn child(yields: u64) {
    Yields::new(yields).await;
    ran();
}

async fn join(mut group: JoinSet<()>) {
    while let Some(ended) = group.join_next().await {
        ended.expect("no child panics");
    }
}

fn nested(depth: u64, wakes: u64) -> Boxed {
    Box::pin(async move {
        if depth == 0 {
            return child(wakes).await;
        }
        let mut group = JoinSet::new();
        group.spawn_local(nested(depth - 1, wakes));
        join(group).await;
    })
}

/// One warm runtime for all rows.
#[derive(Debug)]
pub(crate) struct Tokio {
    runtime: LocalRuntime,
}

impl Tokio {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default());
        Tokio { runtime: runtime.expect("a runtime without drivers needs nothing of the system") }
    }

    pub(crate) fn set_groups(&self, groups: u64, children: u64, yields: u64, after_each: &dyn Fn()) {
        self.runtime.block_on(async {
            for _ in 0..groups {
                let mut group = JoinSet::new();
                for _ in 0..children {
                    group.spawn_local(child(yields));
                }
                join(group).await;
                after_each();
            }
        });
    }

    pub(crate) fn handle_groups(&self, groups: u64, children: u64, yields: u64, after_each: &dyn Fn()) {
        self.runtime.block_on(async {
            for _ in 0..groups {
                let group: Vec<_> = (0..children).map(|_| spawn_local(child(yields))).collect();
                for task in group {
                    task.await.expect("no child panics");
                }
                after_each();
            }
        });
    }

    pub(crate) fn nest(&self, depth: u64, wakes: u64) {
        self.runtime.block_on(nested(depth, wakes));
    }

    /// Drops the children where they are: none can clean up.
    pub(crate) fn cancel_by_abort(&self, waiters: u64) -> Duration {
        self.runtime.block_on(async {
            let mut group = JoinSet::new();
            for _ in 0..waiters {
                group.spawn_local(async {
                    let _waiter = Waiter::park();
                    std::future::pending::<()>().await;
                });
            }
            all_parked(waiters).await;
            let start = now();
            group.abort_all();
            while let Some(ended) = group.join_next().await {
                assert!(ended.is_err_and(|e| e.is_cancelled()), "every child is aborted");
            }
            start.elapsed()
        })
    }

    /// Tells the children, which end on their own, as ours do.
    pub(crate) fn cancel_by_token(&self, waiters: u64) -> Duration {
        self.runtime.block_on(async {
            let token = CancellationToken::new();
            let mut group = JoinSet::new();
            for _ in 0..waiters {
                let token = token.clone();
                group.spawn_local(async move {
                    let waiter = Waiter::park();
                    token.cancelled().await;
                    waiter.told();
                });
            }
            all_parked(waiters).await;
            let start = now();
            token.cancel();
            join(group).await;
            start.elapsed()
        })
    }
}
