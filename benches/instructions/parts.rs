//! The parts that are counted, each a loop in one run.

use pleach_executor::sync::channel;
use pleach_executor::{CancelScope, Cancelled, check, checkpoint, nursery, sleep};
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// One part.
#[derive(Debug)]
pub(crate) struct Part {
    /// In the record.
    pub(crate) name: &'static str,
    /// In the table.
    pub(crate) title: &'static str,
    work: fn(u64),
}

const fn part(name: &'static str, title: &'static str, work: fn(u64)) -> Part {
    Part { name, title, work }
}

/// All of them.
pub(crate) const PARTS: &[Part] = &[
    part("check", "check()", checks),
    part("checkpoint", "a checkpoint that suspends", checkpoints),
    part("scope", "open and close a scope", scopes),
    part("scope_timeout", "the same with a timeout", limited_scopes),
    part("nursery", "open and close a nursery", nurseries),
    part("child", "a child that borrows, of a nursery", children),
    part("child_static", "a static child, of a nursery", static_children),
    part("channel", "send and receive, nobody waits", messages),
    part("sleep_armed", "arm and give up a sleep", sleeps),
];

/// Runs the part of this name so many times.
///
/// # Panics
///
/// If there is none.
pub(crate) fn run(name: &str, times: u64) {
    let part = PARTS.iter().find(|part| part.name == name).expect("a part of the list");
    (part.work)(times);
}

/// A run with `body` as its main task.
fn in_a_run(body: impl AsyncFnOnce()) {
    pleach_executor::run(body());
}

fn checks(n: u64) {
    // As `check()?` uses it: a result that is kept in memory would have its own moves counted.
    in_a_run(async || {
        (0..n).for_each(|_| match check() {
            Ok(()) => black_box(()),
            Err(c) => panic!("{c}"),
        });
    });
}

fn checkpoints(n: u64) {
    in_a_run(async || {
        for _ in 0..n {
            checkpoint().await.expect("not cancelled");
        }
    });
}

fn scopes(n: u64) {
    in_a_run(async || {
        for _ in 0..n {
            let left: Result<Option<()>, Cancelled> = CancelScope::new().run(async |_| Ok(())).await;
            assert!(matches!(black_box(left), Ok(Some(()))), "nobody cancels it");
        }
    });
}

fn limited_scopes(n: u64) {
    in_a_run(async || {
        for _ in 0..n {
            let scope = CancelScope::new().timeout(Duration::from_secs(60));
            let left: Result<Option<()>, Cancelled> = scope.run(async |_| Ok(())).await;
            assert!(matches!(black_box(left), Ok(Some(()))), "nobody cancels it");
        }
    });
}

fn nurseries(n: u64) {
    in_a_run(async || {
        for _ in 0..n {
            let joined: Result<(), Cancelled> = nursery(async |_| Ok(())).await;
            black_box(joined).expect("it has no child that could fail");
        }
    });
}

async fn child(i: u64) -> Result<(), Cancelled> {
    black_box(i);
    Ok(())
}

fn children(n: u64) {
    in_a_run(async || {
        let joined: Result<(), Cancelled> = nursery(async |group| {
            (0..n).for_each(|i| group.spawn(child(i)));
            Ok(())
        })
        .await;
        joined.expect("no child fails");
    });
}

fn static_children(n: u64) {
    in_a_run(async || {
        let joined: Result<(), Cancelled> = nursery(async |group| {
            (0..n).for_each(|i| group.spawn_static(child(i)));
            Ok(())
        })
        .await;
        joined.expect("no child fails");
    });
}

fn messages(n: u64) {
    in_a_run(async || {
        let (tx, rx) = channel::bounded(1);
        for i in 0..n {
            tx.send(i).await.expect("not cancelled").expect("the receiver is there");
            assert_eq!(rx.receive().await.expect("not cancelled"), Ok(i));
        }
    });
}

fn sleeps(n: u64) {
    in_a_run(async || {
        for i in 0..n {
            // A task that has used up its budget arms nothing, it yields.
            if i % 32 == 31 {
                checkpoint().await.expect("not cancelled");
            }
            let mut sleep = pin!(sleep(Duration::from_secs(60)));
            poll_fn(|cx| {
                assert!(sleep.as_mut().poll(cx).is_pending(), "it has just been armed");
                Poll::Ready(())
            })
            .await;
        }
    });
}
