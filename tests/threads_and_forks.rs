//! Promise: calling threads and starting actors go together: idle workers are no reason against a fork, and those at work are
//! named.
//!
//! ```text
//!   to_thread ─► workers ─ idle ─► ended right before a fork, started again when needed
//!                        └ at work ─► the fork is refused, with their names; exec does not care
//! ```

use pleach::{Actor, Error, ErrorKind, actors, nursery, run};
use pleach_executor::threads::ToThread;
use pleach_executor::{checkpoint, to_thread};
use std::sync::mpsc;

pleach::test_main!(
    an_idle_worker_is_no_reason_against_a_fork,
    a_worker_that_is_at_work_is_named,
    an_actor_calls_threads_of_its_own,
);

async fn double_in_a_thread(n: u64) -> Result<u64, Error> {
    Ok(to_thread(move || 2 * n).await.map_err(std::io::Error::from)?)
}

fn an_idle_worker_is_no_reason_against_a_fork() {
    let doubled = run(async {
        let mut n = 1;
        for _ in 0..3 {
            n = double_in_a_thread(n).await?;
            n = actors(async |an| an.fork("child", (), async move |_: Actor, ()| Ok(n + 1)).result().await)
                .await?;
        }
        Ok::<_, Error>(n)
    });
    assert_eq!(doubled.expect("each end is awaited"), 15);
}

fn a_worker_that_is_at_work_is_named() {
    let ended = run(async {
        let (gate, at_gate) = mpsc::channel::<()>();
        let (begins, begun) = mpsc::channel();
        nursery(async |n| {
            n.spawn(async move {
                let call = ToThread::new()
                    .name("at the gate")
                    .run(move |_| begins.send(()).is_ok_and(|()| at_gate.recv().is_err()));
                assert!(call.await.map_err(std::io::Error::from)?, "the gate was dropped");
                Ok(())
            });
            while begun.try_recv().is_err() {
                checkpoint().await?;
            }
            let fork = async || {
                actors(async |an| an.fork("child", (), async |_: Actor, ()| Ok(7)).result().await).await
            };
            let e = fork().await.expect_err("its thread would be missing");
            assert_eq!(*e.kind(), ErrorKind::NotSingleThreaded);
            assert!(e.message().contains("at the gate"), "{e}");
            drop(gate);
            Ok::<_, Error>(())
        })
        .await?;
        actors(async |an| an.fork("child", (), async |_: Actor, ()| Ok(7)).result().await).await
    });
    assert_eq!(ended.expect("it has ended"), 7);
}

fn an_actor_calls_threads_of_its_own() {
    let doubled = run(async {
        double_in_a_thread(1).await?;
        actors(async |an| {
            let middle = an.fork("middle", (), async |_, ()| {
                let n = double_in_a_thread(2).await?;
                actors(async |an| {
                    an.fork("leaf", (), async move |_, ()| double_in_a_thread(n).await).result().await
                })
                .await
            });
            middle.result().await
        })
        .await
    });
    assert_eq!(doubled.expect("each in its own process"), 8);
}
