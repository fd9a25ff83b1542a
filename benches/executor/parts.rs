//! Our own small parts, which no peer has. Their instruction counts are in `benches/instructions.rs`.

use crate::support::clock::Stopwatch;
use pleach_executor::{CancelScope, Cancelled, check, checkpoint, nursery, run};
use std::hint::black_box;

fn times(full: bool) -> u64 {
    if full { 1_000_000 } else { 1_000 }
}

fn timed(n: u64, work: impl AsyncFnOnce(u64)) -> f64 {
    run(async {
        let start = Stopwatch::cpu();
        work(n).await;
        start.per(n)
    })
}

pub(crate) fn checks(full: bool) -> f64 {
    timed(times(full), async |n| (0..n).for_each(|_| black_box(check()).expect("not cancelled")))
}

pub(crate) fn checkpoints(full: bool) -> f64 {
    timed(times(full), async |n| {
        for _ in 0..n {
            checkpoint().await.expect("not cancelled");
        }
    })
}

pub(crate) fn scopes(full: bool) -> f64 {
    timed(times(full), async |n| {
        for _ in 0..n {
            let left: Result<Option<()>, Cancelled> = CancelScope::new().run(async |_| Ok(())).await;
            assert!(matches!(left, Ok(Some(()))), "nobody cancels it");
        }
    })
}

pub(crate) fn nurseries(full: bool) -> f64 {
    timed(times(full), async |n| {
        for _ in 0..n {
            let joined: Result<(), Cancelled> = nursery(async |_| Ok(())).await;
            joined.expect("it has no child that could fail");
        }
    })
}
