//! Promise: a nursery gives way to whoever else is ready, at every step, also where it could go on for a while because
//! nobody else seems to be.
//!
//! ```text
//!   nursery ─ step ─► anybody else ready? ─ no ──► the next step, in the same poll, up to the loop's next look outside
//!                                          └ yes ─► to the back of the queue
//! ```
//!
//! Rules: on the ordinary clock, because a virtual one counts steps. Each case has two who always are ready, and counts.

use futures_util::future::join;
use futures_util::stream::{FuturesUnordered, StreamExt};
use pleach_executor::{Cancelled, Nursery, checkpoint, nursery, run, stats};
use std::cell::Cell;
use std::future::poll_fn;

const STEPS: u64 = 1_000;
/// So many polls the loop makes before it looks outside.
const TURN: u64 = 64;

/// Two who are always ready: how far each is.
#[derive(Default)]
struct Two {
    steps: [Cell<u64>; 2],
}

impl Two {
    /// One of the two: goes on until it is at its end, and never is far from the other.
    async fn walk(&self, me: usize, most: u64) -> Result<(), Cancelled> {
        for _ in 0..STEPS {
            self.steps[me].set(self.steps[me].get() + 1);
            let (mine, other) = (self.steps[me].get(), self.steps[1 - me].get());
            assert!(mine <= other + most, "{me} has made {mine} steps, and the other {other}");
            checkpoint().await?;
        }
        Ok(())
    }

    /// The same, in a nursery of its own.
    async fn walk_in_a_nursery(&self, me: usize, most: u64) -> Result<(), Cancelled> {
        nursery(async |n: &Nursery<'_, '_, Cancelled>| {
            n.spawn(self.walk(me, most));
            Ok(())
        })
        .await
    }
}

#[test]
fn a_sibling_of_the_nursery_is_served() {
    run(async {
        let two = Two::default();
        nursery(async |n| {
            n.spawn(two.walk_in_a_nursery(0, 2));
            n.spawn(two.walk(1, 2));
            Ok::<_, Cancelled>(())
        })
        .await
    })
    .unwrap();
}

#[test]
fn two_nurseries_in_two_nurseries_are_served() {
    run(async {
        let two = Two::default();
        nursery(async |n| {
            for me in [0, 1] {
                let two = &two;
                n.spawn(async move {
                    nursery(async |n| {
                        n.spawn(two.walk_in_a_nursery(me, 3));
                        Ok::<_, Cancelled>(())
                    })
                    .await
                });
            }
            Ok::<_, Cancelled>(())
        })
        .await
    })
    .unwrap();
}

#[test]
fn a_static_task_beside_the_nursery_is_served() {
    thread_local! {
        static STATIC: Cell<u64> = const { Cell::new(0) };
    }
    run(async {
        nursery(async |n| {
            n.spawn_static(async {
                for _ in 0..STEPS {
                    STATIC.set(STATIC.get() + 1);
                    checkpoint().await?;
                }
                Ok(())
            });
            n.spawn(async {
                nursery(async |n| {
                    n.spawn(async {
                        for step in 0..STEPS {
                            assert!(step <= STATIC.get() + 2, "{step} steps, and the other {}", STATIC.get());
                            checkpoint().await?;
                        }
                        Ok(())
                    });
                    Ok::<_, Cancelled>(())
                })
                .await
            });
            Ok::<_, Cancelled>(())
        })
        .await
    })
    .unwrap();
}

/// They share a task, and so a waker: if anything but the nursery has woken the task, it is not alone.
#[test]
fn who_is_joined_with_the_nursery_is_served() {
    run(async {
        let two = Two::default();
        let (a, b) = join(two.walk_in_a_nursery(0, 3), two.walk(1, 3)).await;
        a.and(b)
    })
    .unwrap();
    run(async {
        let two = Two::default();
        let (a, b) = join(two.walk_in_a_nursery(0, 3), two.walk_in_a_nursery(1, 3)).await;
        a.and(b)
    })
    .unwrap();
}

/// Of a foreign collection's members nothing is known here, so a nursery in one makes one step a poll.
#[test]
fn members_of_a_foreign_collection_are_served() {
    run(async {
        let two = Two::default();
        let mut members: FuturesUnordered<_> =
            [0, 1].map(|me| two.walk_in_a_nursery(me, 2)).into_iter().collect();
        while let Some(r) = members.next().await {
            r?;
        }
        Ok::<_, Cancelled>(())
    })
    .unwrap();
}

/// Alone, it makes many steps in one poll of whoever polls it: that is what the others are about.
#[test]
fn a_nursery_that_is_alone_goes_on() {
    run(async {
        let two = Two::default();
        let mut alone = Box::pin(two.walk_in_a_nursery(0, STEPS));
        let (mut polls, before) = (0, stats().turns);
        poll_fn(|cx| {
            polls += 1;
            alone.as_mut().poll(cx)
        })
        .await
        .unwrap();
        assert!((STEPS / TURN..STEPS / 8).contains(&polls), "{polls} polls");
        assert!(stats().turns - before >= STEPS / TURN, "and the loop has looked outside meanwhile");
    });
}
